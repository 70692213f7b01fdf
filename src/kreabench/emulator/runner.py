"""The one runner: takes jobs from the queue, one at a time, in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from concurrent.futures import Future
from typing import Any

from pydantic import ValidationError

from kreabench.backends.options import FalEmulatorOptions
from kreabench.core.errors import KreabenchError
from kreabench.emulator.jobs import Delivered, Job, JobQueue, Refused, SeedSource, billable_units, client_cancelled
from kreabench.emulator.painters import Order, Painter
from kreabench.emulator.schema import ENDPOINT, USD_PER_UNIT, KreaInput, validation_body
from kreabench.emulator.truth import utc

_logger = logging.getLogger(__name__)


class Runner:
    """Opens the painter, draws for each job, and closes the painter, all in one thread."""

    def __init__(self, queue: JobQueue, painter: Painter, options: FalEmulatorOptions) -> None:
        self.name = f"emulated-runner-{uuid.uuid4().hex[:12]}"
        self._queue = queue
        self._painter = painter
        self._options = options
        self._seeds = SeedSource(options.seed)
        self._opened: Future[None] = Future()
        # A daemon, so that a signal during a long load ends the process at once.
        self._thread = threading.Thread(target=self._work, name="runner", daemon=True)

    def start(self) -> None:
        """Return when the painter is ready. Raises whatever its `open` raised."""
        self._thread.start()
        self._opened.result()

    def stop(self, *, timeout_s: float = 2.0) -> None:
        """Finish the job in hand, if it ends in time, and let the thread go."""
        self._queue.close()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _work(self) -> None:
        try:
            try:
                self._painter.open()
            except BaseException as error:
                self._opened.set_exception(error)
                return
            self._opened.set_result(None)
            while (job := self._queue.take()) is not None:
                self._queue.finish(job, self._outcome(job))
        finally:
            self._painter.close()

    def _outcome(self, job: Job) -> Delivered | Refused:
        """Every failure of one job is its own outcome; the runner goes on."""
        try:
            wanted = KreaInput.model_validate(job.body)
        except ValidationError as error:
            return Refused(status_code=422, body=validation_body(error))
        try:
            return self._draw(job, wanted)
        except KreabenchError as error:
            _logger.error("request %s failed: %s", job.id, error)
            return Refused(status_code=500, body={"detail": str(error)}, error_type="runner_server_error")
        except Exception:
            # Nothing is hidden: the traceback is logged and the client gets the service's own kind of failure.
            _logger.exception("request %s failed", job.id)
            return Refused(status_code=500, body={"detail": "Internal Server Error"}, error_type="internal_error")

    def _draw(self, job: Job, wanted: KreaInput) -> Delivered | Refused:
        seed = self._seeds.next() if wanted.seed is None else wanted.seed
        begun_s = time.monotonic()
        pictures = self._painter.paint(_order(wanted, seed))
        inference_s = time.monotonic() - begun_s
        if job.cancelled.wait(max(0.0, self._options.inference_s - inference_s)):
            return client_cancelled()
        width, height = wanted.delivered_size
        return Delivered(
            wanted=wanted,
            seed=seed,
            pictures=tuple(pictures),
            inference_s=max(inference_s, self._options.inference_s),
            billable_units=billable_units(width, height, wanted.num_images, self._options.megapixel_pixels),
        )


def _order(wanted: KreaInput, seed: int) -> Order:
    width, height = wanted.delivered_size
    return Order(
        prompt=wanted.prompt,
        seed=seed,
        steps=wanted.num_inference_steps,
        guidance=wanted.guidance_scale,
        width=width,
        height=height,
        num_images=wanted.num_images,
        output_format=wanted.output_format,
        acceleration=wanted.acceleration,
    )


def truth_entry(job: Job) -> dict[str, Any]:
    """What really happened to a finished job; the monotonic times are comparable across processes of one machine."""
    entry: dict[str, Any] = {"request_id": job.id, "endpoint": ENDPOINT}
    for name, moment in (("accepted", job.accepted), ("started", job.started), ("finished", job.finished)):
        entry[f"{name}_monotonic_s"] = None if moment is None else moment.monotonic_s
        entry[f"{name}_utc"] = None if moment is None else utc(moment.utc_s)
    if isinstance(job.outcome, Delivered):
        wanted = job.outcome.wanted
        width, height = wanted.delivered_size
        entry |= {
            "status_code": 200,
            "acceleration": wanted.acceleration,
            "steps": wanted.num_inference_steps,
            "width": width,
            "height": height,
            "num_images": wanted.num_images,
            "pixels": width * height * wanted.num_images,
            "seed": job.outcome.seed,
            "painter_s": job.outcome.inference_s,
            "billable_units": job.outcome.billable_units,
            "usd": job.outcome.billable_units * USD_PER_UNIT,
        }
    elif job.outcome is not None:
        entry |= {"status_code": job.outcome.status_code, "error_type": job.outcome.error_type, "usd": 0.0}
    return entry
