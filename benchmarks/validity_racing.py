"""What racing does on known truth; see `validity_settings` for the noise, `kreabench.analysis.racing` for the promise.

Each race is one of 24 settings, two seeds and 126 prompts with looks at 8, 16, 32 and 64 of them, as `run.race=on` with
its defaults makes it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kreabench.analysis.families import holm
from kreabench.analysis.race_evidence import LookData, loss_tests
from kreabench.analysis.racing import decide, levels_of
from kreabench.race.rounds import look_sizes
from validity_rows import Measured, ValidityRow
from validity_settings import MARGIN, METRIC, SEED_SD, Simulated, simulate_settings

FIRST_PROMPTS = 8
LOOKS = 5


def race(simulated: Simulated) -> tuple[list[int], int]:
    """Settings that are left in the end, and pictures drawn."""
    settings, prompts, seeds = simulated.scores.shape
    sizes = look_sizes(prompts, FIRST_PROMPTS, LOOKS)
    levels = levels_of(simulated.question, looks=len(sizes), settings=settings)
    left, drawn, before = list(range(settings)), 0, 0
    for size in sizes:
        drawn += (size - before) * seeds * len(left)
        before = size
        dropped = {left[drop.setting] for drop in decide(seen(simulated, left, size), simulated.question, levels)}
        left = [setting for setting in left if setting not in dropped]
    return left, drawn + (prompts - before) * seeds * len(left)


def seen(simulated: Simulated, left: list[int], prompts: int) -> LookData:
    """The first `prompts` of the settings `left`."""
    seeds = simulated.scores.shape[2]
    codes = np.repeat(np.arange(prompts), seeds)
    return LookData(
        references=np.full(len(left), left.index(simulated.reference)),
        prompts=prompts,
        picture_prompts=codes,
        first_repeat=np.ones(codes.size, dtype=bool),
        scores={METRIC: simulated.scores[left, :prompts].reshape(len(left), -1)},
        request_prompts=codes,
        costs={"latency": simulated.latencies[left, :prompts].reshape(len(left), -1)},
        bounds={},
    )


def answer(simulated: Simulated, left: list[int]) -> int:
    """By all prompts of the settings `left`: the fastest that is shown to be good enough, Holm-corrected over them."""
    loss = simulated.question.max_quality_loss[0]
    data = seen(simulated, left, simulated.scores.shape[1])
    good = np.array(left) == simulated.reference
    if not good.all():
        p_values = loss_tests(data, METRIC, loss.margin).p_within[~good]
        good[~good] = np.array(holm(p_values)) <= simulated.question.level
    return left[int(np.argmin(np.where(good, np.median(data.costs["latency"], axis=1), np.inf)))]


def twin_dropped(rng: np.random.Generator, experiments: int) -> Measured:
    """No setting loses anything, and another one is exactly as fast as the fastest: it is as good an answer."""
    hits = 0
    for _ in range(experiments):
        simulated = simulate_settings(rng, equal=True)
        twin = int(np.argsort(simulated.seconds)[1])
        latencies = simulated.latencies.copy()
        latencies[twin] *= simulated.seconds[simulated.best] / simulated.seconds[twin]
        hits += twin not in race(replace(simulated, latencies=latencies))[0]
    return Measured(hits=hits, experiments=experiments)


def just_allowed_dropped(rng: np.random.Generator, experiments: int) -> Measured:
    """The fastest setting that is good enough loses exactly what is allowed."""
    hits = 0
    for _ in range(experiments):
        simulated = simulate_settings(rng)
        scores = simulated.scores.copy()
        scores[simulated.best] -= SEED_SD * (MARGIN - simulated.losses[simulated.best])
        hits += simulated.best not in race(replace(simulated, scores=scores))[0]
    return Measured(hits=hits, experiments=experiments)


def same_answer(rng: np.random.Generator, experiments: int) -> Measured:
    """Racing gives the answer that all prompts of all settings give."""
    hits = 0
    for _ in range(experiments):
        simulated = simulate_settings(rng)
        hits += answer(simulated, race(simulated)[0]) == answer(simulated, list(range(len(simulated.losses))))
    return Measured(hits=hits, experiments=experiments)


def true_best(rng: np.random.Generator, experiments: int) -> Measured:
    """Racing gives the true answer."""
    hits = 0
    for _ in range(experiments):
        simulated = simulate_settings(rng)
        hits += answer(simulated, race(simulated)[0]) == simulated.best
    return Measured(hits=hits, experiments=experiments)


def share_of_images(rng: np.random.Generator, experiments: int) -> Measured:
    """Pictures of all experiments' races among the pictures of their whole runs: a mean share, not a rate of successes.

    The interval of `Measured` takes pictures as independent, which they are not.
    """
    drawn = whole = 0
    for _ in range(experiments):
        simulated = simulate_settings(rng)
        drawn += race(simulated)[1]
        whole += simulated.scores.size
    return Measured(hits=drawn, experiments=whole)


ROWS = (
    ValidityRow(name="racing drops a setting equal to the best", at_least=0.0, at_most=0.05, simulate=twin_dropped),
    ValidityRow(
        name="racing drops the best setting, which loses exactly what is allowed",
        at_least=0.0,
        at_most=0.05,
        simulate=just_allowed_dropped,
    ),
    ValidityRow(name="racing gives the answer of the whole run", at_least=0.95, at_most=1.0, simulate=same_answer),
    ValidityRow(name="racing names the true best of 24 settings", at_least=0.95, at_most=1.0, simulate=true_best),
    ValidityRow(
        name="mean share of the images that racing draws", at_least=0.0, at_most=1 / 3, simulate=share_of_images
    ),
)
