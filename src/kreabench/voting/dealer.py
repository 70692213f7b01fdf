"""Which pair to show next: the one that is expected to teach most about the strengths of the settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from kreabench.analysis.bradley_terry import covariance, strengths, win_chances
from kreabench.core.vote_records import Choice, VoteRecord
from kreabench.voting.pool import Pair, PairKey, Pool

REPEAT_RATE = 0.1
"""Share of pairs that another voter was shown before: agreement is measured on these."""
_SHARES: dict[Choice, tuple[float, float]] = {"left": (1.0, 0.0), "right": (0.0, 1.0)}


class Dealer:
    """Hands out pairs, each once to a voter.

    Of the settings' pairs it takes the one with the greatest p(1 − p) · Var(θᵢ − θⱼ): by so much, to first order, an
    answer is expected to shrink the posterior (the criterion D of optimal design; Pfeiffer et al., AAAI 2012, for
    comparisons). A pair that waits for its answer, and one that was answered by `both bad`, count as a tie, so that two
    voters are not asked the same and nobody is asked for ever about two bad settings.
    """

    def __init__(self, pool: Pool, votes: Iterable[VoteRecord], rng: np.random.Generator) -> None:
        """`votes`: those that stand already."""
        self._pool, self._rng = pool, rng
        self._number = {id_: n for n, id_ in enumerate(pool.settings)}
        self._wins = np.zeros((len(pool.settings),) * 2)
        self._voters: dict[PairKey, set[str]] = {}
        self._shown: Counter[str] = Counter()
        self._by_settings: Counter[tuple[str, frozenset[str]]] = Counter()
        for vote in votes:
            self._count(vote, 1)
            key = frozenset((one.request_id, one.image_index) for one in (vote.left, vote.right))
            self._voters.setdefault(key, set()).add(vote.voter)

    def seen_by(self, voter: str) -> int:
        """Pairs that `voter` was shown."""
        return sum(voter in voters for voters in self._voters.values())

    def deal(self, voter: str) -> Pair | None:
        """The next pair for `voter`, who is held to see it; None where none is left."""
        order = (self._repeat, self._new) if self._rng.random() < REPEAT_RATE else (self._new, self._repeat)
        for choose in order:
            pair = choose(voter)
            if pair is not None:
                self._voters.setdefault(pair.key, set()).add(voter)
                self.expect(pair, 1)
                return pair
        return None

    def give_back(self, pair: Pair, voter: str) -> None:
        """`pair` was not shown after all."""
        self._voters[pair.key].discard(voter)
        self.expect(pair, -1)

    def expect(self, pair: Pair, sign: int) -> None:
        """An answer to `pair` is waited for (1), or no longer (−1)."""
        i, j = self._number[pair.one.setting_id], self._number[pair.other.setting_id]
        self._wins[[i, j], [j, i]] += 0.5 * sign
        self._shown[pair.prompt_id] += sign
        self._by_settings[pair.prompt_id, _settings(pair)] += sign

    def take(self, vote: VoteRecord) -> None:
        """`vote` was given, for a pair that is no longer waited for."""
        self._count(vote, 1)

    def take_back(self, vote: VoteRecord) -> None:
        """`vote` no longer stands."""
        self._count(vote, -1)

    def _count(self, vote: VoteRecord, sign: int) -> None:
        left, right = vote.left.setting_id, vote.right.setting_id
        if left not in self._number or right not in self._number:  # of settings that are not voted on this time
            return
        i, j = self._number[left], self._number[right]
        won, lost = _SHARES.get(vote.choice, (0.5, 0.5))
        self._wins[i, j] += won * sign
        self._wins[j, i] += lost * sign
        self._shown[vote.prompt_id] += sign
        self._by_settings[vote.prompt_id, frozenset((left, right))] += sign

    def _new(self, voter: str) -> Pair | None:
        """A pair that nobody has seen."""
        for one, other in self._by_information():
            fresh = [pair for pair in self._pool.pairs(one, other) if not self._voters.get(pair.key)]
            if fresh:
                return self._balanced(fresh)
        return None

    def _repeat(self, voter: str) -> Pair | None:
        """A pair that others have seen and `voter` has not, the most informative of those that fewest have seen."""
        for one, other in self._by_information():
            seen = [pair for pair in self._pool.pairs(one, other) if self._voters.get(pair.key)]
            seen = [pair for pair in seen if voter not in self._voters[pair.key]]
            if seen:
                fewest = min(len(self._voters[pair.key]) for pair in seen)
                return self._balanced([pair for pair in seen if len(self._voters[pair.key]) == fewest])
        return None

    def _balanced(self, pairs: list[Pair]) -> Pair:
        """Of the prompt that these settings, and then all, were shown least."""
        self._rng.shuffle(pairs)
        return min(
            pairs, key=lambda pair: (self._by_settings[pair.prompt_id, _settings(pair)], self._shown[pair.prompt_id])
        )

    def _by_information(self) -> Iterator[tuple[str, str]]:
        """Pairs of settings, the most informative first; in an order drawn by lot where they are equal."""
        theta = strengths(self._wins)
        known = covariance(self._wins, theta)
        chances = win_chances(theta)
        spread = np.diag(known)[:, None] + np.diag(known)[None, :] - 2 * known
        first, second = np.triu_indices(len(theta), 1)
        gain = (chances * (1 - chances) * spread)[first, second]
        lot = self._rng.random(gain.size)
        for n in np.lexsort((lot, -np.round(gain, 12))):
            yield self._pool.settings[first[n]], self._pool.settings[second[n]]


def _settings(pair: Pair) -> frozenset[str]:
    return frozenset((pair.one.setting_id, pair.other.setting_id))
