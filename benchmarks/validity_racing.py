"""What racing does on known truth; see `validity_settings` for the noise, `kreabench.analysis.racing` for the promise.

Each race is one of 24 settings, two seeds and 126 prompts with looks at 8, 16, 32 and 64 of them, as `run.race=on` with
its defaults makes it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kreabench.analysis.race_evidence import LookData
from kreabench.analysis.racing import decide, levels_of
from kreabench.decisions.recommend import recommend
from kreabench.race.rounds import look_sizes
from validity_recommend import contest_of_simulation
from validity_rows import Measured, ValidityRow
from validity_settings import MARGIN, METRIC, SEED_SD, Simulated, simulate_settings

FIRST_PROMPTS = 8
LOOKS = 5


@dataclass(frozen=True, kw_only=True)
class Raced:
    """How one race ended."""

    left: list[int]
    """Settings."""
    by_scores: int
    """Settings that were dropped by their own scores."""
    drawn: int
    """Pictures."""


def race(simulated: Simulated) -> Raced:
    """All looks of one race."""
    settings, prompts, seeds = simulated.scores.shape
    sizes = look_sizes(prompts, FIRST_PROMPTS, LOOKS)
    levels = levels_of(simulated.question, looks=len(sizes), settings=settings)
    left, by_scores, drawn, before = list(range(settings)), 0, 0, 0
    for size in sizes:
        drawn += (size - before) * seeds * len(left)
        before = size
        drops = decide(seen(simulated, left, size), simulated.question, levels)
        by_scores += sum(drop.dominated_by is None for drop in drops)
        dropped = {left[drop.setting] for drop in drops}
        left = [setting for setting in left if setting not in dropped]
    return Raced(left=left, by_scores=by_scores, drawn=drawn + (prompts - before) * seeds * len(left))


def seen(simulated: Simulated, left: list[int], prompts: int) -> LookData:
    """The first `prompts` of the settings `left`."""
    seeds = simulated.scores.shape[2]
    codes = np.repeat(np.arange(prompts), seeds)
    return LookData(
        references=np.full(len(left), left.index(simulated.reference)),
        prompts=prompts,
        picture_prompts=codes,
        picture_draws=np.tile(np.arange(seeds), prompts),
        scores={METRIC: simulated.scores[left, :prompts].reshape(len(left), -1)},
        request_prompts=codes,
        costs={"latency": simulated.latencies[left, :prompts].reshape(len(left), -1)},
        bounds={},
    )


def answer(simulated: Simulated, raced: Raced | None = None) -> int | None:
    """What `recommend` says of all prompts, after a race or without; None for no answer."""
    left = list(range(len(simulated.losses))) if raced is None else raced.left
    contest = contest_of_simulation(simulated, left, dropped=raced.by_scores if raced else 0)
    found = recommend(contest, simulated.question, draws=0).answer
    return None if found is None else left[contest.entrants.index(found.entrant)]


def twin_dropped(rng: np.random.Generator, experiments: int) -> Measured:
    """No setting loses anything, and another one is exactly as fast as the fastest: it is as good an answer."""
    hits = 0
    for _ in range(experiments):
        simulated = simulate_settings(rng, equal=True)
        twin = int(np.argsort(simulated.seconds)[1])
        latencies = simulated.latencies.copy()
        latencies[twin] *= simulated.seconds[simulated.best] / simulated.seconds[twin]
        hits += twin not in race(replace(simulated, latencies=latencies)).left
    return Measured(hits=hits, experiments=experiments)


def just_allowed_dropped(rng: np.random.Generator, experiments: int) -> Measured:
    """The fastest setting that is good enough loses exactly what is allowed."""
    hits = 0
    for _ in range(experiments):
        simulated = simulate_settings(rng)
        scores = simulated.scores.copy()
        scores[simulated.best] -= SEED_SD * (MARGIN - simulated.losses[simulated.best])
        hits += simulated.best not in race(replace(simulated, scores=scores)).left
    return Measured(hits=hits, experiments=experiments)


def same_answer(rng: np.random.Generator, experiments: int) -> Measured:
    """Racing gives the answer that all prompts of all settings give."""
    hits = 0
    for _ in range(experiments):
        simulated = simulate_settings(rng)
        hits += answer(simulated, race(simulated)) == answer(simulated)
    return Measured(hits=hits, experiments=experiments)


def true_best(rng: np.random.Generator, experiments: int) -> Measured:
    """Racing gives the true answer."""
    hits = 0
    for _ in range(experiments):
        simulated = simulate_settings(rng)
        hits += answer(simulated, race(simulated)) == simulated.best
    return Measured(hits=hits, experiments=experiments)


def too_great_a_loss_is_named(rng: np.random.Generator, experiments: int) -> Measured:
    """The faster half loses exactly what is allowed, the slower half nothing: a race thins out the good ones too."""
    hits = 0
    for _ in range(experiments):
        simulated = simulate_settings(rng, at_margin=True)
        slow = (simulated.seconds >= np.median(simulated.seconds)) & (simulated.losses > 0)
        scores = simulated.scores + SEED_SD * MARGIN * slow[:, None, None]
        found = answer(again := replace(simulated, scores=scores), race(again))
        hits += found is not None and not (slow[found] or found == simulated.reference)
    return Measured(hits=hits, experiments=experiments)


def share_of_images(rng: np.random.Generator, experiments: int) -> Measured:
    """Pictures of all experiments' races among the pictures of their whole runs: a mean share, not a rate of successes.

    The interval of `Measured` takes pictures as independent, which they are not.
    """
    drawn = whole = 0
    for _ in range(experiments):
        simulated = simulate_settings(rng)
        drawn += race(simulated).drawn
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
        name="racing, then a setting recommended that loses exactly what is allowed, 12 of them",
        at_least=0.0,
        at_most=0.05,
        simulate=too_great_a_loss_is_named,
    ),
    ValidityRow(
        name="mean share of the images that racing draws", at_least=0.0, at_most=1 / 3, simulate=share_of_images
    ),
)
