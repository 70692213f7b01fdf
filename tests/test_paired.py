"""Pairs of pictures brought down to one difference a prompt."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kreabench.analysis.paired import LeftOut, pair_scores

INF, NAN = math.inf, math.nan


def names(text: str) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    return np.array(text.split(), dtype=object)


def test_each_prompt_weighs_the_same_however_many_seeds_it_has() -> None:
    paired = pair_scores(np.array([1.0, 2.0, 3.0, 10.0]), np.array([2.0, 4.0, 6.0, 9.0]), names("b b b a"))
    assert paired.prompts == ("a", "b")
    assert paired.difference.tolist() == [-1.0, 2.0]
    assert paired.pairs.tolist() == [1, 3]
    assert paired.base.tolist() == [10.0, 2.0]
    assert paired.candidate.tolist() == [9.0, 4.0]
    assert math.isnan(paired.spread[0])
    assert paired.spread[1] == pytest.approx(1.0)  # of 1, 2, 3
    assert paired.left_out.total == 0
    assert not paired.blind


def test_scores_without_a_partner_are_counted_and_used_nowhere() -> None:
    paired = pair_scores(
        np.array([1.0, NAN, NAN, 4.0]),
        np.array([NAN, 2.0, NAN, 5.0]),
        names("a a b c"),
        left_out=LeftOut(base_only=2, candidate_only=1),
    )
    assert paired.prompts == ("c",)
    assert paired.difference.tolist() == [1.0]
    assert paired.left_out == LeftOut(base_only=3, candidate_only=2, neither=1)


def test_infinite_scores_are_a_pair_only_where_both_are() -> None:
    paired = pair_scores(
        np.array([INF, INF, 30.0, 30.0, INF]), np.array([INF, 40.0, INF, 31.0, INF]), names("a a a b c")
    )
    assert paired.prompts == ("a", "b", "c")
    assert paired.difference.tolist() == [0.0, 1.0, 0.0]
    assert paired.pairs.tolist() == [1, 1, 1]
    assert np.isnan(paired.base).tolist() == [True, False, True]
    assert (paired.left_out.infinite_gains, paired.left_out.infinite_losses) == (1, 1)
    assert paired.left_out.total == 2


def test_opposite_infinities_are_no_pair() -> None:
    paired = pair_scores(np.array([-INF, INF]), np.array([INF, -INF]), names("a a"))
    assert paired.prompts == ()
    assert (paired.left_out.infinite_gains, paired.left_out.infinite_losses) == (1, 1)


@pytest.mark.parametrize(("base", "candidate", "blind"), [(2.0, 2.0, True), (2.0, 3.0, False)])
def test_a_metric_that_says_the_same_of_every_picture_is_blind(base: float, candidate: float, blind: bool) -> None:
    assert pair_scores(np.full(3, base), np.full(3, candidate), names("a b c")).blind is blind


def test_nothing_in_pairs_is_empty_and_not_blind() -> None:
    paired = pair_scores(np.array([]), np.array([]), np.array([], dtype=object))
    assert paired.prompts == ()
    assert paired.difference.size == 0
    assert not paired.blind
