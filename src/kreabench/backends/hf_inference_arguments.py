"""A setting and a request as arguments of `InferenceClient.text_to_image`, checked against the target's inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kreabench.core.endpoint_inputs import Finding, check_arguments
from kreabench.core.errors import GenerationError
from kreabench.core.planned import Request, Setting
from kreabench.core.specs import InputField, TargetSpec

_OF_THE_LIBRARY = frozenset({"prompt", "negative_prompt", "num_inference_steps", "guidance_scale", "scheduler", "seed"})
"""Inputs that `text_to_image` has an argument for; it gives each provider its own name for them."""


def call_arguments(
    target: TargetSpec, setting: Setting, request: Request, *, level: str | None, names: Mapping[str, str]
) -> dict[str, Any]:
    """Keyword arguments of `text_to_image`. Raises GenerationError (`invalid_request`) before anything is sent.

    An input is sent only if the target has it. What the library has no argument for goes into `extra_body`, as does
    what `names` calls otherwise.
    """
    if setting.num_images != 1:
        raise refused(
            [Finding(name="num_images", found=str(setting.num_images), expected="1: a call gives one picture")]
        )
    asked = asked_inputs(target, setting, request, level)
    findings = check_arguments(target.inputs, asked)
    if findings:
        raise refused(findings)
    arguments: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for name, value in asked.items():
        if name == "image_size":
            arguments |= {"width": setting.width, "height": setting.height}
        elif name in _OF_THE_LIBRARY and name not in names:
            arguments[name] = value
        else:
            extra[names.get(name, name)] = value
    return {**arguments, "extra_body": extra} if extra else arguments


def asked_inputs(target: TargetSpec, setting: Setting, request: Request, level: str | None) -> dict[str, Any]:
    """Input → value, of those that the target has. A constant of the target is kept even if no input: it is refused."""
    wanted = {
        "prompt": request.prompt,
        "image_size": {"width": setting.width, "height": setting.height},
        "num_inference_steps": setting.steps,
        "guidance_scale": setting.guidance,
        "seed": request.seed,
        "num_images": setting.num_images,
        "output_format": _format_name(target.inputs.get("output_format"), setting.output_format),
        "acceleration": level,
    }
    asked = {name: value for name, value in wanted.items() if name in target.inputs and value is not None}
    return {**asked, **target.parameters}


def _format_name(field: InputField | None, output_format: str) -> str:
    """Some providers say jpg."""
    values = (field.values if field else None) or ()
    return "jpg" if output_format == "jpeg" and "jpeg" not in values and "jpg" in values else output_format


def refused(findings: Iterable[Finding]) -> GenerationError:
    """The error of a request that is not sent, as the endpoint would not take it."""
    text = "; ".join(f"{finding.name}: found {finding.found}, expected {finding.expected}" for finding in findings)
    return GenerationError(
        f"the endpoint would refuse this request: {text}"[:500],
        type="invalid_request",
        stage="client",
        remedy="Nothing was sent. Put the setting right, or the target's inputs in conf/target/.",
    )
