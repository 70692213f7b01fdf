"""How a comparison is put into words and short numbers, alike on the page, in tables and on a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from kreabench.analysis.estimates import Estimate
from kreabench.core.planned import Setting
from kreabench.core.policies import Cost, Rate
from kreabench.decisions.comparison import Comparison, CostComparison, MetricComparison, SettingComparison
from kreabench.decisions.matching import AXES
from kreabench.report.format import ABSENT, GIB, MIB, difference, estimate, scaled, significant, usd
from kreabench.report.text import message, visible

LEVEL = 0.05
"""Of p after Holm's correction, below which a difference counts as shown."""

Finding = Literal["better", "worse", "shifted", "none shown", "not tested"]

COST_NAMES: dict[Cost, str] = {
    "latency": "latency",
    "peak_memory": "peak memory",
    "energy": "energy a request",
    "usd_per_image": "dollars an image",
}
RATE_NAMES: dict[Rate, str] = {
    "failure_rate": "failed requests",
    "nsfw_rate": "flagged pictures",
    "degenerate_rate": "degenerate pictures",
}
SIGNS = {"higher": "↑", "lower": "↓", "reference": "≈"}
"""The better side of a metric, behind its name."""


def finding(metric: MetricComparison) -> Finding:
    """What the corrected test says; `none shown` where it says nothing."""
    if metric.p_adjusted is None or metric.difference is None:
        return "not tested"
    if metric.p_adjusted >= LEVEL:
        return "none shown"
    if metric.better == "reference":
        return "shifted"
    return "better" if (metric.difference.value > 0) == (metric.better == "higher") else "worse"


def side_name(name: str) -> str:
    """As named by the user, without the folders of an absolute path."""
    return message(name, 120)


def differing(settings: Sequence[SettingComparison]) -> tuple[str, ...]:
    """Axes that tell pairs of settings apart, or the two of a pair."""
    return tuple(
        axis
        for axis in AXES
        if len({getattr(setting, axis) for two in settings for setting in (two.base, two.candidate)}) > 1
    )


def short_label(setting: Setting, axes: Sequence[str]) -> str:
    """No more of a setting than `axes`."""
    said = {
        "target": visible(setting.target),
        "task": setting.task,
        "acceleration": visible(setting.acceleration),
        "steps": "" if setting.steps is None else f"{setting.steps} step{'s' if setting.steps != 1 else ''}",
        "guidance": "" if setting.guidance is None else f"g{setting.guidance:g}",
        "strength": "" if setting.strength is None else f"strength {setting.strength:g}",
        "num_images": f"×{setting.num_images}",
        "output_format": setting.output_format,
        "concurrency": f"{setting.concurrency} in flight",
        "batch_size": f"batches of {setting.batch_size}",
        "replicas": f"{setting.replicas} replica{'s' if setting.replicas != 1 else ''}",
        "rate_per_s": "" if setting.rate_per_s is None else f"at {setting.rate_per_s:g}/s",
    }
    parts = [said[axis] for axis in AXES if axis in axes and axis not in {"width", "height"}]
    if {"width", "height"} & set(axes):
        parts.append(f"{setting.width}×{setting.height}")
    return ", ".join(filter(None, parts))


def pair_title(two: SettingComparison) -> str:
    """Both settings in full, or one where they are alike."""
    base, candidate = visible(two.base.label), visible(two.candidate.label)
    return f"{candidate}, on both sides" if base == candidate else f"{candidate} against {base}"


def forced_lines(comparison: Comparison) -> tuple[str, ...]:
    """What was passed over by --force, for every output."""
    return tuple(
        f"Compared by --force, though not comparable: {message(f'{one.key}: {one.base} against {one.candidate}')}; "
        f"{one.why}."
        for one in comparison.forced
    )


