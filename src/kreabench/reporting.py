"""Reports of runs that exist. Apart from `pipeline`, which loads all that draws pictures and scores them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kreabench.plan_of_run import plan_of
from kreabench.report.options import ReportOptions
from kreabench.report.several.names import check_runs
from kreabench.report.write import Told, write_reports
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.table import join_table


def rereport(runs: Sequence[RunDirectory], out: Path, options: ReportOptions) -> Path:
    """Write the report of existing runs anew, whatever state they are in; they may lie on a read-only disk.

    Raises ConfigError for too many runs, and for one that is named twice.
    """
    check_runs([run.path for run in runs])
    plans = [plan_of(run) for run in runs]
    told = [Told(run=run, plan=plan, table=join_table(run, plan)) for run, plan in zip(runs, plans, strict=True)]
    return write_reports(told, out, options)
