"""What the workers of local and of hosted targets share: how answers are made, and what goes into the log."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import msgspec

from kreabench.backends.base import Generation
from kreabench.core.errors import GenerationError, KreabenchError
from kreabench.core.planned import Request, Setting
from kreabench.execution.clock import ClockWatch, utc_now
from kreabench.execution.failures import clean, describe
from kreabench.execution.messages import Answer, Delivery, Done, Failed, decode_answer, encode_line
from kreabench.rundir.images import store_image


class Answering:
    """Makes the answers of one worker; knows the secrets that neither they nor the log may hold."""

    def __init__(self, *, now: Callable[[], str] = utc_now, clock: Callable[[], float] = time.perf_counter) -> None:
        """`now` is UTC as records carry it, `clock` the one that seconds are taken from."""
        self.now = now
        self.clock = clock
        self.hidden: tuple[str, ...] = ()
        self.watch = ClockWatch()

    def line(self, answer: Answer, stage: str, started_utc: str, began: float, request_id: str | None = None) -> bytes:
        """`answer` as a line. One that cannot be sent becomes a failure: a back end that reports NaN seconds or a dtype
        object must not stop the run."""
        try:
            line = encode_line(answer)
            decode_answer(line)
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            return encode_line(self.failed(error, stage, started_utc, began, request_id=request_id))
        return line

    def failed(
        self,
        error: Exception,
        stage: str,
        started_utc: str,
        began: float,
        *,
        delivery: Delivery | None = None,
        request_id: str | None = None,
    ) -> Failed:
        """The answer to an order that failed by `error`; `stage` is for errors that name none."""
        failure, fatal = describe(error, stage=stage, hidden=self.hidden)
        self.log(f"{started_utc} {failure.type} in {failure.stage}: {failure.message}")
        if not isinstance(error, KreabenchError):
            self.log("".join(traceback.format_exception(error)))
        return Failed(
            started_utc=started_utc,
            elapsed_s=self.clock() - began,
            error=failure,
            fatal=fatal,
            delivery=delivery,
            request_id=request_id,
            retry_after_s=error.retry_after_s if isinstance(error, GenerationError) else None,
        )

    def done(self, delivery: Delivery, started_utc: str, request_id: str | None = None) -> Done:
        """The answer to an order that was carried out; says where the clock was set meanwhile."""
        return Done(started_utc=started_utc, delivery=self.flagged(delivery), request_id=request_id)

    def flagged(self, delivery: Delivery) -> Delivery:
        """`delivery`, which says where the clock was set since the last one."""
        return replace(delivery, flags=(*delivery.flags, *self.watch.flags()))

    def log(self, text: str) -> None:
        """Write to standard error, which is the log."""
        with suppress(OSError):  # a full disk is reported by the answer; dying of the log would hide it
            print(clean(text, self.hidden), file=sys.stderr, flush=True)  # noqa: T201


def delivery_of(generation: Generation) -> Delivery:
    """What the back end gave, without its pictures."""
    return Delivery(
        timings=generation.timings,
        memory=generation.memory,
        steps_run=generation.steps_run,
        hosted=generation.hosted,
        device=generation.device,
        work=generation.work,
        flags=generation.flags,
        safety_check_s=generation.safety_check_s,
    )


def stored(run_path: Path, setting: Setting, request: Request, generation: Generation, delivery: Delivery) -> Delivery:
    """`delivery` with the pictures of `generation`, which are checked and written. Raises GenerationError."""
    delivered = len(generation.images)
    if delivered != setting.num_images:
        raise GenerationError(
            f"{delivered} pictures were delivered; expected {setting.num_images}", type="bad_image", stage="store"
        )
    images = tuple(
        store_image(run_path, setting, request, index, image) for index, image in enumerate(generation.images)
    )
    return replace(delivery, images=images)
