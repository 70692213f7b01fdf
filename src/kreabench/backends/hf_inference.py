"""The back end for providers of inference that huggingface_hub knows: one call a picture, no queue to watch.

This module is what the driver imports to check a target; the client library is imported by `hf_inference_session`, in
the worker.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from kreabench.backends.base import Generation, Ticket
from kreabench.backends.hf_inference_arguments import call_arguments
from kreabench.backends.hf_inference_check import check_target, key_variable
from kreabench.backends.keys import is_usable_key
from kreabench.backends.opening_errors import no_usable_key
from kreabench.backends.options import HfInferenceOptions
from kreabench.core.errors import GenerationError, Problem
from kreabench.core.planned import Request, Setting
from kreabench.core.specs import AccelerationSpec, TargetSpec

if TYPE_CHECKING:
    from kreabench.backends.hf_inference_session import HfInferenceSession


class HfInferenceBackend:
    """Providers of text-to-image through `InferenceClient`."""

    def __init__(
        self, *, clock: Callable[[], float] = time.perf_counter, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._session: HfInferenceSession | None = None
        self._target: TargetSpec | None = None
        self._options = HfInferenceOptions()
        self._levels: dict[str, str | None] = {}

    @staticmethod
    def check(target: TargetSpec, accelerations: Sequence[AccelerationSpec]) -> tuple[Problem, ...]:
        """What is missing: the key, a provider that the library knows, options that agree. Sends nothing."""
        options = msgspec.convert(target.options, HfInferenceOptions)
        return check_target(target, options, accelerations, os.environ)

    def open(
        self,
        target: TargetSpec,
        accelerations: Sequence[AccelerationSpec],
        settings: Sequence[Setting],
        *,
        concurrency: int,
        inputs: Path | None = None,
    ) -> dict[str, Any]:
        """Make the client and ask the Hub once what the provider calls the model. The provider itself is not asked."""
        from kreabench.backends.hf_inference_session import HfInferenceSession

        key_env = key_variable(target)
        key = os.environ.get(key_env, "")
        if not is_usable_key(key):
            raise no_usable_key(key_env)
        self._target = target
        self._options = msgspec.convert(target.options, HfInferenceOptions)
        self._levels = {acceleration.name: acceleration.hosted for acceleration in accelerations}
        self._session = HfInferenceSession(
            target, self._options, key=key, key_env=key_env, clock=self._clock, sleep=self._sleep
        )
        return self._session.open()

    def generate(self, setting: Setting, request: Request, ticket: Ticket) -> Generation:
        """One request, one POST, one picture; see `hf_inference_session` for what each stage means."""
        if self._session is None or self._target is None:
            raise GenerationError("the back end is not open", type="internal", stage="client")
        level = self._levels[setting.acceleration]
        arguments = call_arguments(self._target, setting, request, level=level, names=self._options.names)
        return self._session.generate(arguments, ticket)

    def close(self) -> None:
        """Send nothing more, wait briefly for pictures that are being drawn, then close the connections."""
        if self._session is not None:
            self._session.close()
