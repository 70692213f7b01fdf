"""How far blind votes can be trusted, and foretold: agreement of voters, and the metrics' side in each choice."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import krippendorff
import numpy as np
import scipy

from kreabench.analysis.estimates import CONFIDENCE, Estimate
from kreabench.analysis.paired import Floats
from kreabench.analysis.resampling import DRAWS, prompt_weights
from kreabench.core.vote_records import VotePicture, VoteRecord

Picture = tuple[str, int]
"""Request id and index of the picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """Of voters, on pairs that two or more of them saw."""

    alpha: Estimate | None
    """Krippendorff's; n counts shared pairs. None without one, and where all answers are the same."""
    pairs: int
    identical: bool = False
    """Whether all answers to shared pairs are one and the same: agreement beyond chance is then unknown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """How often a metric prefers what people prefer."""

    metric: str
    share: Estimate
    """Of decided votes on two scored pictures; equal scores count half. n counts votes."""
    prompts: int


def agreement(votes: Sequence[VoteRecord], rng: np.random.Generator) -> Agreement:
    """Krippendorff's alpha for nominal answers: this picture, that picture, tie, both bad.

    1 is perfect, 0 is chance (Krippendorff, Content Analysis, 2004). Which picture is `this` follows their hashes, as
    good as by lot, lest a stronger setting that is always named first looks like chance. Of several answers of a voter
    to one pair the last counts. The interval is the percentiles of a bootstrap over prompts.
    """
    answers: dict[tuple[Picture, Picture], dict[str, int]] = {}
    prompt_of: dict[tuple[Picture, Picture], str] = {}
    for vote in votes:
        pair, answer = _answer(vote)
        answers.setdefault(pair, {})[vote.voter] = answer
        prompt_of[pair] = vote.prompt_id
    shared = [pair for pair, given in answers.items() if len(given) > 1]
    if not shared:
        return Agreement(alpha=None, pairs=0)
    counts = np.array([np.bincount(list(answers[pair].values()), minlength=4) for pair in shared])
    value = _alpha(counts)
    if math.isnan(value):
        return Agreement(alpha=None, pairs=len(shared), identical=True)
    low, high = _alpha_interval(counts, [prompt_of[pair] for pair in shared], rng)
    return Agreement(alpha=Estimate(value=value, low=low, high=high, n=len(shared)), pairs=len(shared))


def _answer(vote: VoteRecord) -> tuple[tuple[Picture, Picture], int]:
    """The pair in an order that knows nothing of sides and settings, and the answer as a number."""
    left, right = sorted((vote.left, vote.right), key=lambda one: (one.image_sha256, one.request_id))
    swapped = left is not vote.left
    number = {"left": int(swapped), "right": int(not swapped), "tie": 2}.get(vote.choice, 3)
    return (_key(left), _key(right)), number


def _key(picture: VotePicture) -> Picture:
    return picture.request_id, picture.image_index


def _alpha(counts: np.ndarray) -> float:
    """NaN where only one answer occurs."""
    if (counts.sum(axis=0) > 0).sum() < 2:
        return math.nan
    return float(krippendorff.alpha(value_counts=counts, level_of_measurement="nominal"))


def _alpha_interval(
    counts: np.ndarray, prompts: Sequence[str], rng: np.random.Generator
) -> tuple[float | None, float | None]:
    _, row = np.unique(np.asarray(prompts, dtype=object).astype(str), return_inverse=True)
    size = int(row.max()) + 1
    if size < 2:
        return None, None
    weights = prompt_weights(rng, size, DRAWS).astype(int)
    drawn = np.array([_alpha(np.repeat(counts, one[row], axis=0)) for one in weights])
    drawn = drawn[np.isfinite(drawn)]
    if drawn.size < DRAWS / 2:
        return None, None
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def prediction(
    votes: Sequence[VoteRecord], metric: str, scores: Mapping[Picture, float], *, higher: bool, rng: np.random.Generator
) -> Prediction | None:
    """How often `metric` is on the side of the vote; `scores` lack what has none, and `higher` says which is better.

    None without a decided vote on two scored pictures. What other prompts would give is Korn and Graubard's interval
    (Survey Methodology 24, 1998): exact, for as many votes as are worth the prompts' own spread, by bootstrap.
    """
    right, prompts = [], []
    for vote in votes:
        ours, theirs = scores.get(_key(vote.left)), scores.get(_key(vote.right))
        if vote.choice not in ("left", "right") or ours is None or theirs is None:
            continue
        ahead = (ours - theirs) * (1 if higher else -1) * (1 if vote.choice == "left" else -1)
        right.append(0.5 if ahead == 0 else float(ahead > 0))
        prompts.append(vote.prompt_id)
    if not right:
        return None
    share = clustered_share(np.array(right), prompts, rng)
    return Prediction(metric=metric, share=share, prompts=len(set(prompts)))


def clustered_share(values: Floats, prompts: Sequence[str], rng: np.random.Generator) -> Estimate:
    """Mean of `values` between 0 and 1, with Korn and Graubard's interval; none below two prompts."""
    _, row = np.unique(np.asarray(prompts, dtype=object).astype(str), return_inverse=True)
    n, size, share = values.size, int(row.max()) + 1, float(values.mean())
    if size < 2:
        return Estimate(value=share, low=None, high=None, n=n)
    weights = prompt_weights(rng, size, DRAWS)
    sums, votes = np.bincount(row, weights=values), np.bincount(row).astype(float)
    variance = float(((weights @ sums) / (weights @ votes)).var(ddof=1)) * size / (size - 1)
    # Where all agree there is no spread: each prompt then counts once.
    worth = min(share * (1 - share) / variance, n) if variance > 0 else size
    ends = (1 + CONFIDENCE) / 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        worth *= (scipy.stats.t.ppf(ends, n - 1) / scipy.stats.t.ppf(ends, size - 1)) ** 2
    hits, misses = share * worth, (1 - share) * worth
    low = 0.0 if hits <= 0 else float(scipy.stats.beta.ppf(1 - ends, hits, misses + 1))
    high = 1.0 if misses <= 0 else float(scipy.stats.beta.ppf(ends, hits + 1, misses))
    return Estimate(value=share, low=low, high=high, n=n)
