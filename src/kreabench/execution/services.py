"""Loopback services that a target needs beside it: started before its load group, stopped after it, never orphaned."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kreabench.core.errors import EnvironmentProblem, Problem, StorageError
from kreabench.core.specs import ServiceSpec

READY_TIMEOUT_S = 120.0
STOP_GRACE_S = 5.0

_SECRETS = ("FAL_KEY", "FAL_KEY_ID", "FAL_KEY_SECRET")
"""Never handed to a service: it works with any key."""

_DUMMY_KEY = "emulated-key"
_LOG_TAIL_LINES = 12
_READY_BYTES = 65_536


@contextlib.contextmanager
def start_service(
    service: ServiceSpec, log_path: Path, *, ready_timeout_s: float = READY_TIMEOUT_S
) -> Iterator[dict[str, str]]:
    """Start `service` as a child process and yield the environment variables by which a worker finds it.

    The child ends with the block, and also when the thread that entered the block ends. Its log is appended to
    `log_path`. Raises EnvironmentProblem, with the end of that log, when it is not ready after `ready_timeout_s`, and
    StorageError when the log cannot be written.
    """
    process = _spawn(service, log_path)
    try:
        ready = _wait_until_ready(process, service, log_path, ready_timeout_s)
        yield _environment(ready, os.environ)
    finally:
        _stop(process)


def _command(service: ServiceSpec) -> list[str]:
    # -P: a file in the working directory that is named like a module must not be imported in its place.
    command = [sys.executable, "-P", "-m", "kreabench", service.kind, "--die-with-parent", str(os.getpid())]
    for name, value in service.options.items():
        command += _arguments(f"--{name.replace('_', '-')}", value)
    return command


def _arguments(option: str, value: Any) -> list[str]:
    """As the command takes them: flags without a value, lists as an option again and again, mappings as JSON."""
    if value is None or value is False:
        return []
    if value is True:
        return [option]
    if isinstance(value, list | tuple):
        return [f"{option}={item}" for item in value]
    return [f"{option}={json.dumps(value) if isinstance(value, Mapping) else value}"]


def _spawn(service: ServiceSpec, log_path: Path) -> subprocess.Popen[bytes]:
    try:
        log_path.parent.mkdir(parents=True, exist_ok=True)
        log = log_path.open("ab", buffering=0)
    except OSError as error:
        raise StorageError(f"the service's log {log_path} cannot be written: {error.strerror}") from error
    with log:
        try:
            return subprocess.Popen(
                _command(service),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env={name: value for name, value in os.environ.items() if name not in _SECRETS},
                # Ctrl-C is for the driver, which then stops the service after its last worker.
                start_new_session=True,
            )
        except OSError as error:
            problem = Problem(key=f"service {service.kind}", found=str(error), expected="a process that can be started")
            raise EnvironmentProblem([problem]) from error


def _wait_until_ready(
    process: subprocess.Popen[bytes], service: ServiceSpec, log_path: Path, timeout_s: float
) -> dict[str, Any]:
    """The service's one JSON line, parsed."""
    deadline = time.monotonic() + timeout_s
    assert process.stdout is not None, "stdout is a pipe"  # noqa: S101
    received = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while b"\n" not in received:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not selector.select(left_s):
                raise _not_ready(service, f"nothing after {timeout_s:g} s", log_path)
            chunk = os.read(process.stdout.fileno(), _READY_BYTES)
            if not chunk:
                code = process.wait()
                raise _not_ready(service, f"an exit with status {code}", log_path)
            received += chunk
    ready: dict[str, Any] = json.loads(received.partition(b"\n")[0])
    return ready


def _not_ready(service: ServiceSpec, found: str, log_path: Path) -> EnvironmentProblem:
    lines = log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_TAIL_LINES:]
    tail = "\n".join(f"    {line}" for line in lines) or "    (nothing)"
    problem = Problem(
        key=f"service {service.kind}",
        found=found,
        expected="a service that is ready",
        remedy=f"The end of {log_path}:\n{tail}",
    )
    return EnvironmentProblem([problem])


def _environment(ready: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    """What the unchanged fal client reads; loopback goes through no proxy."""
    if ready["ca_file"] is None:
        problem = Problem(
            key="service options", found="http: true", expected="TLS, as the fal client speaks https only"
        )
        raise EnvironmentProblem([problem])
    exceptions = environ.get("no_proxy") or environ.get("NO_PROXY")
    no_proxy = ",".join([*([exceptions] if exceptions else []), "localhost", "127.0.0.1"])
    return {
        "FAL_RUN_HOST": ready["run_host"],
        "FAL_QUEUE_RUN_HOST": ready["queue_host"],
        "SSL_CERT_FILE": ready["ca_file"],
        "FAL_KEY": _DUMMY_KEY,
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
    }


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Politely, then by force; the whole process group goes."""
    if process.stdout is not None:
        process.stdout.close()
    with contextlib.suppress(ProcessLookupError):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_GRACE_S)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
