"""What one level of load may say of latencies: coverage of their intervals, objectives wrongly said to be kept, and
levels of one service wrongly found to differ. By simulation of a queue whose truth is known.

    python benchmarks/load_intervals.py [--experiments 300] [--seed 0]

Four servers with exponential times, 4 requests a second from an empty service. Shares of their capacity, and seconds of
a level, are the rows. Prints how often the 95 % intervals that are shown hold the truth of median and p90, and how
often they are shown; how often an objective of 95 % that 93 % keep is said to be kept; with another level at 1.5
times the capacity, how often the level is then said to be too near the knee, and the objective to be kept; how often a
second level of the same service has another median latency, with the interval that requests behind a queue have, and
with that of independent ones.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field

import numpy as np

from kreabench.analysis.dependence import inflation
from kreabench.analysis.estimates import Estimate
from kreabench.analysis.paired import Floats
from kreabench.analysis.ratios import ratio_of_medians
from kreabench.analysis.saturation import open_saturation, promise_of
from kreabench.analysis.traffic import Arrivals, LevelSummary, summarise_level

RATE_PER_S, SERVERS, PROMPTS = 4.0, 4, 32
OBJECTIVE_SHARE, KEPT_SHARE = 0.95, 0.93
OVERLOAD = 1.5
LEVELS_S = (60.0, 300.0)
CAPACITIES = (0.5, 0.6, 0.7, 0.8, 0.9)
TRUTH_LEVELS = 500


def level_of(rng: np.random.Generator, share: float, window_s: float, rate_per_s: float = RATE_PER_S) -> Arrivals:
    """Poisson arrivals; `share` of the capacity comes at RATE_PER_S."""
    gaps = rng.exponential(1 / rate_per_s, size=int(2 * rate_per_s * window_s) + 50)
    at_s = np.cumsum(gaps)
    at_s = at_s[at_s < window_s]
    work_s = rng.exponential(share * SERVERS / RATE_PER_S, at_s.size)
    free, end_s = np.zeros(SERVERS), np.empty_like(at_s)
    for number, (arrival, duration) in enumerate(zip(at_s, work_s, strict=True)):
        server = int(free.argmin())
        free[server] = end_s[number] = max(arrival, free[server]) + duration
    return Arrivals(window_s=window_s, at_s=at_s, end_s=end_s, ok=np.ones(at_s.size, dtype=bool), lag_s=np.zeros(1))


def latency_s(arrivals: Arrivals) -> Floats:
    return arrivals.end_s - arrivals.at_s


@dataclass
class Tally:
    """Hits among trials."""

    hits: int = 0
    trials: int = 0
    of: int = field(default=0)

    def add(self, hit: bool) -> None:
        self.hits += hit
        self.trials += 1

    def add_interval(self, estimate: Estimate | None, truth: float) -> None:
        self.of += 1
        if estimate is not None and estimate.interval is not None:
            self.add(estimate.interval[0] <= truth <= estimate.interval[1])

    def __str__(self) -> str:
        share = f"{self.hits / self.trials:4.0%}" if self.trials else "   –"
        return f"{share} of {self.trials / self.of:4.0%}" if self.of else share


def differs(one: Arrivals, other: Arrivals, *, waiting: bool) -> bool:
    """Whether the medians are said to differ."""
    first, second = latency_s(one), latency_s(other)
    ratio = ratio_of_medians(
        first,
        second,
        np.arange(first.size) % PROMPTS,
        np.arange(second.size) % PROMPTS,
        inflation=max(inflation(first), inflation(second)) if waiting else 1.0,
    )
    return ratio is not None and ratio.interval is not None and not ratio.interval[0] <= 1 <= ratio.interval[1]


def row_of(rng: np.random.Generator, share: float, window_s: float, experiments: int) -> list[str]:
    truth = np.concatenate([latency_s(level_of(rng, share, window_s)) for _ in range(TRUTH_LEVELS)])
    median, p90, objective_s = (float(np.quantile(truth, p)) for p in (0.5, 0.9, KEPT_SHARE))
    at_median, at_p90, kept, near, kept_beside, another, naive = (Tally() for _ in range(7))

    def summary(arrivals: Arrivals) -> LevelSummary:
        return summarise_level(arrivals, objective_s=objective_s, open_loop=True)

    for _ in range(experiments):
        one, other = (level_of(rng, share, window_s) for _ in range(2))
        level = summary(one)
        at_median.add_interval(level.latency, median)
        at_p90.add_interval(level.percentiles.get(0.9), p90)
        kept.add(promise_of(level, OBJECTIVE_SHARE) == "kept")
        much = OVERLOAD * RATE_PER_S / share
        both = open_saturation(
            (RATE_PER_S, much), (level, summary(level_of(rng, share, window_s, much))), OBJECTIVE_SHARE
        )
        near.add(both.is_near(RATE_PER_S))
        kept_beside.add(both.promises[0] == "kept")
        another.add(differs(one, other, waiting=True))
        naive.add(differs(one, other, waiting=False))
    return [f"{share:.0%}", f"{window_s:g} s", *map(str, (at_median, at_p90, kept, near, kept_beside, another, naive))]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--experiments", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    heads = (
        "capacity",
        "level",
        "median holds",
        "p90 holds",
        "kept alone",
        "near knee",
        "kept beside",
        "another",
        "naive",
    )
    print("".join(f"{head:>14}" for head in heads))
    rng = np.random.default_rng(options.seed)
    for window_s in LEVELS_S:
        for share in CAPACITIES:
            print("".join(f"{cell:>14}" for cell in row_of(rng, share, window_s, options.experiments)), flush=True)


if __name__ == "__main__":
    main()
