"""Simulated experiments of many settings of which the best one is known: for `recommend` and for racing.

The noise is that of a text-alignment score such as CLIPScore, in units of its seed sd (from seed to seed of one prompt,
one setting): prompts differ by 3; two settings draw alike from one seed (correlation 0.5); how much a setting loses
differs from prompt to prompt by 0.6; the tails of a picture's noise are those of Student's t with 5 degrees of freedom.
Latencies of a setting vary by 3 % (log-normal), a tenth of that shared by all settings of a prompt.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kreabench.core.policies import MarginSpec
from kreabench.core.questions import QualityLoss, QuestionSpec

METRIC = "clip_score"
SEED_SD = 1.2
"""In the metric's unit."""
MARGIN = 0.5
"""Noise floors (seed sd) that may be lost."""
CLEAR = 0.35
"""Noise floors by which the best setting loses less than the margin: nearer to it 126 prompts rightly do not decide."""
STEPS = (4, 6, 8, 12, 16, 20, 24, 28)
SPEED_UPS = {"none": 1.0, "compiled": 1.6, "cached": 2.3}
"""Acceleration → how many times as fast a step is."""

_PROMPT_SD = 3.0
_LOSS_SD = 0.6
_SAME_SEED = 0.5
_TAIL = 5
_LATENCY_SD = 0.03

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Simulated:
    """One experiment and its truth. The last setting of `none` is the reference of all."""

    accelerations: tuple[str, ...]
    """(settings,)"""
    steps: tuple[int, ...]
    """(settings,)"""
    reference: int
    """Index of the reference among the settings."""
    scores: Floats
    """(settings, prompts, seeds), in the metric's unit; higher is better."""
    latencies: Floats
    """(settings, prompts, seeds), in s."""
    losses: Floats
    """(settings,) true mean loss against the reference, in seed sd; not negative."""
    seconds: Floats
    """(settings,) true median latency."""
    best: int
    """Index of the fastest setting whose true loss is within the margin: the answer to `question`."""
    question: QuestionSpec


def simulate_settings(
    rng: np.random.Generator, *, prompts: int = 126, seeds: int = 4, equal: bool = False, at_margin: bool = False
) -> Simulated:
    """Three accelerations × eight steps. Losses rise as steps fall, and caching adds to them.

    The truth is drawn anew each time, until the best setting's loss is `CLEAR` within the margin, every faster one's a
    tenth of a noise floor beyond it, and the best is at least 2 % faster than the next one that is good enough.
    `equal`: no setting loses anything, nor any prompt by any of them. `at_margin`: all but the reference lose the
    margin exactly, and the reference is the best that is good enough.
    """
    accelerations = tuple(name for name in SPEED_UPS for _ in STEPS)
    steps = tuple(number for _ in SPEED_UPS for number in STEPS)
    losses, seconds = _truth(rng, accelerations)
    if equal:
        losses = np.zeros_like(losses)
    reference = len(STEPS) - 1
    if at_margin:
        losses = np.where(np.arange(len(losses)) == reference, 0.0, MARGIN)
    good = losses < MARGIN
    return Simulated(
        accelerations=accelerations,
        steps=steps,
        reference=reference,
        scores=_scores(rng, losses, reference, prompts, seeds, 0.0 if equal else _LOSS_SD),
        latencies=_latencies(rng, seconds, prompts, seeds),
        losses=losses,
        seconds=seconds,
        best=int(np.flatnonzero(good)[np.argmin(seconds[good])]),
        question=QuestionSpec(
            objective="latency",
            quality_metric=METRIC,
            max_quality_loss=(QualityLoss(metric=METRIC, margin=MarginSpec(kind="noise_floor", value=MARGIN)),),
        ),
    )


def _truth(rng: np.random.Generator, accelerations: tuple[str, ...]) -> tuple[Floats, Floats]:
    numbers = np.tile(np.array(STEPS, dtype=float), len(SPEED_UPS))
    ups = np.array([SPEED_UPS[name] for name in accelerations])
    seconds = 0.35 + 0.15 * numbers / ups
    while True:
        knee = rng.uniform(4.0, 24.0) * np.array([1.0, rng.uniform(1.0, 1.3), rng.uniform(1.0, 2.0)])
        losses = MARGIN * np.power(np.repeat(knee, len(STEPS)) / numbers, rng.uniform(3.0, 8.0))
        losses = np.minimum(losses - losses[len(STEPS) - 1], 12.0).clip(0.0)
        good = losses <= MARGIN
        best = int(np.flatnonzero(good)[np.argmin(seconds[good])])
        faster, second = seconds < seconds[best], np.sort(seconds[good])[1]
        if losses[best] <= MARGIN - CLEAR and (losses[faster] >= MARGIN + 0.1).all() and second >= 1.02 * seconds[best]:
            return losses, seconds


def _scores(
    rng: np.random.Generator, losses: Floats, reference: int, prompts: int, seeds: int, loss_sd: float
) -> Floats:
    shape = (len(losses), prompts, seeds)
    level = rng.normal(0.0, _PROMPT_SD, (1, prompts, 1))
    by_prompt = rng.normal(0.0, loss_sd, (len(losses), prompts, 1)) if loss_sd else np.zeros((len(losses), prompts, 1))
    by_prompt[reference] = 0.0
    shared = _SAME_SEED**0.5 * _heavy(rng, (1, prompts, seeds))
    own = (1 - _SAME_SEED) ** 0.5 * _heavy(rng, shape)
    return np.asarray(30.0 + SEED_SD * (level + by_prompt + shared + own - losses[:, None, None]))


def _heavy(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Student's t with a standard deviation of 1."""
    return np.asarray(rng.standard_t(_TAIL, shape) * ((_TAIL - 2) / _TAIL) ** 0.5)


def _latencies(rng: np.random.Generator, seconds: Floats, prompts: int, seeds: int) -> Floats:
    shared = rng.normal(0.0, 0.1**0.5 * _LATENCY_SD, (1, prompts, 1))
    own = rng.normal(0.0, 0.9**0.5 * _LATENCY_SD, (len(seconds), prompts, seeds))
    return np.asarray(seconds[:, None, None] * np.exp(shared + own))
