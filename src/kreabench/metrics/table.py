"""The table of metrics. A new one is a module, an options class and a row here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kreabench.core.registry import load_object
from kreabench.metrics.options import ClipScoreOptions, FidelityOptions


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricRow:
    """What is known of a metric without importing it."""

    location: str
    """`module:Class` of the metric."""
    options: type[Any]
    unit: str
    higher_is_better: bool
    range: tuple[float | None, float | None]
    """Least and greatest possible value; None is unbounded."""
    needs_reference: bool
    summary: str
    bias: str
    """What it is known to get wrong."""
    needs_prompt: bool = False
    """Whether it compares with the prompt's words, which redux may be without."""


METRICS: dict[str, MetricRow] = {
    "clip_score": MetricRow(
        location="kreabench.metrics.clip_score:ClipScore",
        options=ClipScoreOptions,
        unit="100 × cosine",
        higher_is_better=True,
        range=(0.0, 100.0),
        needs_reference=False,
        summary="how well the picture fits its prompt (CLIP score)",
        bias="sees a bag of words and the centred square, reads 77 tokens, and punishes rich detail",
        needs_prompt=True,
    ),
    "psnr": MetricRow(
        location="kreabench.metrics.fidelity:Psnr",
        options=FidelityOptions,
        unit="dB",
        higher_is_better=True,
        range=(0.0, None),
        needs_reference=True,
        summary="closeness to the reference picture, pixel by pixel",
        bias="another, equally good picture scores as badly as a ruined one",
    ),
    "ssim": MetricRow(
        location="kreabench.metrics.fidelity:Ssim",
        options=FidelityOptions,
        unit="1",
        higher_is_better=True,
        range=(-1.0, 1.0),
        needs_reference=True,
        summary="closeness to the reference picture in local structure",
        bias="a shift of a few pixels destroys it",
    ),
}


def metric_class(kind: str) -> type[Any]:
    """The class of metric `kind`. Imports its module, which imports nothing heavy."""
    cls: type[Any] = load_object(METRICS[kind].location)
    return cls
