"""What a provider's answer says besides the picture. Each tells something else, and most tell little."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from kreabench.backends.base import GeneratedImage, Ticket
from kreabench.backends.hf_inference_errors import MAYBE_BILLED, ProviderAnswer
from kreabench.backends.hf_inference_transport import Call
from kreabench.backends.service_values import amount, amounts_by_name, seed_of
from kreabench.core.errors import GenerationError
from kreabench.core.records import HostedCall, Timings

_ID_HEADERS = ("x-fal-request-id", "x-request-id", "x-inference-id", "inference-id")


def service_request_id(answer: ProviderAnswer) -> str:
    """The provider's name of the request; empty where it gives none."""
    named = next((answer.headers[name] for name in _ID_HEADERS if answer.headers.get(name)), None)
    body_id = _fields(answer.body).get("id")
    return named or (body_id if isinstance(body_id, str) else "")


def hosted_call(call: Call, *, routed: bool, in_flight: int, scrub: Callable[[str], str]) -> HostedCall:
    """The record; `scrub` takes secrets out of what the provider wrote."""
    answer = call.answer
    headers: Mapping[str, str] = answer.headers if answer is not None else {}
    timings_s = _timings(call.body)
    runner = headers.get("x-fal-served-from")
    polled = bool(call.asked_s)
    return HostedCall(
        service_request_id=scrub(service_request_id(answer)) if answer is not None else "",
        attempts=1 + call.repeats,
        polls=len(call.asked_s),
        queue_s=None,
        # Of Hugging Face's own service a header, of Replicate the field `metrics.predict_time`.
        inference_s=_first(amount(headers.get("x-compute-time")), timings_s.get("predict_time")),
        runner=None if runner is None else scrub(runner),
        # What a router bills is not what the provider behind it counts.
        billable_units=None if routed else amount(headers.get("x-fal-billable-units")),
        observed_by="polling" if polled else "response",
        model_s=timings_s.get("inference"),
        timings_s=timings_s,
        in_flight=in_flight,
    )


def picture(content: bytes, call: Call, *, checked: bool, max_bytes: int) -> GeneratedImage:
    """The delivered bytes as they came. Raises GenerationError (`bad_image`) where they are no picture."""
    stage = "call" if call.download_s is None else "download"
    if len(content) > max_bytes:
        remedy = "Raise options.max_download_bytes if such a size is right. The request may have been billed."
        raise GenerationError(f"a picture of more than {max_bytes} bytes", type="bad_image", stage=stage, remedy=remedy)
    if not _is_picture(content):
        raise GenerationError(
            f"{len(content)} bytes came that are no PNG, JPEG or WebP picture",
            type="bad_image",
            stage=stage,
            remedy=MAYBE_BILLED,
        )
    body = _fields(call.body)
    seed, flags = body.get("seed"), body.get("has_nsfw_concepts")
    flag = flags[0] if checked and isinstance(flags, list) and flags else None
    return GeneratedImage(
        content=content,
        seed=seed_of(seed),
        nsfw=flag if isinstance(flag, bool) else None,
    )


def timings_of(call: Call, ticket: Ticket) -> Timings:
    """Stages `client`, `connect`, `call` and `download`, as `hf_inference_session` describes them."""
    begun_s = call.begun_s if call.begun_s is not None else call.ended_s
    answered_s = call.answered_s if call.answered_s is not None else call.ended_s
    connect_s = call.connect_s or 0.0
    stages = {"client": begun_s - ticket.intended_s}
    if call.connect_s is not None:
        stages["connect"] = connect_s
    stages["call"] = answered_s - begun_s - connect_s
    if call.download_s is not None:
        stages["download"] = call.download_s[1] - call.download_s[0]
    total = call.ended_s - ticket.intended_s
    return Timings(
        end_to_end_s=total,
        stages_s=stages,
        residual_s=total - math.fsum(stages.values()),
        first_call=call.first or call.connect_s is not None,
        resolution_s=call.gap_s,
    )


def _is_picture(content: bytes) -> bool:
    webp = content[:4] == b"RIFF" and content[8:12] == b"WEBP"
    return content.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")) or webp


def _timings(body: Any) -> dict[str, float]:
    """`timings` (fal) or `metrics` (Replicate), both in seconds."""
    fields = _fields(body)
    return amounts_by_name(fields.get("timings") or fields.get("metrics"))


def _fields(body: Any) -> dict[str, Any]:
    return body if isinstance(body, dict) else {}


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)
