"""What levels of load say of themselves: cut short, still being drawn, or over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kreabench.config.resolve import load
from kreabench.core.planned import LoadGroup, Request
from kreabench.core.records import UNANSWERED, FailureRecord, LoadRecord, Record, SubmissionRecord
from kreabench.core.specs import MetricSpec
from kreabench.decisions.load_levels import load_curves
from kreabench.plan_build import build_plan
from kreabench.plan_of_run import plan_of
from kreabench.report.evidence import Evidence, gather
from kreabench.report.load.words import SHIFT_LEVEL, load_sentences
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.table import join_table
from kreabench.tracking.telling import export_of
from tests.support import make_failure, make_run, make_sample, make_timings


@pytest.fixture(name="run")
def _run(request: pytest.FixtureRequest, tmp_path: Path) -> RunDirectory:
    words = getattr(request, "param", ())
    asked = ("target=[openai_images]", "axes.size=[256x256]", "metrics=[]", "run.load=on", "load.duration_s=10")
    experiment = load([*asked, *words]).experiment
    return make_run(tmp_path / "run", experiment=experiment, plan_hash=build_plan(experiment).hash)


def at(second: float) -> str:
    return f"2026-01-01T00:00:{second:06.3f}Z"


def opened(group: LoadGroup, second: float = 0.0) -> LoadRecord:
    return LoadRecord(group_id=group.id, target=group.target.name, started_utc=at(second), load_s=0.1, identity={})


def sent(group: LoadGroup, request: Request, second: float) -> SubmissionRecord:
    return SubmissionRecord(
        request_id=request.id,
        setting_id=request.setting_id,
        group_id=group.id,
        attempt=1,
        at_utc=at(second),
        service_request_id=None,
    )


def over(group: LoadGroup) -> FailureRecord:
    """The clock has ended a level with requests in flight."""
    error = make_failure(type=UNANSWERED[0], stage=UNANSWERED[1])
    return FailureRecord(
        group_id=group.id, setting_id=None, request_id=None, attempt=1, started_utc=at(59), error=error
    )


def answered(group: LoadGroup, request: Request, second: float, took_s: float) -> list[Record]:
    sample = make_sample(request, started_utc=at(second), timings=make_timings(end_to_end_s=took_s, stages_s={}))
    return [sent(group, request, second), replace(sample, group_id=group.id, hosted=None)]


def evidence_of(run: RunDirectory, records: Sequence[Record]) -> Evidence:
    with run.writer() as writer:
        for record in records:
            writer.append(record)
    plan = plan_of(run)
    return gather(run, plan, join_table(run, plan))


@pytest.mark.parametrize("run", [("load.arrivals=closed", "load.in_flight=[2]", "load.max_requests=9")], indirect=True)
def test_a_closed_loop_that_was_cut_short_is_so_in_the_report_too(run: RunDirectory) -> None:
    (group,) = plan_of(run).groups
    first, second, third, *_ = group.requests
    evidence = evidence_of(
        run,
        [
            opened(group),
            *answered(group, first, 1, 2.0),
            *answered(group, second, 1, 2.5),
            sent(group, third, 3.0),
        ],
    )
    assert evidence.plan.request_count == 3, "what a closed loop did not come to is not missing"
    (level,) = evidence.load[0].levels
    assert (level.cut_short, level.planned, level.summary.sent, level.summary.unanswered) == (True, 9, 2, 0)
    said = "\n".join(load_sentences(evidence.load))
    assert "was cut short: its numbers are of its first 2.50 s; what was unanswered is in its queue alone." in said


@pytest.mark.parametrize("run", [("load.arrivals=fixed", "load.rate=[0.5,1]")], indirect=True)
def test_a_level_that_is_being_drawn_was_not_cut_short(run: RunDirectory) -> None:
    light, heavy = plan_of(run).groups
    records = [opened(light), *(one for request in light.requests for one in answered(light, request, 1, 1.0))]
    records += [opened(heavy, 20), *answered(heavy, heavy.requests[0], 21, 1.0), sent(heavy, heavy.requests[1], 22)]
    with run.drawing():
        evidence = evidence_of(run, records)
        assert [level.goes_on for level in evidence.load[0].levels] == [False, True]
        said = "\n".join(load_sentences(evidence.load))
        assert (
            "At 1/s: is drawn now: its numbers are of its first 1.00 s; what is unanswered yet is in its queue alone."
            in said
        )
        assert "cut short" not in said
        # All were sent, and answers are awaited.
        rest = [sent(heavy, request, 23) for request in heavy.requests[2:]]
        (*_, level) = evidence_of(run, rest).load[0].levels
        assert (level.goes_on, level.cut_short, level.summary.sent, level.summary.window_s) == (True, True, 1, 1.0)
        # A resume fetches what was unanswered when the level was cut short.
        (*_, level) = evidence_of(run, [opened(heavy, 58)]).load[0].levels
        assert (level.goes_on, level.cut_short, level.summary.unanswered) == (False, True, 0)
        # Or when it was over.
        (*_, level) = evidence_of(run, [over(heavy)]).load[0].levels
        assert (level.goes_on, level.cut_short, level.summary.unanswered) == (False, False, 9)


@pytest.mark.parametrize("run", [("load.arrivals=closed", "load.in_flight=[1]", "load.max_requests=2")], indirect=True)
def test_a_closed_loop_never_has_more_in_flight_than_it_may(run: RunDirectory) -> None:
    """Starts are journalled to the millisecond, so that one seems to come before the one whose place it takes ends."""
    (group,) = plan_of(run).groups
    first, second = group.requests
    evidence = evidence_of(run, [opened(group), *answered(group, first, 1, 1.0009), *answered(group, second, 2, 1.0)])
    (level,) = evidence.load[0].levels
    assert (level.summary.most_in_system, level.summary.left_in_system) == (1, 0)


@pytest.mark.parametrize(
    "run", [("load.arrivals=fixed", "load.rate=[0.2]", "load.drain_s=5", "load.objective_s=20")], indirect=True
)
def test_what_is_answered_after_the_level_is_over_was_not_answered_by_it(run: RunDirectory) -> None:
    """A call that cannot be withdrawn is given a few seconds more, with nothing else to do for the service."""
    (group,) = plan_of(run).groups
    first, second = group.requests
    assert (first.at_s, second.at_s) == (0.0, 5.0)
    late = answered(group, second, 6, 10.5)
    evidence = evidence_of(run, [opened(group), *answered(group, first, 1, 2.0), over(group), *late])
    (level,) = evidence.load[0].levels
    assert (level.cut_short, level.summary.ok, level.summary.failed, level.summary.unanswered) == (False, 1, 0, 1)
    assert level.summary.good is not None
    assert level.summary.good.value == 0.5


@pytest.mark.parametrize(
    "run", [("load.arrivals=closed", "load.in_flight=[2]", "load.max_requests=9", "load.drain_s=5")], indirect=True
)
def test_a_closed_loop_without_any_answer_is_a_level_all_the_same(run: RunDirectory) -> None:
    """A service that hangs has no part in what is cut short; it is the worst of all."""
    (group,) = plan_of(run).groups
    hanging = [sent(group, request, 1) for request in group.requests[:2]]
    (level,) = evidence_of(run, [opened(group), *hanging, over(group)]).load[0].levels
    assert (level.cut_short, level.summary.window_s, level.summary.unanswered) == (False, 10.0, 2)


@pytest.mark.parametrize("run", [("load.arrivals=fixed", "load.rate=[4]")], indirect=True)
def test_what_was_unanswered_when_a_level_was_cut_short_was_in_its_queue(run: RunDirectory) -> None:
    """One is answered a second, and four come: it is the level's queue that grew, also where nobody saw its end."""
    (group,) = plan_of(run).groups
    taken = [one for number, request in enumerate(group.requests[:8])
             for one in answered(group, request, 1, number + 1.0 - (request.at_s or 0.0))]  # fmt: skip
    waiting = [sent(group, request, 9) for request in group.requests[8:36]]
    (level,) = evidence_of(run, [opened(group), *taken, *waiting]).load[0].levels
    assert (level.cut_short, level.summary.window_s, level.summary.sent, level.summary.unanswered) == (True, 8.0, 8, 0)
    assert level.summary.growth is not None
    assert level.summary.growth.value == pytest.approx((17 - 5) / 4)
    assert level.summary.grows
    assert level.summary.left_in_system == 33 - 8


