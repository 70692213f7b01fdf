"""What is measured of each call beside its time, and the calibration that its work is set against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kreabench.backends.devices import Device
from kreabench.backends.floor import models_of, work_of
from kreabench.backends.metering import Meter
from kreabench.backends.nvml import open_driver
from kreabench.backends.options import DiffusersOptions
from kreabench.backends.staging import StageClock
from kreabench.backends.work import BlockRuns, Shape, vision_tokens
from kreabench.core.planned import Request, Setting
from kreabench.core.records import Calibration, DeviceState, Memory, Work


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """Of one call; the fields are those of a sample's record."""

    memory: Memory
    device: DeviceState | None
    work: Work
    flags: tuple[str, ...]


class Measuring:
    """For one loaded pipeline: `with measuring.around_call(): …`, then `result`."""

    def __init__(
        self, device: Device, options: DiffusersOptions, calibration: Calibration, components: Mapping[str, Any]
    ) -> None:
        """`components`: all of the pipeline's, and those of redux' prior, as they are once features are on them."""
        self.calibration = calibration
        self._device = device
        self._options = options
        self._models = models_of(components)
        self._meter = Meter(None if device.uuid is None else open_driver(device.uuid))

    @contextmanager
    def around_call(self) -> Iterator[None]:
        """Around the timed call and nothing else."""
        with self._meter.around_call(self._device):
            yield

    def result(
        self,
        setting: Setting,
        requests: Sequence[Request],
        clock: StageClock,
        features: Mapping[str, Mapping[str, Any]],
        blocks: BlockRuns | None,
    ) -> Measured:
        """What the call took that drew all `requests`; `blocks` are the forwards that ran, None for uncounted ones."""
        work, too_fast = work_of(
            self._models,
            self._shape(setting, requests, clock.steps_run),
            clock.timings(),
            dtype=self._options.dtype,
            features=features,
            blocks=blocks,
            calibration=self.calibration,
        )
        return Measured(
            memory=self._meter.memory(clock.peaks(), self._device.peaks()),
            device=self._meter.device(),
            work=work,
            # A processor never merely queues work, and what shares it spoils a calibration more than any call.
            flags=(*(() if self._device.uuid is None else too_fast), *self._meter.flags()),
        )

    def _shape(self, setting: Setting, requests: Sequence[Request], steps: int) -> Shape:
        num_images = setting.num_images * len(requests)
        tokens = self._options.max_sequence_length
        redux = setting.task == "redux"
        # Pictures of one redux request are averaged, so that they take the place of one.
        context = tokens + (vision_tokens(self._models["image_encoder"].config) if redux else 0)
        return Shape(
            width=setting.width,
            height=setting.height,
            num_images=num_images,
            steps=steps,
            prompt_tokens=tokens,
            context_tokens=context,
            prompts_encoded=len(requests),
            images_embedded=sum(len(request.images) for request in requests) if redux else 0,
            # Encoded once for each picture to be drawn, each with a generator of its own.
            images_encoded=num_images if setting.task == "image-to-image" else 0,
        )
