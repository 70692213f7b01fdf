"""Plans of prompts: from the noise to the number that decides."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower

from kreabench.analysis.paired import PairedScores, pair_scores
from kreabench.analysis.power import (
    NoiseComponents,
    noise_components,
    prompts_needed,
    prompts_to_catch,
    prompts_to_pass,
)


def scores(prompts: int, seeds: int, *, between: float, within: float, seed: int = 0) -> PairedScores:
    rng = np.random.default_rng(seed)
    names = np.repeat(np.array([f"p{n}" for n in range(prompts)], dtype=object), seeds)
    change = np.repeat(rng.normal(0.0, between, prompts), seeds) + rng.normal(0.0, within, names.size)
    return pair_scores(np.zeros(names.size), change, names)


def test_published_numbers() -> None:
    assert prompts_needed(0.5, level=0.05, power=0.9) == 36
    assert prompts_needed(0.2, level=0.05, sides="two") == 199


@pytest.mark.parametrize(("effect", "level"), [(3.0, 0.05), (0.4, 0.05 / 6), (0.08, 0.05 / 6), (0.09, 0.05 / 600)])
def test_one_prompt_fewer_is_too_few(effect: float, level: float) -> None:
    n = prompts_needed(effect, level=level)
    assert n is not None
    power = [TTestPower().power(effect, number, level, alternative="larger") for number in (n - 1, n)]
    assert power[0] < 0.8005
    assert power[1] > 0.7995


def test_what_no_number_of_prompts_shows() -> None:
    assert prompts_needed(0.0, level=0.05) is None
    assert prompts_needed(-1.0, level=0.05) is None
    assert prompts_needed(math.nan, level=0.05) is None
    assert prompts_needed(0.001, level=0.05) is None
    assert prompts_needed(math.inf, level=0.05) == 2


def test_components_are_those_of_the_noise() -> None:
    found = noise_components(scores(2000, 4, between=0.7, within=1.4))
    assert found is not None
    assert found.between_sd == pytest.approx(0.7, rel=0.06)
    assert found.within_sd == pytest.approx(1.4, rel=0.03)
    assert (found.seeds, found.between_df, found.within_df) == (4.0, 1999, 6000)
    assert found.prompt_sd(4) == pytest.approx(math.hypot(0.7, 0.7), rel=0.05)


def test_components_by_hand() -> None:
    """Differences 0, 2 and 5, 7: mean square between 25, within 2, so (25 − 2) / 2 between prompts."""
    names = np.array(["a", "a", "b", "b"], dtype=object)
    found = noise_components(pair_scores(np.zeros(4), np.array([0.0, 2.0, 5.0, 7.0]), names))
    assert found is not None
    assert found.between_sd**2 == pytest.approx(11.5)
    assert found.within_sd**2 == pytest.approx(2.0)
    assert found.prompt_sd(2) ** 2 == pytest.approx(12.5)  # the variance of the means 1 and 6


def test_one_seed_leaves_all_noise_between_prompts_and_one_prompt_leaves_none() -> None:
    found = noise_components(scores(30, 1, between=1.0, within=1.0))
    assert found is not None
    assert (found.within_sd, found.within_df) == (0.0, 0)
    assert found.prompt_sd(1) == found.prompt_sd(8)
    assert noise_components(scores(1, 4, between=1.0, within=1.0)) is None


def test_more_seeds_than_were_measured_are_assured_of_no_more_noise() -> None:
    """Where no noise between prompts was seen, it may still be there: more seeds help, though not to nothing."""
    rough = NoiseComponents(between_sd=0.0, within_sd=0.6, seeds=2.0, between_df=7, within_df=8)
    assured = [rough.prompt_sd(seeds, assurance=0.8) for seeds in (1, 2, 4, 8, 64)]
    assert assured == sorted(assured, reverse=True)
    assert assured[-1] > 0.5 * assured[1] > rough.prompt_sd(64)


def test_seeds_help_only_against_noise_within_prompts() -> None:
    asked: dict[str, Any] = {"level": 0.05, "seeds": 1}
    within = NoiseComponents(between_sd=0.1, within_sd=2.0)
    between = NoiseComponents(between_sd=2.0, within_sd=0.1)
    few, many = (prompts_to_pass(within, 0.5, **asked | {"seeds": seeds}) for seeds in (1, 4))
    assert few is not None
    assert many is not None
    assert many < 0.3 * few
    few, many = (prompts_to_pass(between, 0.5, **asked | {"seeds": seeds}) for seeds in (1, 4))
    assert few is not None
    assert many is not None
    assert many > 0.9 * few


def test_more_checks_two_sides_and_estimated_noise_ask_for_more() -> None:
    known = NoiseComponents(between_sd=0.5, within_sd=1.0)
    guessed = NoiseComponents(between_sd=0.5, within_sd=1.0, seeds=4.0, between_df=24, within_df=75)
    asked: dict[str, Any] = {"level": 0.05, "seeds": 4}
    for plan in (prompts_to_pass, prompts_to_catch):
        base = plan(known, 0.3, **asked)
        assert base is not None
        for found in (
            plan(known, 0.3, **asked, checks=6),
            plan(known, 0.3, **asked, sides="two"),
            plan(guessed, 0.3, **asked),
            plan(known, 0.2, **asked),
        ):
            assert found is not None
            assert found > base


def test_the_assured_noise_is_rarely_too_small() -> None:
    truth = math.hypot(0.7, 1.4 / 2)
    found = [noise_components(scores(15, 4, between=0.7, within=1.4, seed=seed)) for seed in range(200)]
    assured = np.mean([noise is not None and noise.prompt_sd(4, assurance=0.8) >= truth for noise in found])
    plain = np.mean([noise is not None and noise.prompt_sd(4) >= truth for noise in found])
    assert 0.72 < assured < 0.88
    assert plain < 0.6
