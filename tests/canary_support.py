"""Days of a canary without a service: pictures are points, and how far apart these are is how far the pictures are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from kreabench.analysis.estimates import Estimate
from kreabench.core.ids import stable_hash
from kreabench.decisions.canary_days import Asked, Day, Drawn, Priced

Points = NDArray[np.float64]
PROMPTS = 8
LEVEL = 1.8e-4
"""About that of each test of a day at 0.2 false alarms a year."""


class Gallery:
    """Every picture that was drawn, by what stands for its file."""

    def __init__(self) -> None:
        self.points: dict[str, Points] = {}

    def hang(self, point: Points, *, file: str = "", size: tuple[int, int] = (64, 64)) -> Drawn:
        """A picture; equal points have equal files, unless `file` says that it is stored in another way."""
        name = stable_hash([*map(float, point), file])
        self.points[name] = point
        return Drawn(sha256=name, path=Path(name), size=size, degenerate=False)

    def distance(self, pairs: Sequence[tuple[Drawn, Drawn]]) -> list[float | None]:
        """0 for equal points alone; None where one was taken away."""
        return [self._one(first.sha256, second.sha256) for first, second in pairs]

    def _one(self, first: str, second: str) -> float | None:
        if first not in self.points or second not in self.points:
            return None
        return float(np.linalg.norm(self.points[first] - self.points[second]))


def make_day(
    number: int,
    drawn: Mapping[Asked, tuple[Drawn, ...]] | None = None,
    *,
    latency_s: float | None = 1.0,
    prices: Mapping[Asked, Priced] | None = None,
    requests: int = PROMPTS,
    **changes: Any,
) -> Day:
    """Day `number`; its side is not there, as only the gate looks at it."""
    given = dict(drawn or {})
    return Day(
        **{
            "name": f"day-{number}",
            "created_utc": f"2026-01-{number:02d}T00:00:00.000Z",
            "side": cast(Any, None),
            "drawn": given,
            "requests": requests,
            "delivered": len(given),
            "failures": {},
            "latency": None if latency_s is None else Estimate(value=latency_s, low=None, high=None, n=8),
            "queue_s": None,
            "inference_s": None,
            "prices": prices or {},
            "runners": (),
        }
        | changes
    )


def places(seed: int, prompts: int = PROMPTS) -> Points:
    """Where the pictures of one model lie: of another `seed` those of another model, far away."""
    return np.random.default_rng(seed).normal(0, 10, (prompts, 6))


def asked(prompt: int) -> Asked:
    """The picture of a prompt."""
    return (f"prompt-{prompt}", 0, 0)


def draw(
    gallery: Gallery,
    where: Points,
    *,
    noise: float = 0.0,
    repeats: int = 1,
    rng: np.random.Generator | None = None,
    only: Sequence[int] | None = None,
    **how: Any,
) -> dict[Asked, tuple[Drawn, ...]]:
    """A day's pictures at `where`, or with `noise` about it; `only` these prompts were delivered."""
    random = rng or np.random.default_rng(0)
    chosen = range(len(where)) if only is None else only
    return {
        asked(prompt): tuple(
            gallery.hang(where[prompt] + (noise * random.normal(size=where.shape[1]) if noise else 0.0), **how)
            for _ in range(repeats)
        )
        for prompt in chosen
    }
