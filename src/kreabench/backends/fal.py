"""The fal back end: requests through the queue API, many at once, timed by its status events or by polling.

This module is what the driver imports to check a target; the client library is imported by `fal_session`, in the
worker, after the environment that it reads at import is in place.
"""

from __future__ import annotations

import ipaddress
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from kreabench.backends.base import Generation, Ticket
from kreabench.backends.keys import is_usable_key
from kreabench.backends.mini import builtin_problem, is_builtin
from kreabench.backends.options import FalOptions
from kreabench.core.errors import GenerationError, Problem
from kreabench.core.planned import Request, Setting
from kreabench.core.specs import AccelerationSpec, TargetSpec

if TYPE_CHECKING:
    from kreabench.backends.fal_session import FalSession

_ENDPOINT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*){1,5}")
_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_DEFAULT_KEY_VARIABLE = "FAL_KEY"
_USABLE = "a key of printable ASCII characters without spaces or line ends"


class FalBackend:
    """FLUX endpoints of fal.ai, or of the loopback emulator."""

    def __init__(
        self, *, clock: Callable[[], float] = time.perf_counter, sleep: Callable[[float], None] | None = None
    ) -> None:
        """Without `sleep`, a pause ends early when the back end is closed."""
        self._clock = clock
        self._sleep = sleep
        self._session: FalSession | None = None

    @staticmethod
    def check(target: TargetSpec, accelerations: Sequence[AccelerationSpec]) -> tuple[Problem, ...]:
        """What is missing: the key, a sane endpoint, levels that the endpoint takes. Sends nothing."""
        return (
            *_check_endpoint(target),
            *_check_options(target),
            *_check_levels(target, accelerations),
            *_check_service(target),
            *_check_environment(target, os.environ),
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
        """Make the clients. No connection is opened: that is part of the first requests, and the identity says so."""
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
        if not is_usable_key(key):
            raise GenerationError(
                f"the environment variable {key_env} holds a value that no header can hold",
                type="authentication",
                stage="load",
                remedy=f"Set {key_env} to {_USABLE}.",
            )
        self._session = FalSession(
            target,
            options=_options(target),
            levels={acceleration.name: acceleration.hosted for acceleration in accelerations},
            key=key,
            key_env=key_env,
            concurrency=concurrency,
            inputs=inputs,
            clock=self._clock,
            sleep=self._sleep,
        )
        return self._session.identity()

    def generate(self, setting: Setting, request: Request, ticket: Ticket) -> Generation:
        """Submit, wait, fetch the result and every picture; see `fal_session` for what each stage means."""
        if self._session is None:
            raise GenerationError("the back end is not open", type="internal", stage="check")
        return self._session.generate(setting, request, ticket)

    def close(self) -> None:
        """Cancel what is still queued, leave what runs, and close the connections. Twice is allowed."""
        # Kept: a call that comes too late hears that nothing was sent.
        if self._session is not None:
            self._session.close()


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
    if not target.inputs:
        problems.append(
            Problem(
                key=f"target.{target.name}.inputs", found="none", expected="the inputs of the endpoint, one entry each"
            )
        )
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


def _check_service(target: TargetSpec) -> tuple[Problem, ...]:
    """What its loopback service would load, where that is a built-in model."""
    options = target.service.options if target.service else {}
    model = str(options.get("model", ""))
    if options.get("images") != "pipeline" or not is_builtin(model):
        return ()
    problem = builtin_problem(model)
    return () if problem is None else (replace(problem, key=f"target.{target.name}.service.options.model"),)


def _check_levels(target: TargetSpec, accelerations: Sequence[AccelerationSpec]) -> list[Problem]:
    # An endpoint without levels is asked for none, which is what `none` means.
    accepted = target.accelerations or ("none",)
    return [
        Problem(
            key=f"acceleration.{acceleration.name}.hosted",
            found=str(acceleration.hosted),
            expected=f"one of {', '.join(accepted)} for target {target.name}",
        )
        for acceleration in accelerations
        if acceleration.hosted not in accepted
    ]


def _check_environment(target: TargetSpec, environ: Mapping[str, str]) -> list[Problem]:
    if target.service is not None:
        return []  # the service sets all of it
    problems = []
    key_env = _key_variable(target)
    key = environ.get(key_env, "")
    if not key:
        problems.append(
            Problem(
                key=key_env,
                found="not set",
                expected=f"the key of the service, for target {target.name}",
                remedy=f"export {key_env}=… in the shell that starts kreabench; it is written nowhere.",
            )
        )
    elif not is_usable_key(key):
        problems.append(Problem(key=key_env, found="a value that no header can hold", expected=_USABLE))
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
