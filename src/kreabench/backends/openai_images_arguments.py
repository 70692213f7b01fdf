"""A setting and a request as the body of `POST /images/generations`, checked against the target's inputs."""

from __future__ import annotations

from typing import Any

from kreabench.backends.hf_inference_arguments import asked_inputs, refused
from kreabench.backends.options import OpenAIImagesOptions
from kreabench.core.endpoint_inputs import check_arguments
from kreabench.core.planned import Request, Setting
from kreabench.core.specs import TargetSpec

_NAMES = {"image_size": "size", "num_images": "n"}
"""What OpenAI calls them; seed, steps and guidance are no fields of OpenAI's own, and servers that draw with an open
model take them under our names."""


def request_body(
    target: TargetSpec, setting: Setting, request: Request, *, level: str | None, options: OpenAIImagesOptions
) -> dict[str, Any]:
    """Field → value. Raises GenerationError (`invalid_request`) before anything is sent.

    A field is sent only if the target has the input.
    """
    asked = asked_inputs(target, setting, request, level)
    findings = check_arguments(target.inputs, asked)
    if findings:
        raise refused(findings)
    if "image_size" in asked:
        asked["image_size"] = f"{setting.width}x{setting.height}"
    names = {**_NAMES, **options.names}
    body: dict[str, Any] = {"model": target.model, **{names.get(name, name): value for name, value in asked.items()}}
    if options.response_format is not None:
        body["response_format"] = options.response_format
    return body
