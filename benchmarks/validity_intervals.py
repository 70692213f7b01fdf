"""Rows on intervals: do they cover the truth as often as they say?"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from scipy import stats

from kreabench.analysis.estimates import Estimate, latency_quantile, mean_of_prompts
from kreabench.analysis.rates import rate_difference
from kreabench.analysis.ratios import ratio_of_medians
from validity_noise import KINDS, Noise
from validity_rows import CHEAP, Measured, ValidityRow

TIMINGS = (59, 100, 300, 1000, 2000)


def covers(estimate: Estimate | None, truth: float) -> bool:
    """An absent interval covers nothing."""
    return (
        estimate is not None and estimate.interval is not None and estimate.interval[0] <= truth <= estimate.interval[1]
    )


def difference(rng: np.random.Generator, experiments: int, *, noise: Noise) -> Measured:
    """Mean difference over prompts, 25 prompts × 4 seeds."""
    loss, number = 0.4, CHEAP * experiments
    pairs = (noise.pairs(rng, (loss,))[0] for _ in range(number))
    hits = sum(covers(mean_of_prompts(scores.difference), -loss) for scores in pairs)
    return Measured(hits=hits, experiments=number)


def percentile(rng: np.random.Generator, experiments: int, *, n: int, p: float = 0.95) -> Measured:
    """Of log-normal latencies. With the fewest values it covers in 95.09 % of all experiments."""
    sigma = 0.4
    truth = math.exp(sigma * float(stats.norm.ppf(p)))
    number = CHEAP * experiments
    hits = sum(covers(latency_quantile(rng.lognormal(0.0, sigma, n), p), truth) for _ in range(number))
    return Measured(hits=hits, experiments=number)


def ratio(
    rng: np.random.Generator, experiments: int, *, shared: float, own: float, within: float, prompts: int, seeds: int
) -> Measured:
    """Of medians of log-normal latencies, with effects of the prompt that both sides share, and some of their own."""
    truth, number, hits = 0.8, CHEAP * experiments, 0
    codes = np.repeat(np.arange(prompts), seeds)
    for _ in range(number):
        effect = rng.normal(0.0, shared, prompts)
        base, candidate = (
            np.exp((effect + rng.normal(0.0, own, prompts))[codes] + rng.normal(0.0, within, codes.size))
            for _ in range(2)
        )
        hits += covers(ratio_of_medians(base, truth * candidate, codes, codes), truth)
    return Measured(hits=hits, experiments=number)


def rate(rng: np.random.Generator, experiments: int, *, base: float, candidate: float, n: int) -> Measured:
    """Difference of two rates of mishaps."""
    number = CHEAP * experiments
    counts = zip(rng.binomial(n, base, number).tolist(), rng.binomial(n, candidate, number).tolist(), strict=True)
    hits = sum(covers(rate_difference(here, n, there, n), candidate - base) for here, there in counts)
    return Measured(hits=hits, experiments=number)


def _difference_rows() -> tuple[ValidityRow, ...]:
    return tuple(
        ValidityRow(
            name=f"95 % interval of a difference covers, 25 prompts × 4 seeds, {kind}{words}",
            at_least=0.93,
            at_most=0.97,
            simulate=partial(difference, noise=Noise(kind=kind, missing=missing)),
        )
        for kind in KINDS
        for missing, words in ((0.0, ""), (0.1, ", 10 % missing"))
    )


def _percentile_rows() -> tuple[ValidityRow, ...]:
    return tuple(
        ValidityRow(
            name=f"interval of p95 of log-normal latency covers, n = {n}",
            at_least=0.95,
            at_most=1.0,
            simulate=partial(percentile, n=n),
        )
        for n in TIMINGS
    )


ROWS = (
    *_difference_rows(),
    *_percentile_rows(),
    ValidityRow(
        name="95 % interval of a ratio of medians covers, 25 prompts × 4 seeds, shared effects (may be wider)",
        at_least=0.93,
        at_most=1.0,
        simulate=partial(ratio, shared=0.1, own=0.0, within=0.05, prompts=25, seeds=4),
    ),
    ValidityRow(
        name="95 % interval of a ratio of medians covers, 25 prompts × 4 seeds, own effects",
        at_least=0.93,
        at_most=0.97,
        simulate=partial(ratio, shared=0.1, own=0.05, within=0.05, prompts=25, seeds=4),
    ),
    ValidityRow(
        name="95 % interval of a ratio of medians covers, 6 prompts × 1 seed (may be wider)",
        at_least=0.93,
        at_most=1.0,
        simulate=partial(ratio, shared=0.1, own=0.0, within=0.03, prompts=6, seeds=1),
    ),
    ValidityRow(
        name="95 % interval of a difference of rates covers, 0 and 2 %, n = 400 (may be wider)",
        at_least=0.95,
        at_most=1.0,
        simulate=partial(rate, base=0.0, candidate=0.02, n=400),
    ),
    ValidityRow(
        name="95 % interval of a difference of rates covers, 5 and 8 %, n = 100 (may be wider)",
        at_least=0.94,
        at_most=1.0,
        simulate=partial(rate, base=0.05, candidate=0.08, n=100),
    ),
)
