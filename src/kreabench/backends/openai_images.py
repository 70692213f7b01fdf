"""The back end for any server with OpenAI's image interface, by its address: one call a request, no queue to watch.

This module is what the driver imports to check a target; the client library is imported by `openai_images_session`, in
the worker.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from kreabench.backends.base import Generation, Ticket
from kreabench.backends.keys import is_usable_key
from kreabench.backends.openai_images_arguments import request_body
from kreabench.backends.opening_errors import no_usable_key
from kreabench.backends.options import OpenAIImagesOptions
from kreabench.backends.service_check import (
    host_of,
    is_address,
    is_loopback,
    key_problems,
    level_problems,
    limit_problems,
)
from kreabench.core.errors import GenerationError, Problem
from kreabench.core.planned import Request, Setting
from kreabench.core.specs import AccelerationSpec, TargetSpec

if TYPE_CHECKING:
    from kreabench.backends.openai_images_session import OpenAIImagesSession


class OpenAIImagesBackend:
    """Text-to-image through `POST BASE_URL/images/generations`."""

    def __init__(
        self, *, clock: Callable[[], float] = time.perf_counter, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._session: OpenAIImagesSession | None = None
        self._target: TargetSpec | None = None
        self._options: OpenAIImagesOptions | None = None
        self._levels: dict[str, str | None] = {}

    @staticmethod
    def check(target: TargetSpec, accelerations: Sequence[AccelerationSpec]) -> tuple[Problem, ...]:
        """What is missing: an address, the key if one is named, options that agree. Sends nothing."""
        options = msgspec.convert(target.options, OpenAIImagesOptions)
        key = f"target.{target.name}"
        return (
            *_check_address(key, target, options),
            *limit_problems(key, options.request_timeout_s, options.max_download_bytes, options.download_hosts),
            *_check_inputs(key, target),
            *level_problems(target, accelerations),
            *(key_problems(target.key_env, target, os.environ) if target.key_env is not None else ()),
        )

    def open(
        self,
        target: TargetSpec,
        accelerations: Sequence[AccelerationSpec],
        settings: Sequence[Setting],
        *,
        concurrency: int,
        inputs: Path | None = None,
    ) -> dict[str, Any]:
        """Make the client. Nothing is sent: the connection is part of the first requests, and the identity says so."""
        from kreabench.backends.openai_images_session import OpenAIImagesSession

        key_env = target.key_env
        key = None if key_env is None else os.environ.get(key_env, "")
        if key_env is not None and not is_usable_key(key or ""):
            raise no_usable_key(key_env)
        self._target = target
        self._options = msgspec.convert(target.options, OpenAIImagesOptions)
        self._levels = {acceleration.name: acceleration.hosted for acceleration in accelerations}
        self._session = OpenAIImagesSession(target, self._options, key=key, clock=self._clock, sleep=self._sleep)
        return self._session.identity()

    def generate(self, setting: Setting, request: Request, ticket: Ticket) -> Generation:
        """One request, one POST, all its pictures; see `hf_inference_session` for what each stage means."""
        if self._session is None or self._target is None or self._options is None:
            raise GenerationError("the back end is not open", type="internal", stage="client")
        level = self._levels[setting.acceleration]
        return self._session.generate(
            request_body(self._target, setting, request, level=level, options=self._options), ticket
        )

    def close(self) -> None:
        """Send nothing more, wait briefly for pictures that are being drawn, then close the connections."""
        if self._session is not None:
            self._session.close()


def _check_address(key: str, target: TargetSpec, options: OpenAIImagesOptions) -> Iterator[Problem]:
    host = host_of(options.base_url)
    loopback = is_loopback(host)
    if not is_address(options.base_url, http=loopback or target.key_env is None):
        # Nothing of the address is shown: it may hold a password.
        expected = "an https address (http on this machine, or without key_env) that holds no password or query"
        yield Problem(key=f"{key}.options.base_url", found="something else", expected=expected)
    if target.emulated and not loopback:
        expected = "a loopback address, as the target is emulated"
        yield Problem(key=f"{key}.options.base_url", found=host or "none", expected=expected)


def _check_inputs(key: str, target: TargetSpec) -> Iterator[Problem]:
    if target.task != "text-to-image":
        yield Problem(key=f"{key}.task", found=target.task, expected="text-to-image")
    if "prompt" not in target.inputs:
        yield Problem(key=f"{key}.inputs", found="no prompt", expected="the inputs of the server, prompt among them")
