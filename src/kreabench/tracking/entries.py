"""What is told to a tracker: one entry for the run and one for each of its settings. Knows no tracker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

State = Literal["finished", "failed", "running"]
"""`failed`: nothing was delivered; `running`: requests are still to come."""

Parameter = str | int | float | bool


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Entry:
    """One run of a tracker. What was not measured is in none of the mappings."""

    id: str
    """Of the run: the same wherever a copy of it lies. Of a setting: its id."""
    name: str
    """For people."""
    parameters: Mapping[str, Parameter]
    """What was asked; follows from the id, but for the revision that was found on loading."""
    metrics: Mapping[str, float]
    """Finite numbers, with their unit in the name; estimates with the ends of their interval and their n."""
    tags: Mapping[str, str]
    """What a reader must know beside the numbers, on one line each, redacted."""
    words: tuple[str, ...]
    """Of these what brands the numbers, each in a word or two."""
    state: State
    started_utc: str
    """ISO time."""
    ended_utc: str
    """ISO time of the last sample's start; `started_utc` where there is none."""
    files: Callable[[], Iterator[tuple[str, bytes]]]
    """Name, perhaps with a folder, and content of what goes along; made when it is asked for."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Export:
    """A run of kreabench, to be told."""

    run: Entry
    settings: tuple[Entry, ...]
    """In the order of the plan."""
    left_out: list[str]
    """Why pictures that were asked for cannot be sent; grows while files are made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """What a tracker did."""

    made: int
    """Runs of the tracker that are new."""
    updated: int
    """Runs that were there."""
    replaced: int
    """Of these: made anew, as the tracker can take nothing back that was said of the old one."""
    removed: int = 0
    """Runs of settings that the run no longer has, as a race dropped them: taken away."""
    where: str
    """For people: an address or a folder; without keys."""