@pytest.mark.parametrize("run", [("load.arrivals=fixed", "load.rate=[0.5,1]")], indirect=True)
def test_an_exported_level_that_was_cut_short_is_over_though_others_have_not_begun(run: RunDirectory) -> None:
    light, _ = plan_of(run).groups
    export = export_of(evidence_of(run, [opened(light), *answered(light, light.requests[0], 1, 1.0)]))
    assert [entry.state for entry in (export.run, *export.settings)] == ["running", "finished", "running"]


@pytest.mark.parametrize("run", [("load.arrivals=fixed", "load.rate=[1,2,3,4]", "prompts=short")], indirect=True)
def test_scores_are_said_to_differ_where_they_do_and_rarely_where_they_do_not(run: RunDirectory) -> None:
    """Three metrics beside three heavier levels: nine tests a run."""
    plan = plan_of(run)
    records = [
        record
        for number, group in enumerate(plan.groups)
        for request in group.requests
        for record in answered(group, request, 10 * number + (request.at_s or 0.0), 0.2)
    ]
    evidence_of(run, records)
    table, rng = join_table(run, plan), np.random.default_rng(0)
    metrics = [MetricSpec(name=name, kind="clip_score", options={}) for name in ("one", "two", "three")]
    heaviest = table["setting_id"] == plan.groups[-1].settings[0].id
    rounds, named, wrong = 20, 0, 0
    for _ in range(rounds):
        scores = {f"score_{metric.name}": rng.normal(size=len(table)) for metric in metrics}
        said = load_sentences(load_curves(plan, records, table.assign(**scores), metrics))
        wrong += any("differs from that under the lightest load" in text for text in said)
        moved = {**scores, "score_two": scores["score_two"] - 4.0 * heaviest}
        said = load_sentences(load_curves(plan, records, table.assign(**moved), metrics))
        named += any(text.startswith("At 4/s: two differs from that under the lightest load by -") for text in said)
    assert wrong <= 3 * SHIFT_LEVEL * rounds
    assert named >= 0.95 * rounds
