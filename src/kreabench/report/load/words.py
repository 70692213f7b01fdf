"""What a load run says, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kreabench.analysis.estimates import p_in_words
from kreabench.decisions.load_levels import LoadCurve, LoadLevel
from kreabench.report.format import count, estimate, significant
from kreabench.report.text import message

SHIFT_LEVEL = 0.05
"""Error rate, over all levels and metrics of a run, of saying that scores differ under load which do not."""
MUCH_LAG = 0.1
"""Share of the median latency from which the delays within the client are no longer beside the point."""


def load_name(level: LoadLevel) -> str:
    """`at 2/s`, `4 in flight`."""
    return f"{level.load:g} in flight" if level.setting.rate_per_s is None else f"at {level.load:g}/s"


def load_sentences(curves: Sequence[LoadCurve]) -> list[str]:
    """A few sentences a setting: its knee, the objective, and what keeps the numbers from being sure."""
    several = len(curves) > 1
    return [
        f"{message(curve.name, 200)}: {sentence}" if several else f"{sentence[0].upper()}{sentence[1:]}"
        for curve in curves
        for sentence in _sentences(curve)
    ]


def _sentences(curve: LoadCurve) -> Iterator[str]:
    yield _knee(curve)
    if any(level.summary.grows for level in curve.levels):
        yield "where the queue grows, latencies are those of this duration: they would go on growing."
    near = [load_name(level) for level in curve.levels if curve.saturation.is_near(level.load)]
    if near:
        yield (
            f"so near the knee, or beyond ({', '.join(near)}), a level is too short to show how long its waits are: "
            "latencies have no interval, and no objective is shown to be kept."
        )
    if (kept := _promise(curve)) is not None:
        yield kept
    for level in curve.levels:
        yield from (f"{load_name(level)}: {remark}" for remark in _remarks(level))
    if any(level.service is not None and level.service.shared for level in curve.levels):
        yield (
            "its replicas worked on one processor, so that each was slowed by the others; replicas on devices of their "
            "own would carry more."
        )
    late = [
        f"{significant(level.summary.lag_s, 2)} s {load_name(level)}"
        for level in curve.levels
        if level.summary.lag_s is not None
        and level.summary.latency is not None
        and level.summary.lag_s >= MUCH_LAG * level.summary.latency.value
    ]
    if late:
        said = f"requests left this machine late, which is part of their latency: up to {', '.join(late)}."
        yield f"{said} {_why_late(curve)}"


def _why_late(curve: LoadCurve) -> str:
    if any(level.service is not None for level in curve.levels):
        return "The machine, or the disk of the run directory, is too slow for this load."
    if curve.traffic.is_open:
        return "Either load.max_in_flight was reached, or the machine is too slow for this load."
    return "The machine is too slow for this load."


def _knee(curve: LoadCurve) -> str:
    knee, above = curve.saturation.knee, curve.saturation.above
    if not curve.traffic.is_open:
        if knee is None:
            return "no knee is sure: it takes four numbers in flight whose throughputs bend."
        return f"the knee is at {knee.value:g} in flight; more hardly carry more."
    fails_at = curve.saturation.fails_at
    if knee is None and fails_at is not None:
        return f"requests are refused or fail from {fails_at:g}/s on: what the service could carry does not show."
    if knee is None:
        return f"no overload was shown up to {above:g}/s."
    if curve.saturation.collapses:
        return (
            f"the knee lies between {knee.low:g}/s and {knee.high:g}/s; beyond it less is carried than before: the "
            "service collapses, unless it is this machine that could not keep up."
        )
    text, interval = estimate(knee)
    beyond = "the queue grows" if fails_at is None else "requests are refused or fail"
    return f"the knee is at {text}/s{f' ({interval})' if interval else ''}: beyond it {beyond}."


def _promise(curve: LoadCurve) -> str | None:
    objective_s, kept = curve.traffic.objective_s, curve.saturation.greatest_kept
    if objective_s is None:
        return None
    what = f"{100 * curve.traffic.objective_share:.3g} % of all requests within {objective_s:g} s"
    if kept is None:
        return f"{what} is shown at no load."
    unit = "/s" if curve.traffic.is_open else " in flight"
    unseen = curve.traffic.is_open and curve.saturation.nearly_full is None and kept == curve.levels[-1].load
    more = ", as far as it was seen: how near the capacity that is, no heavier load shows" if unseen else ""
    return f"{what} is kept up to {kept:g}{unit}{more}."


def _remarks(level: LoadLevel) -> Iterator[str]:
    one = level.summary
    if level.goes_on or level.cut_short:
        state, left = ("is drawn now", "is unanswered yet") if level.goes_on else ("was cut short", "was unanswered")
        yield f"{state}: its numbers are of its first {significant(one.window_s)} s; what {left} is in its queue alone."
    if level.service is not None and (level.service.replaced or level.service.given_up):
        lost = count(level.service.replaced + level.service.given_up, "worker")
        how = f"; {level.service.given_up} could not be, so that fewer drew to the end"
        how = how if level.service.given_up else ": until then fewer drew"
        yield f"{lost} failed while requests came and had to be replaced{how}."
    if one.unanswered:
        yield f"{count(one.unanswered, 'request')} had no answer when the level was ended."
    if one.too_short:
        yield "load.duration_s is too short to say whether the queue grew: the first requests took over half of it."
    for shift in level.shifts:
        if shift.p_value is not None and shift.p_value <= SHIFT_LEVEL:
            text, interval = estimate(shift.change)
            said = f" ({interval}; {p_in_words(shift.p_value)} after Holm)" if interval else ""
            yield f"{shift.metric.name} differs from that under the lightest load by {text}{said}."
