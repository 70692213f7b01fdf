"""What draws the pictures: the local back end, or patterns that cost nothing and import no torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Protocol

from kreabench.backends.encoding import encode_picture
from kreabench.backends.options import FalEmulatorOptions
from kreabench.backends.table import backend_class
from kreabench.core.errors import EnvironmentProblem, GenerationError, Problem
from kreabench.core.ids import stable_hash
from kreabench.core.specs import AccelerationSpec, Defaults, Limits, OutputFormat, Request, Setting, TargetSpec
from kreabench.emulator.schema import LEVELS, Level

_PATTERN_CELLS = 8
_PATTERN_LEVELS: dict[Level, float] = {"none": 0.0, "regular": 2.0, "high": 6.0}
"""Grey levels by which an acceleration moves a pattern, so that fidelity has something to measure."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What to draw, completely said."""

    prompt: str
    seed: int
    steps: int
    guidance: float
    width: int
    height: int
    num_images: int
    output_format: OutputFormat
    acceleration: Level


class Painter(Protocol):
    """Opened, used and closed by one thread."""

    def open(self) -> None:
        """Load whatever is needed. Raises KreabenchError."""

    def paint(self, order: Order) -> list[bytes]:
        """Whole files in the asked format, one a picture."""

    def close(self) -> None:
        """Release everything."""


class PatternPainter:
    """Smooth colour patterns that follow from prompt, seed and acceleration."""

    def open(self) -> None:
        """Import what draws, so that the first request is no slower than the others."""
        import numpy  # noqa: F401
        import PIL.Image  # noqa: F401

    def paint(self, order: Order) -> list[bytes]:
        """Picture k is the pattern of seed + k."""
        return [self._pattern(order, order.seed + index) for index in range(order.num_images)]

    def close(self) -> None:
        """Nothing to release."""

    @staticmethod
    def _pattern(order: Order, seed: int) -> bytes:
        import numpy as np
        from PIL.Image import Resampling, fromarray

        digest = hashlib.sha256(f"{seed}\n{order.prompt}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        cells = rng.uniform(16, 240, (_PATTERN_CELLS, _PATTERN_CELLS, 3))
        shift = _PATTERN_LEVELS[order.acceleration]
        cells += rng.choice([-shift, shift], cells.shape)
        low = fromarray(cells.astype(np.uint8))
        return encode_picture(low.resize((order.width, order.height), Resampling.BICUBIC), order.output_format)


class PipelinePainter:
    """The pictures of the local back end itself, so that hosted and local runs can be compared picture by picture."""

    def __init__(self, options: FalEmulatorOptions) -> None:
        """Raises EnvironmentProblem where a level of the endpoint has no features."""
        _check_levels(options)
        self._backend = backend_class("diffusers")()
        self._target = _target(options)
        self._accelerations = tuple(
            AccelerationSpec(name=level, description="", hosted=level, features=features)
            for level, features in options.accelerations.items()
        )

    def open(self) -> None:
        """Load the pipeline. Raises EnvironmentProblem."""
        problems = self._backend.check(self._target, self._accelerations)
        if problems:
            raise EnvironmentProblem(problems)
        try:
            self._backend.open(self._target, self._accelerations, ())
        except GenerationError as error:
            problem = Problem(
                key="--model",
                found=f"{self._target.model} ({error.message})",
                expected="a pipeline that loads",
                remedy=error.remedy,
            )
            raise EnvironmentProblem([problem]) from error

    def paint(self, order: Order) -> list[bytes]:
        """Pictures in the order of the back end. Raises GenerationError."""
        generation = self._backend.generate(_setting(order, self._target.name), _request(order))
        return [image.content for image in generation.images]

    def close(self) -> None:
        """Unload the pipeline."""
        self._backend.close()


def make_painter(options: FalEmulatorOptions) -> Painter:
    """The painter that `options.images` names."""
    return PatternPainter() if options.images == "patterns" else PipelinePainter(options)


def _check_levels(options: FalEmulatorOptions) -> None:
    if set(options.accelerations) != set(LEVELS):
        problem = Problem(
            key="--accelerations",
            found=", ".join(options.accelerations) or "no level",
            expected=f"features for each of {', '.join(LEVELS)}",
        )
        raise EnvironmentProblem([problem])


def _target(options: FalEmulatorOptions) -> TargetSpec:
    return TargetSpec(
        name="fal_emulator",
        backend="diffusers",
        task="text-to-image",
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
        options=options.pipeline,
    )


def _setting(order: Order, target: str) -> Setting:
    return Setting(
        id=stable_hash([order.acceleration, order.steps, order.guidance, order.width, order.height, order.num_images]),
        target=target,
        task="text-to-image",
        acceleration=order.acceleration,
        steps=order.steps,
        guidance=order.guidance,
        width=order.width,
        height=order.height,
        num_images=order.num_images,
        output_format=order.output_format,
        load_key="fal_emulator",
        reference_id=None,
    )


def _request(order: Order) -> Request:
    return Request(
        id=stable_hash(order),
        setting_id="fal_emulator",
        prompt_id="",
        prompt=order.prompt,
        seed=order.seed,
        repeat=0,
    )
