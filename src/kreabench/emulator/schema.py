"""What the endpoint accepts, with the ranges of fal's page of FLUX.1 Krea [dev], and its 422 body."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from kreabench.core.specs import PRESET_SIZES

ENDPOINT = "fal-ai/flux/krea"
USD_PER_UNIT = 0.025
"""Dollars a megapixel, from the same page."""

MAX_PIXELS = 4 * 1024 * 1024
"""The page says `up to 4 megapixels`; 2048 × 2048 is taken to be within it."""

_SIDE_MULTIPLE = 16
_ERRORS_PAGE = "https://docs.fal.ai/errors#"


class _Model(BaseModel):
    """As lenient as the service: unknown fields are ignored, a number may come as text."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class ImageSize(_Model):
    """A size of one's own, in pixels."""

    width: Annotated[int, Field(ge=16)]
    height: Annotated[int, Field(ge=16)]


Level = Literal["none", "regular", "high"]
LEVELS: tuple[Level, ...] = get_args(Level)

PresetName = Literal["square_hd", "square", "portrait_4_3", "portrait_16_9", "landscape_4_3", "landscape_16_9"]


class KreaInput(_Model):
    """The body of a request to `fal-ai/flux/krea`."""

    prompt: str
    image_size: ImageSize | PresetName = "landscape_4_3"
    num_inference_steps: Annotated[int, Field(ge=1, le=50)] = 28
    seed: Annotated[int, Field(ge=0, le=2**62)] | None = None
    guidance_scale: Annotated[float, Field(ge=1, le=20)] = 4.5
    sync_mode: bool = False
    num_images: Annotated[int, Field(ge=1, le=4)] = 1
    enable_safety_checker: bool = True
    output_format: Literal["jpeg", "png"] = "jpeg"
    acceleration: Level = "none"

    @field_validator("image_size", mode="after")
    @classmethod
    def _within_limits(cls, size: ImageSize | PresetName) -> ImageSize | PresetName:
        if isinstance(size, ImageSize) and size.width * size.height > MAX_PIXELS:
            raise ValueError(f"width × height should be at most {MAX_PIXELS} pixels")
        return size

    @property
    def delivered_size(self) -> tuple[int, int]:
        """Width and height of the pictures: floored to whole 16 pixel blocks, as the FLUX pipelines do."""
        if isinstance(self.image_size, ImageSize):
            size = (self.image_size.width, self.image_size.height)
        else:
            size = PRESET_SIZES[self.image_size]
        return size[0] - size[0] % _SIDE_MULTIPLE, size[1] - size[1] % _SIDE_MULTIPLE


def validation_body(error: ValidationError) -> dict[str, Any]:
    """fal's 422 body: `{"detail": [{loc, msg, type, url, ctx?, input?}]}`."""
    # A number too large for a double (1e999) comes back as Infinity, which no answer can hold.
    findings = json.loads(error.json(include_url=False), parse_constant=lambda _: None)
    for finding in findings:
        finding["loc"] = ["body", *finding["loc"]]
        finding["url"] = _ERRORS_PAGE + finding["type"]
    return {"detail": findings}
