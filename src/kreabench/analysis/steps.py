"""How long each denoising step of a setting takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from kreabench.core.records import SampleRecord


def step_medians(samples: Iterable[SampleRecord]) -> dict[str, tuple[float, ...]]:
    """Setting id → median seconds of its first step, its second, and so on, over the samples fit for timing.

    Step k is compared with step k alone: samples with another number of steps than most of the setting's are left out
    (of two equally common numbers those with fewer steps). Settings whose steps nobody timed are absent.
    """
    timed: dict[str, list[tuple[float, ...]]] = {}
    for sample in samples:
        if sample.timing_valid and sample.timings is not None and sample.timings.steps_s:
            timed.setdefault(sample.setting_id, []).append(sample.timings.steps_s)
    return {setting_id: _medians(each) for setting_id, each in timed.items()}


def _medians(each: list[tuple[float, ...]]) -> tuple[float, ...]:
    counts = Counter(map(len, each))
    usual = max(counts, key=lambda length: (counts[length], length))
    medians = np.median(np.array([steps for steps in each if len(steps) == usual]), axis=0)
    return tuple(map(float, medians))
