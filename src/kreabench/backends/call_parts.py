"""A call that draws several requests: what is measured of all of it, and each request's part of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kreabench.backends.base import GeneratedImage, Generation
from kreabench.backends.encoding import encode_picture
from kreabench.backends.measuring import Measured
from kreabench.backends.safety import SafetyVerdict
from kreabench.backends.staging import StageClock
from kreabench.core.planned import Request, Setting
from kreabench.core.records import DeviceState, Work

if TYPE_CHECKING:
    from PIL.Image import Image


def generations(
    setting: Setting,
    requests: Sequence[Request],
    drawn: Sequence[Image],
    *,
    clock: StageClock,
    measured: Measured,
    not_finite: Sequence[bool],
    verdict: SafetyVerdict | None,
    flags: tuple[str, ...],
) -> tuple[Generation, ...]:
    """What each of `requests` gets of a call that has ended; `drawn` are its pictures, those of one request together.

    Encodes them. `measured`, `not_finite` and `verdict` are about the whole call.
    """
    size, each = len(requests), setting.num_images
    images = [
        GeneratedImage(
            content=encode_picture(picture, setting.output_format),
            seed=requests[number // each].seed + number % each,
            nsfw=None if verdict is None else verdict.flagged[number],
            nan=not_finite[number],
        )
        for number, picture in enumerate(drawn)
    ]
    return tuple(
        Generation(
            images=tuple(images[number * each : (number + 1) * each]),
            timings=clock.timings(),
            memory=measured.memory,
            steps_run=clock.steps_run,
            hosted=None,
            safety_check_s=None if verdict is None else verdict.seconds,
            device=device_part(measured.device, size),
            work=work_part(measured.work, size),
            flags=(*measured.flags, *flags),
        )
        for number in range(size)
    )


def device_part(device: DeviceState | None, requests: int) -> DeviceState | None:
    """Energy is used once, whoever asks; clocks and temperatures are everybody's."""
    if device is None or device.energy_j is None:
        return device
    return replace(device, energy_j=device.energy_j / requests)


def work_part(work: Work | None, requests: int) -> Work | None:
    """The share of the floor stays that of the call, of which each request has its part of arithmetic and seconds."""
    if work is None:
        return None
    return replace(
        work,
        reference_tflop=work.reference_tflop / requests,
        done_tflop=None if work.done_tflop is None else work.done_tflop / requests,
        stages_tflop={stage: tflop / requests for stage, tflop in work.stages_tflop.items()},
        floor_s=None if work.floor_s is None else work.floor_s / requests,
    )
