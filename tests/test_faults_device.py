"""A GPU falls off: the record says so, what was measured stays, and once it is back `resume` finishes the run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from kreabench.backends.device_errors import is_device_lost
from kreabench.backends.load_errors import load_failure
from kreabench.core.planned import LoadGroup
from kreabench.core.records import FailureRecord, SampleRecord
from kreabench.execution.failures import describe
from kreabench.execution.pending import pending_work
from kreabench.rundir.directory import RunDirectory
from tests.engine_support import failures, faulty_target, kinds, loads, run, samples, start
from tests.support import make_group, make_plan, make_run, make_target

LOST = [
    "CUDA error: unspecified launch failure\nCUDA kernel errors might be asynchronously reported",
    "CUDA error: an illegal memory access was encountered",
    "CUDA error: uncorrectable ECC error encountered",
    "CUDA error: device-side assert triggered",
    "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx(handle)`",
    "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
    "CUDA driver error: unspecified launch failure",
    "Triton Error [CUDA]: misaligned address",
    "CUDA error: CUDA-capable device(s) is/are busy or unavailable",
    "HIP error: unspecified launch failure",
    "NVML: GPU is lost",
]
"""As torch, cuBLAS, cuDNN, Triton and the driver word it."""
STILL_THERE = [
    "CUDA error: out of memory",
    "CUDA error: no kernel image is available for execution on the device",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!",
    "unknown error",
]


@pytest.mark.parametrize("text", LOST)
def test_a_lost_device_is_known_by_its_words(text: str) -> None:
    failure, fatal = describe(RuntimeError(text), stage="denoise")
    assert (failure.type, failure.stage, failure.transient, fatal) == ("device_lost", "denoise", True, True)
    assert failure.message == f"RuntimeError: {text.splitlines()[0]}"
    assert "dmesg" in failure.remedy


@pytest.mark.parametrize("text", STILL_THERE)
def test_other_errors_are_none_of_a_lost_device(text: str) -> None:
    assert not is_device_lost(RuntimeError(text))
    assert not is_device_lost(ValueError(LOST[0]))


def test_a_device_lost_while_loading_is_no_damaged_file() -> None:
    try:
        raise OSError("cannot load the weights") from RuntimeError(LOST[0])
    except OSError as error:
        failure = load_failure(error, make_target())
    assert (failure.type, failure.stage, failure.fatal) == ("device_lost", "load", True)


def group_of(state_dir: Path, *faults: dict[str, Any], **options: Any) -> LoadGroup:
    return make_group(target=faulty_target(state_dir, *faults), **{"prompts": 3, **options})


def test_the_request_is_tried_once_more_in_a_fresh_worker(tmp_path: Path) -> None:
    group = group_of(tmp_path, {"kind": "device_lost", "prompt_contains": " 1 red", "times": 1}, warmup=1)
    records = run(group, tmp_path)
    assert kinds(records) == ["load", "warmup", "sample", "failure", "load", "warmup", "sample", "sample"]
    (failure,) = failures(records)
    assert (failure.error.type, failure.error.stage, failure.attempt) == ("device_lost", "generate", 1)
    assert [(found.status, found.attempt) for found in samples(records).values()] == [("ok", 1), ("ok", 2), ("ok", 1)]
    assert not samples(records)[group.requests[1].id].timing_valid


def test_a_request_that_takes_the_device_down_twice_fails_for_good_and_the_rest_goes_on(tmp_path: Path) -> None:
    group = group_of(tmp_path, {"kind": "device_lost", "prompt_contains": " 1 red"})
    records = run(group, tmp_path)
    assert kinds(records) == ["load", "sample", "failure", "load", "sample", "load", "sample"]
    error = samples(records)[group.requests[1].id].error
    assert error is not None
    assert (error.type, error.transient) == ("device_lost", False)


def test_a_device_lost_in_a_warm_up_is_tried_once_more(tmp_path: Path) -> None:
    group = group_of(tmp_path, {"kind": "device_lost", "times": 1}, warmup=1)
    records = run(group, tmp_path)
    assert kinds(records) == ["load", "failure", "load", "warmup", "sample", "sample", "sample"]


def test_a_device_that_stays_away_costs_nothing_measured_and_resume_finishes(tmp_path: Path) -> None:
    """While its folder is gone the stand-in can neither draw nor be loaded."""
    state_dir = tmp_path / "device"
    state_dir.mkdir()
    fault = {"kind": "device_lost", "prompt_contains": " 2 red", "times": 1}
    group = group_of(state_dir, fault, prompts=5)
    kept = make_run(tmp_path / "run")
    with kept.writer() as writer:
        for record in start(group, kept.path):
            if isinstance(record, FailureRecord) and record.error.type == "device_lost":
                state_dir.rename(tmp_path / "away")
            writer.append(record)
    before = RunDirectory.open(kept.path).samples()
    assert [sample.status for sample in before.values()] == ["ok", "ok", "failed", "failed", "failed"]
    errors = [sample.error for sample in before.values() if sample.error]
    assert {(error.type, error.stage, error.transient) for error in errors} == {("load_failed", "load", True)}

    (tmp_path / "away").rename(state_dir)
    state = kept.state()
    (work,) = pending_work(make_plan(group), state, retry_failed=False)
    assert [request.prompt_id for request in work.pending] == ["prompt-2", "prompt-3", "prompt-4"]
    assert state.deaths == {group.requests[2].id: 1}
    with kept.writer() as writer:
        options = {"pending": work.pending, "deaths": work.deaths, "tries": work.tries}
        for record in start(group, kept.path, **options):
            writer.append(record)
    after = kept.samples()
    assert [sample.status for sample in after.values()] == ["ok"] * 5
    assert [after[id_] for id_ in list(after)[:2]] == [before[id_] for id_ in list(before)[:2]]
    lines = Counter(record.request_id for record in kept.records() if isinstance(record, SampleRecord))
    assert [lines[request.id] for request in group.requests] == [1, 1, 2, 2, 2]
    assert [after[request.id].attempt for request in group.requests] == [1, 1, 2, 1, 1]
    assert len(loads(list(kept.records()))) == 2
