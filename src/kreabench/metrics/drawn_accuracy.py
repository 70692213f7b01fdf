"""How much of what a caption of the drawn world names is in the picture, read back from its pixels.

For models that were trained on that world, as the miniature was: captions that its grammar knows have a known truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kreabench.core.errors import one_line
from kreabench.metrics.base import Score, ScoreItem, failed
from kreabench.metrics.shared import Shared

if TYPE_CHECKING:
    from kreabench.drawn.captions import Claims
    from kreabench.metrics.needs import Need

VERSION = 2
"""Raised when the same picture would score differently."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnAccuracyOptions:
    """There is nothing to choose: values are compared between runs."""


class DrawnAccuracy:
    """Share of the named things that are right; `details` has each of them, and whether all are, as 0 or 1.

    Named are always the number of shapes, their colours and shapes; size, place, relation, background and texture
    where the caption says them. What cannot be read from the picture is wrong.
    """

    def __init__(self, **options: Any) -> None:
        self._options = DrawnAccuracyOptions(**options)
        self.needs: tuple[Need, ...] = ()

    def open(self, shared: Shared) -> dict[str, Any]:
        """The identity: there are no weights."""
        return {"version": VERSION}

    def score(self, items: Sequence[ScoreItem]) -> list[Score]:
        """One score an item; references are not looked at."""
        return [_score_one(item) for item in items]

    def close(self) -> None:
        """Nothing is held."""


def _score_one(item: ScoreItem) -> Score:
    from kreabench.drawn.captions import parse
    from kreabench.drawn.render import SIDE_PX

    claims = parse(item.prompt)
    if claims is None:
        reason = "the prompt is no caption of the drawn world"
        return Score(status="not_applicable", value=None, reason=reason)
    width, height = item.image.size
    if width != height or width < SIDE_PX:
        reason = f"the checker reads squares of {SIDE_PX} pixels or more a side, not {width}x{height}"
        return Score(status="not_applicable", value=None, reason=reason)
    try:
        right = _right(item, claims)
    except Exception as error:  # one bad picture must not cost the others their score
        return failed(one_line(error))
    details = {name: float(value) for name, value in right.items()}
    value = sum(details.values()) / len(details)
    return Score(status="ok", value=value, details={**details, "all_right": float(all(right.values()))})


def _right(item: ScoreItem, claims: Claims) -> dict[str, bool]:
    import numpy as np

    from kreabench.drawn.checking import check
    from kreabench.drawn.reading import read

    if item.image.mode != "RGB":
        raise ValueError(f"expected an RGB picture, found {item.image.mode}")
    return check(claims, read(np.asarray(item.image)))
