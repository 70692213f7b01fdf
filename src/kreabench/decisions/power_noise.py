"""How the paired differences of metrics scatter, said by the user or estimated from former runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kreabench.analysis.power import NoiseComponents, noise_components
from kreabench.core.errors import ConfigError, KreabenchError, Problem
from kreabench.core.registry import suggest
from kreabench.decisions.comparability import NotComparable
from kreabench.decisions.compare import compare_sides, compare_with_reference
from kreabench.decisions.comparison import Comparison, MetricComparison
from kreabench.decisions.opening import open_two, open_with_references


@dataclass(frozen=True, kw_only=True, slots=True)
class Noise:
    """How the paired differences of one metric scatter, and how that is known."""

    components: NoiseComponents
    source: str
    """In words: said, or of which settings of which run."""
    prompts: int | None
    """Behind the estimate; None where it was said."""
    pairs: int | None
    seeds_unknown: bool
    """Whether nothing is known of the scatter within prompts, so that all of it counts as between them."""


def said_noise(between: float, within: float | None) -> Noise:
    """As the user said it: standard deviations between prompts and, over seeds, within."""
    components = NoiseComponents(between_sd=between, within_sd=within or 0.0)
    return Noise(components=components, source="said", prompts=None, pairs=None, seeds_unknown=within is None)


def noise_of_runs(names: Sequence[str], metrics: Sequence[str]) -> dict[str, Noise]:
    """Noise of `metrics` from one run (its settings against their references) or from two (one against the other).

    Of several settings the noisiest counts. Raises ConfigError where a metric has no noise to be known from them.
    """
    if len(names) == 1:
        side, settings = open_with_references(names[0])
        comparison = compare_with_reference(side, settings)
        against = "its reference"
    else:
        comparison = _compared(*names)
        against = names[1]
    found, problems = {}, []
    for name in metrics:
        noise = _noisiest(comparison, name, names[0], against)
        if noise is None:
            problems.append(_no_noise(comparison, name, names))
        else:
            found[name] = noise
    if problems:
        raise ConfigError(problems)
    return found


def _compared(base: str, candidate: str) -> Comparison:
    try:
        return compare_sides(*open_two(base, candidate))
    except NotComparable as error:
        told = "\n".join(f"  {mismatch}" for mismatch in error.mismatches)
        raise KreabenchError(
            f"{base} and {candidate} say nothing about each other's noise\n{told}",
            remedy="Name two runs of one device, one prompt file and the same weights of metrics.",
        ) from error


def _noisiest(comparison: Comparison, metric: str, run: str, against: str) -> Noise | None:
    found: list[Noise] = []
    for pair in comparison.settings:
        for one in pair.metrics:
            components = noise_components(one.scores) if one.spec.name == metric and not _empty(one) else None
            if components is not None:
                found.append(
                    Noise(
                        components=components,
                        source=f"{pair.candidate.label} of {run} against {against}",
                        prompts=len(one.scores.prompts),
                        pairs=int(one.scores.pairs.sum()),
                        seeds_unknown=components.within_df == 0,
                    )
                )
    return max(found, key=lambda noise: noise.components.prompt_sd(1), default=None)


def _empty(metric: MetricComparison) -> bool:
    return len(metric.scores.prompts) < 2 or metric.scores.blind


def _no_noise(comparison: Comparison, metric: str, names: Sequence[str]) -> Problem:
    """Why a metric has none."""
    obstacles = [one.obstacle for pair in comparison.settings for one in pair.metrics if one.spec.name == metric]
    known = sorted({one.spec.name for pair in comparison.settings for one in pair.metrics})
    if not obstacles:
        return Problem(key="--noise", found=f"no {metric} in {' and '.join(names)}", expected=suggest(metric, known))
    remedy = f"Say it: --sd {metric}=BETWEEN/WITHIN"
    if len(names) == 1:
        remedy += ", or name two runs (--noise A --noise B): what is measured against the reference has no score of it"
    return Problem(
        key="--noise",
        found=f"no noise of {metric} in {' and '.join(names)}: {obstacles[0]}",
        expected="pairs of two prompts at least",
        remedy=f"{remedy}.",
    )
