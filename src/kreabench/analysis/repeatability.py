"""Is the same request the same picture? Pictures of one setting, prompt, seed and index, drawn more than once."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

_SAME = ["setting_id", "prompt_id", "seed", "image_index"]
"""Columns that are equal for pictures that should be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """A picture, and the first one of the same request."""

    setting_id: str
    first: tuple[str, int]
    """Request id and image index."""
    again: tuple[str, int]
    fresh: bool
    """Whether another load of the model drew it."""
    same_file: bool
    """Whether the files are equal, which only the same pixels of one encoder are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeatability:
    """How far apart pictures of the same request are, for one setting and one kind of repetition."""

    setting_id: str
    fresh: bool
    pairs: int
    identical: int
    """Pairs with equal pixels."""
    unreadable: int
    """Pairs of which a picture cannot be read any more."""
    psnr_db: tuple[float, float] | None
    """Lowest and median PSNR over the pairs that differ; None when none does."""
    largest_difference: int | None
    """Of any pixel and channel, of 255; None when no pair differs."""


def pairs_of(table: pd.DataFrame) -> tuple[Pair, ...]:
    """Every picture that was drawn again, beside the first; other attempts and repeats of a request among them."""
    images = table[(table["status"] == "ok") & table["image_index"].notna()]
    images = images[images.duplicated(_SAME, keep=False)]
    first: dict[tuple[Hashable, ...], pd.Series] = {}
    pairs = []
    for _, row in images.sort_values("started_utc", kind="stable").iterrows():
        what = tuple(row[column] for column in _SAME)
        if what not in first:
            first[what] = row
            continue
        earlier = first[what]
        pairs.append(
            Pair(
                setting_id=str(row["setting_id"]),
                first=(str(earlier["request_id"]), int(earlier["image_index"])),
                again=(str(row["request_id"]), int(row["image_index"])),
                fresh=bool(row["group_id"] != earlier["group_id"]),
                same_file=bool(row["image_sha256"] == earlier["image_sha256"]),
            )
        )
    return tuple(pairs)


def repeatability(pairs: Sequence[Pair], read: Callable[[tuple[str, int]], Pixels | None]) -> tuple[Repeatability, ...]:
    """One summary a setting and kind; `read` gives the pixels of a picture, None where they are gone."""
    kinds: dict[tuple[str, bool], list[Pair]] = {}
    for pair in pairs:
        kinds.setdefault((pair.setting_id, pair.fresh), []).append(pair)
    return tuple(_summary(setting_id, fresh, members, read) for (setting_id, fresh), members in kinds.items())


def _summary(
    setting_id: str, fresh: bool, pairs: Sequence[Pair], read: Callable[[tuple[str, int]], Pixels | None]
) -> Repeatability:
    identical = unreadable = 0
    apart: list[tuple[float, int]] = []
    for pair in pairs:
        if pair.same_file:
            identical += 1
            continue
        first, again = read(pair.first), read(pair.again)
        if first is None or again is None:
            unreadable += 1
            continue
        db, largest = difference(first, again)
        if largest == 0:
            identical += 1
        else:
            apart.append((db, largest))
    return Repeatability(
        setting_id=setting_id,
        fresh=fresh,
        pairs=len(pairs),
        identical=identical,
        unreadable=unreadable,
        psnr_db=(min(db for db, _ in apart), float(np.median([db for db, _ in apart]))) if apart else None,
        largest_difference=max((largest for _, largest in apart), default=None),
    )


def difference(first: Pixels, second: Pixels) -> tuple[float, int]:
    """PSNR in dB (of 255; infinite for equal pictures) and the largest difference of one value.

    Pictures of two sizes are as far apart as can be: 0 dB and 255.
    """
    if first.shape != second.shape:
        return 0.0, 255
    apart = np.abs(first.astype(np.int16) - second.astype(np.int16))
    mean_square = float(np.mean(np.square(apart, dtype=np.float64)))
    return (math.inf if mean_square == 0 else 10 * math.log10(255**2 / mean_square)), int(apart.max(initial=0))
