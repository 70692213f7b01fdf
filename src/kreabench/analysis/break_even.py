"""Own GPU or a hosted service: dollars an image over images a day, and where the two cost the same."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from kreabench.analysis.estimates import Estimate
from kreabench.analysis.paired import Floats

DAY_S = 86_400.0
HOUR_S = 3_600.0
KWH_J = 3.6e6

Ownership = Literal["rented_while_used", "all_day"]
"""`rented_while_used`: hours are paid while it loads and draws. `all_day`: 24 hours are paid whatever it draws."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnGpu:
    """What is assumed of one device of one's own."""

    usd_per_hour: float
    seconds_per_image: float
    """Of the device: latency over the pictures of a request, and over the requests in flight."""
    utilisation: float
    """Share of the paid time, beside loading, in which it draws; above 0, at most 1."""
    load_s: float
    """One loading of the model."""
    loads_per_day: float
    joule_per_image: float
    """Electricity of a picture, 0 where the hour's price holds it. Idle electricity is not in here."""
    usd_per_kwh: float

    @property
    def capacity(self) -> float:
        """Images a day at most."""
        drawing = max(DAY_S - self.loads_per_day * self.load_s, 0.0) * self.utilisation
        return drawing / self.seconds_per_image

    def fixed_usd_per_day(self, ownership: Ownership) -> float:
        """Dollars of a day that do not depend on the images drawn."""
        seconds = DAY_S if ownership == "all_day" else self.loads_per_day * self.load_s
        return self.usd_per_hour * seconds / HOUR_S

    def marginal_usd(self, ownership: Ownership) -> float:
        """Dollars of one more image."""
        power = self.joule_per_image / KWH_J * self.usd_per_kwh
        if ownership == "all_day":
            return power
        return power + self.usd_per_hour * self.seconds_per_image / self.utilisation / HOUR_S

    def usd_per_image(self, ownership: Ownership, images_per_day: Floats) -> Floats:
        """(days,) dollars an image; NaN beyond the capacity."""
        usd = self.fixed_usd_per_day(ownership) / images_per_day + self.marginal_usd(ownership)
        return np.where(images_per_day <= self.capacity, usd, np.nan)


@dataclass(frozen=True, kw_only=True, slots=True)
class BreakEven:
    """Where an own GPU begins to cost less than the service."""

    ownership: Ownership
    images_per_day: Estimate | None
    """From so many on; the interval follows from that of the latency alone. None: never on one device."""
    reason: str
    """Why never; empty where there is a number."""
    capacity: float
    """Images a day at most."""
    usd_at_capacity: float
    """Dollars an image when it never rests."""


def break_even(gpu: OwnGpu, api_usd_per_image: float, ownership: Ownership, seconds: Estimate) -> BreakEven:
    """Images a day from which `gpu` costs less than `api_usd_per_image`.

    `seconds` is `gpu.seconds_per_image` with its interval.
    """
    images = _images(gpu, api_usd_per_image, ownership)
    at_capacity = float(gpu.usd_per_image(ownership, np.array([gpu.capacity]))[0]) if gpu.capacity else math.nan
    reason = ""
    if images is None:
        reason = "one more image of its own costs as much as the service's, or more"
    elif images > gpu.capacity:
        reason = f"it would take {images:,.0f} images a day, and one device draws {gpu.capacity:,.0f} at most"
    return BreakEven(
        ownership=ownership,
        images_per_day=None
        if reason or images is None
        else _with_ends(gpu, api_usd_per_image, ownership, seconds, images),
        reason=reason,
        capacity=gpu.capacity,
        usd_at_capacity=at_capacity,
    )


def _images(gpu: OwnGpu, api_usd_per_image: float, ownership: Ownership) -> float | None:
    room = api_usd_per_image - gpu.marginal_usd(ownership)
    return gpu.fixed_usd_per_day(ownership) / room if room > 0 else None


def _with_ends(
    gpu: OwnGpu, api_usd_per_image: float, ownership: Ownership, seconds: Estimate, images: float
) -> Estimate:
    ends = [
        _images(replace(gpu, seconds_per_image=end), api_usd_per_image, ownership) for end in seconds.interval or ()
    ]
    low, high = (ends[0], ends[1]) if ends else (None, None)
    if low is not None and high is None:
        high = math.inf
    return Estimate(value=images, low=low, high=high, n=seconds.n)


def day_counts(capacity: float, points: int = 60) -> Floats:
    """Images a day to draw a curve over, evenly on a logarithmic axis, the capacity last."""
    return np.geomspace(min(1.0, capacity), capacity, points)
