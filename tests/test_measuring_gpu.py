"""On a GPU: the driver answers, stages have their own peaks, and work is set against rates that were measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kreabench.backends.calibration import calibrate
from kreabench.backends.devices import choose_device
from kreabench.backends.local_diffusers import DiffusersBackend
from kreabench.backends.metering import Meter
from kreabench.backends.nvml import gpus, open_driver
from tests.support import make_acceleration, make_request, make_setting

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def backend(mini_target: Callable[..., Any]) -> Iterator[DiffusersBackend]:
    opened = DiffusersBackend()
    opened.open(mini_target(options={"device": "cuda", "dtype": "bfloat16"}), [make_acceleration()], ())
    yield opened
    opened.close()


def test_the_driver_knows_the_device_of_torch() -> None:
    device = choose_device("cuda:0")
    assert device.uuid is not None
    driver = open_driver(device.uuid)
    assert driver is not None
    reading = driver.read()
    assert reading.device_bytes is not None
    assert reading.device_bytes > 0
    assert device.model in {gpu.name for gpu in gpus()}


def test_rates_are_those_of_a_gpu() -> None:
    found = calibrate(choose_device("cuda:0"), "bfloat16")
    assert found.tflop_s["bfloat16"] > 1
    if "float8" in found.tflop_s:
        assert found.tflop_s["float8"] > found.tflop_s["bfloat16"]
    assert found.copy_gb_s > 50
    assert found.cache_bytes is not None
    assert found.seconds < 20


def test_a_call_is_weighed_by_stage_and_by_the_driver(backend: DiffusersBackend) -> None:
    setting = make_setting(steps=8, width=512, height=512)
    generation = [backend.generate(setting, make_request(setting)) for _ in range(2)][-1]
    memory = generation.memory
    assert memory is not None
    assert memory.peak_allocated_bytes == max(memory.stages_allocated_bytes.values())
    assert set(memory.stages_allocated_bytes) == set(generation.timings.stages_s)
    for stage, allocated in memory.stages_allocated_bytes.items():
        assert 0 < allocated <= memory.stages_reserved_bytes[stage]
    assert memory.driver_device_bytes is not None
    assert memory.peak_reserved_bytes is not None
    assert memory.driver_device_bytes > memory.peak_reserved_bytes
    assert generation.device is not None
    assert generation.device.sm_clock_mhz is not None
    assert not [flag for flag in generation.flags if "floor" in flag]
    assert generation.work is not None
    assert generation.work.share_of_floor is not None
    assert 0 < generation.work.share_of_floor < 1


def test_energy_of_half_a_second_of_work() -> None:
    import torch

    cuda: Any = torch.cuda
    device = choose_device("cuda:0")
    assert device.uuid is not None
    driver = open_driver(device.uuid)
    if driver is None or driver.energy_j() is None:
        pytest.skip("this device keeps no count of energy")
    meter = Meter(driver)
    matrix = torch.randn(4096, 4096, device=device.name, dtype=torch.bfloat16)
    end = None
    with meter.around_call(device):
        began = cuda.Event(enable_timing=True)
        began.record()
        while end is None or began.elapsed_time(end) < 500:
            for _ in range(50):
                torch.mm(matrix, matrix)
            end = cuda.Event(enable_timing=True)
            end.record()
            end.synchronize()
    state = meter.device()
    assert state is not None
    assert state.energy_j is not None
    assert 5 < state.energy_j < 2000
    assert state.readings > 4
