"""The pictures of the local back end itself, so that hosted and local runs can be compared picture by picture."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from kreabench.backends.input_images import BadInputImage, describe_input
from kreabench.backends.options import FalEmulatorOptions
from kreabench.backends.table import backend_class
from kreabench.core.errors import EnvironmentProblem, GenerationError, Problem
from kreabench.core.ids import stable_hash
from kreabench.core.planned import Request, Setting
from kreabench.core.specs import (
    AccelerationSpec,
    Defaults,
    InputImage,
    Limits,
    TargetSpec,
    TaskKind,
)
from kreabench.emulator.order import Order

LEVELS = ("none", "regular", "high")
"""What fal's endpoints of FLUX.1 know as acceleration."""

_TRAINED: dict[str, Any] = {"max_sequence_length": 16, "redux_model": "builtin:mini-redux"}
_GOES_WITH: dict[str, dict[str, Any]] = {
    "builtin:mini": _TRAINED,
    "builtin:mini-noisy": _TRAINED,
    "builtin:mini-untrained": {"redux_model": "builtin:mini-untrained-redux"},
}
"""Model → options of the local back end that go with it, where `FalEmulatorOptions.pipeline` says nothing else."""


class PipelinePainter:
    """One loaded pipeline for each task that was asked for; text-to-image is loaded at the start."""

    def __init__(self, options: FalEmulatorOptions) -> None:
        """Raises EnvironmentProblem where a level of the endpoint has no features."""
        _check_levels(options)
        self._options = options
        self._accelerations = tuple(
            AccelerationSpec(name=level, description="", hosted=level, features=features)
            for level, features in options.accelerations.items()
        )
        self._backends: dict[TaskKind, Any] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def open(self) -> None:
        """Load the pipeline. Raises EnvironmentProblem."""
        self._folder = tempfile.TemporaryDirectory(prefix="kreabench-fal-inputs-")
        self._backend("text-to-image")

    def paint(self, order: Order) -> list[bytes]:
        """Pictures in the order of the back end. Raises GenerationError."""
        assert self._folder is not None, "paint is called between open and close"  # noqa: S101
        folder = Path(self._folder.name)
        images = tuple(_stored(folder, index, content) for index, content in enumerate(order.inputs))
        setting = _setting(order)
        try:
            generation = self._backend(order.task).generate(setting, _request(order, images))
        finally:
            for image in images:
                (folder / image.file_name).unlink(missing_ok=True)
        return [image.content for image in generation.images]

    def close(self) -> None:
        """Unload every pipeline."""
        for backend in self._backends.values():
            backend.close()
        self._backends.clear()
        if self._folder is not None:
            self._folder.cleanup()

    def _backend(self, task: TaskKind) -> Any:
        if task in self._backends:
            return self._backends[task]
        assert self._folder is not None, "back ends are opened between open and close"  # noqa: S101
        backend = backend_class("diffusers")()
        target = _target(self._options, task)
        problems = backend.check(target, self._accelerations)
        if problems:
            raise EnvironmentProblem(problems)
        # From here on it is closed with the others, also when it did not open.
        self._backends[task] = backend
        try:
            backend.open(target, self._accelerations, (), inputs=Path(self._folder.name))
        except GenerationError as error:
            del self._backends[task]
            backend.close()
            found = f"{target.model} ({error.message})"
            problem = Problem(key="--model", found=found, expected="a pipeline that loads", remedy=error.remedy)
            raise EnvironmentProblem([problem]) from error
        return backend


def _stored(folder: Path, index: int, content: bytes) -> InputImage:
    try:
        image = describe_input(f"input {index}", content)
    except BadInputImage as error:
        raise GenerationError(str(error), type="bad_image", stage="encode_image") from error
    (folder / image.file_name).write_bytes(content)
    return image


def _check_levels(options: FalEmulatorOptions) -> None:
    if set(options.accelerations) != set(LEVELS):
        problem = Problem(
            key="--accelerations",
            found=", ".join(options.accelerations) or "no level",
            expected=f"features for each of {', '.join(LEVELS)}",
        )
        raise EnvironmentProblem([problem])


def _target(options: FalEmulatorOptions, task: TaskKind) -> TargetSpec:
    pipeline = _GOES_WITH.get(options.model, {}) | options.pipeline
    if task != "redux":
        pipeline.pop("redux_model", None)
    return TargetSpec(
        name="fal_emulator",
        backend="diffusers",
        task=task,
        model=options.model,
        revision=None,
        hosted=False,
        untrained=False,
        emulated=False,
        defaults=Defaults(steps=28, guidance=4.5, size="landscape_4_3"),
        limits=Limits(
            steps=(1, 50),
            guidance=(1.0, 20.0),
            num_images=(1, 4),
            output_formats=("png", "jpeg"),
            size_multiple=16,
            min_side_px=16,
            max_pixels=2**22,
        ),
        accelerations=None,
        price=None,
        usd_per_hour=None,
        expected=None,
        service=None,
        key_env=None,
        options=pipeline,
    )


def _setting(order: Order) -> Setting:
    return Setting(
        id=stable_hash([order.acceleration, order.steps, order.guidance, order.width, order.height, order.num_images]),
        target="fal_emulator",
        task=order.task,
        acceleration=order.acceleration,
        steps=order.steps,
        guidance=order.guidance,
        width=order.width,
        height=order.height,
        num_images=order.num_images,
        output_format=order.output_format,
        load_key="fal_emulator",
        reference_id=None,
        strength=order.strength,
    )


def _request(order: Order, images: tuple[InputImage, ...]) -> Request:
    return Request(
        id=stable_hash([order.prompt, order.seed]),
        setting_id="fal_emulator",
        prompt_id="",
        prompt=order.prompt,
        seed=order.seed,
        repeat=0,
        images=images,
    )
