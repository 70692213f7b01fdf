"""What the two fake back ends share: where their faults are checked, and counted across workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kreabench.core.errors import Problem

FaultProblems = Callable[[str, Mapping[str, Any], str | None], Sequence[Problem]]
"""Everything wrong with one entry of `faults`: its key, the entry, `options.state_dir`."""


def options_problems(
    target_name: str, faults: Sequence[Mapping[str, Any]], state_dir: str | None, problems_of: FaultProblems
) -> tuple[Problem, ...]:
    """What is wrong with a target's faults and the folder where they are counted."""
    key = f"target.{target_name}.options"
    problems = [
        problem
        for index, fault in enumerate(faults)
        for problem in problems_of(f"{key}.faults[{index}]", fault, state_dir)
    ]
    if state_dir is not None and not Path(state_dir).is_dir():
        problems.append(Problem(key=f"{key}.state_dir", found=state_dir, expected="an existing folder"))
    return tuple(problems)


def times_problems(key: str, times: object, state_dir: str | None) -> list[Problem]:
    """What is wrong with how often a fault is to go off."""
    if times is None:
        return []
    if not isinstance(times, int) or isinstance(times, bool) or times < 1:
        return [Problem(key=key, found=repr(times), expected="a whole number of at least 1, or null for always")]
    if state_dir is None:
        expected = "options.state_dir beside it: a folder where the count outlives the worker"
        return [Problem(key=key, found=str(times), expected=expected)]
    return []


def is_due(counter: Path | None, times: int | None) -> bool:
    """Whether a fault has not gone off `times` times; counts this time, before the process may end by it.

    `counter` is the file that counts, which `options_problems` saw to where there are `times`.
    """
    if times is None:
        return True
    assert counter is not None  # noqa: S101 - checked beforehand
    with counter.open("ab") as file:
        if file.tell() >= times:
            return False
        file.write(b".")
    return True
