"""Other intervals of a mean difference beside the one that is used, at 25 prompts × 4 seeds.

    python benchmarks/interval_methods.py [--experiments 300] [--seed 0]

Prints how often nominal 95 % intervals cover the truth: Student's over prompts (what kreabench uses), least squares
with errors clustered by prompt (statsmodels), and the BCa bootstrap over prompts (scipy).
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Mapping

import numpy as np
import statsmodels.api as sm
from scipy import stats

from kreabench.analysis.estimates import mean_of_prompts
from kreabench.analysis.paired import PairedScores
from validity_noise import KINDS, Noise

LOSS = 0.4
Interval = tuple[float, float]


def student(scores: PairedScores) -> Interval:
    """Over the prompts' means."""
    return mean_of_prompts(scores.difference).interval or (np.nan, np.nan)


def clustered(scores: PairedScores) -> Interval:
    """Of a mean that weighs pairs alike, with errors clustered by prompt: of equal numbers of seeds the same mean."""
    groups = np.arange(len(scores.prompts))
    model = sm.WLS(scores.difference, np.ones(groups.size), weights=scores.pairs)
    low, high = model.fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True).conf_int()[0]
    return float(low), float(high)


def bca(scores: PairedScores) -> Interval:
    """Of the mean over prompts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = stats.bootstrap((scores.difference,), np.mean, n_resamples=999, method="BCa", random_state=0)
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


METHODS: Mapping[str, Callable[[PairedScores], Interval]] = {
    "Student's t": student,
    "clustered least squares": clustered,
    "BCa bootstrap": bca,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--experiments", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"{'':<40}" + "".join(f"{name:>26}" for name in METHODS))
    for kind in KINDS:
        for missing in (0.0, 0.1):
            rng, noise = np.random.default_rng(options.seed), Noise(kind=kind, missing=missing)
            hits = dict.fromkeys(METHODS, 0)
            for _ in range(options.experiments):
                scores = noise.pairs(rng, (LOSS,))[0]
                for name, method in METHODS.items():
                    low, high = method(scores)
                    hits[name] += low <= -LOSS <= high
            shares = "".join(f"{hit / options.experiments:>26.1%}" for hit in hits.values())
            print(f"{kind + (', 10 % missing' if missing else ''):<40}{shares}", flush=True)


if __name__ == "__main__":
    main()
