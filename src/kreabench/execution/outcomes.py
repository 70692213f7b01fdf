"""Answers and deaths into records. Pure functions: what a record says is decided here, what is done about it is not."""

from __future__ import annotations

import signal
from dataclasses import dataclass, replace

from kreabench.core.planned import LoadGroup, Request, Setting
from kreabench.core.records import Cost, Failure, FailureRecord, LoadRecord, SampleRecord, WarmupRecord
from kreabench.core.specs import TargetSpec
from kreabench.execution.messages import Delivery, Done, Failed, Opened
from kreabench.execution.supervise import Death
from kreabench.pricing import request_price_usd, sample_cost, units_usd

BEFORE_SUBMISSION = frozenset({"check", "client", "upload", "connect"})
"""Stages of a hosted request in which nothing has been asked for yet."""
SUBMISSION = frozenset({"submit", "call"})
"""Stages in which it is."""
REFUSED = frozenset({"authentication", "rate_limited"})
"""Failures of the submission that make no job."""
TRIED_TWICE = frozenset({"device_lost", "picture_lost"})
"""Failures by the request or by chance: as after a crash, a second try tells."""
MAYBE_BILLED = "It may have been carried out and billed, so it is not sent again unless --retry-failed asks for it."


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """An order that was not carried out."""

    error: Failure
    started_utc: str
    elapsed_s: float
    died: bool
    """The worker ended, was ended at its time limit, or lost its device or the picture, with the order in hand."""
    fatal: bool = False
    """The worker is still there but must not be asked again."""
    delivery: Delivery | None = None
    """Set where the back end had delivered and something went wrong afterwards."""


NO_COST = Cost(usd=None, basis="none")


def delivered_sample(group: LoadGroup, request: Request, attempt: int, done: Done) -> SampleRecord:
    """The final record of a request whose pictures are stored."""
    delivery = done.delivery
    return SampleRecord(
        request_id=request.id,
        setting_id=request.setting_id,
        group_id=group.id,
        prompt_id=request.prompt_id,
        seed=request.seed,
        repeat=request.repeat,
        attempt=attempt,
        status="ok",
        started_utc=done.started_utc,
        steps_run=delivery.steps_run,
        timings=delivery.timings,
        timing_valid=attempt == 1 and not delivery.timings.first_call and _is_undisturbed(delivery),
        memory=delivery.memory,
        hosted=delivery.hosted,
        cost=sample_cost(
            group.target,
            end_to_end_s=delivery.timings.end_to_end_s,
            images=delivery.images,
            billable_units=_billable_units(delivery),
        ),
        images=delivery.images,
        device=delivery.device,
        work=delivery.work,
        flags=delivery.flags,
        safety_check_s=delivery.safety_check_s,
    )


def failed_sample(
    group: LoadGroup, request: Request, attempt: int, trouble: Trouble, cost: Cost = NO_COST
) -> SampleRecord:
    """The final record of a request that failed; what was delivered before that is kept, its time never counts."""
    delivery = trouble.delivery
    return SampleRecord(
        request_id=request.id,
        setting_id=request.setting_id,
        group_id=group.id,
        prompt_id=request.prompt_id,
        seed=request.seed,
        repeat=request.repeat,
        attempt=attempt,
        status="failed",
        started_utc=trouble.started_utc,
        steps_run=delivery.steps_run if delivery else None,
        timings=delivery.timings if delivery else None,
        memory=delivery.memory if delivery else None,
        hosted=delivery.hosted if delivery else None,
        cost=cost,
        error=trouble.error,
        failed_after_s=trouble.elapsed_s or None,
        device=delivery.device if delivery else None,
        work=delivery.work if delivery else None,
        flags=delivery.flags if delivery else (),
        safety_check_s=delivery.safety_check_s if delivery else None,
    )


def load_record(group: LoadGroup, opened: Opened) -> LoadRecord:
    """The record of a model that was loaded."""
    return LoadRecord(
        group_id=group.id,
        target=group.target.name,
        started_utc=opened.started_utc,
        load_s=opened.load_s,
        identity=opened.identity,
        calibration=opened.calibration,
    )


def load_failure(group: LoadGroup, trouble: Trouble, attempt: int) -> FailureRecord:
    """The record of a model that could not be loaded."""
    return FailureRecord(
        group_id=group.id,
        setting_id=None,
        request_id=None,
        attempt=attempt,
        started_utc=trouble.started_utc,
        error=replace(trouble.error, stage="load"),
    )


