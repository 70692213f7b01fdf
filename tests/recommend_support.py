"""Contests made of drawn numbers, of which the truth is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from kreabench.analysis.noise import seed_noise
from kreabench.analysis.paired import Floats, Ints, pair_scores
from kreabench.core.policies import MarginSpec
from kreabench.core.questions import QualityLoss, QuestionSpec
from kreabench.decisions.costs import Measured
from kreabench.decisions.recommend_evidence import (
    Contest,
    Entrant,
    MetricFacts,
    cost_samples,
    quality_samples,
    unpaired,
)
from tests.support import make_setting

NOISE = QualityLoss(metric="clip", margin=MarginSpec(kind="noise_floor", value=0.5))
QUESTION = QuestionSpec(objective="latency", quality_metric="clip", max_quality_loss=(NOISE,))


def make_contest(
    losses: Mapping[int, float],
    seconds: Mapping[int, float],
    *,
    prompts: int = 60,
    seed: int = 0,
    loss_sd: float = 0.3,
    higher: bool = True,
    usd: Mapping[int, float] | None = None,
    hosted: Sequence[int] = (),
    memory: Mapping[int, float] | None = None,
) -> Contest:
    """Settings by their steps: true mean loss in seed sd of a metric, and median seconds. The last is the reference."""
    rng = np.random.default_rng(seed)
    steps = list(losses)
    names = tuple(f"p{number:03}" for number in range(prompts))
    rows = np.repeat(np.arange(prompts), 2)
    ids = np.array(names, dtype=object)[rows]
    level = rng.normal(0, 3, prompts)[rows]
    shared = rng.normal(0, 0.7, rows.size)
    scores = {}
    for n in steps:
        loss = _sign(higher) * _loss(rng, losses[n], prompts, loss_sd)[rows]
        scores[n] = 30 + level + shared + rng.normal(0, 0.7, rows.size) - loss
    reference = steps[-1]
    floor = seed_noise(scores[reference], ids, np.tile([0, 1], prompts))
    entrants = []
    base_id = ""
    for n in reversed(steps):
        setting = make_setting(steps=n)
        base_id = base_id or setting.id
        times = seconds[n] * np.exp(rng.normal(0, 0.02, rows.size))
        own = scores[n].reshape(prompts, 2).mean(axis=1)
        paired = pair_scores(scores[reference], scores[n], ids)
        entrants.append(
            Entrant(
                setting=replace(setting, reference_id=base_id),
                hosted=n in hosted,
                costs={
                    "latency": cost_samples(times, rows),
                    "peak_memory": _constant(memory, n, rows),
                    "energy": _constant(None, n, rows),
                    "usd_per_image": _constant(usd, n, rows),
                },
                quality={
                    "clip": unpaired(own, "")
                    if n == reference
                    else quality_samples(
                        paired, own, {name: k for k, name in enumerate(names)}, sign=_sign(higher), noise=floor
                    )
                },
            )
        )
    return Contest(
        prompts=names,
        metrics={"clip": MetricFacts(name="clip", unit="", higher_is_better=higher, untrained=False)},
        entrants=tuple(reversed(entrants)),
        asked=frozenset(entrant.setting.id for entrant in entrants),
    )


def _sign(higher: bool) -> float:
    return 1.0 if higher else -1.0


def _loss(rng: np.random.Generator, mean: float, prompts: int, sd: float) -> Floats:
    return mean + rng.normal(0, sd, prompts) if mean or sd else np.zeros(prompts)


def _constant(values: Mapping[int, float] | None, n: int, rows: Ints) -> Measured:
    if values is None or n not in values:
        return cost_samples(np.empty(0), np.empty(0, dtype=np.int64))
    return cost_samples(np.full(rows.size, values[n]), rows)
