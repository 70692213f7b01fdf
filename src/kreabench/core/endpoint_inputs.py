"""Whether a request's arguments are what a hosted endpoint accepts: checked against data before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kreabench.core.specs import InputField

AXIS_INPUTS: dict[str, str] = {
    "steps": "num_inference_steps",
    "guidance": "guidance_scale",
    "size": "image_size",
    "num_images": "num_images",
    "output_format": "output_format",
    "acceleration": "acceleration",
    "strength": "strength",
}
"""Axis → the input that carries it, at every endpoint that has the axis."""

FILLED_INPUTS = frozenset({*AXIS_INPUTS.values(), "prompt", "seed", "image_url", "image_urls", "sync_mode"})
"""Inputs that a request fills by itself: not to be given in a target's `parameters`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One argument that the endpoint would refuse."""

    name: str
    found: str
    expected: str


def check_arguments(inputs: Mapping[str, InputField], arguments: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Everything wrong with `arguments`: unknown and missing names, types, ranges, accepted values, sizes."""
    unknown = [
        Finding(name=name, found=repr(value), expected=f"one of {', '.join(inputs)}")
        for name, value in arguments.items()
        if name not in inputs
    ]
    missing = [
        Finding(name=name, found="nothing", expected="a value, as the endpoint requires one")
        for name, field in inputs.items()
        if field.required and name not in arguments
    ]
    wrong = [
        Finding(name=name, found=repr(value), expected=expected)
        for name, value in arguments.items()
        if name in inputs and (expected := reject_value(inputs[name], value)) is not None
    ]
    return (*unknown, *missing, *wrong)


def reject_value(field: InputField, value: Any) -> str | None:
    """What is accepted instead of `value`; None where it is fine."""
    return _CHECKS[field.type](field, value)


def _reject_string(field: InputField, value: Any) -> str | None:
    if not isinstance(value, str):
        return "text"
    if field.values is not None and value not in field.values:
        return f"one of {', '.join(field.values)}"
    return None


def _reject_number(field: InputField, value: Any) -> str | None:
    whole = field.type == "integer"
    kinds = (int,) if whole else (int, float)
    kind = "a whole number" if whole else "a number"
    # A whole number of any size is finite; `isfinite` cannot take one that no float can hold.
    is_endless = isinstance(value, float) and not math.isfinite(value)
    if isinstance(value, bool) or not isinstance(value, kinds) or is_endless:
        return kind
    low, high = field.minimum, field.maximum
    if (low is not None and value < low) or (high is not None and value > high):
        ends = [f"from {low:g}"] if low is not None else []
        ends += [f"to {high:g}"] if high is not None else []
        return f"{kind} {' '.join(ends)}"
    return None


def _reject_boolean(field: InputField, value: Any) -> str | None:
    return None if isinstance(value, bool) else "true or false"


def _reject_size(field: InputField, value: Any) -> str | None:
    presets = field.values or ()
    if isinstance(value, str):
        return None if value in presets else f"one of {', '.join(presets)}, or a width and a height"
    if not isinstance(value, Mapping) or value.keys() != {"width", "height"}:
        return "a preset's name, or a width and a height"
    sides = (value["width"], value["height"])
    if not all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides):
        return "whole numbers of pixels"
    return reject_pixels(field, *sides)


def reject_pixels(field: InputField, width: int, height: int) -> str | None:
    """What an image size accepts instead of `width` × `height` pixels; None where that is fine."""
    if field.multiple_px is not None and (width % field.multiple_px or height % field.multiple_px):
        return f"sides that are multiples of {field.multiple_px} px"
    if field.min_side_px is not None and min(width, height) < field.min_side_px:
        return f"sides of at least {field.min_side_px} px"
    if field.max_pixels is not None and width * height > field.max_pixels:
        return f"at most {field.max_pixels} pixels"
    return None


def _reject_url(field: InputField, value: Any) -> str | None:
    if isinstance(value, str) and value.startswith(("https://", "http://", "data:image/")):
        return None
    return "an https address or a data URI of a picture"


def _reject_urls(field: InputField, value: Any) -> str | None:
    if isinstance(value, list) and value and all(_reject_url(field, item) is None for item in value):
        return None
    return "a list of https addresses or data URIs of pictures"


_CHECKS: dict[str, Callable[[InputField, Any], str | None]] = {
    "string": _reject_string,
    "integer": _reject_number,
    "number": _reject_number,
    "boolean": _reject_boolean,
    "image_size": _reject_size,
    "image_url": _reject_url,
    "image_urls": _reject_urls,
}
