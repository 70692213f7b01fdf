"""Do the intervals of blind votes hold what they say, and does choosing pairs save votes? By simulation.

    python benchmarks/votes_validity.py [--experiments 400] [--seed 1]

Voters prefer by known strengths, which every prompt shifts at random; 10 of 100 votes are ties. The truth of an
interval is the strength that endless votes on endless prompts would give, by the same rule for ties.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence

import numpy as np

from kreabench.analysis.bradley_terry import covariance, strengths, win_chances
from kreabench.analysis.paired import Floats
from kreabench.analysis.vote_checks import clustered_share
from kreabench.analysis.votes import strengths_of
from kreabench.core.vote_records import Choice, VotePicture, VoteRecord

_TIE = 0.1
_LEAST, _MOST = 0.93, 1.0
DESIGNS = (
    (4, 8, 60, 0.5, 1.0),
    (4, 12, 100, 1.0, 1.0),
    (8, 24, 300, 0.7, 1.5),
    (8, 6, 100, 0.5, 1.0),
    (6, 40, 800, 1.0, 2.0),
)
"""Settings, prompts, votes, spread over prompts, and half the range of the strengths."""


def simulate(rng: np.random.Generator, theta: Floats, prompts: int, votes: int, spread: float) -> list[VoteRecord]:
    """Votes on random pairs."""
    shift = rng.normal(0, spread, (prompts, theta.size))
    found = []
    for number in range(votes):
        i, j = (int(n) for n in rng.choice(theta.size, 2, replace=False))
        p = int(rng.integers(prompts))
        chance = 1 / (1 + math.exp(-(theta[i] + shift[p, i] - theta[j] - shift[p, j])))
        choice: Choice = "tie" if rng.random() < _TIE else "left" if rng.random() < chance else "right"
        found.append(
            VoteRecord(
                id=str(number),
                at_utc="",
                voter="voter",
                left=_picture(i, p),
                right=_picture(j, p),
                prompt_id=f"{p}",
                prompt="",
                seed=0,
                choice=choice,
                seconds=1.0,
            )
        )
    return found


def _picture(setting: int, prompt: int) -> VotePicture:
    name = f"{setting:02d}"
    return VotePicture(setting_id=name, request_id=f"{name}-{prompt}", image_index=0, image_sha256=f"{name}-{prompt}")


def limit(theta: Floats, spread: float) -> Floats:
    """Strengths of endless votes on endless prompts."""
    noise = np.random.default_rng(0).normal(0, spread * math.sqrt(2), 50_000)
    chance = np.array([[(1 / (1 + np.exp(-(one - other + noise)))).mean() for other in theta] for one in theta])
    wins = 1e7 * ((1 - _TIE) * chance + _TIE / 2)
    np.fill_diagonal(wins, 0)
    return strengths(wins)


def strength_coverage(rng: np.random.Generator, experiments: int, design: tuple[int, int, int, float, float]) -> float:
    """Share of intervals of strengths that hold the truth."""
    settings, prompts, votes, spread, half = design
    theta = np.linspace(-half, half, settings)
    truth, held = limit(theta, spread), []
    for _ in range(experiments):
        for one in strengths_of(simulate(rng, theta, prompts, votes, spread), rng):
            ends = None if one.strength is None else one.strength.interval
            held.append(ends is not None and ends[0] <= truth[int(one.setting_id)] <= ends[1])
    return float(np.mean(held))


def share_coverage(rng: np.random.Generator, experiments: int, prompts: int, each: int, spread: float) -> float:
    """Share of intervals of a metric's share of right answers that hold the truth."""
    truth = float((1 / (1 + np.exp(-(1 + rng.normal(0, spread, 400_000))))).mean())
    names, held = [str(n) for n in np.repeat(np.arange(prompts), each)], []
    for _ in range(experiments):
        chance = 1 / (1 + np.exp(-(1 + rng.normal(0, spread, prompts))))
        found = clustered_share((rng.random((prompts, each)) < chance[:, None]).astype(float).ravel(), names, rng)
        held.append(found.interval is not None and found.interval[0] <= truth <= found.interval[1])
    return float(np.mean(held))


def errors(rng: np.random.Generator, votes: int, *, chosen: bool, half: float = 3.5) -> Floats:
    """Root mean square error of 8 strengths after each vote, pairs chosen as `kreabench vote` does or by lot."""
    theta = np.linspace(-half, half, 8)
    wins, found = np.zeros((8, 8)), []
    first, second = np.triu_indices(8, 1)
    for _ in range(votes):
        estimate = strengths(wins)
        chance = win_chances(estimate)
        known = covariance(wins, estimate)
        spread = np.diag(known)[:, None] + np.diag(known)[None, :] - 2 * known
        gain = (chance * (1 - chance) * spread)[first, second] if chosen else np.zeros(first.size)
        n = int(np.lexsort((rng.random(first.size), -np.round(gain, 12)))[0])
        i, j = (first[n], second[n]) if rng.random() < 0.5 else (second[n], first[n])
        won = rng.random() < 1 / (1 + math.exp(theta[j] - theta[i]))
        wins[(i, j) if won else (j, i)] += 1
        found.append(float(np.sqrt(np.mean((strengths(wins) - theta) ** 2))))
    return np.array(found)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--experiments", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    rng, met = np.random.default_rng(given.seed), True
    for design in DESIGNS:
        share = strength_coverage(rng, given.experiments, design)
        met &= _LEAST <= share <= _MOST
        print(json.dumps({"what": "interval of a strength", "design": design, "covers": round(share, 4)}), flush=True)
    for prompts, each, spread in ((8, 6, 0.5), (12, 6, 1.0), (30, 5, 1.0), (6, 5, 0.0)):
        share = share_coverage(rng, 3 * given.experiments, prompts, each, spread)
        met &= _LEAST <= share <= _MOST
        design_of = (prompts, each, spread)
        print(json.dumps({"what": "interval of a share", "design": design_of, "covers": round(share, 4)}), flush=True)
    repeats = max(10, given.experiments // 10)
    chosen = np.mean([errors(rng, 150, chosen=True) for _ in range(repeats)], axis=0)
    by_lot = np.mean([errors(rng, 400, chosen=False) for _ in range(repeats)], axis=0)
    reached = next((n + 1 for n, error in enumerate(by_lot) if error <= chosen[-1]), None)
    saved = {"what": "votes by lot for the error of 150 chosen ones", "error": round(float(chosen[-1]), 3)}
    print(json.dumps({**saved, "votes": reached or f"more than {by_lot.size}"}), flush=True)
    met &= reached is None or reached >= 200
    print("met" if met else "NOT MET")
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
