"""A hosted service without a network: jobs are lines of a file, so that they outlive the worker that asked for them.

Each entry of `options.faults` is a mapping:

    kind              what goes wrong, one of `FAULTS`; required
    prompt_contains   only for prompts that contain this text
    times             only this often, counted over all workers and resumes; needs `options.state_dir`
    retry_after_s     of `rate_limited`: what the service asks to wait; it names nothing unless given

The first entry that matches decides. The service's own account is a file in `options.state_dir`: see `fake_service`.
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from kreabench.backends.base import GeneratedImage, Generation, Ticket
from kreabench.backends.encoding import encode_picture
from kreabench.backends.fake import draw
from kreabench.backends.fake_faults import is_due, options_problems, times_problems
from kreabench.backends.fake_service import FakeService, Job
from kreabench.backends.options import FakeHostedOptions
from kreabench.core.errors import GenerationError, Problem
from kreabench.core.planned import Request, Setting
from kreabench.core.records import HostedCall, Timings
from kreabench.core.registry import suggest
from kreabench.core.specs import AccelerationSpec, TargetSpec

FAULTS = {
    "rate_limited": "the request is refused before a job exists",
    "refused": "the back end finds the request wrong before it sends anything",
    "reset": "the connection is lost once the job exists, before its id has come",
    "server_error": "the job fails; it is not billed",
    "lost": "the connection is lost while the job is worked on",
    "crash": "the process ends by SIGKILL once the job exists, before its id has come",
    "crash_later": "the process ends by SIGKILL while the job is worked on, also when its result is fetched again",
    "hang": "the call never returns, until its job's result is fetched again",
    "load_error": "opening fails with a typed failure",
}
"""Kinds of fault and what they do."""

_MEGAPIXEL = 1_000_000
_HANG_S = 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class HostedFault:
    """One valid entry of `options.faults`."""

    kind: str
    prompt_contains: str = ""
    times: int | None = None
    retry_after_s: float | None = None


class FakeHostedBackend:
    """Draws the fake back end's patterns as a service would: a queue, some work, a bill."""

    def __init__(self) -> None:
        self._options = FakeHostedOptions()
        self._faults: tuple[HostedFault, ...] = ()
        self._fault_lock = threading.Lock()
        self._closed = threading.Event()
        self._first = True
        self._service: FakeService | None = None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    @staticmethod
    def check(target: TargetSpec, accelerations: Sequence[AccelerationSpec]) -> tuple[Problem, ...]:
        """What is wrong with the faults asked for."""
        options = FakeHostedOptions(**target.options)
        return options_problems(target.name, options.faults, options.state_dir, _fault_problems)

    def open(
        self,
        target: TargetSpec,
        accelerations: Sequence[AccelerationSpec],
        settings: Sequence[Setting],
        *,
        concurrency: int,
        inputs: Path | None = None,
    ) -> dict[str, Any]:
        """Find the service's folder. Raises GenerationError."""
        problems = self.check(target, accelerations)
        if problems:
            raise GenerationError("; ".join(map(str, problems)), type="load_failed", stage="load")
        self._options = FakeHostedOptions(**target.options)
        self._faults = tuple(HostedFault(**fault) for fault in self._options.faults)
        if self._options.state_dir is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="kreabench-fake-")
        self._service = FakeService(Path(self._options.state_dir or self._temporary.name))  # type: ignore[union-attr]
        if self._next_fault(load=True) is not None:
            raise GenerationError("a fault of kind load_error, as asked", type="load_failed", stage="load")
        return {"endpoint": target.model, "concurrency": concurrency}

    def generate(self, setting: Setting, request: Request, ticket: Ticket) -> Generation:
        """Submit, or look for what was submitted; wait; draw. Raises GenerationError."""
        first, self._first = self._first, False
        fault = None if ticket.earlier_id else self._next_fault(prompt=request.prompt)
        sent = time.perf_counter()
        job = self._found(ticket.earlier_id) if ticket.earlier_id else self._submitted(setting, request, fault)
        if not ticket.earlier_id:
            ticket.submitted(job.id)
        submitted = time.perf_counter()
        self._wait_until(job, job.started_s)
        started = time.perf_counter()
        self._trouble(request, fault)
        self._wait_until(job, job.done_s)
        ended = time.perf_counter()
        if job.fails:
            raise _failure("server_error", "result", transient=True)
        stages = {
            "client": sent - ticket.intended_s,
            "submit": submitted - sent,
            "queue": started - submitted,
            "inference": ended - started,
        }
        total = ended - ticket.intended_s
        return Generation(
            images=_pictures(setting, request),
            timings=Timings(
                end_to_end_s=total,
                stages_s=stages,
                residual_s=total - sum(stages.values()),
                first_call=first,
                resolution_s=0.0,
            ),
            memory=None,
            steps_run=None,
            hosted=HostedCall(
                service_request_id=job.id,
                attempts=1,
                polls=1,
                queue_s=stages["queue"],
                inference_s=self._options.inference_s,
                runner="fake",
                billable_units=job.units,
                recovered=ticket.earlier_id is not None,
            ),
        )

    def close(self) -> None:
        """Have calls in flight end: jobs that wait are cancelled, those that are worked on are left."""
        self._closed.set()
        if self._temporary is not None:
            self._temporary.cleanup()

    def _submitted(self, setting: Setting, request: Request, fault: HostedFault | None) -> Job:
        kind = fault.kind if fault else ""
        if kind == "refused":
            raise _failure("invalid_request", "check")
        now = time.time()
        started = now + self._options.queue_s
        job = Job(
            id="",
            request_id=request.id,
            units=float(-(-setting.width * setting.height // _MEGAPIXEL) * setting.num_images),
            submitted_s=now,
            started_s=started,
            done_s=started + self._options.inference_s,
            fails=kind == "server_error",
        )
        assert self._service is not None  # noqa: S101 - the worker opens before it asks for anything
        taken = None if kind == "rate_limited" else self._service.submit(job, self._options.max_running)
        if taken is None:
            error = _failure("rate_limited", "submit", transient=True)
            error.retry_after_s = fault.retry_after_s if fault else None
            raise error
        if kind == "reset":
            raise _failure("network", "submit")
        if kind == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self._options.submit_s)
        return taken

    def _found(self, job_id: str) -> Job:
        assert self._service is not None  # noqa: S101 - the worker opens before it asks for anything
        job = self._service.find(job_id)
        if job is None:
            raise _failure("expired", "result")
        if job.cancelled:
            raise _failure("cancelled", "result", transient=True)
        return job

    def _wait_until(self, job: Job, when_s: float) -> None:
        """Wait for a moment of the wall clock. Raises GenerationError once the back end is closed."""
        if not self._closed.wait(max(0.0, when_s - time.time())):
            return
        assert self._service is not None  # noqa: S101 - the worker opens before it asks for anything
        raise _failure("cancelled", "queue", transient=True, fetch_again=not self._service.cancel(job.id))

    def _trouble(self, request: Request, fault: HostedFault | None) -> None:
        """What goes wrong while the job is worked on."""
        kind = fault.kind if fault else ""
        if kind == "lost":
            raise _failure("network", "inference", transient=True, fetch_again=True)
        if kind == "crash_later" or (not fault and self._asked("crash_later", request.prompt)):
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "hang":
            time.sleep(_HANG_S)

    def _asked(self, kind: str, prompt: str) -> bool:
        return any(
            fault.kind == kind and fault.prompt_contains in prompt and fault.times is None for fault in self._faults
        )

    def _counter(self, index: int) -> Path | None:
        return None if self._options.state_dir is None else Path(self._options.state_dir) / f"hosted-fault-{index}"

    def _next_fault(self, *, load: bool = False, prompt: str = "") -> HostedFault | None:
        with self._fault_lock:
            for index, fault in enumerate(self._faults):
                if (
                    (fault.kind == "load_error") == load
                    and fault.prompt_contains in prompt
                    and is_due(self._counter(index), fault.times)
                ):
                    return fault
        return None


def _pictures(setting: Setting, request: Request) -> tuple[GeneratedImage, ...]:
    asked = replace(setting, steps=setting.steps or 1)
    return tuple(
        GeneratedImage(
            content=encode_picture(draw(asked, request, index), setting.output_format),
            seed=request.seed + index,
            nsfw=False,
        )
        for index in range(setting.num_images)
    )


def _failure(type_: str, stage: str, *, transient: bool = False, fetch_again: bool = False) -> GenerationError:
    return GenerationError(
        f"a {type_} of the fake service",
        type=type_,
        stage=stage,
        remedy="Ask for no fault.",
        transient=transient,
        fetch_again=fetch_again,
    )


def _fault_problems(key: str, fault: Mapping[str, Any], state_dir: str | None) -> list[Problem]:
    """Everything wrong with one entry of `faults`; `key` is where it stands in the configuration."""
    try:
        found = msgspec.convert(fault, HostedFault)
    except msgspec.ValidationError as error:
        return [Problem(key=key, found=str(dict(fault)), expected=f"a fault as documented ({error})")]
    problems = []
    unknown = set(fault) - set(HostedFault.__slots__)
    if unknown:
        expected = suggest(min(unknown), HostedFault.__slots__)
        problems.append(Problem(key=f"{key}.{min(unknown)}", found="an unknown key", expected=expected))
    if found.kind not in FAULTS:
        problems.append(Problem(key=f"{key}.kind", found=repr(found.kind), expected=suggest(found.kind, FAULTS)))
    problems += times_problems(f"{key}.times", found.times, state_dir)
    return problems
