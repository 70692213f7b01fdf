"""samples.parquet: one row an image, nothing invented, nothing dropped, the same types whatever happened."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from kreabench.core.errors import RunDirectoryError
from kreabench.core.planned import Plan
from kreabench.core.records import Cost, DeviceState, HostedCall, Memory, SampleRecord, Work
from kreabench.core.score_records import ScoreRecord
from kreabench.core.specs import MetricSpec
from kreabench.rundir.directory import TABLE_FILE, RunDirectory
from kreabench.rundir.table import join_table, read_table, rebuild_table
from tests.support import (
    ROOT,
    make_experiment,
    make_failure,
    make_group,
    make_image_record,
    make_plan,
    make_prompt,
    make_run,
    make_sample,
    make_score,
    make_setting,
    make_timings,
)

PLAN = make_plan(make_group(prompts=2, seeds=(0, 1)))
REQUESTS = PLAN.groups[0].requests


def table(
    path: Path, samples: Sequence[SampleRecord], scores: Sequence[ScoreRecord] = (), plan: Plan = PLAN
) -> pd.DataFrame:
    run = make_run(path / "run")
    with run.writer() as writer:
        for sample in samples:
            writer.append(sample)
    with run.score_writer() as score_writer:
        score_writer.append_scores(scores)
    joined = join_table(run, plan)
    assert not (run.path / TABLE_FILE).exists(), "joining writes nothing"
    assert rebuild_table(run, plan) == run.path / TABLE_FILE
    pd.testing.assert_frame_equal(joined, read_table(run))
    return read_table(run)


def test_everything_known_of_a_sample_is_in_its_row(tmp_path: Path) -> None:
    hosted = HostedCall(
        service_request_id="abc",
        attempts=1,
        polls=9,
        queue_s=0.25,
        inference_s=1.5,
        runner="h100",
        billable_units=2.0,
        observed_by="status_events",
        model_s=1.25,
        timings_s={"inference": 1.25},
        first_on_runner=True,
        in_flight=4,
        running=2,
    )
    sample = make_sample(
        REQUESTS[0],
        cost=Cost(usd=0.05, basis="billed", list_usd=0.025),
        timings=make_timings(stages_s={"queue": 0.1, "infer": 0.2}, resolution_s=0.02, first_call=True),
        hosted=hosted,
    )
    row = table(tmp_path, [sample]).iloc[0].to_dict()
    setting = PLAN.settings[0]
    expected = {
        "request_id": REQUESTS[0].id,
        "setting_id": setting.id,
        "group_id": "group",
        "target": "mini_fake",
        "task": "text-to-image",
        "acceleration": "none",
        "steps": 4,
        "guidance": 4.5,
        "width": 128,
        "height": 128,
        "num_images": 1,
        "output_format": "png",
        "concurrency": 1,
        "batch_size": 1,
        "replicas": 1,
        "reference_id": setting.id,
        "prompt_id": "prompt-0",
        "prompt": "a photograph of 0 red bicycles",
        "category": "objects",
        "seed": 0,
        "repeat": 0,
        "attempt": 1,
        "status": "ok",
        "started_utc": sample.started_utc,
        "steps_run": 4,
        "timing_valid": True,
        "first_call": True,
        "end_to_end_s": 0.5,
        "residual_s": 0.01,
        "resolution_s": 0.02,
        "stage_queue_s": 0.1,
        "stage_infer_s": 0.2,
        "peak_rss_bytes": 500_000_000,
        "service_request_id": "abc",
        "service_attempts": 1,
        "polls": 9,
        "queue_s": 0.25,
        "inference_s": 1.5,
        "runner": "h100",
        "billable_units": 2.0,
        "observed_by": "status_events",
        "model_s": 1.25,
        "first_on_runner": True,
        "rerouted": False,
        "recovered": False,
        "in_flight": 4,
        "running": 2,
        "usd": 0.05,
        "usd_basis": "billed",
        "list_usd": 0.025,
        "image_index": 0,
        "image_path": "images/made-up/0.png",
        "image_sha256": sample.images[0].sha256,
        "image_size_bytes": 1234,
        "image_width": 128,
        "image_height": 128,
        "image_format": "png",
        "image_seed": 0,
    }
    assert {name: value for name, value in row.items() if not pd.isna(value)} == expected
    assert set(row) - set(expected) == {
        *("error_type", "error_stage", "error_message", "peak_allocated_bytes", "peak_reserved_bytes"),
        *("nsfw", "degenerate", "safety_check_s", "strength"),
        *("driver_process_bytes", "driver_device_bytes", "energy_j", "sm_clock_mhz", "sm_clock_min_mhz"),
        *("temperature_c", "throttle_reasons", "foreign_processes"),
        *("reference_tflop", "done_tflop", "floor_s", "share_of_floor", "flags", "worker", "beside"),
        *("rate_per_s", "batch", "waited_s", "service_s"),
        *(
            f"score_{metric}{suffix}"
            for metric in ("clip", "psnr", "ssim")
            for suffix in ("", "_status", "_reason", "_truncated", "_untrained", "_notes", "_usd")
        ),
    }


def test_rows_follow_the_plan_with_one_row_an_image(tmp_path: Path) -> None:
    pair = (make_image_record(0, seed=1), make_image_record(1, seed=2, degenerate="black", nsfw=True))
    frame = table(
        tmp_path,
        [
            make_sample(REQUESTS[3]),
            make_sample(REQUESTS[1], images=pair),
            make_sample(REQUESTS[0], error=make_failure(message="signal 9")),
        ],
    )
    assert list(frame["request_id"]) == [REQUESTS[0].id, REQUESTS[1].id, REQUESTS[1].id, REQUESTS[3].id]
    assert list(frame["image_index"].astype("object")) == [pd.NA, 0, 1, 0]
    assert list(frame["image_seed"].dropna()) == [1, 2, REQUESTS[3].seed]
    assert list(frame["degenerate"].dropna()) == ["black"]


def test_a_failed_sample_keeps_its_error_and_has_no_image(tmp_path: Path) -> None:
    row = table(tmp_path, [make_sample(REQUESTS[0], error=make_failure())]).iloc[0]
    assert (row["status"], row["error_type"], row["error_stage"]) == ("failed", "crashed", "denoise")
    absent = ["image_index", "image_path", "end_to_end_s", "first_call", "steps_run", "score_clip", "score_clip_status"]
    assert row[absent].isna().all()
    assert not row["timing_valid"]


def test_the_last_line_of_a_request_counts(tmp_path: Path) -> None:
    frame = table(tmp_path, [make_sample(REQUESTS[0], error=make_failure()), make_sample(REQUESTS[0], attempt=2)])
    assert list(frame["status"]) == ["ok"]
    assert list(frame["attempt"]) == [2]


def test_scores_of_every_status_are_told_apart(tmp_path: Path) -> None:
    samples = [make_sample(request) for request in REQUESTS]
    scores = [
        make_score(samples[0], metric="psnr", value=30.25, truncated=True, untrained=True),
        make_score(samples[1], metric="psnr", status="infinite", value=None),
        make_score(samples[2], metric="psnr", status="failed", value=None, reason="the reference is gone"),
    ]
    frame = table(tmp_path, samples, scores).set_index("request_id")
    frame = frame.loc[[request.id for request in REQUESTS]]
    assert frame["score_psnr"].iloc[0] == 30.25
    assert frame["score_psnr"].isna().tolist() == [False, True, True, True]
    assert frame["score_psnr_status"].dropna().tolist() == ["ok", "infinite", "failed"]
    assert frame["score_psnr_status"].isna().tolist() == [False, False, False, True]
    assert frame["score_psnr_reason"].dropna().tolist() == ["", "", "the reference is gone"]
    assert frame["score_psnr_truncated"].dropna().tolist() == [True, False, False]
    assert frame["score_psnr_untrained"].dropna().tolist() == [True, False, False]
    assert frame["score_ssim"].isna().all()


def test_scores_go_to_their_own_image(tmp_path: Path) -> None:
    sample = make_sample(REQUESTS[0], images=(make_image_record(0), make_image_record(1)))
    score = make_score(sample, image_index=1, image_sha256=sample.images[1].sha256)
    frame = table(tmp_path, [sample], [score])
    assert frame["score_clip"].isna().tolist() == [True, False]


def test_a_score_of_a_picture_that_was_replaced_does_not_count(tmp_path: Path) -> None:
    sample = make_sample(REQUESTS[0])
    frame = table(tmp_path, [sample], [make_score(sample, image_sha256="f" * 64), make_score(sample, request_id="x")])
    assert frame["score_clip"].isna().all()


def test_scores_of_two_identities_are_never_mixed(tmp_path: Path) -> None:
    samples = [make_sample(request) for request in REQUESTS[:3]]
    old = [make_score(sample, value=1.0, identity="old") for sample in samples]
    new = make_score(samples[1], value=2.0, identity="new")
    other = [make_score(sample, metric="ssim", value=0.5, identity="old") for sample in samples]
    frame = table(tmp_path, samples, [*old, *other, new])
    assert frame["score_clip"].dropna().tolist() == [2.0]
    assert frame["score_ssim"].tolist() == [0.5, 0.5, 0.5]


def test_a_metric_that_was_asked_for_later_comes_last(tmp_path: Path) -> None:
    sample = make_sample(REQUESTS[0])
    frame = table(tmp_path, [sample], [make_score(sample, metric="another", value=7.0)])
    assert list(frame.columns)[-7:] == [
        "score_another",
        "score_another_status",
        "score_another_reason",
        "score_another_truncated",
        "score_another_untrained",
        "score_another_notes",
        "score_another_usd",
    ]


def test_types_do_not_depend_on_what_happened(tmp_path: Path) -> None:
    full = make_sample(REQUESTS[0], images=(make_image_record(0, nsfw=False),))
    frames = [
        table(tmp_path / "empty", []),
        table(tmp_path / "failed", [make_sample(REQUESTS[0], error=make_failure())]),
        table(tmp_path / "full", [full], [make_score(full)]),
    ]
    numeric = {
        name: dtype
        for name, dtype in frames[2].dtypes.items()
        if pd.api.types.is_numeric_dtype(dtype) and not str(name).startswith("stage_")
    }
    for frame in frames:
        assert {name: dtype for name, dtype in frame.dtypes.items() if name in numeric} == numeric
        assert str(frame["score_clip"].dtype) == "float64"
        assert str(frame["nsfw"].dtype) == "boolean"
        assert str(frame["timing_valid"].dtype) == "bool"
        assert str(frame["seed"].dtype) == "int64"
    files = [tmp_path / name / "run" / TABLE_FILE for name in ("empty", "failed")]
    assert pq.read_schema(files[0]) == pq.read_schema(files[1])


def test_large_integers_stay_exact_beside_absent_ones(tmp_path: Path) -> None:
    big = make_sample(REQUESTS[0], images=(make_image_record(seed=2**64 - 1), make_image_record(1, seed=None)))
    frame = table(tmp_path, [big])
    assert frame["image_seed"].iloc[0] == 2**64 - 1
    assert frame["image_seed"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    "text", ["=cmd|'/C calc'!A0", "</script><b>\u2028", "日本語 🦊", "a\x00b\n\r\t", "", "${oc.env:X}"]
)
def test_prompts_of_any_text_come_back_as_they_were(tmp_path: Path, text: str) -> None:
    group = make_group()
    request = replace(group.requests[0], prompt=text)
    plan = make_plan(replace(group, requests=(request,)))
    frame = table(tmp_path, [make_sample(request)], plan=plan)
    assert list(frame["prompt"]) == [text]


def test_more_rows_than_one_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kreabench.rundir.join._BATCH_ROWS", 3)
    plan = make_plan(make_group(prompts=4, seeds=(0, 1)))
    samples = [
        make_sample(request, images=(make_image_record(seed=n),)) for n, request in enumerate(plan.groups[0].requests)
    ]
    scores = [make_score(sample, value=float(number)) for number, sample in enumerate(samples)]
    frame = table(tmp_path, samples, scores, plan)
    assert frame["image_seed"].tolist() == list(range(8))
    assert frame["score_clip"].tolist() == [float(number) for number in range(8)]


def test_several_settings_and_groups(tmp_path: Path) -> None:
    first = make_group([make_setting(), make_setting(steps=8)], prompts=1)
    second = make_group([make_setting(target="other", reference_id=None)], prompts=1)
    plan = make_plan(first, second)
    samples = [make_sample(request) for group in plan.groups for request in group.requests]
    frame = table(tmp_path, samples, plan=plan)
    assert list(frame["steps"]) == [4, 8, 4]
    assert list(frame["target"]) == ["mini_fake", "mini_fake", "other"]
    assert frame["reference_id"].isna().tolist() == [False, False, True]


def test_samples_of_another_plan_are_no_rows_but_an_error(tmp_path: Path) -> None:
    stranger = make_sample(request_id="of another plan")
    with pytest.raises(RunDirectoryError, match="holds 1 samples of another plan, request 'of another plan'"):
        table(tmp_path, [make_sample(REQUESTS[0]), stranger])


def test_metrics_that_would_share_a_column(tmp_path: Path) -> None:
    metrics = tuple(MetricSpec(name=name, kind="psnr", options={}) for name in ("a", "a_status"))
    run = make_run(tmp_path / "run", experiment=make_experiment(metrics=metrics))
    with pytest.raises(RunDirectoryError, match="score_a_status"):
        rebuild_table(run, PLAN)


def test_a_category_comes_from_the_experiment(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", experiment=make_experiment(prompts=(make_prompt(0, category=None),)))
    with run.writer() as writer:
        writer.append(make_sample(REQUESTS[0]))
    rebuild_table(run, PLAN)
    assert read_table(run)["category"].isna().all()


def test_rebuilding_replaces_the_table_and_leaves_nothing_else(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    for number in range(2):
        with run.writer() as writer:
            writer.append(make_sample(REQUESTS[number]))
        rebuild_table(run, PLAN)
        assert len(read_table(run)) == number + 1
    assert not [entry.name for entry in run.path.iterdir() if entry.name.endswith(".part")]


REBUILD = """
import resource, sys
from pathlib import Path
from kreabench.core.errors import StorageError
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.table import rebuild_table
from tests.test_table import PLAN

resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    rebuild_table(RunDirectory.open(Path(sys.argv[1])), PLAN)
except StorageError as error:
    print(error)
"""


def test_a_refused_write_leaves_the_table_of_before(tmp_path: Path) -> None:
    frame = table(tmp_path, [make_sample(REQUESTS[0])])
    path = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-B", "-c", REBUILD, str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=ROOT,
    )
    assert "samples.parquet: File too large" in done.stdout
    assert "ulimit -f" in done.stdout
    pd.testing.assert_frame_equal(read_table(RunDirectory.open(path)), frame)
    assert not [entry.name for entry in path.iterdir() if entry.name.endswith(".part")]


def test_reading_a_table_that_is_not_there_or_damaged(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with pytest.raises(RunDirectoryError, match=r"samples\.parquet does not exist") as caught:
        read_table(run)
    assert "kreabench score" in caught.value.remedy
    (run.path / TABLE_FILE).write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(RunDirectoryError, match=r"cannot read .*samples\.parquet"):
        read_table(run)


def test_what_a_gpu_was_asked_and_flagged_is_in_its_row(tmp_path: Path) -> None:
    plan = make_plan(make_group(prompts=2))
    first, second = plan.groups[0].requests
    run = make_run(tmp_path / "run")
    state = DeviceState(
        energy_j=2100.5,
        sm_clock_mhz=1755.0,
        sm_clock_min_mhz=1600.0,
        temperature_c=61.0,
        throttle_reasons=("power limit", "thermal slowdown"),
        foreign_processes=0,
        readings=40,
    )
    work = Work(
        reference_tflop=2100.0, done_tflop=1050.0, stages_tflop={"denoise": 1039.5}, floor_s=1.3, share_of_floor=0.5
    )
    memory = Memory(
        peak_rss_bytes=1,
        peak_allocated_bytes=2,
        peak_reserved_bytes=3,
        stages_allocated_bytes={"denoise": 2},
        stages_reserved_bytes={"denoise": 3},
        driver_process_bytes=4,
        driver_device_bytes=5,
    )
    with run.writer() as writer:
        writer.append(make_sample(first, memory=memory, device=state, work=work, flags=("one", "two")))
        writer.append(make_sample(second))
    rebuild_table(run, plan)
    frame = read_table(run)
    row, bare = (dict(frame.iloc[number]) for number in (0, 1))
    assert row["throttle_reasons"] == "power limit; thermal slowdown"
    assert row["flags"] == "one; two"
    assert row["stage_denoise_allocated_bytes"] == 2
    assert row["stage_denoise_reserved_bytes"] == 3
    assert (row["driver_process_bytes"], row["driver_device_bytes"]) == (4, 5)
    assert (row["energy_j"], row["done_tflop"], row["share_of_floor"]) == (2100.5, 1050.0, 0.5)
    assert not [name for name in frame.columns if name.startswith("stage_decode") and name.endswith("bytes")]
    for name in ("energy_j", "flags", "throttle_reasons", "driver_device_bytes", "stage_denoise_allocated_bytes"):
        assert pd.isna(bare[name])
