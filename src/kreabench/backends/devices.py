"""Where a pipeline runs, and the few things that differ there: waiting, marking points in time, peak memory."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from kreabench.core.errors import GenerationError

Peaks = tuple[int | None, int | None]
"""Allocated and reserved bytes; None where there is no allocator that counts."""


class Device(Protocol):
    """What the stage clock and the memory record need of a device."""

    name: str
    """As torch spells it."""
    model: str
    """Of the processor or GPU, for people and for comparing runs."""
    uuid: str | None
    """By which the driver knows a GPU; None for the processor."""

    def synchronize(self) -> None:
        """Wait until all work sent to the device is done."""

    def mark(self) -> Any:
        """A point in the device's own order of work, taken without waiting."""

    def seconds_between(self, marks: Sequence[Any]) -> tuple[float, ...]:
        """Seconds from each mark to the next, once the device is synchronised."""

    def reset_peaks(self) -> None:
        """Begin a new peak."""

    def peaks(self) -> Peaks:
        """Peak allocated and reserved bytes of torch's allocator; None where there is no such allocator."""

    def memory(self) -> tuple[int, int]:
        """Bytes that a new allocation could take now, and bytes in all."""

    def release(self) -> None:
        """Give unused memory back."""


class HostDevice:
    """The processor: work is done when the call returns, so the clock is enough."""

    name = "cpu"
    uuid: str | None = None

    def __init__(self) -> None:
        self.model = _processor_model()

    def synchronize(self) -> None:
        """Nothing is ever pending."""

    def mark(self) -> float:
        """Seconds of the monotonic clock."""
        return time.perf_counter()

    def seconds_between(self, marks: Sequence[Any]) -> tuple[float, ...]:
        """Plain differences."""
        return tuple(later - earlier for earlier, later in pairwise(marks))

    def reset_peaks(self) -> None:
        """torch counts no peaks on the host."""

    def peaks(self) -> Peaks:
        """None, not 0: nobody looked."""
        return None, None

    def memory(self) -> tuple[int, int]:
        """Of the machine, without swap."""
        import psutil

        memory = psutil.virtual_memory()
        return memory.available, memory.total

    def release(self) -> None:
        """The host's allocator frees by itself."""


class CudaDevice:
    """A GPU: calls only queue work, so a host clock between two calls measures the queueing unless it waits first."""

    def __init__(self, index: int) -> None:
        import torch

        self.name = f"cuda:{index}"
        self.model = torch.cuda.get_device_name(index)
        self.uuid: str | None = str(torch.cuda.get_device_properties(index).uuid)
        self._cuda: Any = torch.cuda

    def synchronize(self) -> None:
        """Wait for the whole device."""
        self._cuda.synchronize(self.name)

    def mark(self) -> Any:
        """An event recorded on the current stream; costs microseconds and does not wait."""
        event = self._cuda.Event(enable_timing=True)
        event.record(self._cuda.current_stream(self.name))
        return event

    def seconds_between(self, marks: Sequence[Any]) -> tuple[float, ...]:
        """The device's own times between events (resolution about 0.5 µs)."""
        return tuple(earlier.elapsed_time(later) / 1000 for earlier, later in pairwise(marks))

    def reset_peaks(self) -> None:
        """Peaks start at what is allocated now: the loaded weights."""
        self._cuda.reset_peak_memory_stats(self.name)

    def peaks(self) -> Peaks:
        """Allocated and reserved, as `max_memory_allocated` and `max_memory_reserved` but in one quick look."""
        stats = self._cuda.memory_stats_as_nested_dict(self.name)
        return stats["allocated_bytes"]["all"]["peak"], stats["reserved_bytes"]["all"]["peak"]

    def memory(self) -> tuple[int, int]:
        """As the driver says, other processes counted; what torch keeps but does not use is free to it."""
        free, total = self._cuda.mem_get_info(self.name)
        kept = self._cuda.memory_reserved(self.name) - self._cuda.memory_allocated(self.name)
        return free + kept, total

    def release(self) -> None:
        """Return cached blocks to the driver."""
        self._cuda.empty_cache()


def choose_device(name: str) -> Device:
    """The device that `name` means here; imports torch. Raises GenerationError where this machine has none such."""
    import torch

    available = torch.cuda.is_available()
    if name == "cpu" or (name == "auto" and not available):
        return HostDevice()
    if not available:
        found = "torch was built without CUDA" if torch.version.cuda is None else "no NVIDIA driver or device answers"
        raise GenerationError(
            f"device {name} was asked for, but {found}",
            type="load_failed",
            stage="load",
            remedy="Set the target's options.device to cpu or auto, or run where `nvidia-smi` lists a GPU.",
        )
    index = int(name.partition(":")[2] or 0)
    count = torch.cuda.device_count()
    if index >= count:
        raise GenerationError(
            f"device {name} was asked for, but this machine has cuda:0 to cuda:{count - 1}",
            type="load_failed",
            stage="load",
            remedy="Choose one of these in the target's options.device; CUDA_VISIBLE_DEVICES may hide others.",
        )
    return CudaDevice(index)


def _processor_model() -> str:
    """The kernel's name of the processor; the architecture where it gives none (Arm)."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines() if cpuinfo.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.machine()
