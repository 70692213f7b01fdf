"""Rows on the gate's decision over a family of checks: six metrics that are correlated, latency, and failures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from kreabench.analysis.items import cost_item, rate_item, score_item
from kreabench.analysis.outcomes import Item, Judgement, Sides, decide
from kreabench.analysis.paired import PairedScores
from kreabench.analysis.power import noise_components, prompts_to_catch, prompts_to_pass
from kreabench.analysis.ratios import ratio_of_medians
from validity_noise import Noise
from validity_rows import CHEAP, Measured, ValidityRow

LEVEL = 0.05
METRICS = 6
MARGIN = 0.5
"""In standard deviations from seed to seed."""
EQUAL = (0.0,) * METRICS
SEEDS = 4
PILOT_PROMPTS = 25


def metric_items(pairs: Sequence[PairedScores], *, margin: float = MARGIN, sides: Sides = "one") -> list[Item]:
    """One check a metric."""
    return [
        score_item(scores, better="higher", margin=margin, sides=sides, level=LEVEL, max_unpaired_share=0.5)
        for scores in pairs
    ]


def gate(pairs: Sequence[PairedScores], *, margin: float = MARGIN, sides: Sides = "one") -> tuple[Judgement, ...]:
    """As `kreabench gate` judges these metrics."""
    return decide(metric_items(pairs, margin=margin, sides=sides), level=LEVEL)


def regresses(judgements: Sequence[Judgement]) -> bool:
    """Whether the gate fails."""
    return any(judgement.outcome == "regressed" for judgement in judgements)


def passes(judgements: Sequence[Judgement]) -> bool:
    """Whether the gate passes."""
    return all(judgement.outcome == "passed" for judgement in judgements)


def equals_fail(
    rng: np.random.Generator, experiments: int, *, kind: str, sides: Sides = "one", costs: bool = False
) -> Measured:
    """Two equal versions on 25 prompts × 4 seeds, a margin that is too small to pass: whatever is found is an error."""
    noise, hits, number = Noise(kind=kind, change_sd=0.0), 0, CHEAP * experiments
    for _ in range(number):
        items = metric_items(noise.pairs(rng, EQUAL, seeds=SEEDS), margin=0.01, sides=sides)
        hits += regresses(decide([*items, *(_costs(rng) if costs else ())], level=LEVEL))
    return Measured(hits=hits, experiments=number)


def _costs(rng: np.random.Generator) -> tuple[Item, Item]:
    """Latency and failures of two equal versions."""
    codes = np.repeat(np.arange(25), SEEDS)
    here, there = (np.exp(rng.normal(0.0, 0.1, codes.size)) for _ in range(2))
    failures = rng.binomial(100, 0.05, 2).tolist()
    return (
        cost_item(ratio_of_medians(here, there, codes, codes), margin=0.001, sides="one", level=LEVEL),
        rate_item(failures[0], 100, failures[1], 100, prompts=25, margin=0.001, sides="one", level=LEVEL),
    )


def margin_passes(
    rng: np.random.Generator, experiments: int, *, noise: Noise, prompts: int = 25, metrics: int = METRICS
) -> Measured:
    """One metric loses exactly the margin, the others nothing."""
    losses, number = (MARGIN, *EQUAL[1:metrics]), CHEAP * experiments
    hits = sum(passes(gate(noise.pairs(rng, losses, prompts=prompts, seeds=SEEDS))) for _ in range(number))
    return Measured(hits=hits, experiments=number)


def planned_catches(rng: np.random.Generator, experiments: int, *, noise: Noise) -> Measured:
    """One of six metrics loses 1.5 margins; as many prompts as the noise of a pilot run asks for, anew each time."""
    losses, hits = (1.5 * MARGIN, *EQUAL[1:]), 0
    for _ in range(experiments):
        pilot = noise_components(noise.pairs(rng, (0.0,), prompts=PILOT_PROMPTS, seeds=SEEDS)[0])
        prompts = pilot and prompts_to_catch(pilot, losses[0], level=LEVEL, seeds=SEEDS, checks=METRICS)
        hits += bool(prompts) and regresses(gate(noise.pairs(rng, losses, prompts=prompts or 2, seeds=SEEDS)))
    return Measured(hits=hits, experiments=experiments)


def planned_passes(rng: np.random.Generator, experiments: int, *, noise: Noise) -> Measured:
    """No metric loses anything; as many prompts as the noise of a pilot run asks for, anew each time."""
    hits = 0
    for _ in range(experiments):
        pilot = noise_components(noise.pairs(rng, (0.0,), prompts=PILOT_PROMPTS, seeds=SEEDS)[0])
        prompts = pilot and prompts_to_pass(pilot, MARGIN, level=LEVEL, seeds=SEEDS, checks=METRICS)
        hits += bool(prompts) and passes(gate(noise.pairs(rng, EQUAL, prompts=prompts or 2, seeds=SEEDS)))
    return Measured(hits=hits, experiments=experiments)


def mishaps_pass(rng: np.random.Generator, experiments: int, *, prompts: int, margin: float) -> Measured:
    """Every picture that the candidate makes of `margin` of all prompts has a mishap, none of the base's has."""
    number, n = CHEAP * experiments, prompts * SEEDS
    hits = 0
    for hit in rng.binomial(prompts, margin, number).tolist():
        item = rate_item(0, n, hit * SEEDS, n, prompts=prompts, margin=margin, sides="one", level=LEVEL)
        hits += passes(decide([item], level=LEVEL))
    return Measured(hits=hits, experiments=number)


