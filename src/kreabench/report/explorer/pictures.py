"""The pictures of a report: which are chosen, and the files made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from kreabench.report.explorer.data import PictureData, QuantityData, WorstData
from kreabench.report.explorer.sources import Source


@dataclass(frozen=True, kw_only=True, slots=True)
class Pictured:
    """What was chosen."""

    pictures: tuple[PictureData, ...] = ()
    worst: tuple[WorstData, ...] = ()
    note: str = ""
    """What was left out, and why."""
    files: dict[str, bytes] = field(default_factory=dict)
    """Name below the report's folder → JPEG, PNG or WebP file."""


def pictured(sources: Sequence[Source], quantities: Sequence[QuantityData], *, most: int) -> Pictured:
    """At most about `most` pictures: whole rows of all settings, worst losses first."""
    return Pictured()
