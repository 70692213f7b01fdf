"""Numbers of sets of features: distances of two sets, and how many different ones a set holds. Pure, in float64.

A row is a picture. Imports numpy, so metrics import it when they compare.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Rows = NDArray[np.float64]
Kernel = Callable[[Rows, Rows], Rows]
"""The kernel of every row of the first with every row of the second."""

LEAST_GROUPS = 5
"""Groups without which a jackknife says nothing."""

_BLOCK = 1024
"""Rows of a kernel's matrix that are in memory at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Discrepancy:
    """A squared maximum mean discrepancy."""

    value: float
    standard_error: float | None
    """Jackknife over groups; None below `LEAST_GROUPS` of them."""
    groups: int


def polynomial_kernel(x: Rows, y: Rows) -> Rows:
    """(x·y / width + 1)³: the kernel of KID (Bińkowski et al., arXiv 1801.01401)."""
    kernel: Rows = (x @ y.T / x.shape[1] + 1.0) ** 3
    return kernel


def gaussian_kernel(sigma: float) -> Kernel:
    """exp(−‖x − y‖² / 2σ²)."""

    def kernel(x: Rows, y: Rows) -> Rows:
        squared = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1)[None, :] - 2.0 * (x @ y.T)
        result: Rows = np.exp(-np.maximum(squared, 0.0) / (2.0 * sigma**2))
        return result

    return kernel


def discrepancy(
    pictures: ArrayLike,
    reference: ArrayLike,
    kernel: Kernel,
    *,
    groups: Sequence[Hashable],
    reference_groups: Sequence[Hashable],
    unbiased: bool = True,
) -> Discrepancy:
    """Squared maximum mean discrepancy of two sets (Gretton et al., JMLR 13, 2012), of at least two rows each.

    Unbiased: the U-statistic (their equation 3), without the kernel of a row with itself; else the V-statistic
    (equation 5), which is above 0 even for two samples of one distribution.

    The standard error leaves out one group, here a prompt, of both sets at a time: pictures of a prompt are alike, and
    so are the two sets' pictures of the same prompt and seed, so they are no independent observations. For equal
    distributions, where the first-order term vanishes, it is too large by about √2: never too small.
    """
    x, y = np.asarray(pictures, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    within_x, within_y = _row_sums(x, x, kernel), _row_sums(y, y, kernel)
    across_x, across_y = _row_sums(x, y, kernel), _row_sums(y, x, kernel)
    if unbiased:
        within_x, within_y = within_x - _diagonal(x, kernel), within_y - _diagonal(y, kernel)

    def value(sums: tuple[float, float, float], m: int, n: int) -> float:
        own = 1 if unbiased else 0
        return sums[0] / (m * (m - own)) + sums[1] / (n * (n - own)) - 2.0 * sums[2] / (m * n)

    totals = float(within_x.sum()), float(within_y.sum()), float(across_x.sum())
    members = _members(groups, reference_groups)
    left = []
    for in_x, in_y in members:
        m, n = len(x) - len(in_x), len(y) - len(in_y)
        if min(m, n) < 2:
            continue
        xs, ys = x[in_x], y[in_y]
        inner_x, inner_y = kernel(xs, xs), kernel(ys, ys)
        sums = (
            totals[0] - 2.0 * within_x[in_x].sum() + _inner(inner_x, unbiased),
            totals[1] - 2.0 * within_y[in_y].sum() + _inner(inner_y, unbiased),
            totals[2] - across_x[in_x].sum() - across_y[in_y].sum() + kernel(xs, ys).sum(),
        )
        left.append(value(sums, m, n))
    return Discrepancy(
        value=value(totals, len(x), len(y)),
        standard_error=_jackknife(left) if len(left) == len(members) else None,
        groups=len(members),
    )


def _row_sums(x: Rows, y: Rows, kernel: Kernel) -> Rows:
    sums = np.zeros(len(x))
    for start in range(0, len(x), _BLOCK):
        for other in range(0, len(y), _BLOCK):
            sums[start : start + _BLOCK] += kernel(x[start : start + _BLOCK], y[other : other + _BLOCK]).sum(axis=1)
    return sums


def _diagonal(x: Rows, kernel: Kernel) -> Rows:
    return np.array([kernel(row[None], row[None])[0, 0] for row in x])


def _inner(kernel: Rows, unbiased: bool) -> float:
    return float(kernel.sum() - np.trace(kernel) if unbiased else kernel.sum())


def _members(x: Sequence[Hashable], y: Sequence[Hashable]) -> list[tuple[list[int], list[int]]]:
    """For each group, its rows in either set."""
    found: dict[Hashable, tuple[list[int], list[int]]] = {}
    for side, labels in enumerate((x, y)):
        for row, label in enumerate(labels):
            found.setdefault(label, ([], []))[side].append(row)
    return list(found.values())


def _jackknife(left: Sequence[float]) -> float | None:
    """Standard error from the values with one group left out (Efron and Stein, Annals of Statistics 9, 1981)."""
    if len(left) < LEAST_GROUPS:
        return None
    values = np.asarray(left)
    return float(math.sqrt((len(values) - 1) * values.var()))


def frechet_distance(pictures: ArrayLike, reference: ArrayLike) -> float:
    """‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½) of two sets of at least two rows, at least 0 (arXiv 1706.08500).

    With Σ = AᵀA the last term is the sum of the singular values of A₁A₂ᵀ, so no root of a matrix that is singular, or
    nearly so, is taken.
    """
    x, y = np.asarray(pictures, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    shift = x.mean(axis=0) - y.mean(axis=0)
    a, b = _root(x), _root(y)
    overlap = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return max(float(shift @ shift + (a * a).sum() + (b * b).sum() - 2.0 * overlap), 0.0)


def _root(x: Rows) -> Rows:
    """A with AᵀA the covariance of `x` (with n − 1), and as few rows as that takes."""
    centred = (x - x.mean(axis=0)) / math.sqrt(len(x) - 1)
    return np.asarray(np.linalg.qr(centred, mode="r")) if len(x) > x.shape[1] else centred


def effective_number(rows: ArrayLike) -> float:
    """How many different rows there are, effectively: the Vendi score (Friedman and Dieng, arXiv 2210.02410).

    exp of the Shannon entropy of the eigenvalues of K / n, with the cosine of two rows as their similarity: 1 for equal
    rows, n for orthogonal ones.
    """
    x = np.asarray(rows, dtype=np.float64)
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-300)
    shares = np.linalg.eigvalsh(x @ x.T / len(x))
    shares = shares[shares > 1e-12]  # rounding leaves some just below 0, and 0 · log 0 is 0
    return float(min(max(math.exp(-(shares * np.log(shares)).sum()), 1.0), len(x)))
