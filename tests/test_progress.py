"""The time left is that of samples: loading and warming up are not spread over them."""

from __future__ import annotations

import io

from rich.console import Console

from kreabench.cli.progress import ProgressObserver
from kreabench.core.records import Cost, LoadRecord, SubmissionRecord, WarmupRecord
from tests.support import UTC, make_request, make_sample, make_setting, make_timings


def test_time_left_does_not_count_the_load() -> None:
    now = 0.0
    out = io.StringIO()
    with ProgressObserver(Console(file=out, width=120), clock=lambda: now) as observer:
        observer.generating(11, 0, 0)
        now = 60.0
        observer.record(LoadRecord(group_id="g", target="t", started_utc=UTC, load_s=60.0, identity={}), 0.0)
        now = 90.0
        warmup = WarmupRecord(
            group_id="g",
            setting_id=make_setting().id,
            started_utc=UTC,
            timings=make_timings(end_to_end_s=30.0),
            cost=Cost(usd=None, basis="none"),
        )
        observer.record(warmup, 0.0)
        now = 92.0
        observer.record(make_sample(), 0.0)
    assert "1 of 11 samples, 0 failed $0.000, about 20 s left" in out.getvalue()


def test_what_is_under_way_is_shown() -> None:
    out = io.StringIO()
    requests = [make_request(seed=seed) for seed in range(3)]
    with ProgressObserver(Console(file=out, width=120), clock=lambda: 0.0) as observer:
        observer.generating(3, 0, 0)
        for request in requests:
            submission = SubmissionRecord(
                request_id=request.id, setting_id=request.setting_id, group_id="g", attempt=1, at_utc=UTC
            )
            observer.record(submission, 0.0)
        observer.record(make_sample(requests[1]), 0.5)
    assert "1 of 3 samples, 0 failed $0.500 2 under way" in out.getvalue()
