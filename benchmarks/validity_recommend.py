"""How often `kreabench recommend` names the setting that is truly best; see `validity_settings` for the noise."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from kreabench.analysis.noise import seed_noise
from kreabench.analysis.paired import pair_scores
from kreabench.core.planned import Setting
from kreabench.decisions.recommend import recommend
from kreabench.decisions.recommend_evidence import (
    Contest,
    Entrant,
    MetricFacts,
    cost_samples,
    quality_samples,
    unpaired,
)
from validity_rows import Measured, ValidityRow
from validity_settings import METRIC, Simulated, simulate_settings


def contest_of_simulation(simulated: Simulated, kept: Sequence[int], *, dropped: int = 0) -> Contest:
    """Of the settings `kept` of a simulated experiment, the reference among them; a race dropped so many others."""
    settings = _settings(simulated)
    _, prompts, seeds = simulated.scores.shape
    names = tuple(f"prompt-{number:03}" for number in range(prompts))
    rows = np.repeat(np.arange(prompts), seeds)
    ids = np.array(names, dtype=object)[rows]
    base = simulated.scores[simulated.reference].ravel()
    noise = seed_noise(base, ids, np.tile(np.arange(seeds), prompts))
    codes = {name: number for number, name in enumerate(names)}
    entrants = []
    for index in kept:
        own = simulated.scores[index].mean(axis=1)
        paired = pair_scores(base, simulated.scores[index].ravel(), ids)
        is_reference = index == simulated.reference
        times = cost_samples(simulated.latencies[index].ravel(), rows)
        nothing = cost_samples(np.empty(0), np.empty(0, dtype=np.int64))
        entrants.append(
            Entrant(
                setting=settings[index],
                hosted=False,
                costs={"latency": times, "peak_memory": nothing, "energy": nothing, "usd_per_image": nothing},
                quality={
                    METRIC: unpaired(own, "")
                    if is_reference
                    else quality_samples(paired, own, codes, sign=1.0, noise=noise)
                },
            )
        )
    return Contest(
        prompts=names,
        metrics={METRIC: MetricFacts(name=METRIC, unit="", higher_is_better=True, untrained=False)},
        entrants=tuple(entrants),
        asked=frozenset(settings[index].id for index in kept),
        dropped=dropped,
    )


def _settings(simulated: Simulated) -> list[Setting]:
    ids = [f"{name}-{steps}" for name, steps in zip(simulated.accelerations, simulated.steps, strict=True)]
    return [
        Setting(
            id=ids[index],
            target="simulated",
            task="text-to-image",
            acceleration=simulated.accelerations[index],
            steps=simulated.steps[index],
            guidance=4.5,
            width=1024,
            height=1024,
            num_images=1,
            output_format="png",
            load_key="simulated",
            reference_id=ids[simulated.reference],
        )
        for index in range(len(ids))
    ]


def _best_is_recommended(rng: np.random.Generator, experiments: int) -> Measured:
    hits = 0
    for _ in range(experiments):
        simulated = simulate_settings(rng)
        contest = contest_of_simulation(simulated, range(len(simulated.losses)))
        answer = recommend(contest, simulated.question, draws=0).answer
        hits += answer is not None and answer.entrant is contest.entrants[simulated.best]
    return Measured(hits=hits, experiments=experiments)


def _too_great_a_loss_is_recommended(rng: np.random.Generator, experiments: int, prompts: int) -> Measured:
    """Every other setting loses exactly the margin, half a noise floor: only the reference may be recommended."""
    hits = 0
    for _ in range(experiments):
        simulated = simulate_settings(rng, prompts=prompts, at_margin=True)
        contest = contest_of_simulation(simulated, range(len(simulated.losses)))
        answer = recommend(contest, simulated.question, draws=0).answer
        hits += answer is None or answer.entrant is not contest.entrants[simulated.best]
    return Measured(hits=hits, experiments=experiments)


ROWS = (
    ValidityRow(
        name="true best setting recommended, 24 settings, 126 prompts × 4 seeds",
        at_least=0.95,
        at_most=1.0,
        simulate=_best_is_recommended,
    ),
    ValidityRow(
        name="a setting recommended that loses the whole margin of half a noise floor, 23 of them, 60 prompts",
        at_least=0.0,
        at_most=0.05,
        simulate=partial(_too_great_a_loss_is_recommended, prompts=60),
    ),
)
