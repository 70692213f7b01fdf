"""What a runner does with a job: validate, look at the input pictures, draw, take its time, bill."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass

from kreabench.backends.options import FalEmulatorOptions
from kreabench.core.errors import KreabenchError
from kreabench.core.specs import TaskKind
from kreabench.emulator.billing import bill
from kreabench.emulator.faults import AT_WORK
from kreabench.emulator.files import InputPicture, PictureReader
from kreabench.emulator.jobs import Delivered, Job, Outcome, Refused, SeedSource
from kreabench.emulator.order import Order
from kreabench.emulator.painters import black_pictures
from kreabench.emulator.studio import Studio
from kreabench.emulator.validation import Invalid, Validator, Wanted, finding, whole_blocks

_logger = logging.getLogger(__name__)

_FLAGGED = "The content could not be processed because it was flagged by a content checker."
_DEFAULT_STEPS, _DEFAULT_GUIDANCE = 28, 4.5
"""What the pipeline draws with for endpoints that have no such inputs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Drawn:
    order: Order
    pictures: tuple[bytes, ...]
    flagged: bool
    painter_s: float


class Worker:
    """Carries out jobs; called once for each start of a job."""

    def __init__(self, studio: Studio, reader: PictureReader, options: FalEmulatorOptions) -> None:
        self._studio = studio
        self._reader = reader
        self._options = options
        self._validator = Validator()
        self._seeds = SeedSource(options.seed)

    async def __call__(self, job: Job) -> Outcome | None:
        """Every failure of one job is its own outcome; None where the runner is lost half-way."""
        try:
            wanted = self._validator.check(job.asked.endpoint, job.asked.body)
            self._check_policy(wanted)
            if job.strike("requeue"):
                await asyncio.sleep(job.inference_s / 2)
                return _error("runner_disconnected") if job.asked.no_retry else None
            if job.fault in AT_WORK:
                await asyncio.sleep(job.inference_s)
                return _error(job.fault)
            return await self._deliver(job, wanted)
        except Invalid as error:
            return Refused(status_code=422, body={"detail": error.findings})
        except KreabenchError as error:
            _logger.error("request %s failed: %s", job.id, error)
            return Refused(status_code=500, body={"detail": str(error)}, error_type="runner_server_error")
        except Exception:
            # Nothing is hidden: the traceback is logged and the client gets the service's own kind of failure.
            _logger.exception("request %s failed", job.id)
            return Refused(status_code=500, body={"detail": "Internal Server Error"}, error_type="internal_error")

    def _check_policy(self, wanted: Wanted) -> None:
        if self._options.policy_marker in wanted.prompt:
            kind = "content_policy_violation"
            raise Invalid([finding(("prompt",), kind, _FLAGGED, wanted.prompt, categories=["model_moderated"])])

    async def _deliver(self, job: Job, wanted: Wanted) -> Delivered:
        begun_s = time.monotonic()
        seed = self._seeds.next() if wanted.seed is None else wanted.seed
        drawn = await asyncio.wrap_future(self._studio.do(lambda: self._draw(job, wanted, seed)))
        await asyncio.sleep(max(0.0, begun_s + job.inference_s - time.monotonic()))
        size = (drawn.order.width, drawn.order.height)
        count = drawn.order.num_images
        extra = 1 if job.fault == "wrong_units" else 0
        return Delivered(
            wanted=wanted,
            seed=seed,
            size=size,
            pictures=drawn.pictures,
            flagged=(drawn.flagged,) * count,
            inference_s=max(drawn.painter_s, job.inference_s),
            bill=bill(wanted.endpoint.price, size, count, self._options.megapixel_pixels, extra=extra),
        )

    def _draw(self, job: Job, wanted: Wanted, seed: int) -> _Drawn:
        """In the studio's thread. Raises Invalid for input pictures that cannot be used."""
        order = _order(wanted, seed, self._reader.read(wanted))
        begun_s = time.monotonic()
        marked = bool(self._options.nsfw_marker in wanted.prompt and wanted.values.get("enable_safety_checker"))
        if marked or job.fault == "black":
            pictures = black_pictures(order)
        else:
            pictures = self._studio.painter.paint(_shrunk(order) if job.fault == "wrong_size" else order)
        painter_s = time.monotonic() - begun_s
        flagged = marked or job.fault in {"black", "nsfw"}
        return _Drawn(order=order, pictures=tuple(pictures), flagged=flagged, painter_s=painter_s)


def _error(fault: str) -> Refused:
    status_code, error_type, detail = AT_WORK[fault]
    return Refused(status_code=status_code, body={"detail": detail}, error_type=error_type)


def _order(wanted: Wanted, seed: int, inputs: tuple[InputPicture, ...]) -> Order:
    steps, guidance = wanted.values.get("num_inference_steps"), wanted.values.get("guidance_scale")
    size = wanted.asked_size
    if size is None:
        # Endpoints without a size keep that of the picture they start from.
        size = whole_blocks((inputs[0].width, inputs[0].height)) if inputs else (1024, 768)
    strength = wanted.values.get("strength")
    task: TaskKind = "text-to-image"
    if inputs:
        task = "redux" if strength is None else "image-to-image"
    return Order(
        prompt=wanted.prompt,
        seed=seed,
        steps=_DEFAULT_STEPS if steps is None else steps,
        guidance=_DEFAULT_GUIDANCE if guidance is None else guidance,
        width=size[0],
        height=size[1],
        num_images=wanted.num_images,
        output_format=wanted.output_format,
        acceleration=wanted.values.get("acceleration") or "none",
        task=task,
        strength=strength,
        inputs=tuple(picture.content for picture in inputs),
    )


def _shrunk(order: Order) -> Order:
    from dataclasses import replace

    width, height = whole_blocks((order.width // 2, order.height // 2))
    return replace(order, width=width, height=height)
