"""What is asked of the driver and the calibration: absent is None, short calls are read too, neighbours are flagged."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from kreabench.backends.calibration import Effort, calibrate, host_cache_bytes
from kreabench.backends.devices import HostDevice
from kreabench.backends.metering import Meter
from kreabench.backends.nvml import Reading, gpus, open_driver
from kreabench.backends.staging import StageClock
from tests.test_staging import MadeUpPipeline, QueueingDevice


class FakeError(Exception):
    """As NVMLError."""


class FakeLibrary:
    """The part of pynvml that is used, for one GPU; names in `refused` are not supported by it."""

    NVMLError = FakeError
    NVML_CLOCK_SM = 1
    NVML_TEMPERATURE_GPU = 0

    def __init__(self, *, refused: Sequence[str] = (), pids: Sequence[int] = (), mask: int = 0, uuid: str = "GPU-a"):
        self.refused, self.pids, self.mask, self.uuid = refused, pids, mask, uuid

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("nvml") and name in object.__getattribute__(self, "refused"):
            return self._refuse
        return object.__getattribute__(self, name)

    def _refuse(self, *_: Any) -> Any:
        raise FakeError("not supported")

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        if uuid != self.uuid:
            raise FakeError("not found")
        return "handle"

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:  # noqa: N802
        return 1_234_500

    def nvmlDeviceGetClockInfo(self, handle: str, kind: int) -> int:  # noqa: N802
        return 1980

    def nvmlDeviceGetTemperature(self, handle: str, sensor: int) -> int:  # noqa: N802
        return 55

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: str) -> int:  # noqa: N802
        return self.mask

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: str) -> int:  # noqa: N802
        return self.mask

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> Any:  # noqa: N802
        return SimpleNamespace(used=5 * 2**30, total=80 * 2**30)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[Any]:  # noqa: N802
        return [SimpleNamespace(pid=pid, usedGpuMemory=pid * 1000) for pid in self.pids]

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "600.1"

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
        return "handle"

    def nvmlDeviceGetName(self, handle: str) -> str:  # noqa: N802
        return "NVIDIA Made Up"

    def nvmlDeviceGetUUID(self, handle: str) -> str:  # noqa: N802
        return self.uuid

    def nvmlDeviceGetCudaComputeCapability(self, handle: str) -> tuple[int, int]:  # noqa: N802
        return (9, 0)


def test_the_driver_is_asked_in_its_own_words() -> None:
    driver = open_driver("a", FakeLibrary(pids=[os.getpid(), 7], mask=0x1 | 0x4 | 0x40))
    assert driver is not None
    assert driver.energy_j() == 1234.5
    assert driver.read() == Reading(
        sm_clock_mhz=1980.0,
        temperature_c=55.0,
        reasons=frozenset({"power limit", "hardware thermal slowdown"}),
        device_bytes=5 * 2**30,
        process_bytes=os.getpid() * 1000,
        foreign_processes=1,
    )


def test_what_a_device_does_not_tell_is_absent() -> None:
    names = [name for name in dir(FakeLibrary) if name.startswith("nvmlDeviceGet") and "Handle" not in name]
    driver = open_driver("GPU-a", FakeLibrary(refused=names))
    assert driver is not None
    assert driver.energy_j() is None
    silent = Reading(
        sm_clock_mhz=None,
        temperature_c=None,
        reasons=frozenset(),
        device_bytes=None,
        process_bytes=None,
        foreign_processes=None,
    )
    assert driver.read() == silent


def test_a_container_that_hides_our_number_does_not_make_us_a_stranger() -> None:
    driver = open_driver("a", FakeLibrary(pids=[4_000_001]))
    assert driver is not None
    reading = driver.read()
    assert (reading.process_bytes, reading.foreign_processes) == (None, 0)


def test_a_slice_of_a_gpu_and_an_unknown_one() -> None:
    assert open_driver("a", FakeLibrary(uuid="MIG-a")) is not None
    assert open_driver("b", FakeLibrary()) is None


def test_an_older_driver_tells_its_reasons_by_their_older_name() -> None:
    driver = open_driver("a", FakeLibrary(mask=0x4, refused=["nvmlDeviceGetCurrentClocksEventReasons"]))
    assert driver is not None
    assert driver.read().reasons == {"power limit"}


def test_gpus_are_listed_without_torch() -> None:
    (gpu,) = gpus(FakeLibrary())
    assert (gpu.name, gpu.capability, gpu.total_bytes, gpu.driver) == ("NVIDIA Made Up", (9, 0), 80 * 2**30, "600.1")
    (silent,) = gpus(FakeLibrary(refused=["nvmlDeviceGetMemoryInfo", "nvmlDeviceGetCudaComputeCapability"]))
    assert (silent.capability, silent.total_bytes, silent.used_bytes) == (None, None, None)
    assert gpus(FakeLibrary(refused=["nvmlDeviceGetHandleByIndex"])) == ()


def test_without_the_package_there_is_nothing_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    assert gpus() == ()
    assert open_driver("GPU-a") is None


class MadeUpDriver:
    """Counts what it is asked; every reading is hotter than the last."""

    def __init__(self, *, energy: bool = True, foreign: int = 0, reasons: frozenset[str] = frozenset()) -> None:
        self.asked, self.energy, self.foreign, self.reasons, self.used = 0, energy, foreign, reasons, 10.0

    def energy_j(self) -> float | None:
        self.used += 2.5
        return self.used if self.energy else None

    def read(self) -> Reading:
        self.asked += 1
        return Reading(
            sm_clock_mhz=2000.0 - self.asked,
            temperature_c=40.0 + self.asked,
            reasons=self.reasons,
            device_bytes=100 + self.asked,
            process_bytes=None,
            foreign_processes=self.foreign,
        )


def measured(driver: MadeUpDriver | None, seconds: float = 0.0, interval_s: float = 60.0) -> Meter:
    meter = Meter(driver, interval_s)
    with meter.around_call(QueueingDevice()):
        time.sleep(seconds)
    return meter


def test_a_short_call_is_read_before_and_after() -> None:
    meter = measured(MadeUpDriver())
    state = meter.device()
    assert state is not None
    assert (state.energy_j, state.readings, state.temperature_c) == (2.5, 2, 42.0)
    assert (state.sm_clock_mhz, state.sm_clock_min_mhz) == (1998.5, 1998.0)
    memory = meter.memory({}, (None, None))
    assert (memory.driver_process_bytes, memory.driver_device_bytes) == (None, 102)
    assert meter.flags() == ()


def test_a_long_call_is_also_read_in_between() -> None:
    state = measured(MadeUpDriver(), seconds=0.3, interval_s=0.02).device()
    assert state is not None
    assert state.readings > 3
    assert state.sm_clock_mhz is not None
    assert state.sm_clock_mhz < 1999  # the idle clock before the call is not in it


def test_without_a_gpu_nothing_is_made_up() -> None:
    meter = measured(None)
    assert meter.device() is None
    assert meter.flags() == ()
    memory = meter.memory({"decode": (None, None)}, (None, None))
    assert memory.peak_allocated_bytes is None
    assert memory.stages_allocated_bytes == {}
    assert memory.driver_device_bytes is None


def test_energy_that_nobody_counts_is_absent() -> None:
    state = measured(MadeUpDriver(energy=False)).device()
    assert state is not None
    assert state.energy_j is None


def test_neighbours_and_alarming_clocks_are_flagged() -> None:
    hot = frozenset({"power limit", "hardware thermal slowdown"})
    flags = measured(MadeUpDriver(foreign=2, reasons=hot)).flags()
    assert flags == (
        "2 other processes computed on the GPU",
        "the driver held the clock down: hardware thermal slowdown",
    )
    assert measured(MadeUpDriver(foreign=1)).flags() == ("another process computed on the GPU",)


def test_the_meter_ends_with_a_call_that_fails() -> None:
    meter = Meter(MadeUpDriver(), 60.0)
    with pytest.raises(RuntimeError, match="made up"), meter.around_call(QueueingDevice()):
        raise RuntimeError("made up")
    state = meter.device()
    assert state is not None
    assert state.readings == 2


class CountingDevice(QueueingDevice):
    """Its allocator's peak grows with the work of each stage and falls back when it is reset."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 1000

    def queue(self, seconds: float) -> None:
        super().queue(seconds)
        self.peak = max(self.peak, 1000 + int(100 * seconds))

    def reset_peaks(self) -> None:
        self.peak = 1000

    def peaks(self) -> tuple[int | None, int | None]:
        return self.peak, 2 * self.peak


