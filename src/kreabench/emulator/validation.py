"""What an endpoint accepts, checked as the service does: pydantic models made from its data, and fal's 422 body."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model

from kreabench.core.specs import PRESET_SIZES, InputField, OutputFormat
from kreabench.emulator.endpoints import Endpoint

ERRORS_PAGE = "https://docs.fal.ai/errors#"

_LEAST_SIDE_PX = 16
_LARGEST_SEED = 2**62
_SIDE_MULTIPLE = 16
"""Where the data names none: pictures come in whole blocks of 16 pixels, as the FLUX pipelines make them."""


class Invalid(Exception):
    """A request that the endpoint refuses: `findings` as fal's 422 body lists them."""

    def __init__(self, findings: list[dict[str, Any]]) -> None:
        super().__init__(f"{len(findings)} findings")
        self.findings = findings


class _Model(BaseModel):
    """As lenient as the service: unknown fields are ignored, a number may come as text."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class ImageSize(_Model):
    """A size of one's own, in pixels."""

    width: Annotated[int, Field(ge=_LEAST_SIDE_PX)]
    height: Annotated[int, Field(ge=_LEAST_SIDE_PX)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A valid request, with the endpoint's defaults filled in."""

    endpoint: Endpoint
    values: Mapping[str, Any]
    """Every input of the endpoint → its value."""

    @property
    def prompt(self) -> str:
        """Empty where the endpoint takes none."""
        return self.values.get("prompt") or ""

    @property
    def seed(self) -> int | None:
        """None where the service is to choose."""
        return self.values.get("seed")

    @property
    def num_images(self) -> int:
        """One where the endpoint has no such input."""
        return int(self.values.get("num_images") or 1)

    @property
    def output_format(self) -> OutputFormat:
        """JPEG where the endpoint has no such input."""
        return "png" if self.values.get("output_format") == "png" else "jpeg"

    @property
    def sync_mode(self) -> bool:
        """Whether pictures come inside the result, as data URIs."""
        return bool(self.values.get("sync_mode"))

    @property
    def picture_urls(self) -> tuple[tuple[tuple[str | int, ...], str], ...]:
        """Where in the body each input picture is named, and its address or data URI."""
        found: list[tuple[tuple[str | int, ...], str]] = []
        for name, field in self.endpoint.inputs.items():
            value = self.values.get(name)
            if field.type == "image_url" and value is not None:
                found.append(((name,), value))
            elif field.type == "image_urls" and value is not None:
                found += [((name, index), url) for index, url in enumerate(value)]
        return tuple(found)

    @property
    def asked_size(self) -> tuple[int, int] | None:
        """Width and height, floored to whole blocks as the pipelines do; None where the endpoint takes no size."""
        for name, field in self.endpoint.inputs.items():
            if field.type == "image_size":
                value = self.values[name]
                size = PRESET_SIZES[value] if isinstance(value, str) else (value.width, value.height)
                return whole_blocks(size, field.multiple_px or _SIDE_MULTIPLE)
        return None


def whole_blocks(size: tuple[int, int], multiple: int = _SIDE_MULTIPLE) -> tuple[int, int]:
    """`size` floored to multiples; at least one block each way."""
    return max(size[0] - size[0] % multiple, multiple), max(size[1] - size[1] % multiple, multiple)


class Validator:
    """Checks bodies against each endpoint's data; a model is made once for each endpoint."""

    def __init__(self) -> None:
        self._models: dict[str, type[BaseModel]] = {}

    def check(self, endpoint: Endpoint, body: Any) -> Wanted:
        """The request with its defaults. Raises Invalid."""
        model = self._models.get(endpoint.id)
        if model is None:
            model = self._models[endpoint.id] = _model_of(endpoint)
        try:
            parsed = model.model_validate(body)
        except ValidationError as error:
            raise Invalid(_findings(error)) from error
        return Wanted(endpoint=endpoint, values={name: getattr(parsed, name) for name in endpoint.inputs})


def _model_of(endpoint: Endpoint) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for name, field in endpoint.inputs.items():
        kind = _kind(name, field)
        if field.required:
            fields[name] = (kind, ...)
        elif field.default is None:
            fields[name] = (kind | None, None)
        else:
            fields[name] = (kind, field.default)
    return create_model("Input", __base__=_Model, **fields)


def _kind(name: str, field: InputField) -> Any:
    if field.type == "image_size":
        size = ImageSize | Literal[field.values] if field.values else ImageSize
        return Annotated[size, AfterValidator(partial(_within, field.max_pixels))]
    if field.type == "string":
        return Literal[field.values] if field.values else str
    if field.type in {"integer", "number"}:
        low, high = field.minimum, field.maximum
        if name == "seed":
            low, high = 0 if low is None else low, _LARGEST_SEED if high is None else high
        whole = field.type == "integer"
        return Annotated[int if whole else float, Field(ge=_bound(low, whole), le=_bound(high, whole))]
    if field.type == "image_urls":
        return Annotated[list[str], Field(min_length=1)]
    return bool if field.type == "boolean" else str


def _bound(value: float | None, whole: bool) -> float | int | None:
    return int(value) if whole and value is not None else value


def _within(max_pixels: int | None, size: ImageSize | str) -> ImageSize | str:
    if isinstance(size, ImageSize) and max_pixels is not None and size.width * size.height > max_pixels:
        raise ValueError(f"width × height should be at most {max_pixels} pixels")
    return size


def _findings(error: ValidationError) -> list[dict[str, Any]]:
    # A number too large for a double (1e999) comes back as Infinity, which no answer can hold.
    findings: list[dict[str, Any]] = json.loads(error.json(include_url=False), parse_constant=lambda _: None)
    for finding in findings:
        finding["loc"] = ["body", *finding["loc"]]
        finding["url"] = ERRORS_PAGE + finding["type"]
    return findings


def finding(loc: tuple[str | int, ...], kind: str, message: str, value: Any, **more: Any) -> dict[str, Any]:
    """One entry of fal's 422 body for what no schema can see."""
    return {"loc": ["body", *loc], "msg": message, "type": kind, "url": ERRORS_PAGE + kind, "input": value, **more}