NORMAL, HEAVY, SKEWED = "normal", "heavy-tailed (t, 4 df)", "skewed (gamma, 1.0)"
AT_MARGIN = (NORMAL, HEAVY, "skewed (gamma, 1.5)")

ROWS = (
    *(
        ValidityRow(
            name=f"gate on two equal versions fails, 6 metrics, {words}",
            at_least=0.0,
            at_most=0.05,
            simulate=simulate,
        )
        for words, simulate in (
            (NORMAL, partial(equals_fail, kind=NORMAL)),
            ("skewed (gamma, 1.5)", partial(equals_fail, kind="skewed (gamma, 1.5)")),
            (HEAVY, partial(equals_fail, kind=HEAVY)),
            ("two-sided", partial(equals_fail, kind=NORMAL, sides="two")),
            ("latency and failures", partial(equals_fail, kind=NORMAL, costs=True)),
        )
    ),
    *(
        ValidityRow(
            name=f"gate on a loss of exactly the margin passes, 25 prompts × 4 seeds, {kind}",
            at_least=0.0,
            at_most=0.05,
            simulate=partial(margin_passes, noise=Noise(kind=kind)),
        )
        for kind in AT_MARGIN
    ),
    *(
        ValidityRow(
            name=f"one check alone on a loss of exactly the margin passes, 25 prompts × 4 seeds, {kind}",
            at_least=0.0,
            at_most=0.05,
            simulate=partial(margin_passes, noise=Noise(kind=kind), metrics=1),
        )
        for kind in AT_MARGIN
    ),
    *(
        ValidityRow(
            name=f"gate on a loss of 1.5 margins at the planned n catches it, {kind}",
            at_least=0.8,
            at_most=1.0,
            simulate=partial(planned_catches, noise=Noise(kind=kind)),
        )
        for kind in (NORMAL, SKEWED, HEAVY)
    ),
    ValidityRow(
        name="gate on two equal versions at the planned n passes, normal",
        at_least=0.8,
        at_most=1.0,
        simulate=partial(planned_passes, noise=Noise()),
    ),
    ValidityRow(
        name="gate on mishaps of exactly the margin that come by prompt passes, 100 prompts",
        at_least=0.0,
        at_most=0.05,
        simulate=partial(mishaps_pass, prompts=100, margin=0.05),
    ),
)
