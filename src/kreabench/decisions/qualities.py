"""One metric of two settings: the difference within pairs, how sure it is, and why it may be unknown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kreabench.analysis.estimates import UNBOUNDED, Bounds, Estimate, difference_bounds, mean_of_prompts
from kreabench.analysis.families import holm
from kreabench.analysis.noise import SeedNoise, seed_noise
from kreabench.analysis.paired import Floats, LeftOut, PairedScores, pair_scores
from kreabench.analysis.student import t_test
from kreabench.core.specs import MetricSpec
from kreabench.decisions.columns import KeySpace, Pictures
from kreabench.decisions.comparison import MetricComparison, SettingComparison
from kreabench.decisions.matching import Matched
from kreabench.metrics.table import row_of

ROUNDING = 1e-12
"""Of the size of the scores, or of 1 where they are smaller: differences up to it are errors of floating point."""

SIGNS = {"higher": 1.0, "lower": -1.0, "reference": 0.0}
"""What makes a difference positive where the candidate is better."""


def compare_metric(spec: MetricSpec, matched: Matched, space: KeySpace) -> MetricComparison:
    """Over the pairs of equal size. `p_adjusted` and `noise` are left to whoever knows the family and the noise."""
    row = row_of(spec)
    better = row.better if row else "higher"
    here, there = matched.base_rows[matched.same_size], matched.candidate_rows[matched.same_size]
    base, candidate = _scores(matched.base, spec), _scores(matched.candidate, spec)
    scores = pair_scores(
        base[here],
        candidate[there],
        space.prompts[space.prompt_of(matched.base.keys[here])],
        left_out=LeftOut(
            base_only=int((~np.isnan(base[matched.base_alone])).sum()),
            candidate_only=int((~np.isnan(candidate[matched.candidate_alone])).sum()),
        ),
    )
    reasons = _reasons(spec, matched) if scores.left_out.total else ()
    scores, d = _without_rounding(scores)
    obstacle = _obstacle(scores, reasons)
    sd = float(np.std(d, ddof=1)) if d.size > 1 else 0.0
    estimate, p_value = _infer(d, row.range if row else UNBOUNDED, known=not obstacle)
    return MetricComparison(
        spec=spec,
        unit=row.unit if row else "",
        better=better,
        scores=scores,
        difference=estimate,
        effect_size=float(d.mean() / sd) if sd and not obstacle else None,
        share_better=_share_better(d, SIGNS[better]),
        p_value=p_value,
        p_adjusted=None,
        noise=None,
        untrained=_any_untrained(matched.base, spec) or _any_untrained(matched.candidate, spec),
        obstacle=obstacle,
        reasons=reasons,
    )


def noise_floor(pictures: Pictures, spec: MetricSpec, space: KeySpace) -> SeedNoise:
    """Of the prompts by their ids, which are in the order of their codes."""
    found = seed_noise(_scores(pictures, spec), space.prompt_of(pictures.keys), pictures.drawn_with)
    return replace(found, prompts=space.prompts[found.prompts])


def with_holm(found: Sequence[SettingComparison]) -> tuple[SettingComparison, ...]:
    """Corrected over every metric of every pair of settings."""
    corrected = iter(holm([metric.p_value for setting in found for metric in setting.metrics]))
    return tuple(
        replace(
            setting,
            metrics=tuple(replace(metric, p_adjusted=next(corrected)) for metric in setting.metrics),
        )
        for setting in found
    )


def _scores(pictures: Pictures, spec: MetricSpec) -> Floats:
    return pictures.scores.get(spec.name, np.full(pictures.keys.size, np.nan))


def _any_untrained(pictures: Pictures, spec: MetricSpec) -> bool:
    return spec.name in pictures.untrained and bool(pictures.untrained[spec.name].any())


def _without_rounding(scores: PairedScores) -> tuple[PairedScores, Floats]:
    """Differences that are errors of floating point alone are 0: a test would take them for a finding."""
    known = np.concatenate([scores.base, scores.candidate])
    largest = float(np.nanmax(np.abs(known), initial=1.0))
    d = np.where(np.abs(scores.difference) <= ROUNDING * largest, 0.0, scores.difference)
    return replace(scores, difference=d), d


def _infer(d: Floats, bounds: Bounds, *, known: bool) -> tuple[Estimate | None, float | None]:
    """The mean with its interval, and Student's two-sided test over prompts, of which the interval is the inverse."""
    if not d.size:
        return None, None
    if not known:
        return Estimate(value=float(d.mean()), low=None, high=None, n=int(d.size)), None
    return mean_of_prompts(d, bounds=difference_bounds(bounds)), t_test(d)


def _share_better(d: Floats, sign: float) -> float | None:
    return float(((np.sign(d) * sign + 1) / 2).mean()) if d.size and sign else None


def _obstacle(scores: PairedScores, reasons: Sequence[str]) -> str:
    d = scores.difference
    if not scores.prompts:
        return scores.left_out.why_nothing + (f": {reasons[0]}" if reasons else "")
    if len(scores.prompts) < 2:
        return "one prompt alone shows no spread"
    if scores.blind:
        return "all scores are equal: the metric saw nothing"
    if float(np.ptp(d)) <= ROUNDING * max(1.0, float(np.abs(d).max())):
        return "the same difference in every prompt: no spread" if d[0] else "no difference in any prompt"
    return ""


def _reasons(spec: MetricSpec, matched: Matched) -> tuple[str, ...]:
    """Why scores are missing, commonest first."""
    found: Counter[str] = Counter()
    for side, pictures in (("base", matched.base), ("candidate", matched.candidate)):
        missing = np.isnan(_scores(pictures, spec))
        if spec.name not in pictures.scores:
            found[f"{side}: not scored"] += int(missing.sum())
            continue
        reasons = pictures.reasons[spec.name]
        codes, numbers = np.unique(reasons.codes[missing], return_counts=True)
        for code, number in zip(codes.tolist(), numbers.tolist(), strict=True):
            text = reasons.texts[code] if code >= 0 else ""
            found[f"{side}: {text or 'not scored'}"] += number
    return tuple(text for text, _ in found.most_common())
