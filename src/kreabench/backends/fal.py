"""The fal back end: one request in flight through the queue API, timed by polling it.

This module is what the driver imports to check a target; the client library is imported by `fal_session`, in the
worker, after the environment that it reads at import is in place.
"""

from __future__ import annotations

import ipaddress
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from kreabench.backends.base import Generation
from kreabench.backends.options import FalOptions
from kreabench.core.errors import GenerationError, Problem
from kreabench.core.sizes import preset_name
from kreabench.core.specs import AccelerationSpec, Request, Setting, TargetSpec

if TYPE_CHECKING:
    from kreabench.backends.fal_session import FalSession

_ENDPOINT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*){1,5}")
_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_DEFAULT_KEY_VARIABLE = "FAL_KEY"


class FalBackend:
    """FLUX endpoints of fal.ai, or of the loopback emulator."""

    def __init__(
        self, *, clock: Callable[[], float] = time.perf_counter, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._session: FalSession | None = None
        self._options = FalOptions()
        self._levels: dict[str, str | None] = {}

    @staticmethod
    def check(target: TargetSpec, accelerations: Sequence[AccelerationSpec]) -> tuple[Problem, ...]:
        """What is missing: the key, a sane endpoint, levels that the endpoint takes. Sends nothing."""
        return (
            *_check_endpoint(target),
            *_check_options(target),
            *_check_levels(target, accelerations),
            *_check_environment(target, os.environ),
        )

    def open(
        self,
        target: TargetSpec,
        accelerations: Sequence[AccelerationSpec],
        settings: Sequence[Setting],
        *,
        inputs: Path | None = None,
    ) -> dict[str, Any]:
        """Make the client. No connection is opened: that is part of the first request, and the identity says so."""
        from kreabench.backends.fal_calls import FalCalls
        from kreabench.backends.fal_session import FalSession

        key_env = _key_variable(target)
        key = os.environ.get(key_env)
        if not key:
            raise GenerationError(
                f"the environment variable {key_env} is not set",
                type="authentication",
                stage="load",
                remedy=f"Set {key_env} to a key of the service.",
            )
        self._options = _options(target)
        self._levels = {acceleration.name: acceleration.hosted for acceleration in accelerations}
        calls = FalCalls(
            endpoint=target.model,
            key=key,
            key_env=key_env,
            emulated=target.emulated,
            options=self._options,
            clock=self._clock,
            sleep=self._sleep,
        )
        self._session = FalSession(
            calls, emulated=target.emulated, options=self._options, clock=self._clock, sleep=self._sleep
        )
        return self._session.identity()

    def generate(self, setting: Setting, request: Request) -> Generation:
        """Submit, wait, fetch the result and every picture; see `fal_session` for what each stage means."""
        if self._session is None:
            raise GenerationError("the back end is not open", type="internal", stage="submit")
        arguments = _arguments(setting, request, self._levels[setting.acceleration], self._options)
        return self._session.generate(arguments, num_images=setting.num_images)

    def close(self) -> None:
        """Cancel what is still queued, if anything, and close the connections."""
        if self._session is not None:
            self._session.close()
            self._session = None


def _arguments(setting: Setting, request: Request, level: str | None, options: FalOptions) -> dict[str, Any]:
    """The request body, as fal documents it for FLUX.1 Krea [dev]."""
    return {
        "prompt": request.prompt,
        "image_size": preset_name(setting.width, setting.height) or {"width": setting.width, "height": setting.height},
        "num_inference_steps": setting.steps,
        "guidance_scale": setting.guidance,
        "seed": request.seed,
        "num_images": setting.num_images,
        "output_format": setting.output_format,
        "acceleration": level,
        "enable_safety_checker": options.enable_safety_checker,
        "sync_mode": False,
    }


def _options(target: TargetSpec) -> FalOptions:
    """The target's options; msgspec turns the list that JSON made of a tuple into a tuple again."""
    return msgspec.convert(target.options, FalOptions)


def _key_variable(target: TargetSpec) -> str:
    # A service that the run starts itself brings its own dummy key: a real one never goes there.
    return _DEFAULT_KEY_VARIABLE if target.service is not None else target.key_env or _DEFAULT_KEY_VARIABLE


def _check_endpoint(target: TargetSpec) -> list[Problem]:
    problems = []
    if not _ENDPOINT.fullmatch(target.model):
        problems.append(
            Problem(
                key=f"target.{target.name}.model",
                found=repr(target.model),
                expected="an endpoint id such as fal-ai/flux/krea",
            )
        )
    if target.task != "text-to-image":
        problems.append(Problem(key=f"target.{target.name}.task", found=target.task, expected="text-to-image"))
    return problems


def _check_options(target: TargetSpec) -> list[Problem]:
    options = _options(target)
    wanted = (
        ("poll_interval_s", options.poll_interval_s, options.poll_interval_s > 0, "more than 0 seconds"),
        # fal-client refuses a start timeout of a second or less.
        ("start_timeout_s", options.start_timeout_s, options.start_timeout_s > 1, "more than 1 second"),
        ("request_timeout_s", options.request_timeout_s, options.request_timeout_s > 0, "more than 0 seconds"),
        ("max_download_bytes", options.max_download_bytes, options.max_download_bytes > 0, "at least 1 byte"),
        (
            "download_hosts",
            list(options.download_hosts),
            all(_HOST_NAME.fullmatch(host) for host in options.download_hosts),
            "bare host names in lower case, without scheme, port or path",
        ),
    )
    return [
        Problem(key=f"target.{target.name}.options.{name}", found=str(found), expected=expected)
        for name, found, fine, expected in wanted
        if not fine
    ]


def _check_levels(target: TargetSpec, accelerations: Sequence[AccelerationSpec]) -> list[Problem]:
    accepted = target.accelerations or ()
    return [
        Problem(
            key=f"acceleration.{acceleration.name}.hosted",
            found=str(acceleration.hosted),
            expected=f"one of {', '.join(accepted) or 'no level at all'} for target {target.name}",
        )
        for acceleration in accelerations
        if acceleration.hosted not in accepted
    ]


def _check_environment(target: TargetSpec, environ: Mapping[str, str]) -> list[Problem]:
    if target.service is not None:
        return []  # the service sets all of it
    problems = []
    key_env = _key_variable(target)
    if not environ.get(key_env):
        problems.append(
            Problem(
                key=key_env,
                found="not set",
                expected=f"the key of the service, for target {target.name}",
                remedy=f"export {key_env}=… in the shell that starts kreabench; it is written nowhere.",
            )
        )
    # Either mix-up gives a report that lies: a stand-in's numbers unbranded, or real dollars branded as emulated.
    host = _queue_host(environ)
    if _is_loopback(host) != target.emulated:
        problems.append(
            Problem(
                key="FAL_QUEUE_RUN_HOST",
                found=host,
                expected="a loopback address, as the target is emulated"
                if target.emulated
                else f"the service's own host, as target {target.name} is not marked `emulated`",
            )
        )
    return problems


def _queue_host(environ: Mapping[str, str]) -> str:
    """Where fal-client will send requests; it reads the variables when it is imported."""
    return environ.get("FAL_QUEUE_RUN_HOST") or f"queue.{environ.get('FAL_RUN_HOST', 'fal.run')}"


def _is_loopback(host_and_port: str) -> bool:
    host = host_and_port.rpartition(":")[0] or host_and_port
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
