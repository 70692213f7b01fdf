"""Numbers of sets of features: against other implementations, against closed forms, and on samples of known truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from kreabench.metrics.distances import (
    discrepancy,
    effective_number,
    frechet_distance,
    gaussian_kernel,
    polynomial_kernel,
)

Rows = NDArray[np.float64]


class Identity(torch.nn.Module):
    """For torchmetrics, which is given features in place of pictures."""

    num_features = 32

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows


def sample(seed: int, number: int = 60, width: int = 32, shift: float = 0.0) -> Rows:
    random = np.random.default_rng(seed)
    rows: Rows = random.normal(size=(number, width)) * np.linspace(0.2, 1.5, width) + shift
    return rows


def alone(rows: Rows) -> list[int]:
    """Every row its own group."""
    return list(range(len(rows)))


def kid(x: Rows, y: Rows) -> float:
    return discrepancy(x, y, polynomial_kernel, groups=alone(x), reference_groups=alone(y)).value


def direct(x: Rows, y: Rows, kernel: object, *, unbiased: bool) -> float:
    """The definition, pair by pair."""

    def mean(a: Rows, b: Rows, skip: bool) -> float:
        pairs = [(p, q) for i, p in enumerate(a) for j, q in enumerate(b) if not (skip and i == j)]
        return sum(kernel(p, q) for p, q in pairs) / len(pairs)  # type: ignore[operator]

    return mean(x, x, unbiased) + mean(y, y, unbiased) - 2 * mean(x, y, False)


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance`")
def test_kid_equals_torchmetrics_over_one_subset_of_everything() -> None:
    x, y = sample(1), sample(2, shift=0.1)
    theirs = KernelInceptionDistance(feature=Identity(), subsets=1, subset_size=len(x))
    theirs.update(torch.from_numpy(y), real=True)
    theirs.update(torch.from_numpy(x), real=False)

    assert kid(x, y) == pytest.approx(float(theirs.compute()[0]), rel=1e-5)


def test_the_same_pictures_on_both_sides_are_below_0_apart() -> None:
    """As the row of KID warns: they are nearer than two samples of one distribution are."""
    assert kid(sample(1), sample(1)) < 0


@pytest.mark.parametrize("unbiased", [True, False])
def test_sets_of_unequal_size_follow_the_definition(unbiased: bool) -> None:
    x, y = sample(1, 7, 5), sample(2, 11, 5, shift=0.5)

    def gaussian(p: Rows, q: Rows) -> float:
        return math.exp(-float(((p - q) ** 2).sum()) / (2 * 1.7**2))

    found = discrepancy(x, y, gaussian_kernel(1.7), groups=alone(x), reference_groups=alone(y), unbiased=unbiased)

    assert found.value == pytest.approx(direct(x, y, gaussian, unbiased=unbiased), rel=1e-9)


def test_the_matrix_is_summed_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = sample(1), sample(2, 41)
    whole = kid(x, y)
    monkeypatch.setattr("kreabench.metrics.distances._BLOCK", 17)

    assert kid(x, y) == pytest.approx(whole, rel=1e-12)


def test_the_standard_error_is_that_of_leaving_out_one_prompt_at_a_time() -> None:
    x, y = sample(1, 24, 4), sample(2, 30, 4, shift=0.2)
    groups, reference_groups = [row // 4 for row in range(24)], [row // 5 for row in range(30)]
    found = discrepancy(x, y, polynomial_kernel, groups=groups, reference_groups=reference_groups)

    left = np.array(
        [kid(x[[one != group for one in groups]], y[[one != group for one in reference_groups]]) for group in range(6)]
    )

    assert found.groups == 6
    assert found.standard_error == pytest.approx(math.sqrt(5 / 6 * ((left - left.mean()) ** 2).sum()), rel=1e-9)


def test_few_prompts_have_no_standard_error() -> None:
    x = sample(1, 8)
    found = discrepancy(x, sample(2, 8), polynomial_kernel, groups=[0, 1] * 4, reference_groups=[0, 1] * 4)

    assert (found.groups, found.standard_error) == (2, None)


def test_two_samples_of_one_distribution_are_0_apart_on_average_and_within_their_errors() -> None:
    found = []
    for seed in range(300):
        x, y = sample(2 * seed, 40, 8), sample(2 * seed + 1, 40, 8)
        found.append(discrepancy(x, y, polynomial_kernel, groups=alone(x), reference_groups=alone(y)))
    values = np.array([one.value for one in found])
    errors = np.array([one.standard_error for one in found], dtype=float)

    assert abs(values.mean()) < 3 * values.std() / math.sqrt(len(values))
    assert 0.3 < (values < 0).mean() < 0.8  # an estimate of 0, not of a distance that cannot be negative
    assert 1.0 < errors.mean() / values.std() < 2.0  # too large by about √2, as said
    assert (np.abs(values) < 1.96 * errors).mean() >= 0.95


def test_the_biased_estimator_sees_a_distance_where_there_is_none_and_the_unbiased_one_does_not() -> None:
    kernel = gaussian_kernel(10.0)
    biased: list[float] = []
    unbiased: list[float] = []
    for seed in range(60):
        x, y = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (sample(2 * seed), sample(2 * seed + 1)))
        for flag, into in ((False, biased), (True, unbiased)):
            one = discrepancy(x, y, kernel, groups=alone(x), reference_groups=alone(y), unbiased=flag)
            into.append(1000 * one.value)

    assert min(biased) > 0.1
    assert abs(float(np.mean(unbiased))) < 3 * float(np.std(unbiased)) / math.sqrt(60)


def test_fid_equals_torchmetrics() -> None:
    x, y = sample(1, 300), sample(2, 200, shift=0.1)
    theirs = FrechetInceptionDistance(feature=Identity(), normalize=False).set_dtype(torch.float64)
    theirs.update(torch.from_numpy(x), real=False)
    theirs.update(torch.from_numpy(y), real=True)

    assert frechet_distance(x, y) == pytest.approx(float(theirs.compute()), rel=1e-3)


def test_fid_of_samples_with_given_moments_is_the_closed_form() -> None:
    # Whitened samples have exactly the mean and covariance that they are given.
    white = sample(3, 500, 3)
    white = (white - white.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(white.T))).T
    x, y = white * [1.0, 2.0, 3.0], white * [2.0, 2.0, 0.5] + [1.0, 0.0, -2.0]

    assert frechet_distance(x, y) == pytest.approx(1 + 4 + (1 - 2) ** 2 + 0 + (3 - 0.5) ** 2, rel=1e-9)


def test_fid_of_fewer_pictures_than_features_is_that_of_their_singular_covariances() -> None:
    x, y = sample(1, 9), sample(2, 12)
    product = np.cov(x.T) @ np.cov(y.T)
    root = np.sqrt(np.maximum(np.linalg.eigvals(product).real, 0)).sum()
    shift = x.mean(axis=0) - y.mean(axis=0)

    closed = shift @ shift + np.trace(np.cov(x.T)) + np.trace(np.cov(y.T)) - 2 * root
    assert frechet_distance(x, y) == pytest.approx(closed, rel=1e-5)
    assert frechet_distance(x, x) == pytest.approx(0.0, abs=1e-9)


def test_fid_of_one_distribution_falls_with_the_number_of_pictures_and_kid_does_not() -> None:
    def mean_of(number: int) -> tuple[float, float]:
        pairs = [(sample(2 * seed, number), sample(2 * seed + 1, number)) for seed in range(20)]
        return float(np.mean([frechet_distance(x, y) for x, y in pairs])), float(np.mean([kid(x, y) for x, y in pairs]))

    (few, kid_few), (more, kid_more), (many, kid_many) = mean_of(32), mean_of(128), mean_of(512)

    assert few > 3 * more > 9 * many  # about as 1 / n: 4.3 at 32 for .075 at 2,048 in Inception's space
    assert max(map(abs, (kid_few, kid_more, kid_many))) < 0.05


@pytest.mark.parametrize("number", [2, 5])
def test_the_effective_number_is_1_for_equal_rows_and_n_for_orthogonal_ones(number: int) -> None:
    assert effective_number(np.ones((number, 7)) * 3.0) == pytest.approx(1.0, abs=1e-9)
    assert effective_number(np.eye(7)[:number]) == pytest.approx(number, rel=1e-9)


def test_the_effective_number_is_the_entropy_of_the_similarities() -> None:
    rows = sample(4, 6, 16)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    shares = np.linalg.svd(unit / math.sqrt(6), compute_uv=False) ** 2  # of the rows, not of their similarities
    entropy = -sum(share * math.log(share) for share in shares)

    assert effective_number(rows) == pytest.approx(math.exp(entropy), rel=1e-9)
    # Two pictures of cosine c: eigenvalues (1 ± c) / 2.
    pair = np.array([[1.0, 0.0], [0.6, 0.8]])
    assert effective_number(pair) == pytest.approx(math.exp(-(0.8 * math.log(0.8) + 0.2 * math.log(0.2))), rel=1e-9)