def test_every_stage_has_a_peak_of_its_own() -> None:
    device = CountingDevice()
    pipeline, clock = MadeUpPipeline(device), StageClock(device, device.now)
    meter = Meter(None)
    with clock.watching(pipeline), meter.around_call(device):
        clock.run(lambda: pipeline(2, clock.step_ended))
    memory = meter.memory(clock.peaks(), device.peaks())
    assert memory.stages_allocated_bytes == {
        "encode_text": 1100,
        "prepare": 1200,
        "denoise": 1400,
        "decode": 1800,
        "postprocess": 2600,
    }
    assert memory.stages_reserved_bytes["decode"] == 3600
    assert (memory.peak_allocated_bytes, memory.peak_reserved_bytes) == (2600, 5200)


def test_calibration_of_this_processor() -> None:
    found = calibrate(HostDevice(), "float32", Effort(side=128, copied_bytes=2**20, budget_s=0.0))
    assert set(found.tflop_s) == {"float32"}
    assert 1e-5 < found.tflop_s["float32"] < 100
    assert 0.01 < found.copy_gb_s < 10_000
    assert 0 < found.seconds < 30


def test_calibration_leaves_no_peak_behind() -> None:
    class Noting(HostDevice):
        calls: ClassVar[list[str]] = []

        def release(self) -> None:
            self.calls.append("release")

        def reset_peaks(self) -> None:
            self.calls.append("reset")

    calibrate(Noting(), "float32", Effort(side=128, copied_bytes=2**20, budget_s=0.0))
    assert Noting.calls == ["release", "reset"]


def test_the_size_of_the_last_cache(tmp_path: Path) -> None:
    for index, text in enumerate(("32K\n", "2048K\n", "105M\n", "odd\n")):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(text)
    assert host_cache_bytes(tmp_path) == 105 * 2**20
    assert host_cache_bytes(tmp_path / "none") is None
