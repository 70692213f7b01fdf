"""Days of a canary on which one and the same model seems to have drawn, and how far another day lies from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from kreabench.analysis.separation import MOST_EARLIER, MOST_TODAY, Drawings
from kreabench.decisions.canary_days import Asked, Day, Drawn

Distance = Callable[[Sequence[tuple[Drawn, Drawn]]], Sequence[float | None]]
"""Of pairs of pictures of one size, in their order: 0 for equal pixels and for nothing else; None where one of both can
not be read any more."""

REFERENCE_DAYS = 5
"""Days after a change with which later ones are compared; those after them are not, so that no day costs more."""

LEAST_REPEATS = 4
"""Pairs of the same picture that must agree before a service is taken to repeat exactly, besides half of its pictures
having been repeated."""


@dataclass(kw_only=True, slots=True)
class Stretch:
    """Days since the last change."""

    days: list[Day] = field(default_factory=list)

    @property
    def reference(self) -> list[Day]:
        """Those that later days are compared with."""
        return self.days[:REFERENCE_DAYS]

    def drawn(self) -> dict[Asked, list[Drawn]]:
        """Every picture of the reference days, oldest first."""
        found: dict[Asked, list[Drawn]] = {}
        for day in self.reference:
            for asked, drawings in day.drawn.items():
                found.setdefault(asked, []).extend(drawings)
        return found

    def size(self, asked: Asked) -> tuple[int, int]:
        """As delivered on the first day that has it."""
        return next(day.drawn[asked][0].size for day in self.reference if asked in day.drawn)

    def beside(self, day: Day, distance: Distance) -> dict[Asked, Drawings | None]:
        """`day` beside the reference days, for what both have: None where a picture cannot be read any more."""
        earlier = self.drawn()
        return {
            asked: _cell(drawings, earlier[asked], distance)
            for asked, drawings in day.drawn.items()
            if asked in earlier
        }

    def farthest(self, distance: Distance) -> float | None:
        """Mean distance of the reference day that lies farthest from the others; None for fewer than two.

        A service whose machines draw a little differently makes days unlike each other without changing its model.
        """
        found = []
        for day in self.reference if len(self.reference) > 1 else ():
            others = Stretch(days=[other for other in self.reference if other is not day])
            cells = [cell for cell in others.beside(day, distance).values() if cell is not None]
            if cells:
                found.append(float(np.mean([cell.distances[: cell.today, cell.today :].mean() for cell in cells])))
        return max(found, default=None)


def exactness(drawn: Mapping[Asked, Sequence[Drawn]]) -> tuple[bool | None, int]:
    """Whether every picture was drawn alike each time, and how many repeats say so; None for too few of them."""
    repeats = sum(len(drawings) - 1 for drawings in drawn.values())
    if any(len({one.sha256 for one in drawings}) > 1 for drawings in drawn.values()):
        return False, repeats
    repeated = sum(len(drawings) > 1 for drawings in drawn.values())
    return (True if repeats >= LEAST_REPEATS and 2 * repeated >= len(drawn) else None), repeats


def touches(cell: Drawings) -> bool:
    """Whether every drawing of today has the pixels of an earlier one."""
    return bool((cell.distances[: cell.today, cell.today :].min(axis=1) == 0.0).all())


def by_prompt(cells: Mapping[Asked, Drawings]) -> list[Drawings]:
    """One a prompt, as pictures of several seeds, or of one request, share what happened to their prompt.

    Their distances are averaged drawing by drawing; where not all were drawn equally often, the most that were.
    """
    prompts: dict[str, dict[tuple[int, int], list[Drawings]]] = {}
    for (prompt, _, _), cell in cells.items():
        shape = (cell.today, cell.distances.shape[0])
        prompts.setdefault(prompt, {}).setdefault(shape, []).append(cell)
    alike = [max(shapes.values(), key=len) for shapes in prompts.values()]
    return [
        Drawings(distances=np.mean([one.distances for one in members], axis=0), today=members[0].today)
        for members in alike
    ]


def _cell(today: Sequence[Drawn], earlier: Sequence[Drawn], distance: Distance) -> Drawings | None:
    today = today[:MOST_TODAY]
    drawings = [*today, *earlier[:MOST_EARLIER]]
    if len({one.size for one in drawings}) > 1:
        return None
    first, second = np.triu_indices(len(drawings), 1)
    values = distance([(drawings[i], drawings[j]) for i, j in zip(first, second, strict=True)])
    if any(value is None for value in values):
        return None
    matrix = np.zeros((len(drawings), len(drawings)))
    matrix[first, second] = matrix[second, first] = np.asarray(values, dtype=float)
    return Drawings(distances=matrix, today=len(today))
