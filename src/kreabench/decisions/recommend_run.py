"""What a recommendation needs of a run beside its samples: its targets and its loads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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


def run_facts(text: str) -> RunFacts:
    """Of what `RUN` or `RUN:SELECTION` means. Raises RunDirectoryError."""
    run = RunDirectory.open(split_name(text)[0])
    return RunFacts(
        targets={target.name: target for target in run.info.experiment.targets},
        loads=tuple(record for record in run.records() if isinstance(record, LoadRecord)),
    )
