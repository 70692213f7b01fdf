"""A run, to look at."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kreabench.core.errors import ConfigError, Problem
from kreabench.core.planned import Plan, Setting
from kreabench.library.results import Shown
from kreabench.plan_of_run import plan_of
from kreabench.report.options import MAX_PICTURES, ReportOptions
from kreabench.report.page import Page, Section
from kreabench.rundir.directory import RunDirectory, RunInfo

if TYPE_CHECKING:
    from pandas import DataFrame

    from kreabench.report.evidence import Evidence


def open_run(path: str | os.PathLike[str]) -> Run:
    """The run directory at `path`, in whatever state it is; nothing in it is changed, and nothing drawn.

    `path` may be the URL of a pushed run: what is needed of it is copied into the cache.
    Raises RunDirectoryError where there is none, or none that this version can read, StorageError where a store
    refuses.
    """
    from kreabench.remote.copies import run_path

    return Run(RunDirectory.open(run_path(os.fspath(path))))


class Run(Shown):
    """A run as it was when its tables were first asked for; open it again for what came later.

    Frames are copies: change them as you like. `kreabench.describe(frame)` explains their columns.
    """

    def __init__(self, directory: RunDirectory) -> None:
        """Use `kreabench.open_run`."""
        self._directory = directory

    @property
    def path(self) -> Path:
        """The run directory."""
        return self._directory.path

    @property
    def info(self) -> RunInfo:
        """run.json: what was asked, by which versions, where."""
        return self._directory.info

    @cached_property
    def plan(self) -> Plan:
        """Settings, requests and load groups. Raises RunDirectoryError where this version plans the run otherwise."""
        return plan_of(self._directory)

    @property
    def samples(self) -> DataFrame:
        """One row a delivered picture or failed request, as in samples.parquet; a request not yet done has none.

        Integers and booleans that may be absent are pandas' nullable types, absent floats are NaN.
        """
        return self._table.copy()

    @property
    def scores(self) -> DataFrame:
        """One row a delivered picture and metric: its value, or the status and reason for which there is none."""
        from kreabench.library.frames import scores_of

        return scores_of(self._table)

    @property
    def settings(self) -> DataFrame:
        """One row a setting: counts, medians with 95 % intervals, memory, dollars, mean scores; as in settings.csv."""
        import pandas as pd

        from kreabench.library.columns import typed
        from kreabench.report.tables import settings_rows

        return typed(pd.DataFrame(settings_rows(self._evidence.summaries)), "settings")

    def setting(self, setting_id: str) -> Setting:
        """The setting of this id, or of the only one that begins so. Raises KeyError."""
        found = [setting for setting in self.plan.settings if setting.id.startswith(setting_id)]
        if len(found) != 1:
            raise KeyError(f"{len(found)} settings of {self.path} begin with {setting_id!r}")
        return found[0]

    def report(
        self,
        out: str | os.PathLike[str] | None = None,
        *,
        images: Literal["embed", "link"] = "embed",
        max_pictures: int = MAX_PICTURES,
    ) -> Path:
        """Write the report, as `kreabench report`, and return the path of its index.html.

        `out` None: reports/<name>. Raises ConfigError for another `images` or a negative `max_pictures`, StorageError.
        """
        from kreabench.report.several.names import folder_name
        from kreabench.reporting import rereport

        problems = []
        if images not in ("embed", "link"):
            problems.append(Problem(key="images", found=repr(images), expected="embed or link"))
        if max_pictures < 0:
            problems.append(Problem(key="max_pictures", found=repr(max_pictures), expected="0 or more"))
        if problems:
            raise ConfigError(problems)
        folder = Path("reports") / folder_name([self.info.experiment.name]) if out is None else Path(out)
        return rereport(
            [self._directory],
            folder,
            ReportOptions(images=images, max_pictures=max_pictures, today=datetime.now(UTC).date()),
        )

    def page(self) -> Page:
        """What a notebook shows of it: what limits it, the headline figures, the table of settings."""
        from kreabench.report.notices import notices_of
        from kreabench.report.settings_table import settings_table
        from kreabench.report.text import visible

        evidence = self._evidence
        table = settings_table(evidence.directed, evidence.targets)
        return Page(
            kind="run",
            title=visible(self.info.experiment.name),
            subtitle=f"Run of {self.info.created_utc[:16].replace('T', ' ')} UTC",
            notices=notices_of(evidence, datetime.now(UTC).date()),
            sections=(Section(id="settings", title="Settings", tables=(("", table),)),),
            files=(),
        )

    def __repr__(self) -> str:
        return f"<Run {self.path} of {self.info.created_utc[:16].replace('T', ' ')} UTC>"

    @cached_property
    def _table(self) -> DataFrame:
        from kreabench.rundir.table import join_table

        return join_table(self._directory, self.plan)

    @cached_property
    def _evidence(self) -> Evidence:
        from kreabench.report.evidence import gather

        return gather(self._directory, self.plan, self._table)
