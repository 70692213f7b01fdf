"""Which pictures a report shows: whole rows of all settings, and single pairs with great losses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from typing import TypeVar

import numpy as np

from kreabench.report.explorer.samples import Samples
from kreabench.report.explorer.worst import MAX_WORST, Losses

_T = TypeVar("_T")

Cell = tuple[int, int]
"""Number of the setting, number of the unit."""

_WORST_SHARE, _TROUBLED_SHARE, _PAIRS_SHARE = 1 / 2, 1 / 4, 1 / 4
"""Of the whole rows: those with great losses and those with failures, before the first prompts; of all pictures: what
is left for pairs outside these rows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What is shown, most wanted first."""

    units: tuple[int, ...]
    """Shown with all settings of `settings`."""
    settings: int
    """So many of the first settings: all, unless a single row of them is already too long."""
    cells: tuple[Cell, ...]
    """All of it: those of `units`, then pairs outside them."""


def choose(samples: Samples, losses: Sequence[Losses], most: int) -> Choice:
    """At most `most` cells."""
    settings, units = len(samples.settings), len(samples.units)
    if not most or not settings or not units:
        return Choice(units=(), settings=0, cells=())
    across = min(settings, most)
    whole = units * across <= most
    room = units if whole else max(1, int(most * (1 - _PAIRS_SHARE)) // across)
    wanted = _wanted(samples, losses, room)
    cells = {(setting, unit): None for unit in wanted[:room] for setting in range(across)}
    for setting, unit in _round_robin(_pairs(one) for one in losses):
        pair = dict.fromkeys([(setting, unit), (int(samples.references[setting]), unit)])
        if len(cells | pair) <= most:
            cells |= pair
    for unit in wanted[room:]:
        row = {(setting, unit): None for setting in range(across)}
        if len(cells | row) > most:
            break
        cells |= row
        room += 1
    return Choice(units=tuple(wanted[:room]), settings=across, cells=tuple(cells))


def _wanted(samples: Samples, losses: Sequence[Losses], room: int) -> list[int]:
    """All units, the first `room` so that each reason has its share; the first prompt with the first seed is there."""
    seeds = len({unit.seed for unit in samples.units})
    worst = list(_round_robin(one.units() for one in losses))
    troubled = islice(_troubled(samples), max(1, int(room * _TROUBLED_SHARE)))
    plain = sorted(range(len(samples.units)), key=lambda number: (number % seeds, number))
    wanted = list(dict.fromkeys(chain(worst[: int(room * _WORST_SHARE)], troubled, plain)))
    if 0 not in wanted[:room]:
        wanted.remove(0)
        wanted.insert(room - 1, 0)
    return wanted


def _troubled(samples: Samples) -> Iterator[int]:
    """Units in which something failed, was flagged, is degenerate or has another size; most of them first."""
    rows = samples.rows
    odd_size = (rows["image_width"].notna() & (rows["image_width"] != rows["width"])) | (
        rows["image_height"].notna() & (rows["image_height"] != rows["height"])
    )
    trouble = (rows["status"] == "failed") | (rows["nsfw"].isin([True])) | rows["degenerate"].notna() | odd_size
    counts = trouble.to_numpy(dtype=bool, na_value=False)[samples.places].sum(axis=0)
    return (int(unit) for unit in np.argsort(-counts, kind="stable") if counts[unit])


def _pairs(losses: Losses) -> list[Cell]:
    return [(setting, unit) for setting, unit, _ in losses.worst(MAX_WORST)]


def _round_robin(lists: Iterable[Iterable[_T]]) -> Iterator[_T]:
    """The first of each, then the second of each; every element once."""
    return iter(dict.fromkeys(one for line in zip_longest(*lists) for one in line if one is not None))
