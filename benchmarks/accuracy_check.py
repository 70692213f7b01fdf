"""What the checks of `metrics_accuracy.py` are made of: a check's outcome, and pictures to check with."""

from __future__ import annotations

import hashlib
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from draw_prompt_pictures import PICTURES
from kreabench.metrics.base import Metric, ScoreItem
from kreabench.metrics.shared import Shared
from kreabench.metrics.table import metric_class

LIMIT = 1e-3

# What the metrics are held against, and small weights in the real formats, are shared with the tests.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One metric against another way to compute it."""

    metric: str
    against: str
    values: tuple[tuple[float, float], ...]
    """Ours and theirs, a picture each; of a metric of sets one."""
    pictures: int | None = None
    """Behind one value of a set."""
    limit: float = LIMIT
    """Of the largest deviation; another than LIMIT must be explained."""
    absolute: bool = False
    """Whether deviations are not divided by their value; else it must differ between pictures."""
    explained: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError for a limit of its own without a reason, for too few pictures, and where equality would
        show nothing, as all values are the same."""
        if self.limit != LIMIT and not self.explained:
            raise ValueError(f"{self.metric}: why is the limit {self.limit:g}?")
        if self.n < 20:
            raise ValueError(f"{self.metric}: {self.n} pictures are too few")
        if len(self.values) > 1 and not self.absolute and len({theirs for _, theirs in self.values}) == 1:
            raise ValueError(f"{self.metric}: all pictures have the value {self.values[0][1]:g}")

    @property
    def n(self) -> int:
        """Pictures."""
        return self.pictures or len(self.values)

    @property
    def deviation(self) -> float:
        """The largest; NaN where a value is."""
        ours, theirs = np.asarray(self.values, dtype=np.float64).T
        scale = 1.0 if self.absolute else np.maximum(np.abs(theirs), 1e-9)
        return float(np.max(np.abs(ours - theirs) / scale))

    @property
    def passed(self) -> bool:
        return self.deviation <= self.limit


def _noisy(image: Image.Image, amount: float) -> Image.Image:
    noise = np.random.default_rng(int(amount)).normal(0.0, amount, np.asarray(image).shape)
    return Image.fromarray(np.clip(np.rint(np.asarray(image) + noise), 0, 255).astype(np.uint8))


def _jpeg(image: Image.Image) -> Image.Image:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=60)
    return Image.open(content).convert("RGB")


DISTORTIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "faint noise": lambda image: _noisy(image, 2.0),
    "strong noise": lambda image: _noisy(image, 40.0),
    "blur": lambda image: image.filter(ImageFilter.GaussianBlur(1.5)),
    "jpeg": _jpeg,
    "brighter": lambda image: image.point(lambda level: min(level + 25, 255)),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}


def pictures(sizes: Sequence[tuple[int, int]]) -> Iterator[Image.Image]:
    """Every drawn picture at every size, with grain, as a photograph has."""
    for size in sizes:
        for paint, _ in PICTURES.values():
            yield _noisy(paint(size), 6.0)


def pairs(sizes: Sequence[tuple[int, int]]) -> list[ScoreItem]:
    """Every distortion at every size beside what was distorted, the drawn pictures in turn."""
    paints = [paint for paint, _ in PICTURES.values()]
    found = []
    for size in sizes:
        for number, distort in enumerate(DISTORTIONS.values()):
            reference = _noisy(paints[number % len(paints)](size), 6.0)
            found.append(item(distort(reference), reference))
    return found


def item(image: Image.Image, reference: Image.Image | None = None, **more: Any) -> ScoreItem:
    """With the SHA-256 of the pixels."""
    sha256 = hashlib.sha256(image.tobytes()).hexdigest()
    return ScoreItem(image=image, prompt=more.pop("prompt", ""), reference=reference, sha256=sha256, **more)


def opened(kind: str, **options: Any) -> Metric:
    """A metric, ready to score."""
    metric: Metric = metric_class(kind)(**options)
    metric.open(Shared(environ=os.environ))
    return metric


def scores(metric: Metric, items: Sequence[ScoreItem]) -> list[float]:
    """The values; NaN, which no check passes, where there is none."""
    return [float("nan") if score.value is None else score.value for score in metric.score(items)]


def against(items: Sequence[ScoreItem], theirs: Callable[[Image.Image, Image.Image], float]) -> list[float]:
    """Another function of picture and reference, for each item."""
    return [float(theirs(one.image, one.reference)) for one in items if one.reference is not None]
