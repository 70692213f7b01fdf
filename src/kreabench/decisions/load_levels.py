"""From the journal of a load run to what its levels say: who was answered when, and whether pictures got worse."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kreabench.analysis.estimates import Estimate, mean_of_prompts
from kreabench.analysis.families import holm
from kreabench.analysis.saturation import Saturation, closed_saturation, open_saturation, without_latency_intervals
from kreabench.analysis.student import t_test
from kreabench.analysis.traffic import Arrivals, LevelSummary, summarise_level
from kreabench.core.planned import LoadGroup, Plan, Request, Setting
from kreabench.core.records import SHARED, FailureRecord, LoadRecord, Record, SampleRecord, SubmissionRecord
from kreabench.core.specs import MetricSpec
from kreabench.core.traffic import TrafficSpec
from kreabench.drops import is_unanswered, samples_in, sent_in, was_tried
from kreabench.rundir.directory import DEATHS

if TYPE_CHECKING:
    from pandas import DataFrame

_SEED = 0
"""Of the draws that say how sure the knee of a closed loop is."""
_PAIR = ["prompt_id", "seed", "repeat", "image_index"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shift:
    """A metric under this load less the same under the lightest, of pictures of the same prompt and seed."""

    metric: MetricSpec
    change: Estimate
    """Mean over prompts."""
    p_value: float | None
    """Of `no change` by Student's t test over prompts, after Holm over all such tests of the run; None below two."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """What local workers did with the requests of a level that they delivered."""

    batch: float
    """Requests a call, the mean over calls."""
    queue_s: float
    """Median of the waiting before a worker was free."""
    service_s: float
    """Median of what a worker was busy with a request, others in its call included."""
    shared: int
    """Requests that were drawn while other replicas worked on the same processor."""
    replaced: int
    """Workers that were loaded anew while requests came."""
    given_up: int
    """Workers that were not, so that fewer drew from then on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadLevel:
    """One setting under one load."""

    setting: Setting
    load: float
    """Requests a second; of a closed loop requests in flight."""
    summary: LevelSummary
    planned: int
    cut_short: bool
    """It ended before its arrivals did or without the answers that it would have waited for (an interrupt, a spent
    budget, a dead worker), or it goes on. What was then unanswered is in its queue, and in no other number."""
    pairs: int
    """Pictures that the lightest load has of the same prompt, seed and repeat."""
    same: int
    """Of these, how many are the very same file."""
    shifts: tuple[Shift, ...]
    service: Service | None = None
    """None for hosted targets, and where nothing was delivered."""
    goes_on: bool = False
    """A process draws it now, so that it is not all there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadCurve:
    """One setting under all its loads, ascending; only those that had a request."""

    name: str
    """What people call the setting, without its load."""
    traffic: TrafficSpec
    levels: tuple[LoadLevel, ...]
    saturation: Saturation


def load_curves(
    plan: Plan,
    records: Iterable[Record],
    table: DataFrame,
    metrics: Sequence[MetricSpec] = (),
    *,
    is_drawn: bool = False,
) -> tuple[LoadCurve, ...]:
    """Every setting that was put under load, in the order of `plan`; none where it is no load run.

    `records` are the journal's, `table` the samples' (`rundir.table`), `metrics` those with a score a picture that have
    a better side. `is_drawn`: a process draws now.
    """
    journal = _Journal(records, is_drawn)
    curves: dict[Setting, list[tuple[LoadGroup, TrafficSpec]]] = {}
    for group in plan.groups:
        if group.traffic is not None:
            curves.setdefault(_without_load(group.settings[0]), []).append((group, group.traffic))
    found = [_curve(setting, groups, journal, table, metrics) for setting, groups in curves.items()]
    return _with_holm([curve for curve in found if curve is not None])


def _with_holm(curves: Sequence[LoadCurve]) -> tuple[LoadCurve, ...]:
    shifts = [shift for curve in curves for level in curve.levels for shift in level.shifts]
    corrected = iter(holm([shift.p_value for shift in shifts]))
    return tuple(
        replace(
            curve,
            levels=tuple(
                replace(level, shifts=tuple(replace(shift, p_value=next(corrected)) for shift in level.shifts))
                for level in curve.levels
            ),
        )
        for curve in curves
    )


def _without_load(setting: Setting) -> Setting:
    return replace(setting, id="", load_key="", reference_id=None, concurrency=1, rate_per_s=None)


