"""What a recommendation needs of a run beside its samples: its targets and its loads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kreabench.core.errors import RunDirectoryError
from kreabench.core.questions import QuestionSpec
from kreabench.core.records import LoadRecord
from kreabench.core.specs import TargetSpec
from kreabench.decisions.selection import split_name
from kreabench.rundir.directory import RunDirectory


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFacts:
    """Of a run directory."""

    targets: Mapping[str, TargetSpec]
    """Name → target."""
    loads: tuple[LoadRecord, ...]
    race: QuestionSpec | None
    """What a race of it asked; None without one."""


def run_facts(text: str) -> RunFacts:
    """Of what `RUN` or `RUN:SELECTION` means. Raises RunDirectoryError."""
    path = split_name(text)[0]
    if path.is_file():
        raise RunDirectoryError(
            f"{path} is a file, and a recommendation needs a run directory",
            remedy="A baseline file has neither the run's targets and prices nor its loads.",
        )
    run = RunDirectory.open(path)
    experiment = run.info.experiment
    return RunFacts(
        targets={target.name: target for target in experiment.targets},
        loads=tuple(record for record in run.records() if isinstance(record, LoadRecord)),
        race=None if experiment.race is None else experiment.race.question,
    )
