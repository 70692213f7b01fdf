"""What the runs of one report are called: a letter, and a name that tells it from the others."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kreabench.core.errors import ConfigError, Problem
from kreabench.report.text import file_name, message
from kreabench.rundir.directory import RunDirectory

MOST = len(string.ascii_uppercase)
"""Runs of one report: each has a letter."""
_NAME_CHARACTERS = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class RunName:
    """One run of several."""

    letter: str
    """`A`, `B`, …, in the order they were named; the first is what the others are compared with."""
    name: str

    def __str__(self) -> str:
        return f"{self.letter} ({self.name})"


def check_runs(paths: Sequence[Path]) -> None:
    """Raises ConfigError where one report cannot hold the runs: too many of them, or one of them twice."""
    problems = []
    if len(paths) > MOST:
        problems.append(Problem(key="RUN", found=f"{len(paths)} runs", expected=f"at most {MOST} in one report"))
    twice = [path for path, number in Counter(path.resolve() for path in paths).items() if number > 1]
    if twice:
        named = next(str(path) for path in paths if path.resolve() == twice[0])
        problems.append(Problem(key="RUN", found=f"{named} more than once", expected="every run once"))
    if problems:
        raise ConfigError(problems)


def names_of(runs: Sequence[RunDirectory]) -> tuple[RunName, ...]:
    """The experiment's name; with the time of the run where two have one name, with the folder's where that is equal
    too."""
    names = [message(run.info.experiment.name, _NAME_CHARACTERS) for run in runs]
    times = [run.info.created_utc[:16].replace("T", " ") for run in runs]
    dated = [f"{name}, {time} UTC" for name, time in zip(names, times, strict=True)]
    found = []
    for run, name, with_time in zip(runs, names, dated, strict=True):
        chosen = name if names.count(name) == 1 else with_time
        folder = message(run.path.resolve().name, _NAME_CHARACTERS)
        found.append(f"{chosen}, in {folder}" if chosen == with_time and dated.count(chosen) > 1 else chosen)
    return tuple(RunName(letter=letter, name=name) for letter, name in zip(string.ascii_uppercase, found, strict=False))


def folder_name(names: Sequence[str]) -> str:
    """For the folder of a report of runs with these names: short however many there are, and one folder whatever a
    run that others made is called."""
    found = list(dict.fromkeys(map(file_name, names)))
    if len(found) == 1:
        return found[0]
    more = [f"and-{len(found) - 3}-more"] if len(found) > 3 else []
    return "-".join([*(name[:_NAME_CHARACTERS] for name in found[:3]), *more])
