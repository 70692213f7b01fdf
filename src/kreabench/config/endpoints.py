"""Limits, defaults and acceleration levels of a target: of a hosted endpoint they follow from its inputs.

A file may set `default`, `limits` and `accelerations` key by key beside `inputs`: never wider than the input itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args

from kreabench.config.model import LimitsConfig, TargetConfig
from kreabench.core.endpoint_inputs import AXIS_INPUTS, FILLED_INPUTS, check_arguments, reject_value
from kreabench.core.errors import Problem
from kreabench.core.registry import suggest
from kreabench.core.specs import (
    Defaults,
    InputField,
    InputType,
    Limits,
    OutputFormat,
    TaskKind,
)

Report = Callable[[Problem], None]

Inputs = Mapping[str, InputField]

_TYPES: dict[str, InputType] = {
    "prompt": "string",
    "image_url": "image_url",
    "image_urls": "image_urls",
    "seed": "integer",
    "sync_mode": "boolean",
    "num_inference_steps": "integer",
    "guidance_scale": "number",
    "image_size": "image_size",
    "num_images": "integer",
    "output_format": "string",
    "acceleration": "string",
    "strength": "number",
}
"""Of the inputs that a request fills by itself."""

_PARTS_OF: dict[str, tuple[InputType, ...]] = {
    "minimum": ("integer", "number"),
    "maximum": ("integer", "number"),
    "values": ("string", "image_size"),
    "multiple_px": ("image_size",),
    "min_side_px": ("image_size",),
    "max_pixels": ("image_size",),
}
"""Part of an input → types that have it."""

_FORMATS: tuple[OutputFormat, ...] = get_args(OutputFormat)

_SPELLINGS: dict[OutputFormat, set[str]] = {"png": {"png"}, "jpeg": {"jpeg", "jpg"}}
"""Format → what services call it."""


def inputs_of(key: str, config: TargetConfig, report: Report) -> dict[str, InputField]:
    """The endpoint's inputs, each consistent in itself and with the target's task; empty for a local target."""
    inputs: dict[str, InputField] = {}
    for name, given in config.inputs.items():
        values = None if given.values is None else tuple(given.values)
        inputs[name] = InputField(**{**given.model_dump(), "values": values})
        for problem in _input_problems(f"{key}.inputs.{name}", name, inputs[name]):
            report(problem)
    if inputs:
        for problem in _task_problems(key, config.task, inputs):
            report(problem)
    return inputs


def _input_problems(key: str, name: str, field: InputField) -> Iterator[Problem]:
    wanted = _TYPES.get(name, field.type)
    if field.type != wanted:
        yield Problem(key=f"{key}.type", found=field.type, expected=wanted)
        return
    for part, types in _PARTS_OF.items():
        if getattr(field, part) is not None and field.type not in types:
            expected = f"nothing: only {' and '.join(types)} have that"
            yield Problem(key=f"{key}.{part}", found=str(getattr(field, part)), expected=expected)
    if field.minimum is not None and field.maximum is not None and field.minimum > field.maximum:
        yield Problem(key=f"{key}.minimum", found=f"{field.minimum:g}", expected=f"at most maximum, {field.maximum:g}")
    elif field.default is not None and (expected_value := reject_value(field, field.default)) is not None:
        yield Problem(key=f"{key}.default", found=repr(field.default), expected=expected_value)


def _task_problems(key: str, task: TaskKind, inputs: Inputs) -> Iterator[Problem]:
    pictures = sorted({"image_url", "image_urls"} & inputs.keys())
    if task == "text-to-image" and any(inputs[name].required for name in pictures):
        yield Problem(
            key=f"{key}.task", found=task, expected="image-to-image or redux, as the endpoint needs a picture"
        )
    elif task != "text-to-image" and not pictures:
        yield Problem(key=f"{key}.inputs", found="neither of them", expected=f"image_url or image_urls, for {task}")
    if task != "image-to-image" and "strength" in inputs:
        yield Problem(key=f"{key}.inputs.strength", found="an input", expected=f"none: {task} has no strength")


def check_parameters(key: str, inputs: Inputs, parameters: Mapping[str, Any], report: Report) -> None:
    """Constant values of inputs that are no axis: known names, accepted values, all that the endpoint requires."""
    axes = {parameter: axis for axis, parameter in AXIS_INPUTS.items()}
    for name in sorted(FILLED_INPUTS & parameters.keys()):
        where = f"axes.{axes[name]}" if name in axes else "what the request itself brings"
        report(Problem(key=f"{key}.parameters.{name}", found="a constant", expected=f"nothing here: use {where}"))
    own = {name: value for name, value in parameters.items() if name not in FILLED_INPUTS}
    free = {name: field for name, field in inputs.items() if name not in FILLED_INPUTS}
    for finding in check_arguments(free, own):
        # The value of an unknown key may be a secret: it is not said.
        found, expected = (
            (finding.found, finding.expected)
            if finding.name in free
            else ("an unknown input", suggest(finding.name, free))
        )
        report(Problem(key=f"{key}.parameters.{finding.name}", found=found, expected=expected))


def limits_of(key: str, config: TargetConfig, inputs: Inputs, report: Report) -> Limits | None:
    """What the target accepts; None, with the problems reported, where something is missing or too wide."""
    found = _Limits(key, config.limits, inputs, report)
    steps, guidance = found.span("steps"), found.span("guidance")
    num_images, strength = found.span("num_images"), found.strength(config.task)
    formats, size = found.output_formats(), found.size()
    if found.failed or num_images is None or size is None:
        return None
    return Limits(
        steps=None if steps is None else (int(steps[0]), int(steps[1])),
        guidance=guidance,
        num_images=(int(num_images[0]), int(num_images[1])),
        output_formats=formats,
        size_multiple=size["size_multiple"],
        min_side_px=size["min_side_px"],
        max_pixels=size["max_pixels"],
        strength=strength,
    )


class _Limits:
    """Derives one limit after the other and keeps in mind whether any of them failed."""

    def __init__(self, key: str, given: LimitsConfig, inputs: Inputs, report: Report) -> None:
        self._key = f"{key}.limits"
        self._given = given
        self._inputs = inputs
        self._report = report
        self.failed = False

    def span(self, axis: str) -> tuple[float, float] | None:
        """A range; None where the endpoint has no such input."""
        given: list[float] | None = getattr(self._given, axis)
        field = self._inputs.get(AXIS_INPUTS[axis])
        if field is not None:
            return self._span_of(axis, field, given)
        if not self._inputs:
            if given is None:
                self._wrong(axis, "nothing", "a value")
            return None if given is None else (given[0], given[1])
        only = (1, 1) if axis == "num_images" else None
        if given is not None and tuple(given) != only:
            self._wrong(axis, str(given), f"{'[1, 1]' if only else 'nothing'}: there is no input {AXIS_INPUTS[axis]}")
        return only

    def _span_of(self, axis: str, field: InputField, given: list[float] | None) -> tuple[float, float] | None:
        name, low, high = AXIS_INPUTS[axis], field.minimum, field.maximum
        if given is not None:
            if (low is not None and given[0] < low) or (high is not None and given[1] > high):
                ends = " to ".join("any" if end is None else f"{end:g}" for end in (low, high))
                self._wrong(axis, str(given), f"a range within {ends}, as the input {name} takes no more")
            return given[0], given[1]
        if low is None or high is None:
            self._wrong(axis, "nothing", f"a range, as the input {name} has no minimum and maximum")
            return None
        return low, high

    def strength(self, task: TaskKind) -> tuple[float, float] | None:
        """Of image-to-image; `config.tasks` says what is wrong with it elsewhere."""
        if not self._inputs:
            given = self._given.strength
            return None if given is None else (given[0], given[1])
        return self.span("strength")

    def output_formats(self) -> tuple[OutputFormat, ...]:
        """Those of ours that the endpoint has; both where it lets nobody choose, as the delivered one is recorded."""
        given = self._given.output_formats
        if not self._inputs and given is None:
            self._wrong("output_formats", "nothing", "a value")
        field = self._inputs.get("output_format")
        values = field.values if field is not None else None
        offered = _FORMATS if values is None else tuple(name for name in _FORMATS if _SPELLINGS[name] & {*values})
        wrong = [name for name in given or () if name not in offered]
        if wrong:
            self._wrong("output_formats", ", ".join(wrong), f"of {', '.join(offered)}, as the endpoint has no other")
        return offered if given is None else tuple(given)

    def size(self) -> dict[str, int] | None:
        """Of the input `image_size` where there is one, else all of the file."""
        field = self._inputs.get("image_size")
        parts = {"size_multiple": "multiple_px", "min_side_px": "min_side_px", "max_pixels": "max_pixels"}
        found: dict[str, int] = {}
        for name, part in parts.items():
            given: int | None = getattr(self._given, name)
            own: int | None = None if field is None else getattr(field, part)
            if given is not None and own is not None and _is_wider(name, given, own):
                kind = {"size_multiple": "a multiple of", "min_side_px": "at least", "max_pixels": "at most"}[name]
                self._wrong(name, str(given), f"{kind} {own}, as the input image_size takes no more")
            value = own if given is None else given
            if value is None:
                self._wrong(name, "nothing", "a value" + (", as no input has one" if self._inputs else ""))
            else:
                found[name] = value
        return found if len(found) == len(parts) else None

    def _wrong(self, name: str, found: str, expected: str) -> None:
        self.failed = True
        self._report(Problem(key=f"{self._key}.{name}", found=found, expected=expected))


def _is_wider(name: str, given: int, own: int) -> bool:
    return given % own != 0 if name == "size_multiple" else given < own if name == "min_side_px" else given > own


def defaults_of(key: str, config: TargetConfig, inputs: Inputs, report: Report) -> Defaults | None:
    """What `default` means; None, with the problems reported, where something is missing."""
    given, missing = config.default, False
    values: dict[str, Any] = {}
    for axis in ("steps", "guidance", "size", "strength"):
        name = AXIS_INPUTS[axis]
        value, field = getattr(given, axis), inputs.get(name)
        if value is None and field is not None:
            value = _size_text(field.default) if axis == "size" else field.default
        if inputs and field is None and value is not None and axis in {"steps", "guidance"}:
            report(Problem(key=f"{key}.default.{axis}", found=str(value), expected=f"nothing: no input {name}"))
        if value is None and _is_needed(axis, inputs):
            missing = True
            report(Problem(key=f"{key}.default.{axis}", found="nothing", expected="a value"))
        values[axis] = float(value) if axis in {"guidance", "strength"} and value is not None else value
    return None if missing else Defaults(**values)


def _is_needed(axis: str, inputs: Inputs) -> bool:
    if axis == "strength":  # `config.tasks` knows who needs it
        return False
    return axis == "size" or not inputs or AXIS_INPUTS[axis] in inputs


def _size_text(default: Any) -> str | None:
    """An image size as axes name it: a preset, or WIDTHxHEIGHT."""
    return f"{default['width']}x{default['height']}" if isinstance(default, Mapping) else default


def accelerations_of(key: str, config: TargetConfig, inputs: Inputs, report: Report) -> tuple[str, ...] | None:
    """Levels that the endpoint takes, none where it has no such input; as given for a target without `inputs`."""
    given = None if config.accelerations is None else tuple(config.accelerations)
    if not inputs:
        return given
    field = inputs.get("acceleration")
    if field is None:
        offered: tuple[str, ...] = ()
    elif field.values is None:
        offered = given or ()
    else:
        offered = field.values
    wrong = [name for name in given or () if name not in offered]
    if wrong:
        expected = f"of {', '.join(offered)}" if offered else "[]: there is no input acceleration"
        report(Problem(key=f"{key}.accelerations", found=", ".join(wrong), expected=expected))
    return offered if given is None else given


def empty_defaults() -> Defaults:
    """Stands in while problems are collected; never leaves `config`."""
    return Defaults(steps=None, guidance=None, size="square")


def empty_limits() -> Limits:
    """As `empty_defaults`."""
    return Limits(
        steps=None,
        guidance=None,
        num_images=(1, 1),
        output_formats=(),
        size_multiple=1,
        min_side_px=1,
        max_pixels=1,
    )
