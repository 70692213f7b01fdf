"""Bradley-Terry strengths from counts of wins: P(i beats j) = 1 / (1 + exp(θⱼ − θᵢ)).

Bradley & Terry, Biometrika 39 (1952). Strengths have a normal prior, which keeps them finite where a setting lost
nothing: the estimate is the mode of the posterior, and its curvature there is how much is known (Laplace). The same
model is `choix.opt_pairwise` with alpha = 1 / (2 · PRIOR_SD²), which a test holds it against. It is not used, as it
takes whole games one by one, so no half wins, and gives no covariance; and 300 votes on 8 settings take it 19 ms
(`choix.ep_pairwise`, with a covariance, 136 ms), where all 1,000 resamples of them take 9 ms here.
"""

from __future__ import annotations

import numpy as np

from kreabench.analysis.paired import Floats

PRIOR_SD = 2.0
"""Of a strength, in units of the logarithm of odds: a setting two above another wins 88 of 100."""
_MOST_ROUNDS = 60
_TOLERANCE = 1e-8
_CELLS = 4_000_000
"""Numbers worked on at once."""


def strengths(wins: Floats) -> Floats:
    """(…, n) strengths that maximise the posterior; `wins[…, i, j]` is how often i beat j.

    Those of settings that are linked by comparisons have the mean 0. Wins may be fractions: a tie is half a win of
    each. Newton's method on all of them at once.
    """
    batch = wins.reshape(-1, *wins.shape[-2:])
    rows = max(1, _CELLS // (wins.shape[-1] ** 2))
    parts = [_modes(batch[start : start + rows]) for start in range(0, len(batch), rows)]
    return np.concatenate(parts).reshape(wins.shape[:-1])


def covariance(wins: Floats, theta: Floats) -> Floats:
    """(n, n) of the strengths under the posterior's normal approximation at `theta`."""
    return np.asarray(np.linalg.inv(_curvature(wins + wins.T, theta)))


def win_chances(theta: Floats) -> Floats:
    """(…, n, n) chance that i beats j."""
    return np.asarray(1 / (1 + np.exp(np.clip(theta[..., None, :] - theta[..., :, None], -500, 500))))


def _modes(wins: Floats) -> Floats:
    games, won = wins + wins.swapaxes(-1, -2), wins.sum(axis=-1)
    theta = np.zeros(won.shape)
    for _ in range(_MOST_ROUNDS):
        gradient = won - (games * win_chances(theta)).sum(axis=-1) - theta / PRIOR_SD**2
        step = np.linalg.solve(_curvature(games, theta), gradient[..., None])[..., 0]
        # At most one unit a round: a full step may overshoot where nearly all is won.
        theta += step / np.maximum(1, np.abs(step).max(axis=-1, keepdims=True))
        if np.abs(step).max(initial=0) < _TOLERANCE:
            break
    return theta


def _curvature(games: Floats, theta: Floats) -> Floats:
    """Second derivatives of minus the logarithm of the posterior."""
    chances = win_chances(theta)
    weights = games * chances * (1 - chances)
    size = theta.shape[-1]
    return np.asarray(np.eye(size) * (weights.sum(axis=-1) + PRIOR_SD**-2)[..., None] - weights)
