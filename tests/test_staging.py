"""The stage clock and the memory record, with a made-up pipeline, clock and kernel: exact seconds, no model."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kreabench.backends.memory import PeakRss
from kreabench.backends.staging import STAGES, StageClock
from kreabench.core.device_names import is_device_name


class QueueingDevice:
    """A device as CUDA is: calls queue work, and time passes only when somebody waits for it."""

    name = "made up"
    model = "made up"
    uuid: str | None = None

    def __init__(self) -> None:
        self.time = 0.0
        self.pending = 0.0

    def queue(self, seconds: float) -> None:
        self.pending += seconds

    def now(self) -> float:
        return self.time

    def synchronize(self) -> None:
        self.time += self.pending
        self.pending = 0.0

    def mark(self) -> float:
        return self.time + self.pending

    def seconds_between(self, marks: Sequence[Any]) -> tuple[float, ...]:
        return tuple(later - earlier for earlier, later in pairwise(marks))

    def reset_peaks(self) -> None: ...

    def peaks(self) -> tuple[int | None, int | None]:
        return None, None

    def memory(self) -> tuple[int, int]:
        return 0, 0

    def release(self) -> None: ...


class MadeUpPipeline:
    """Calls its parts in the order of diffusers' FLUX pipelines; each takes a power of two, so sums are exact."""

    def __init__(self, device: QueueingDevice, *, fail_at_step: int | None = None) -> None:
        self.device = device
        self.fail_at_step = fail_at_step
        self.vae = SimpleNamespace(decode=lambda: device.queue(8.0))
        self.image_processor = SimpleNamespace(postprocess=lambda: device.queue(16.0))

    def encode_prompt(self) -> None:
        self.device.queue(1.0)

    def progress_bar(self) -> None: ...

    def __call__(self, steps: int, callback: Any) -> str:
        self.device.queue(0.5)  # checks of the input
        self.encode_prompt()
        self.device.queue(2.0)  # noise and schedule
        self.progress_bar()
        for step in range(steps):
            if step == self.fail_at_step:
                raise RuntimeError("made up")
            self.device.queue(4.0)
            assert callback(self, step, None, {}) == {}
        self.vae.decode()
        self.image_processor.postprocess()
        self.device.queue(0.25)  # resetting caches
        return "pictures"


def test_stages_are_those_of_the_device_not_of_the_queue() -> None:
    device = QueueingDevice()
    device.queue(64.0)  # work from before the call is not its own
    pipeline, clock = MadeUpPipeline(device), StageClock(device, device.now)
    with clock.watching(pipeline):
        result = clock.run(lambda: pipeline(3, clock.step_ended))
    timings = clock.timings()
    assert result == "pictures"
    assert timings.stages_s == {
        "encode_text": 1.0,
        "prepare": 2.5,
        "denoise": 12.0,
        "decode": 8.0,
        "postprocess": 16.0,
    }
    assert tuple(timings.stages_s) == tuple(stage for stage in STAGES if stage != "encode_image")
    assert timings.steps_s == (4.0, 4.0, 4.0)
    assert clock.steps_run == 3
    assert timings.end_to_end_s == 39.75
    assert timings.residual_s == 0.25


def test_nothing_stays_wrapped_after_an_aborted_call() -> None:
    device = QueueingDevice()
    pipeline, clock = MadeUpPipeline(device, fail_at_step=1), StageClock(device, device.now)
    before, decode = set(vars(pipeline)), pipeline.vae.decode
    with pytest.raises(RuntimeError, match="made up"), clock.watching(pipeline):
        clock.run(lambda: pipeline(3, clock.step_ended))
    assert set(vars(pipeline)) == before
    assert pipeline.vae.decode is decode
    assert clock.stage == "denoise"
    assert clock.steps_run == 1


@pytest.mark.parametrize("name", ["auto", "cpu", "cuda", "cuda:0", "cuda:11"])
def test_names_of_devices(name: str) -> None:
    assert is_device_name(name)


@pytest.mark.parametrize("name", ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:²", "cpu:0", "auto:1", "CUDA"])
def test_names_that_are_no_devices(name: str) -> None:
    assert not is_device_name(name)


def test_peak_memory_is_that_of_the_call_alone() -> None:
    peak = PeakRss()
    peak.reset()
    if peak.bytes() is None:
        pytest.skip("this kernel or container keeps no high-water mark of one call")
    with mmap.mmap(-1, 200_000_000) as big:  # of its own: an allocator may have as much to give again
        big.write(b"x" * 200_000_000)
        high = peak.bytes()
    peak.reset()
    low = peak.bytes()
    assert high is not None
    assert low is not None
    assert high - low > 150_000_000


def test_peak_memory_is_absent_where_it_cannot_be_known(tmp_path: Path) -> None:
    forbidden = PeakRss(tmp_path / "none")
    forbidden.reset()
    assert forbidden.bytes() is None
    (tmp_path / "status").write_text("Name:\tpython\nVmRSS:\t  1000 kB\n")
    without_mark = PeakRss(tmp_path)
    without_mark.reset()
    assert without_mark.bytes() is None
    (tmp_path / "status").write_text("Name:\tpython\nVmHWM:\t  1000 kB\n")
    assert without_mark.bytes() == 1_024_000
