"""What a request costs: before it is sent (`request_price_usd`) and after (`sample_cost`). Pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from kreabench.core.errors import Problem
from kreabench.core.planned import Plan, Setting
from kreabench.core.records import Cost, ImageRecord
from kreabench.core.specs import PriceSpec, TargetSpec


def price_key(model: str, options: Mapping[str, Any]) -> str:
    """Where `pricing.endpoints` has the price of a target: its endpoint, of a named provider `provider:model`."""
    provider = options.get("provider")
    return f"{provider}:{model}" if provider else model


def budget_problems(targets: Iterable[TargetSpec]) -> tuple[Problem, ...]:
    """Why a budget cannot be kept: one for each hosted target without a price."""
    return tuple(
        Problem(
            key=f"pricing.endpoints.{price_key(target.model, target.options)}",
            found="nothing",
            expected=f"a price, as budget.usd cannot be kept without one for target {target.name}",
            remedy="Add the endpoint to conf/pricing/, or leave out budget.usd",
        )
        for target in targets
        if target.hosted and target.price is None
    )


def billed_megapixels(price: PriceSpec, width: int, height: int) -> float:
    """Megapixels billed for one image of that size, under the price list's definition and rounding."""
    exact = Fraction(width * height, price.megapixel_pixels)
    return float(math.ceil(exact)) if price.round_up else float(exact)


def units_usd(price: PriceSpec, units: float, images: int) -> float:
    """Dollars of that many billed units, together, over that many images.

    A unit is an image where the price is by the image, else a megapixel, the first of each image at its own price.
    """
    if price.usd_per_image is not None:
        return units * price.usd_per_image
    first, further = price.usd_first_megapixel or 0.0, price.usd_further_megapixel or 0.0
    if first == further:
        return units * first
    return min(units, images) * first + max(units - images, 0.0) * further


def images_usd(price: PriceSpec, sizes: Iterable[tuple[int, int]]) -> float:
    """Dollars by the price list of one request's images, of these widths and heights in pixels."""
    if price.usd_per_image is not None:
        return sum(1 for _ in sizes) * price.usd_per_image
    return sum(units_usd(price, billed_megapixels(price, width, height), 1) for width, height in sizes)


def request_price_usd(target: TargetSpec, setting: Setting) -> float | None:
    """What one request of `setting` costs by the price list; None where there is no price (also local targets)."""
    if target.price is None:
        return None
    return images_usd(target.price, [(setting.width, setting.height)] * setting.num_images)


def list_prices(plan: Plan) -> dict[str, float]:
    """Setting id → what one of its requests costs by the price list; hosted settings with a price alone."""
    prices = {
        setting.id: request_price_usd(group.target, setting)
        for group in plan.groups
        if group.target.hosted
        for setting in group.settings
    }
    return {setting_id: price for setting_id, price in prices.items() if price is not None}


def sample_cost(
    target: TargetSpec, *, end_to_end_s: float, images: Sequence[ImageRecord], billable_units: float | None
) -> Cost:
    """Dollars of a delivered sample and their basis.

    Hosted: the units that the service says it billed, with the price list over the delivered pixels beside it; that
    alone where it says none. Local: the device's price an hour over the end-to-end seconds, where somebody gave one.
    """
    if target.hosted:
        if target.price is None:
            return Cost(usd=None, basis="none")
        listed = images_usd(target.price, [(image.width, image.height) for image in images])
        if billable_units is None:
            return Cost(usd=listed, basis="price_list")
        return Cost(usd=units_usd(target.price, billable_units, len(images)), basis="billed", list_usd=listed)
    if target.usd_per_hour is None:
        return Cost(usd=None, basis="none")
    return Cost(usd=target.usd_per_hour * end_to_end_s / 3600.0, basis="device_hour")
