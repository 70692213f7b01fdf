"""The local back end counts its own work rightly for every task, and calibrates outside of all timings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kreabench.backends.base import Generation
from kreabench.backends.input_images import describe_input
from kreabench.backends.local_diffusers import DiffusersBackend
from kreabench.core.specs import InputImage
from kreabench.execution.messages import Open, Opened, decode_answer
from kreabench.execution.worker import Worker
from tests.support import encode_image, make_acceleration, make_request, make_setting, picture

CACHE = {"first_block_cache": {"threshold": 0.3}}
TASKS = ("text-to-image", "image-to-image", "redux")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("inputs")


@pytest.fixture(scope="module")
def stored(inputs: Path) -> tuple[InputImage, ...]:
    images = []
    for seed in range(2):
        content = encode_image(picture(90, 70, seed=seed))
        images.append(describe_input(f"{seed}.png", content))
        (inputs / images[-1].file_name).write_bytes(content)
    return tuple(images)


@pytest.fixture(scope="module", params=TASKS)
def opened(
    request: pytest.FixtureRequest, mini_model: Path, mini_target: Callable[..., Any], inputs: Path
) -> Iterator[tuple[str, DiffusersBackend, dict[str, Any]]]:
    task = request.param
    backend = DiffusersBackend()
    options = {"redux_model": "builtin:mini-untrained-redux"} if task == "redux" else {}
    accelerations = [make_acceleration(), make_acceleration(name="cached", features=CACHE)]
    identity = backend.open(mini_target(task=task, options=options), accelerations, (), inputs=inputs)
    yield task, backend, identity
    backend.close()


def generate(task: str, backend: DiffusersBackend, stored: tuple[InputImage, ...], **changes: Any) -> Generation:
    strength = 0.6 if task == "image-to-image" else None
    images = {"text-to-image": (), "image-to-image": stored[:1], "redux": stored}[task]
    setting = make_setting(task=task, steps=5, num_images=2, width=128, height=96, strength=strength, **changes)
    return backend.generate(setting, make_request(setting, images=images))


def test_the_work_of_a_whole_call_is_what_torch_counts(
    opened: tuple[str, DiffusersBackend, dict[str, Any]], stored: tuple[InputImage, ...]
) -> None:
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    task, backend, _ = opened
    # The counter knows the matrix products of plain attention, not the processor's fused kernel.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work = generate(task, backend, stored).work
    assert work is not None
    assert work.reference_tflop == pytest.approx(counter.get_total_flops() / 1e12, rel=0.005)
    assert work.done_tflop == pytest.approx(work.reference_tflop)
    assert ("encode_image" in work.stages_tflop) == (task != "text-to-image")
    assert sum(work.stages_tflop.values()) == pytest.approx(work.done_tflop)


def test_a_cache_has_done_less_than_the_reference(
    opened: tuple[str, DiffusersBackend, dict[str, Any]], stored: tuple[InputImage, ...]
) -> None:
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    task, backend, _ = opened
    plain = generate(task, backend, stored).work
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        cached = generate(task, backend, stored, acceleration="cached").work
    assert plain is not None
    assert cached is not None
    assert cached.reference_tflop == plain.reference_tflop
    assert plain.done_tflop is not None
    assert cached.done_tflop is not None
    assert cached.done_tflop == pytest.approx(counter.get_total_flops() / 1e12, rel=0.005)
    assert cached.done_tflop < plain.done_tflop


def test_what_a_processor_cannot_tell_is_absent(
    opened: tuple[str, DiffusersBackend, dict[str, Any]], stored: tuple[InputImage, ...]
) -> None:
    task, backend, identity = opened
    generation = generate(task, backend, stored)
    assert generation.device is None
    assert generation.flags == ()
    assert generation.work is not None
    assert generation.work.floor_s is not None
    assert generation.work.floor_s > 0
    assert set(identity["calibration"]["tflop_s"]) == {"float32"}


def test_the_worker_takes_the_calibration_out_of_the_load(
    tmp_path: Path, mini_model: Path, mini_target: Callable[..., Any]
) -> None:
    order = Open(target=mini_target(), accelerations=(make_acceleration(),), settings=(), run_path=str(tmp_path))
    times = iter((100.0, 110.0))
    worker = Worker(now=lambda: "2026-01-02T03:04:05.678Z", clock=lambda: next(times))
    try:
        answer = decode_answer(worker.answer(order))
    finally:
        worker.close()
    assert isinstance(answer, Opened)
    assert "calibration" not in answer.identity
    assert answer.calibration is not None
    assert answer.calibration.copy_gb_s > 0
    assert answer.load_s == pytest.approx(10.0 - answer.calibration.seconds)
