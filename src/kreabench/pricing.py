"""What a request costs: before it is sent (`request_price_usd`) and after (`sample_cost`). Pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from kreabench.core.records import Cost, ImageRecord
from kreabench.core.specs import PriceSpec, Setting, TargetSpec


def billed_megapixels(price: PriceSpec, width: int, height: int) -> float:
    """Megapixels billed for one image of that size, under the price list's definition and rounding."""
    exact = Fraction(width * height, price.megapixel_pixels)
    return float(math.ceil(exact)) if price.round_up else float(exact)


def request_price_usd(target: TargetSpec, setting: Setting) -> float | None:
    """What one request of `setting` costs by the price list; None where there is no price (also local targets)."""
    if target.price is None:
        return None
    megapixels = billed_megapixels(target.price, setting.width, setting.height) * setting.num_images
    return megapixels * target.price.usd_per_megapixel


def sample_cost(
    target: TargetSpec, *, end_to_end_s: float, images: Sequence[ImageRecord], billable_units: float | None
) -> Cost:
    """Dollars of a delivered sample and their basis.

    Hosted: the units that the service says it billed, else the price list over the delivered pixels.
    Local: the device's price an hour over the end-to-end seconds, where somebody gave one.
    """
    if target.hosted:
        if target.price is None:
            return Cost(usd=None, basis="none")
        if billable_units is not None:
            return Cost(usd=billable_units * target.price.usd_per_megapixel, basis="billed")
        megapixels = sum(billed_megapixels(target.price, image.width, image.height) for image in images)
        return Cost(usd=megapixels * target.price.usd_per_megapixel, basis="price_list")
    if target.usd_per_hour is None:
        return Cost(usd=None, basis="none")
    return Cost(usd=target.usd_per_hour * end_to_end_s / 3600.0, basis="device_hour")
