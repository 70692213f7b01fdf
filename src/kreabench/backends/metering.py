"""Everything measured around one call beside its time: memory on host and device, energy, clocks, neighbours."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from kreabench.backends.devices import Device, Peaks
from kreabench.backends.memory import PeakRss
from kreabench.backends.nvml import ALARMING, Reading
from kreabench.core.records import DeviceState, Memory

INTERVAL_S = 0.1
"""Between two readings of the driver during a call: each takes the interpreter for some 0.1 ms, a thousandth of it."""


class Driver(Protocol):
    """What is asked of `nvml.GpuDriver`."""

    def energy_j(self) -> float | None:
        """Since some moment in the past."""

    def read(self) -> Reading:
        """Everything else, now."""


class Meter:
    """`with meter.around_call(): …`, then `memory` and `device`; good for many calls, one after the other."""

    def __init__(self, driver: Driver | None, interval_s: float = INTERVAL_S) -> None:
        """`driver` is None where there is no GPU, or none that can be asked."""
        self._driver = driver
        self._interval_s = interval_s
        self._rss = PeakRss()
        self._readings: list[Reading] = []
        self._energy_j: float | None = None

    @contextmanager
    def around_call(self, device: Device) -> Iterator[None]:
        """Measure what happens inside; the driver is read once before and once after, and now and then in between."""
        self._readings.clear()
        self._energy_j = None
        device.reset_peaks()
        self._rss.reset()
        if self._driver is None:
            yield
            return
        driver = self._driver
        begin_j = driver.energy_j()
        self._readings.append(driver.read())
        ended = threading.Event()
        reader = threading.Thread(target=self._keep_reading, args=(driver, ended), name="driver", daemon=True)
        reader.start()
        try:
            yield
        finally:
            end_j = driver.energy_j()
            ended.set()
            reader.join()
            self._readings.append(driver.read())
        if begin_j is not None and end_j is not None and end_j > begin_j:
            self._energy_j = end_j - begin_j

    def _keep_reading(self, driver: Driver, ended: threading.Event) -> None:
        while not ended.wait(self._interval_s):
            self._readings.append(driver.read())

    def memory(self, stages: dict[str, Peaks], rest: Peaks) -> Memory:
        """Peaks of the call: those of its stages (`StageClock.peaks`), and of what came after the last (`rest`)."""
        allocated = {stage: peaks[0] for stage, peaks in stages.items() if peaks[0] is not None}
        reserved = {stage: peaks[1] for stage, peaks in stages.items() if peaks[1] is not None}
        return Memory(
            peak_rss_bytes=self._rss.bytes(),
            peak_allocated_bytes=_highest([*allocated.values(), rest[0]]),
            peak_reserved_bytes=_highest([*reserved.values(), rest[1]]),
            stages_allocated_bytes=allocated,
            stages_reserved_bytes=reserved,
            driver_process_bytes=_highest([reading.process_bytes for reading in self._readings]),
            driver_device_bytes=_highest([reading.device_bytes for reading in self._readings]),
        )

    def device(self) -> DeviceState | None:
        """What the driver said; None where nobody could ask.

        Clocks are those during the call: the readings before and after it count only where it was too short for any.
        """
        if not self._readings:
            return None
        during = self._readings[1:-1] or self._readings
        clocks = [reading.sm_clock_mhz for reading in during if reading.sm_clock_mhz is not None]
        return DeviceState(
            energy_j=self._energy_j,
            sm_clock_mhz=statistics.median(clocks) if clocks else None,
            sm_clock_min_mhz=min(clocks, default=None),
            temperature_c=max((r.temperature_c for r in self._readings if r.temperature_c is not None), default=None),
            throttle_reasons=tuple(sorted(frozenset().union(*(reading.reasons for reading in during)))),
            foreign_processes=_highest([reading.foreign_processes for reading in self._readings]),
            readings=len(self._readings),
        )

    def flags(self) -> tuple[str, ...]:
        """What the driver said that makes the call's numbers doubtful."""
        state = self.device()
        if state is None:
            return ()
        found = []
        if state.foreign_processes:
            others = "another process" if state.foreign_processes == 1 else f"{state.foreign_processes} other processes"
            found.append(f"{others} computed on the GPU")
        held = [reason for reason in state.throttle_reasons if reason in ALARMING]
        if held:
            found.append(f"the driver held the clock down: {', '.join(held)}")
        return tuple(found)


def _highest(values: Sequence[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)
