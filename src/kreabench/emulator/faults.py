"""What can go wrong on purpose: one table, and a seeded draw of at most one fault for each job."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass

from kreabench.core.registry import suggest

FAULTS: dict[str, str] = {
    # Before or at the submit; also at `run`.
    "reset_before": "the connection is reset after the body was read; no job is made",
    "rate_limit": "429 concurrent_requests_limit; no job is made",
    "reset": "the connection is reset after the body was read, and the job is made all the same",
    "hang_submit": "the job is made, and the submit is never answered",
    # While the job is watched. A connection fault strikes the first call of its kind; later calls are answered.
    "reset_status": "the first status call or status stream ends in a connection reset",
    "hang_status": "the first status call is never answered",
    "hang_stream": "the first status stream goes silent after its first event, and stays open",
    "drop_stream": "the first status stream ends after its first event",
    "no_stream": "404 for status/stream, always",
    "gateway": "the first status or result call gets an nginx 502 page",
    # What becomes of the job.
    "requeue": "half-way the runner is lost: IN_PROGRESS, IN_QUEUE, IN_PROGRESS on another runner",
    "server_error": "500 runner_server_error after the work; not billed",
    "internal_error": "500 internal_error after the work; not billed",
    "runner_disconnected": "503 runner_disconnected after the work; not billed",
    "incomplete_response": "502 runner_incomplete_response after the work; not billed",
    "scheduling_failure": "503 runner_scheduling_failure without any work; not billed",
    "startup_timeout": "504 startup_timeout without any work; not billed",
    # At the result.
    "reset_result": "the first result call ends in a connection reset",
    "hang_result": "the first result call is never answered",
    "wrong_units": "one billable unit more than the price list says, and it is charged",
    "no_units": "no X-Fal-Billable-Units; charged as the price list says",
    # The pictures themselves: at every download of the job.
    "black": "black pictures of the asked size, flagged in has_nsfw_concepts",
    "nsfw": "flagged in has_nsfw_concepts, but drawn as asked",
    "wrong_size": "pictures of half the width and height; the result names the asked size",
    "not_an_image": "text, served as a picture",
    "truncated": "the download ends before Content-Length",
    "truncated_file": "the last third of the file is missing, and Content-Length agrees",
    "expired_link": "404 for the picture",
    "slow_download": "the picture takes 2 s",
}
"""Name → what it does."""

AT_WORK: dict[str, tuple[int, str, str]] = {
    "server_error": (500, "runner_server_error", "Runner returned an internal server error"),
    "internal_error": (500, "internal_error", "Internal Server Error"),
    "runner_disconnected": (503, "runner_disconnected", "Runner disconnected"),
    "incomplete_response": (502, "runner_incomplete_response", "Runner sent an incomplete response"),
}
"""Fault → status, error type and detail of a job that was worked on."""

BEFORE_WORK: dict[str, tuple[int, str, str]] = {
    "scheduling_failure": (503, "runner_scheduling_failure", "No runner could be allocated"),
    "startup_timeout": (504, "startup_timeout", "Runner did not start in time"),
}
"""The same of a job that never reached a runner."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultPlan:
    """Which fault, if any, strikes which submission. The same seed and number give the same answer."""

    probabilities: Mapping[str, float]
    seed: int | None

    def fault_of(self, number: int) -> str | None:
        """Of the `number`-th submission, counted from 0."""
        source = random.Random() if self.seed is None else random.Random(f"fault {self.seed} {number}")  # noqa: S311
        left = source.random()
        for name, probability in self.probabilities.items():
            left -= probability
            if left < 0:
                return name
        return None


def check_faults(probabilities: Mapping[str, float]) -> None:
    """Raises ValueError on an unknown name, a probability outside 0 to 1, or a sum above 1."""
    for name, probability in probabilities.items():
        if name not in FAULTS:
            raise ValueError(f"found {name!r}; expected {suggest(name, FAULTS)}")
        if not 0 <= probability <= 1:
            raise ValueError(f"found {name}={probability:g}; expected a probability from 0 to 1")
    total = sum(probabilities.values())
    if total > 1 + 1e-9:
        raise ValueError(f"found probabilities that sum to {total:g}; expected 1 at most, as a job has one fault")


def parse_faults(texts: tuple[str, ...]) -> dict[str, float]:
    """`NAME=PROBABILITY`, or a JSON object of such pairs. Raises ValueError."""
    found: dict[str, float] = {}
    for text in texts:
        found |= _json_pairs(text) if text.lstrip().startswith("{") else _pair(text)
    check_faults(found)
    return found


def _pair(text: str) -> dict[str, float]:
    name, equals, probability = text.partition("=")
    try:
        if not equals:
            raise ValueError
        return {name.strip(): float(probability)}
    except ValueError:
        raise ValueError(f"found {text!r}; expected NAME=PROBABILITY such as reset=0.02") from None


def _json_pairs(text: str) -> dict[str, float]:
    try:
        return {name: float(value) for name, value in json.loads(text).items()}
    except (ValueError, TypeError):
        raise ValueError(f"found {text!r}; expected an object of probabilities by name") from None


def fault_table() -> str:
    """The table for people."""
    width = max(map(len, FAULTS))
    return "\n".join(f"{name:<{width}}  {text}" for name, text in FAULTS.items())
