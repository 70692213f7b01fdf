"""What a setting asked of its device and what the device gave: work, share of the floor, energy, clocks, flags."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kreabench.analysis.estimates import Estimate, median


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceSummary:
    """Of one setting, over its timed samples unless said otherwise. Absent is None: nobody could look."""

    reference_tflop: float | None
    """Work of a request with nothing skipped, 10¹² operations."""
    done_share: float | None
    """Work done over that, a share of 1: what caches left."""
    floor_s: float | None
    """Median of the least seconds that the device could take."""
    share_of_floor: Estimate | None
    """Median share, with its exact 95 % interval."""
    energy_j: Estimate | None
    """Median joules a picture."""
    sm_clock_mhz: float | None
    """Median."""
    sm_clock_min_mhz: float | None
    """Lowest."""
    temperature_c: float | None
    """Highest."""
    throttle_reasons: tuple[tuple[str, int], ...]
    """Reason → samples with it, commonest first."""
    reserved_bytes: int | None
    """Most that torch's allocator kept for itself, over all delivered samples."""
    driver_process_bytes: int | None
    """Most that the driver saw of the process."""
    driver_device_bytes: int | None
    """Most that the driver saw of the device."""
    flags: tuple[tuple[str, int], ...]
    """Flag → delivered samples with it, commonest first; numbers in it are those of the first."""


def summarise_device(delivered: pd.DataFrame, timed: pd.DataFrame) -> DeviceSummary | None:
    """Of the delivered and of the timed samples of one setting, one row each; None where nothing was measured."""
    columns = ("reference_tflop", "energy_j", "sm_clock_mhz", "peak_reserved_bytes", "driver_device_bytes", "flags")
    if not any(column in delivered and delivered[column].notna().any() for column in columns):
        return None
    done, reference = _floats(timed, "done_tflop"), _floats(timed, "reference_tflop")
    shares = (done / reference)[np.isfinite(done) & (reference > 0)]
    return DeviceSummary(
        reference_tflop=_median(reference),
        done_share=_median(shares),
        floor_s=_median(_floats(timed, "floor_s")),
        share_of_floor=median(_floats(timed, "share_of_floor")),
        energy_j=median(_floats(timed, "energy_j") / _floats(timed, "num_images")),
        sm_clock_mhz=_median(_floats(timed, "sm_clock_mhz")),
        sm_clock_min_mhz=_extreme(_floats(timed, "sm_clock_min_mhz"), lowest=True),
        temperature_c=_extreme(_floats(timed, "temperature_c")),
        throttle_reasons=_words(timed, "throttle_reasons"),
        reserved_bytes=_whole(_extreme(_floats(delivered, "peak_reserved_bytes"))),
        driver_process_bytes=_whole(_extreme(_floats(delivered, "driver_process_bytes"))),
        driver_device_bytes=_whole(_extreme(_floats(delivered, "driver_device_bytes"))),
        flags=_words(delivered, "flags"),
    )


def _words(frame: pd.DataFrame, column: str) -> tuple[tuple[str, int], ...]:
    """The entries of cells that hold several; those that differ in numbers alone are counted as one."""
    first: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for cell in frame[column].dropna() if column in frame else ():
        for text in str(cell).split("; "):
            kind = "".join(character for character in text if not character.isdigit() and character != ".")
            counts[first.setdefault(kind, text)] += 1
    return tuple(counts.most_common())


def _floats(frame: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """The column with NaN for what is absent; of an older table without it, NaN throughout."""
    if column not in frame:
        return np.full(len(frame), np.nan)
    return np.asarray(pd.to_numeric(frame[column]).to_numpy(dtype=float, na_value=np.nan), dtype=float)


def _median(values: NDArray[np.float64]) -> float | None:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else None


def _extreme(values: NDArray[np.float64], *, lowest: bool = False) -> float | None:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return None
    return float(finite.min() if lowest else finite.max())


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