class _Journal:
    """What the records say of each request."""

    def __init__(self, records: Iterable[Record], is_drawn: bool) -> None:
        records = tuple(records)
        self.samples = samples_in(records)
        self.sent_utc = sent_in(records)
        self.loads = [record for record in records if isinstance(record, LoadRecord)]
        losses = [record for record in records if isinstance(record, FailureRecord) and not record.request_id]
        self.failed_loads = [loss for loss in losses if not is_unanswered(loss)]
        self._over = {loss.group_id for loss in losses if is_unanswered(loss)}
        self._over |= {sample.group_id for sample in self.samples.values() if is_unanswered(sample)}
        said = (one for one in reversed(records) if isinstance(one, LoadRecord | SampleRecord | SubmissionRecord))
        self._drawn_id = next((record.group_id for record in said), None) if is_drawn else None

    def is_over(self, group: LoadGroup) -> bool:
        """Whether the clock has ended it with requests in flight."""
        return group.id in self._over

    def goes_on(self, group: LoadGroup) -> bool:
        """Whether it is the one that is drawn now; what a resume only fetches of a level was sent before its worker."""
        if group.id != self._drawn_id:
            return False
        loaded_utc = max((load.started_utc for load in self.loads if load.group_id == group.id), default="")
        return not any(self.sent_utc.get(request.id, loaded_utc) < loaded_utc for request in group.requests)

    def was_sent(self, request: Request) -> bool:
        """Whether it came, at a service or in the line before local workers, where it then has a sample."""
        sample = self.samples.get(request.id)
        if request.id in self.sent_utc or sample is None:
            return request.id in self.sent_utc
        return sample.hosted is None and was_tried(sample)


def _curve(
    setting: Setting,
    groups: Sequence[tuple[LoadGroup, TrafficSpec]],
    journal: _Journal,
    table: DataFrame,
    metrics: Sequence[MetricSpec],
) -> LoadCurve | None:
    traffic = groups[0][1]
    levels: list[LoadLevel] = []
    for group, _ in groups:
        one = group.settings[0]
        arrivals, cut_short, goes_on = _arrivals(group, traffic, journal)
        if arrivals is None:
            continue
        pairs, same, shifts = _beside(table, levels[0].setting if levels else one, one, metrics)
        levels.append(
            LoadLevel(
                setting=one,
                load=float(one.concurrency) if one.rate_per_s is None else one.rate_per_s,
                summary=_summary(arrivals, traffic, one.concurrency),
                planned=len(group.requests),
                cut_short=cut_short,
                pairs=pairs,
                same=same,
                shifts=shifts,
                service=_service(group, journal),
                goes_on=goes_on,
            )
        )
    if not levels:
        return None
    saturation = _saturation(traffic, levels)
    told = tuple(
        replace(level, summary=without_latency_intervals(level.summary)) if saturation.is_near(level.load) else level
        for level in levels
    )
    return LoadCurve(name=setting.label, traffic=traffic, levels=told, saturation=saturation)


def _summary(arrivals: Arrivals, traffic: TrafficSpec, in_flight: int) -> LevelSummary:
    summary = summarise_level(arrivals, objective_s=traffic.objective_s, open_loop=traffic.is_open)
    if traffic.is_open:
        return summary
    # Its starts are known to the millisecond: one that takes the place of another may seem to come before that ends.
    return replace(
        summary,
        most_in_system=min(summary.most_in_system, in_flight),
        left_in_system=min(summary.left_in_system, in_flight),
    )


def _saturation(traffic: TrafficSpec, levels: Sequence[LoadLevel]) -> Saturation:
    loads, summaries = [level.load for level in levels], [level.summary for level in levels]
    if traffic.is_open:
        return open_saturation(loads, summaries, traffic.objective_share)
    return closed_saturation(loads, summaries, traffic.objective_share, np.random.default_rng(_SEED))


def _service(group: LoadGroup, journal: _Journal) -> Service | None:
    tried = [request.id for request in group.requests if journal.was_sent(request)]
    samples = [journal.samples[request_id] for request_id in tried if request_id in journal.samples]
    found = [(one, one.served) for one in samples if one.status == "ok" and one.served is not None]
    if not found:
        return None
    first_utc = min(sample.started_utc for sample in samples)
    return Service(
        batch=len(found) / sum(1 / served.batch for _, served in found),
        queue_s=float(np.median([served.queue_s for _, served in found])),
        service_s=float(np.median([served.service_s for _, served in found])),
        shared=sum(SHARED in sample.flags for sample, _ in found),
        replaced=sum(load.group_id == group.id and load.started_utc > first_utc for load in journal.loads),
        given_up=sum(
            loss.group_id == group.id and loss.started_utc > first_utc and _is_final(loss)
            for loss in journal.failed_loads
        ),
    )


def _is_final(loss: FailureRecord) -> bool:
    """A worker that dies is tried once more; one whose model cannot be loaded is not."""
    return loss.attempt > 1 or loss.error.type not in DEATHS


