"""How the numbers of a run's report were made, in words."""

from __future__ import annotations

from collections.abc import Sequence

from kreabench.core.planned import Setting
from kreabench.report.floors import FLOOR_METHOD
from kreabench.report.quality import SHIFT_METHOD

METHOD = (
    "Latency is the time from the start of a request until its pictures are there, one value a request, on a monotonic "
    "clock: of a local target until they are decoded in memory, of a hosted one from when it was meant to be sent "
    "until the last byte of the last file is downloaded. Warm-ups, loads, first calls after a load, and requests that "
    "were repeated, rerouted or fetched by a later session are never in it.",
    "The interval of a median latency is exact and free of assumptions on the distribution: two order statistics "
    "that enclose the median with at least 95 % (binomial). Percentiles are given only where their upper bound "
    "exists (p90 from 29 timings, p95 from 59, p99 from 299), in settings.csv; their intervals are exact likewise.",
    "Within a load of the model the settings take turns, prompt by prompt, in a seeded random order, so that drift "
    "of the machine hits all alike.",
    "The unit of inference of a score is the prompt: a mean over prompts of each prompt's mean over its pictures, with "
    "Student's 95 % interval over prompts, cut where the metric's range ends. Intervals that overlap do not show that "
    "two settings are equal; settings share prompts and seeds, so differences are better compared prompt by prompt.",
    SHIFT_METHOD,
    FLOOR_METHOD,
    "Fidelity compares with the reference setting's picture of the same prompt and seed. A low value can mean another, "
    "equally good picture.",
    "The chance to be on a front is the share of 500 resamples of the prompts, the same for all settings, in which "
    "nothing is at least as good in both respects and better in one; peak memory does not vary. A knee is Kneedle's "
    "(Satopää 2011), told from four step counts up, and only where at least half of 200 resamples agree on it, 97.5 % "
    "of them show that the curve rises, and as many that it bends.",
    "Dollars are those of delivered samples over their pictures: as billed by the service, from the price list over "
    "delivered pixels, or the device's price an hour over the seconds of the requests fit for timing (of all, where "
    "none is). Idle time is not in them.",
    "The floor of a request is its arithmetic at the rates of a large matrix product that the device reached at load, "
    "or the reading of its weights where that takes longer, model by model. A stage of a GPU faster than its floor is "
    "flagged as a measuring error. Caches are credited with the work they did, not with what they left out.",
    "Drift is Kendall's rank correlation with time of each value against the median of its setting, within one load of "
    "a model, corrected for the number of trends looked for (Benjamini and Yekutieli); reported from p < 0.01 and 1 % "
    "(5 °C) up.",
    "A failed, missing or unscored picture is counted as such. It is never a zero, and never dropped unsaid.",
)
WAITING_METHOD = (
    "Where several requests are in flight, or arrive at a rate, they may wait for one another, and one latency tells "
    "of the next: intervals of medians and percentiles, and of ratios of medians of two settings, are then those of as "
    "many values as are independent (n over the integrated autocorrelation time of their ranks, in the order of the "
    "plan)."
)
"""Said where a setting `may_wait`."""


def method_of(settings: Sequence[Setting]) -> tuple[str, ...]:
    """What there is to say of a run with these settings."""
    return (*METHOD, WAITING_METHOD) if any(setting.may_wait for setting in settings) else METHOD