def warmup_record(group: LoadGroup, setting: Setting, done: Done, batch: int = 1) -> WarmupRecord:
    """The record of a call of `batch` requests whose pictures were thrown away."""
    timings = done.delivery.timings
    return WarmupRecord(
        group_id=group.id,
        setting_id=setting.id,
        started_utc=done.started_utc,
        timings=timings,
        cost=_unseen_cost(group.target, setting, timings.end_to_end_s, done.delivery),
        memory=done.delivery.memory,
        device=done.delivery.device,
        batch=batch,
    )


def failure_cost(target: TargetSpec, setting: Setting, trouble: Trouble) -> Cost:
    """What a call that failed has cost; None where a hosted service may or may not have billed it."""
    if target.hosted and trouble.error.fetch_again:
        return NO_COST  # counted once it is fetched; until then it is reserved
    if target.hosted and trouble.delivery is None:
        known_free = target.price is not None and _is_free(trouble.error)
        return Cost(usd=0.0, basis="price_list") if known_free else NO_COST
    return _unseen_cost(target, setting, trouble.elapsed_s, trouble.delivery)


def _is_free(error: Failure) -> bool:
    """Whether a hosted request that failed is surely not on the bill.

    Back ends call nothing transient that may be: a transient failure is sent again without being asked for. So are
    the fal API's own failures (5xx, time-outs before the start), what was cancelled in its queue, and refusals.
    """
    refused = error.type in REFUSED and error.stage in SUBMISSION
    return error.transient or refused or error.stage in BEFORE_SUBMISSION


def _unseen_cost(target: TargetSpec, setting: Setting, elapsed_s: float, delivery: Delivery | None) -> Cost:
    """The cost of a call whose pictures were drawn but are not there to be counted, or of a local one that failed."""
    if not target.hosted:
        return sample_cost(target, end_to_end_s=elapsed_s, images=(), billable_units=None)
    price, units = request_price_usd(target, setting), _billable_units(delivery)
    if price is None or target.price is None:
        return NO_COST
    if units is None:
        return Cost(usd=price, basis="price_list")
    return Cost(usd=units_usd(target.price, units, setting.num_images), basis="billed", list_usd=price)


def trouble_of_failed(answer: Failed) -> Trouble:
    """What the worker itself said went wrong."""
    return Trouble(
        error=answer.error,
        started_utc=answer.started_utc,
        elapsed_s=answer.elapsed_s,
        died=answer.error.type in TRIED_TWICE,
        fatal=answer.fatal,
        delivery=answer.delivery,
    )


def is_of_picture(trouble: Trouble) -> bool:
    """The request's input picture is gone or damaged: its failure, not that of the setting it was to warm up."""
    error = trouble.error
    return not trouble.died and error.stage == "encode_image" and error.type in {"invalid_request", "bad_image"}


def trouble_of_death(death: Death, *, stage: str, limit_key: str, log_name: str, started_utc: str) -> Trouble:
    """What a worker that is gone cannot say. `limit_key` is the config key of the time limit."""
    remedy = f"What the worker last said is in {log_name}."
    if death.limit_s is not None:
        message = f"no answer within {death.limit_s:g} s; the worker was killed"
        remedy += f" If it only needs longer, raise {limit_key}."
    elif death.signal is not None:
        message = f"the worker was ended by {_signal_name(death.signal)}"
        if death.signal == signal.SIGKILL:
            remedy += " SIGKILL without a word there often means that the machine ran out of memory."
    elif death.reason:
        message = f"the worker is gone: {death.reason}"
    else:
        message = f"the worker ended by itself with exit code {death.exit_code}"
    error = Failure(
        type="crashed" if death.limit_s is None else "timeout",
        stage=stage,
        message=message,
        remedy=remedy,
        transient=True,
        signal=death.signal,
    )
    return Trouble(error=error, started_utc=started_utc, elapsed_s=death.elapsed_s, died=True)


def lost_submission(started_utc: str, *, reason: str, type_: str = "network") -> Trouble:
    """A hosted request that may have reached the service, which nobody can ask about it: its id is unknown."""
    error = Failure(type=type_, stage="submit", message=reason, remedy=MAYBE_BILLED, transient=False)
    return Trouble(error=error, started_utc=started_utc, elapsed_s=0.0, died=False)


def _billable_units(delivery: Delivery | None) -> float | None:
    return delivery.hosted.billable_units if delivery and delivery.hosted else None


def _signal_name(number: int) -> str:
    try:
        return f"{signal.Signals(number).name} (signal {number})"
    except ValueError:
        return f"signal {number}"


def _is_undisturbed(delivery: Delivery) -> bool:
    """Whether nothing of a hosted request was repeated, fetched later or moved; such times measure the fault."""
    hosted = delivery.hosted
    return hosted is None or (hosted.attempts == 1 and not hosted.recovered and not hosted.rerouted)