def _arrivals(group: LoadGroup, traffic: TrafficSpec, journal: _Journal) -> tuple[Arrivals | None, bool, bool]:
    """Those of a level, whether they are not all of it, and whether it goes on; None without any."""
    sent = [request for request in group.requests if journal.was_sent(request)]
    if not sent:
        return None, False, False
    starts = _starts(sent, journal)
    ends_s = traffic.duration_s + traffic.drain_s
    rows = sorted(
        (starts[request.id], *_end(starts[request.id], journal.samples.get(request.id), ends_s), _lag(request, journal))
        for request in sent
    )
    window_s, cut_short = _window(group, traffic, sent, rows, journal.is_over(group))
    goes_on = cut_short and journal.goes_on(group)
    awaited_s: list[float] = []
    if cut_short:  # of several local workers one may be ahead of the first that has no answer
        window_s = min(window_s, max((end_s for _, end_s, _, _ in rows if math.isfinite(end_s)), default=0.0))
        seen = [row for row in rows if row[0] <= window_s]
        rows = [row for row in seen if math.isfinite(row[1])]
        awaited_s = [at_s for at_s, end_s, _, _ in seen if not math.isfinite(end_s)]
    if not rows or window_s <= 0:
        return None, cut_short, goes_on
    at_s, end_s, ok, lag_s = (np.asarray(column) for column in zip(*rows, strict=True))
    arrivals = Arrivals(
        window_s=window_s, at_s=at_s, end_s=end_s, ok=ok, lag_s=lag_s[ok], awaited_s=np.asarray(awaited_s)
    )
    return arrivals, cut_short, goes_on


def _starts(sent: Sequence[Request], journal: _Journal) -> dict[str, float]:
    """Request id → seconds of its intended start; in a closed loop that is when its turn came."""
    if sent[0].at_s is not None:
        return {request.id: request.at_s or 0.0 for request in sent}
    began = {
        request.id: _seconds(
            journal.samples[request.id].started_utc if request.id in journal.samples else journal.sent_utc[request.id]
        )
        for request in sent
    }
    first = min(began.values())
    return {request_id: seconds - first for request_id, seconds in began.items()}


def _end(start_s: float, sample: SampleRecord | None, ends_s: float) -> tuple[float, bool]:
    """When it was answered, and whether with a picture; infinite where it was not, or not by the level itself, which
    is over at `ends_s`: a call that cannot be withdrawn may bring a picture after that."""
    if sample is None or (sample.hosted is not None and sample.hosted.recovered):
        return math.inf, False
    took_s = sample.failed_after_s
    if sample.status == "ok" and sample.timings is not None:
        took_s = sample.timings.end_to_end_s
    if took_s is None or start_s + took_s > ends_s:
        return math.inf, False
    return start_s + took_s, sample.status == "ok"


def _lag(request: Request, journal: _Journal) -> float:
    sample = journal.samples.get(request.id)
    timings = None if sample is None else sample.timings
    return 0.0 if timings is None else timings.stages_s.get("client", 0.0)


def _window(
    group: LoadGroup,
    traffic: TrafficSpec,
    sent: Sequence[Request],
    rows: Sequence[tuple[float, float, bool, float]],
    is_over: bool,
) -> tuple[float, bool]:
    """Seconds of the level's arrivals, and whether it was cut short: also of answers that it would have waited for,
    as `is_over` is where it has waited in vain."""
    answered = [end_s for _, end_s, _, _ in rows if math.isfinite(end_s)]
    waited = not is_over and len(answered) < len(rows)
    if traffic.is_open:
        ids = {request.id for request in sent}
        missing = next((request for request in group.requests if request.id not in ids), None)
        return (traffic.duration_s, waited) if missing is None else (missing.at_s or 0.0, True)
    seen_s = traffic.duration_s if is_over else max(rows[-1][0], *answered) if answered else rows[-1][0]
    if seen_s < traffic.duration_s:
        return seen_s, waited or len(sent) < len(group.requests)
    return traffic.duration_s, waited


def _p_value(changes: NDArray[np.float64]) -> float | None:
    """Of prompts that all change alike there is no doubt."""
    if changes.size < 2:
        return None
    return t_test(changes) if np.ptp(changes) else float(changes[0] == 0)


def _seconds(utc: str) -> float:
    return datetime.fromisoformat(utc).timestamp()


def _beside(
    table: DataFrame, lightest: Setting, setting: Setting, metrics: Sequence[MetricSpec]
) -> tuple[int, int, tuple[Shift, ...]]:
    """Pictures of `setting` beside those of the lightest load: pairs, equal files, and how the scores moved."""
    delivered = table[(table["status"] == "ok") & table["image_index"].notna()]
    mine, other = (delivered[delivered["setting_id"] == one.id] for one in (setting, lightest))
    if setting.id == lightest.id or not len(mine) or not len(other):
        return 0, 0, ()
    both = mine.merge(other, on=_PAIR, suffixes=("", "_lightest"))
    same = int((both["image_sha256"] == both["image_sha256_lightest"]).sum())
    shifts = []
    for metric in metrics:
        column = f"score_{metric.name}"
        if column not in both:
            continue
        change = (both[column] - both[f"{column}_lightest"]).to_numpy(dtype=float)
        there = np.isfinite(change)
        if there.any():
            changes = both.assign(change=change)[there].groupby("prompt_id")["change"].mean().to_numpy(dtype=float)
            shifts.append(Shift(metric=metric, change=mean_of_prompts(changes), p_value=_p_value(changes)))
    return len(both), same, tuple(shifts)
