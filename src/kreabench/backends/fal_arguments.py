"""The body of a request, made from what a target's endpoint takes and checked against it before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kreabench.core.endpoint_inputs import check_arguments
from kreabench.core.errors import GenerationError
from kreabench.core.planned import Request, Setting
from kreabench.core.sizes import preset_name
from kreabench.core.specs import InputField, TargetSpec

CHECK = "check"
"""Stage of failures that happen before anything is sent."""

_NO_LEVELS = {None, "none"}


def build_arguments(
    target: TargetSpec, setting: Setting, request: Request, level: str | None, pictures: Sequence[str]
) -> dict[str, Any]:
    """The arguments of `request`, only such as the endpoint has. `pictures` are addresses or data URIs.

    Raises GenerationError, type `invalid_request` and stage `check`, for what the endpoint would refuse.
    """
    inputs = target.inputs
    filled: dict[str, Any] = {
        "prompt": request.prompt,
        "image_size": _size(inputs, setting),
        "seed": request.seed,
        "output_format": setting.output_format,
        "sync_mode": False,  # a picture within the answer could not be timed
    }
    arguments = {name: value for name, value in filled.items() if name in inputs}
    asked: dict[str, Any] = {
        # Asked for by the setting: sent even where the endpoint lacks it, so that the check below says so.
        "num_inference_steps": setting.steps,
        "guidance_scale": setting.guidance,
        "num_images": setting.num_images if setting.num_images > 1 or "num_images" in inputs else None,
        "acceleration": level if level not in _NO_LEVELS or "acceleration" in inputs else None,
        "strength": setting.strength,
    }
    arguments |= {name: value for name, value in asked.items() if value is not None}
    arguments |= target.parameters
    arguments |= _pictures(inputs, pictures)
    _check(target, arguments)
    return arguments


def safety_checked(target: TargetSpec) -> bool | None:
    """Whether the endpoint's safety checker looks at the pictures; None where that is no input of it."""
    field = target.inputs.get("enable_safety_checker")
    if field is None:
        return None
    return bool(target.parameters.get("enable_safety_checker", field.default))


def _size(inputs: Mapping[str, InputField], setting: Setting) -> str | dict[str, int]:
    preset = preset_name(setting.width, setting.height)
    field = inputs.get("image_size")
    if preset is not None and field is not None and preset in (field.values or ()):
        return preset
    return {"width": setting.width, "height": setting.height}


def _pictures(inputs: Mapping[str, InputField], pictures: Sequence[str]) -> dict[str, Any]:
    if not pictures:
        return {}
    if "image_urls" in inputs:
        return {"image_urls": list(pictures)}
    if len(pictures) > 1:
        raise GenerationError(
            f"the prompt has {len(pictures)} pictures, the endpoint takes one",
            type="invalid_request",
            stage=CHECK,
            remedy="Leave this prompt out for this target, or choose an endpoint with the input image_urls.",
        )
    return {"image_url": pictures[0]}


def _check(target: TargetSpec, arguments: Mapping[str, Any]) -> None:
    findings = check_arguments(target.inputs, arguments)
    if findings:
        text = "; ".join(f"{item.name}: found {item.found[:80]}, expected {item.expected}" for item in findings)
        raise GenerationError(
            f"{target.model} would refuse this: {text}",
            type="invalid_request",
            stage=CHECK,
            remedy=f"Check the setting against `inputs` of target {target.name}; nothing was sent.",
        )
