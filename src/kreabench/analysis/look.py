"""Where a better aesthetic score is a warning: models of beauty like soft, blurred pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kreabench.analysis.shifts import Shift
from kreabench.core.planned import Setting

BEAUTY, BLUR = "aesthetic", "blurred_tiles"
"""Kinds of metric."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Softening:
    """A setting whose pictures please an aesthetic model more than the reference's and are more blurred."""

    setting: Setting
    beauty: Shift
    blur: Shift


def find_softening(shifts: Sequence[Shift]) -> tuple[Softening, ...]:
    """Settings whose aesthetic score and whose share of blurred tiles have both risen: both intervals lie above 0.

    Of two metrics of a kind the first that has risen speaks. An untrained aesthetic model says nothing.
    """
    risen: dict[str, dict[str, Shift]] = {}
    for shift in shifts:
        if shift.spec.kind in (BEAUTY, BLUR) and not shift.untrained and _has_risen(shift):
            risen.setdefault(shift.setting.id, {}).setdefault(shift.spec.kind, shift)
    return tuple(
        Softening(setting=kinds[BEAUTY].setting, beauty=kinds[BEAUTY], blur=kinds[BLUR])
        for kinds in risen.values()
        if len(kinds) == 2
    )


def _has_risen(shift: Shift) -> bool:
    return shift.mean.low is not None and shift.mean.low > 0
