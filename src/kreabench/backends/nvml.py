"""What the NVIDIA driver says of a GPU, through its management library (NVML; package nvidia-ml-py, module pynvml).

Nothing here imports torch. Without the package, the driver or a GPU there is nothing to say, which is None or empty,
never 0. What a device does not support (a workstation card without an energy counter, a slice of a shared one) is None.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

REASONS = {
    0x4: "power limit",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
    0x2: "clocks set by an application",
    0x100: "display clocks",
}
"""Bits of nvmlDeviceGetCurrentClocksEventReasons, as in nvml.h; bit 0x1, idling, holds nothing back."""
ALARMING = frozenset({"hardware slowdown", "thermal slowdown", "hardware thermal slowdown", "power brake"})
"""Reasons that say that something is wrong with the machine; a power limit is met by every busy GPU."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuInfo:
    """A GPU as the driver lists it."""

    index: int
    """The driver's own, which CUDA_VISIBLE_DEVICES does not change."""
    name: str
    uuid: str
    capability: tuple[int, int] | None
    """Of CUDA; such as (9, 0)."""
    total_bytes: int | None
    used_bytes: int | None
    driver: str | None
    """Version of the driver."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What the driver said at one moment."""

    sm_clock_mhz: float | None
    temperature_c: float | None
    reasons: frozenset[str]
    device_bytes: int | None
    process_bytes: int | None
    """Of this process; None where the driver does not know it, as in a container with process ids of its own."""
    foreign_processes: int | None


class GpuDriver:
    """Asks for one device. Made by `open_driver`."""

    def __init__(self, nvml: Any, handle: Any, pid: int) -> None:
        self._nvml = nvml
        self._handle = handle
        self._pid = pid

    def energy_j(self) -> float | None:
        """Of the device since its driver was loaded; its counter moves on every 20 to 100 ms."""
        millijoules = self._ask("nvmlDeviceGetTotalEnergyConsumption")
        return None if millijoules is None else millijoules / 1000

    def read(self) -> Reading:
        """Everything else."""
        clock = self._ask("nvmlDeviceGetClockInfo", self._nvml.NVML_CLOCK_SM)
        temperature = self._ask("nvmlDeviceGetTemperature", self._nvml.NVML_TEMPERATURE_GPU)
        mask = self._ask("nvmlDeviceGetCurrentClocksEventReasons")
        if mask is None:  # drivers before 535 know it by the older name alone
            mask = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons") or 0
        memory = self._ask("nvmlDeviceGetMemoryInfo")
        own, foreign = self._processes()
        return Reading(
            sm_clock_mhz=None if clock is None else float(clock),
            temperature_c=None if temperature is None else float(temperature),
            reasons=frozenset(name for bit, name in REASONS.items() if mask & bit),
            device_bytes=None if memory is None else int(memory.used),
            process_bytes=own,
            foreign_processes=foreign,
        )

    def _processes(self) -> tuple[int | None, int | None]:
        """Bytes of this process, and how many others compute here.

        A container's driver may list the host's process ids; then one of them is ours, and nobody knows which.
        """
        listed = self._ask("nvmlDeviceGetComputeRunningProcesses")
        if listed is None:
            return None, None
        own = [process for process in listed if process.pid == self._pid]
        used = own[0].usedGpuMemory if own else None
        return None if used is None else int(used), max(0, len(listed) - 1)

    def _ask(self, name: str, *arguments: Any) -> Any:
        """The answer, or None where this device or driver does not give one."""
        return _answer(self._nvml, lambda: getattr(self._nvml, name)(self._handle, *arguments))


def open_driver(uuid: str, nvml: Any = None) -> GpuDriver | None:
    """The driver's view of the device that CUDA calls `uuid`; None where it cannot be asked."""
    nvml = nvml or _library()
    if nvml is None:
        return None
    bare = uuid.removeprefix("GPU-").removeprefix("MIG-")
    for prefix in ("GPU-", "MIG-"):
        handle = _answer(nvml, lambda prefix=prefix: nvml.nvmlDeviceGetHandleByUUID(prefix + bare))  # type: ignore[misc]
        if handle is not None:
            return GpuDriver(nvml, handle, os.getpid())
    return None


def gpus(nvml: Any = None) -> tuple[GpuInfo, ...]:
    """Every GPU that the driver lists; empty without one."""
    nvml = nvml or _library()
    if nvml is None:
        return ()
    driver = _answer(nvml, nvml.nvmlSystemGetDriverVersion)
    count = _answer(nvml, nvml.nvmlDeviceGetCount) or 0
    listed = (_answer(nvml, lambda index=index: _info(nvml, index, driver)) for index in range(count))  # type: ignore[misc]
    return tuple(info for info in listed if info is not None)  # one that fell off the bus answers nothing


def _info(nvml: Any, index: int, driver: str | None) -> GpuInfo:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    memory = _answer(nvml, lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    capability = _answer(nvml, lambda: nvml.nvmlDeviceGetCudaComputeCapability(handle))
    return GpuInfo(
        index=index,
        name=str(nvml.nvmlDeviceGetName(handle)),
        uuid=str(nvml.nvmlDeviceGetUUID(handle)),
        capability=None if capability is None else (int(capability[0]), int(capability[1])),
        total_bytes=None if memory is None else int(memory.total),
        used_bytes=None if memory is None else int(memory.used),
        driver=driver,
    )


def _library() -> Any:
    """The library, ready to be asked; None without the package or a driver."""
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ImportError:
        return None
    return None if _answer(nvml, lambda: nvml.nvmlInit() or True) is None else nvml


def _answer(nvml: Any, question: Callable[[], Any]) -> Any:
    """What `question` returns; None where the driver refuses, whatever its reason."""
    try:
        return question()
    except (nvml.NVMLError, getattr(nvml, "NVMLLibraryMismatchError", nvml.NVMLError)):
        return None
