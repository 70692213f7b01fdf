"""What blind votes say: strengths of settings, agreement of voters, and how well metrics foretell the choice.

The unit of inference is the prompt: intervals say what other prompts would give, with these voters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from kreabench.analysis.bradley_terry import covariance, strengths
from kreabench.analysis.estimates import CONFIDENCE, Estimate
from kreabench.analysis.paired import Floats
from kreabench.analysis.resampling import DRAWS, prompt_weights
from kreabench.core.vote_records import VoteRecord

_DRAWN_CELLS = 40_000_000
"""Numbers in all resampled tables of wins at once, at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Strength:
    """What the votes say of one setting."""

    setting_id: str
    strength: Estimate | None
    """Bradley-Terry, in units of the logarithm of odds, 0 in the middle of its group; n counts votes. None where every
    vote on it was that both are bad."""
    prompts: int
    """That it was compared with."""
    group: int
    """Settings of two groups were never compared, not even through others: their strengths have no common scale."""
    wins: int
    losses: int
    ties: int
    both_bad: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """Votes that express a preference or a tie, of settings by number."""

    setting_ids: tuple[str, ...]
    prompts: tuple[str, ...]
    wins: Floats
    """(prompts, n, n): how often the first setting beat the second, a tie being half a win of each."""

    @property
    def total(self) -> Floats:
        """(n, n) over all prompts."""
        return np.asarray(self.wins.sum(axis=0))


def tally(votes: Sequence[VoteRecord]) -> Tally:
    """Votes for `both_bad` count in none of it."""
    counted = [vote for vote in votes if vote.choice != "both_bad"]
    ids = sorted({picture.setting_id for vote in votes for picture in (vote.left, vote.right)})
    prompts = sorted({vote.prompt_id for vote in counted})
    number, row = {id_: n for n, id_ in enumerate(ids)}, {id_: n for n, id_ in enumerate(prompts)}
    wins = np.zeros((len(prompts), len(ids), len(ids)))
    for vote in counted:
        left, right = number[vote.left.setting_id], number[vote.right.setting_id]
        share = {"left": 1.0, "right": 0.0}.get(vote.choice, 0.5)
        wins[row[vote.prompt_id], left, right] += share
        wins[row[vote.prompt_id], right, left] += 1 - share
    return Tally(setting_ids=tuple(ids), prompts=tuple(prompts), wins=wins)


def strengths_of(votes: Sequence[VoteRecord], rng: np.random.Generator) -> tuple[Strength, ...]:
    """Every setting that was voted on; the strongest of each group first.

    A tie is half a win of each, so a difference of strengths is the logarithm of the odds of the expected score, as in
    chess (Glickman, Applied Statistics 48, 1999); what it costs against a model of ties (Davidson, JASA 65, 1970) is
    the chance of a tie itself, which is not estimated. The prior shrinks strengths towards each other, see
    `bradley_terry`. The 95 % interval is Student's over prompts, its standard error that of a bootstrap over prompts,
    but never less than independent votes would have: a setting that lost nothing has no spread to resample.
    """
    counted = tally(votes)
    if not counted.setting_ids:
        return ()
    theta = strengths(counted.total)
    groups = _groups(counted.total)
    errors = _standard_errors(counted, theta, groups, rng)
    seen = (counted.wins + counted.wins.swapaxes(1, 2)).sum(axis=2)
    scores = _scores(votes)
    found = [
        Strength(
            setting_id=id_,
            strength=_estimate(theta[n], errors[n], round(seen[:, n].sum()), int((seen[:, n] > 0).sum())),
            prompts=int((seen[:, n] > 0).sum()),
            group=int(groups[n]),
            **{name: scores[id_, name] for name in ("wins", "losses", "ties", "both_bad")},
        )
        for n, id_ in enumerate(counted.setting_ids)
    ]
    return tuple(sorted(found, key=lambda one: (one.group, -one.strength.value if one.strength else np.inf)))


def _groups(wins: Floats) -> list[int]:
    """Group of each setting, the largest group 0; comparisons link."""
    _, labels = scipy.sparse.csgraph.connected_components(scipy.sparse.csr_array(wins + wins.T), directed=False)
    order = {label: rank for rank, (label, _) in enumerate(Counter(labels.tolist()).most_common())}
    return [order[label] for label in labels.tolist()]


def _standard_errors(counted: Tally, theta: Floats, groups: Sequence[int], rng: np.random.Generator) -> Floats:
    size, prompts = theta.size, len(counted.prompts)
    labels = np.asarray(groups)
    same = labels[:, None] == labels[None, :]
    centre = np.eye(size) - same / same.sum(axis=1, keepdims=True)
    alone = np.sqrt(np.diag(centre @ covariance(counted.total, theta) @ centre.T))
    if prompts < 2:
        return alone
    draws = int(min(DRAWS, max(200, _DRAWN_CELLS // size**2)))
    weights = prompt_weights(rng, prompts, draws)
    drawn = strengths((weights @ counted.wins.reshape(prompts, -1)).reshape(draws, size, size))
    return np.asarray(np.maximum(alone, drawn.std(axis=0, ddof=1) * np.sqrt(prompts / (prompts - 1))))


def _estimate(value: float, error: float, votes: int, prompts: int) -> Estimate | None:
    if not votes:
        return None
    if prompts < 2:
        return Estimate(value=float(value), low=None, high=None, n=votes)
    half = float(scipy.stats.t.ppf((1 + CONFIDENCE) / 2, prompts - 1) * error)
    return Estimate(value=float(value), low=float(value) - half, high=float(value) + half, n=votes)


def _scores(votes: Sequence[VoteRecord]) -> Counter[tuple[str, str]]:
    """Setting and `wins`, `losses`, `ties` or `both_bad` → how often."""
    found: Counter[tuple[str, str]] = Counter()
    words = {"left": ("wins", "losses"), "right": ("losses", "wins"), "tie": ("ties", "ties")}
    for vote in votes:
        left, right = words.get(vote.choice, ("both_bad", "both_bad"))
        found[vote.left.setting_id, left] += 1
        found[vote.right.setting_id, right] += 1
    return found


def left_share(votes: Sequence[VoteRecord]) -> Estimate | None:
    """Share of the left picture among decided votes, with its exact interval (Clopper and Pearson); None without one.

    Sides are drawn by lot, so what differs from one half is a habit of the voters: it blurs, and favours no setting.
    """
    sides = Counter(vote.choice for vote in votes)
    n = sides["left"] + sides["right"]
    if not n:
        return None
    ends = scipy.stats.binomtest(sides["left"], n).proportion_ci(CONFIDENCE)
    return Estimate(value=sides["left"] / n, low=float(ends.low), high=float(ends.high), n=n)