def alone_lines(comparison: Comparison) -> tuple[str, ...]:
    """Settings and metrics that are on one side only."""
    found = []
    sides = (
        ("base", comparison.base.name, comparison.base_only),
        ("candidate", comparison.candidate.name, comparison.candidate_only),
    )
    for side, name, settings in sides:
        if not settings:
            continue
        shown = "; ".join(visible(setting.label) for setting in settings[:4])
        more = f"; and {len(settings) - 4} more" if len(settings) > 4 else ""
        references = comparison.within_run and not comparison.base_only and comparison.base is comparison.candidate
        why = "without a reference" if references else f"of the {side} alone ({side_name(name)})"
        found.append(f"Not compared, {why}: {shown}{more}.")
    for side in ("base", "candidate"):
        names = [visible(one.metric) for one in comparison.one_sided if one.side == side]
        if names:
            found.append(f"Not compared, metrics of the {side} alone: {', '.join(names)}.")
    untrained = {metric.spec.name for two in comparison.settings for metric in two.metrics if metric.untrained}
    if untrained:
        found.append(f"Scored with untrained weights, which shows plumbing only: {', '.join(sorted(untrained))}.")
    return tuple(found)


def difference_texts(value: Estimate | None) -> tuple[str, str]:
    """A signed difference and its interval; empty where there is none."""
    if value is None:
        return ABSENT, ""
    text, interval = difference(value)
    return text, interval or ""


def ratio_texts(value: Estimate | None) -> tuple[str, str]:
    """`×0.54` and its interval."""
    if value is None:
        return ABSENT, ""
    text, interval = estimate(value)
    return f"×{text}", interval or ""


def share_text(value: Estimate | None) -> tuple[str, str]:
    """A difference of shares in percentage points, and its interval."""
    if value is None:
        return ABSENT, ""
    points = scaled(value, 0.01)
    text, interval = difference(points)
    return f"{text} pp", interval or ""


def cost_text(quantity: Cost, value: float | None) -> str:
    """With its unit."""
    if value is None:
        return ABSENT
    if quantity == "peak_memory":
        return f"{significant(value / GIB)} GiB" if value >= GIB else f"{significant(value / MIB)} MiB"
    return (
        usd(value) if quantity == "usd_per_image" else f"{significant(value)} {'s' if quantity == 'latency' else 'J'}"
    )


def cost_texts(quantity: Cost, value: Estimate) -> tuple[str, str]:
    """With its unit, and its interval in as many decimals; empty where there is none."""
    if quantity == "usd_per_image":
        return usd(value.value), " – ".join(map(usd, value.interval or ()))
    by, unit = (1.0, "s") if quantity == "latency" else (1.0, "J")
    if quantity == "peak_memory":
        by, unit = (GIB, "GiB") if value.value >= GIB else (MIB, "MiB")
    text, interval = estimate(scaled(value, by))
    return f"{text} {unit}", interval or ""


def kinds_text(cost: CostComparison) -> str:
    """Which memory, whose price; empty where there is no choice."""
    return " against ".join(dict.fromkeys(filter(None, (cost.base_kind, cost.candidate_kind))))


def number_text(value: float | None) -> str:
    """Three digits; a dash where there is none."""
    return ABSENT if value is None or not math.isfinite(value) else significant(value)


def p_text(p: float | None) -> str:
    """Two digits, as more say no more."""
    if p is None:
        return ABSENT
    return "<0.0001" if p < 1e-4 else f"{p:.2g}" if p < 1 else "1"


def effect_text(value: float | None) -> str:
    """A standardised effect, signed."""
    return ABSENT if value is None else f"{value:+.2f}"


def percent_text(value: float | None) -> str:
    """A share, whole percents."""
    return ABSENT if value is None else f"{100 * value:.0f} %"


def count_text(count: int, n: int) -> str:
    """`3 of 40`."""
    return f"{count:,} of {n:,}" if n else ABSENT


def left_out_text(metric: MetricComparison) -> str:
    """What the difference does not rest on; empty where nothing is left out."""
    left = metric.scores.left_out
    said = (
        (left.base_only, "scored on the base's side alone"),
        (left.candidate_only, "scored on the candidate's side alone"),
        (left.neither, "pairs without a score"),
        (left.infinite_losses, "no longer equal to their reference"),
        (left.infinite_gains, "newly equal to their reference"),
    )
    counts = ", ".join(f"{number:,} {text}" for number, text in said if number)
    why = "; ".join(message(reason, 80) for reason in metric.reasons[:2])
    return f"left out: {counts}{f' ({why})' if why else ''}" if counts else ""
