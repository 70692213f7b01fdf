"""Summaries of settings: what is counted, what is left out of which number, and what is absent rather than zero."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from kreabench.analysis.notices import notice
from kreabench.analysis.settings import requested_by_setting, summarise
from kreabench.core.specs import MetricSpec
from tests.support import make_group, make_plan, make_setting, make_target

SETTING = make_setting()
METRICS = (MetricSpec(name="clip", kind="clip_score", options={}),)

ROW: dict[str, Any] = {
    "request_id": "request-0",
    "setting_id": SETTING.id,
    "prompt_id": "prompt-0",
    "status": "ok",
    "timing_valid": True,
    "end_to_end_s": 0.5,
    "residual_s": 0.01,
    "resolution_s": np.nan,
    "stage_encode_s": 0.09,
    "stage_denoise_s": 0.4,
    "peak_rss_bytes": 500,
    "peak_allocated_bytes": None,
    "service_request_id": None,
    "usd": np.nan,
    "usd_basis": "none",
    "image_index": 0,
    "degenerate": None,
    "score_clip": 20.0,
    "score_clip_status": "ok",
    "score_clip_reason": "",
    "score_clip_truncated": False,
    "score_clip_untrained": False,
}


def table(*rows: dict[str, Any]) -> pd.DataFrame:
    """The given rows over defaults, with the types of `rundir.table.read_table`."""
    filled = [{**ROW, "request_id": f"request-{number}", **row} for number, row in enumerate(rows)]
    nullable = dict.fromkeys(("peak_rss_bytes", "peak_allocated_bytes", "image_index"), "Int64")
    nullable |= dict.fromkeys(("score_clip_truncated", "score_clip_untrained"), "boolean")
    return pd.DataFrame(filled, columns=list(ROW)).astype(nullable)


FAILED: dict[str, Any] = {
    "status": "failed",
    "timing_valid": False,
    "end_to_end_s": np.nan,
    "residual_s": np.nan,
    "stage_encode_s": np.nan,
    "stage_denoise_s": np.nan,
    "peak_rss_bytes": None,
    "image_index": None,
    "score_clip": np.nan,
    "score_clip_status": None,
    "score_clip_reason": None,
    "score_clip_truncated": None,
    "score_clip_untrained": None,
}


def unscored(status: str | None, reason: str = "") -> dict[str, Any]:
    """A picture without a value."""
    return {"score_clip": np.nan, "score_clip_status": status, "score_clip_reason": reason}


def test_a_request_with_four_pictures_is_one_timing() -> None:
    pictures = [{"request_id": "a", "image_index": k, "end_to_end_s": 1.0} for k in range(4)]
    (summary,) = summarise(table(*pictures, {"end_to_end_s": 3.0}), [SETTING], METRICS)
    assert summary.latency is not None
    assert (summary.ok, summary.images, summary.latency.n) == (2, 5, 2)
    assert summary.latency.value == 2.0


def test_only_samples_made_for_timing_are_timed_and_failures_are_counted() -> None:
    rows = table({}, {"timing_valid": False, "end_to_end_s": 99.0}, FAILED)
    (summary,) = summarise(rows, [SETTING], METRICS, requested={SETTING.id: 5})
    assert summary.latency is not None
    assert (summary.latency.value, summary.latency.n) == (0.5, 1)
    assert (summary.requested, summary.ok, summary.failed, summary.images) == (5, 2, 1, 2)


def test_stages_add_up_to_the_mean_of_the_whole_and_the_rest_is_named() -> None:
    rows = table({"stage_encode_s": 0.1}, {"stage_encode_s": 0.3}, {"stage_encode_s": 0.2})
    (summary,) = summarise(rows, [SETTING], METRICS)
    assert [(stage.name, stage.n) for stage in summary.stages] == [("encode", 3), ("denoise", 3), ("unexplained", 3)]
    assert [stage.mean_s for stage in summary.stages] == pytest.approx([0.2, 0.4, 0.01])


def test_a_stage_that_only_some_samples_had_counts_for_the_others_as_no_time() -> None:
    """A poll may see queue and inference apart, or only both together: the bars must not be longer than the whole."""
    rows = table({"stage_encode_s": 0.4, "end_to_end_s": 0.81}, {"stage_encode_s": None, "end_to_end_s": 0.41})
    (summary,) = summarise(rows, [SETTING], METRICS)
    assert (summary.stages[0].name, summary.stages[0].n) == ("encode", 1)
    assert sum(stage.mean_s for stage in summary.stages) == pytest.approx((0.81 + 0.41) / 2)


def test_percentiles_appear_with_enough_timings_only() -> None:
    seconds = np.random.default_rng(0).lognormal(size=60)
    (few,) = summarise(table(*({"end_to_end_s": s} for s in seconds[:28])), [SETTING], METRICS)
    (many,) = summarise(table(*({"end_to_end_s": s} for s in seconds)), [SETTING], METRICS)
    assert dict(few.percentiles) == {}
    assert sorted(many.percentiles) == [0.90, 0.95]


def test_memory_is_the_device_where_there_is_one_and_says_which() -> None:
    (resident,) = summarise(table({}, {"peak_rss_bytes": 700}), [SETTING], METRICS)
    (allocated,) = summarise(table({"peak_allocated_bytes": 900}, {"peak_allocated_bytes": 300}), [SETTING], METRICS)
    assert resident.memory is not None
    assert allocated.memory is not None
    assert (resident.memory.kind, resident.memory.max_bytes, resident.memory.median_bytes) == ("resident", 700, 600)
    assert (allocated.memory.kind, allocated.memory.max_bytes) == ("allocated", 900)


def test_a_hosted_setting_has_no_memory_of_the_waiting_client() -> None:
    (summary,) = summarise(table({"service_request_id": "abc"}), [SETTING], METRICS)
    assert summary.memory is None


def test_dollars_an_image_come_from_delivered_pictures_and_failures_are_said_apart() -> None:
    rows = table(
        {"request_id": "a", "image_index": 0, "usd": 0.06, "usd_basis": "billed"},
        {"request_id": "a", "image_index": 1, "usd": 0.06, "usd_basis": "billed"},
        {"usd": 0.06, "usd_basis": "billed"},
        {},
        {**FAILED, "usd": 0.05, "usd_basis": "price_list"},
    )
    (summary,) = summarise(rows, [SETTING], METRICS)
    cost = summary.cost
    assert cost.usd_per_image == pytest.approx(0.04)
    assert (cost.priced_images, summary.images) == (3, 4)
    assert cost.usd == pytest.approx(0.17)
    assert cost.usd_failed == pytest.approx(0.05)
    assert cost.bases == ("billed", "price_list")


def test_dollars_of_device_seconds_leave_out_what_the_latency_leaves_out() -> None:
    first = {"usd": 0.5, "usd_basis": "device_hour", "timing_valid": False}
    timed = {"usd": 0.01, "usd_basis": "device_hour"}
    (summary,) = summarise(table(first, timed, timed), [SETTING], METRICS)
    assert summary.cost.usd_per_image == pytest.approx(0.01)
    assert summary.cost.priced_images == 2
    assert summary.cost.usd == pytest.approx(0.52), "what was spent is all of it"
    (alone,) = summarise(table(first), [SETTING], METRICS)
    assert alone.cost.usd_per_image == pytest.approx(0.5)
    billed = {"usd": 0.05, "usd_basis": "billed", "timing_valid": False}
    (hosted,) = summarise(table(billed, {**billed, "usd": 0.03, "timing_valid": True}), [SETTING], METRICS)
    assert hosted.cost.usd_per_image == pytest.approx(0.04), "a service bills a first call like any other"


def test_an_interval_of_a_mean_ends_where_the_metric_does() -> None:
    rows = [{"score_clip": value, "prompt_id": f"prompt-{value}"} for value in (0.0, 1.0, 9.0)]
    (free,) = summarise(table(*rows), [SETTING], METRICS)
    (bounded,) = summarise(table(*rows), [SETTING], METRICS, bounds={"clip": (0.0, 12.0)})
    assert free.metrics[0].mean is not None
    assert bounded.metrics[0].mean is not None
    assert free.metrics[0].mean.value == bounded.metrics[0].mean.value
    assert free.metrics[0].mean.interval != (0.0, 12.0)
    assert bounded.metrics[0].mean.interval == (0.0, 12.0)


def test_pictures_that_are_none_are_counted_by_kind() -> None:
    kinds = ("black", None, "noise", "black", "nan")
    rows = [{"degenerate": kind, "prompt_id": f"prompt-{n}"} for n, kind in enumerate(kinds)]

    (summary,) = summarise(table(*rows, {**FAILED, "degenerate": None}), (SETTING,), METRICS)

    assert summary.degenerate == {"black": 2, "noise": 1, "nan": 1}
    assert next(iter(summary.degenerate)) == "black"
    assert summary.images == 5


def test_no_price_is_no_dollars_not_zero_dollars() -> None:
    (summary,) = summarise(table({}), [SETTING], METRICS)
    assert (summary.cost.usd_per_image, summary.cost.usd, summary.cost.usd_failed) == (None, None, None)


def test_every_picture_is_in_exactly_one_count_of_a_metric() -> None:
    rows = table(
        {"prompt_id": "a", "score_clip": 20.0},
        {"prompt_id": "a", "score_clip": 22.0, "score_clip_truncated": True},
        {"prompt_id": "b", "score_clip": 25.0, "score_clip_untrained": True},
        unscored("infinite"),
        unscored("not_applicable", "the picture is black"),
        unscored("not_applicable", "the picture is black"),
        unscored("failed", "out of memory"),
        unscored("ok"),
        unscored(None),
        FAILED,
    )
    (summary,) = summarise(rows, [SETTING], METRICS)
    (metric,) = summary.metrics
    assert metric.mean is not None
    assert (metric.mean.value, metric.mean.n) == (23.0, 2)
    counts = (metric.scored, metric.infinite, metric.not_applicable, metric.failed, metric.unscored)
    assert counts == (3, 1, 2, 2, 1), "a score that is ok without a value is a failed one"
    assert sum(counts) == summary.images
    assert metric.reasons == ("the picture is black", "out of memory")
    assert (metric.truncated, metric.untrained) == (1, True)


def test_a_metric_that_never_ran_is_unscored() -> None:
    later = MetricSpec(name="later", kind="psnr", options={})
    (summary,) = summarise(table({}, {}), [SETTING], [later])
    (metric,) = summary.metrics
    assert (metric.mean, metric.unscored, metric.untrained) == (None, 2, False)


def test_settings_without_a_sample_are_there_in_the_order_asked() -> None:
    other = make_setting(steps=9)
    first, second = summarise(table({}), [other, SETTING], METRICS)
    assert (first.setting, first.ok, first.latency, first.memory) == (other, 0, None, None)
    assert (second.setting, second.ok) == (SETTING, 1)


def test_a_plan_says_how_many_requests_each_setting_has() -> None:
    settings = (make_setting(), make_setting(steps=9))
    plan = make_plan(make_group(settings, prompts=3, seeds=(0, 1)))
    assert requested_by_setting(plan) == {settings[0].id: 6, settings[1].id: 6}


@pytest.mark.parametrize(
    ("brands", "text"),
    [
        ([(True, False), (False, True)], "untrained weights, emulated service: numbers show the tool, not the model"),
        ([(True, False), (False, False)], "untrained weights: numbers show the tool, not the model"),
        ([(False, True)], "emulated service: numbers show the tool, not the model"),
        ([(False, False)], None),
        ([], None),
    ],
)
def test_the_notice_says_what_the_targets_say_of_themselves(brands: list[tuple[bool, bool]], text: str | None) -> None:
    targets = [make_target(untrained=untrained, emulated=emulated) for untrained, emulated in brands]
    assert notice(targets) == text


@pytest.mark.parametrize("changes", [{"concurrency": 8}, {"rate_per_s": 4.0}])
def test_latencies_of_requests_that_may_wait_for_one_another_tell_less(changes: dict[str, Any]) -> None:
    """A queue that comes and goes once in forty requests."""
    seconds = [1.0 + 0.5 * np.sin(2 * np.pi * number / 40) + 0.001 * (number % 7) for number in range(160)]
    widths = []
    for setting in (SETTING, make_setting(**changes)):
        rows = [{"end_to_end_s": value, "setting_id": setting.id} for value in seconds]
        (found,) = summarise(table(*rows), [setting], METRICS)
        assert found.latency is not None
        assert found.latency.interval is not None
        assert found.latency.value == pytest.approx(np.median(seconds))
        widths.append(found.latency.interval[1] - found.latency.interval[0])
    assert widths[1] > 1.5 * widths[0]
