"""A driver of one hosted group, for tests that kill or interrupt it: `python -m tests.hosted_driver RUN STATE OPTIONS`.

Ends with the exit codes of the command line.
"""

from __future__ import annotations

import json
import signal
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from kreabench.core.errors import BudgetReached, ExitCode
from kreabench.core.planned import LoadGroup
from kreabench.execution.budget import Budget
from kreabench.execution.local import LocalEngine
from kreabench.execution.pending import pending_work
from kreabench.rundir.directory import RunDirectory
from tests.engine_support import engine_spec
from tests.hosted_support import hosted_group
from tests.support import make_plan


def make_hosted_group(state_dir: Path, options: dict[str, Any]) -> LoadGroup:
    """The group of `options`, which may name `faults` beside what `hosted_group` takes."""
    rest = {key: value for key, value in options.items() if key not in {"faults", "budget_usd"}}
    return hosted_group(state_dir, *options.get("faults", []), **rest)


def main(run_path: Path, state_dir: Path, options: dict[str, Any]) -> int:
    run = RunDirectory.open(run_path)
    plan = make_plan(make_hosted_group(state_dir, options))
    budget = Budget(options.get("budget_usd"), plan)
    for record in run.records():
        budget.record(record)
    with run.writer() as writer:
        work = pending_work(plan, run.state(), retry_failed=False)
        with closing(LocalEngine(engine_spec()).run(work, run_path, budget.admit)) as batches:
            try:
                for batch in batches:
                    writer.append(*batch)
                    for record in batch:
                        budget.record(record)
            except BudgetReached:
                return ExitCode.BUDGET
            except KeyboardInterrupt:
                return ExitCode.INTERRUPTED
    return ExitCode.DONE


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may ignore it
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])))
