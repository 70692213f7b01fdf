"""Connecting to a Ray cluster, or starting one on this machine; what goes wrong there is one clear error.

Nothing is handed to the cluster but the code's names: no runtime environment, no variable, no key. Ray's own
authentication (RAY_AUTH_MODE=token) reads its token from the environment or the file of each node.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kreabench.core.engine_spec import RaySpec
from kreabench.core.errors import EnvironmentProblem, Problem, one_line

CONNECT_S = 10.0
KEY = "engine.address"
_SETTINGS, _FRAME_HEAD_BYTES = 4, 9
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, _SETTINGS, 0, 0, 0, 0, 0])


def ray_module() -> Any:
    """Ray. Raises EnvironmentProblem where it is not installed."""
    # Read when it is imported; it would tell its makers about every cluster.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise problem("engine=ray", "no package ray", "Ray", "pip install 'kreabench[ray]'") from error
    return ray


def connect(spec: RaySpec) -> Any:
    """Ray, connected: to what this process is connected to already, or as `spec` says. The connection, and a cluster
    that is started here, live as long as the process.

    Raises EnvironmentProblem.
    """
    ray = ray_module()
    if not ray.is_initialized():
        if spec.address not in (None, "auto"):
            _check_reachable(str(spec.address))
        try:
            with _ends_as_before():
                ray.init(
                    address=spec.address or "local",
                    log_to_driver=False,
                    logging_level="error",
                    **({"include_dashboard": False} if spec.address is None else {}),
                )
        except Exception as error:  # Ray raises nearly anything
            raise _refused(spec, error) from error
    _check_room(spec, nodes(ray))
    return ray


@contextmanager
def _ends_as_before() -> Iterator[None]:
    """Ray would have SIGTERM end this process with an exit code of its own."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def nodes(ray: Any) -> list[dict[str, Any]]:
    """The resources of each living node. Raises EnvironmentProblem where the cluster does not answer any more."""
    try:
        return [node["Resources"] for node in ray.nodes() if node["Alive"]]
    except Exception as error:
        raise problem(KEY, one_line(error, 200), "a cluster that answers", "Start it again, then resume.") from error


def seats_of(spec: RaySpec, resources: dict[str, Any]) -> int:
    """How many workers a node has room for."""
    needs = {"CPU": spec.cpus_per_worker, "GPU": spec.gpus_per_worker}
    if spec.accelerator_type is not None and not resources.get(f"{ACCELERATOR}{spec.accelerator_type}"):
        return 0
    room = [int(resources.get(name, 0) // need) for name, need in needs.items() if need]
    return min(room, default=1)


ACCELERATOR = "accelerator_type:"
"""Beginning of the resource by which Ray says what kind of GPU a node has."""


def _check_room(spec: RaySpec, found: list[dict[str, Any]]) -> None:
    kinds = sorted({name.removeprefix(ACCELERATOR) for one in found for name in one if name.startswith(ACCELERATOR)})
    if spec.gpus_per_worker and not any(one.get("GPU") for one in found):
        remedy = "Choose another cluster; engine.gpus_per_worker=0 is for targets that draw on the processor."
        raise problem("engine.gpus_per_worker", "a cluster without GPUs", f"{spec.gpus_per_worker} a worker", remedy)
    if spec.gpus_per_worker and spec.accelerator_type is None and len(kinds) > 1:
        remedy = "No median is of two kinds of device."
        raise problem("engine.accelerator_type", f"GPUs of {len(kinds)} kinds", f"one of {', '.join(kinds)}", remedy)
    if not any(seats_of(spec, one) for one in found):
        largest = max(found, key=lambda one: (one.get("GPU", 0), one.get("CPU", 0)), default={})
        room = f"at most {largest.get('GPU', 0):g} GPUs and {largest.get('CPU', 0):g} CPUs on a node"
        kind = f" of kind {spec.accelerator_type}" if spec.accelerator_type else ""
        expected = f"{spec.gpus_per_worker} GPUs{kind} and {spec.cpus_per_worker} CPUs for a worker"
        raise problem("engine=ray", room, expected, f"Kinds of GPU there: {', '.join(kinds) or 'none'}.")


def _check_reachable(address: str) -> None:
    """Ray itself tries for a minute."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S) as connection:
            found = "" if os.environ.get("RAY_USE_TLS", "0") != "0" or _speaks_http_2(connection) else "something else"
    except (OSError, OverflowError) as error:
        found = f"no connection to {address}: {getattr(error, 'strerror', None) or error}"
    if found:
        remedy = "`ray status` on the cluster's head says whether it runs; its port is 6379 unless told otherwise."
        raise problem(KEY, found, "the address of a running cluster", remedy)


def _speaks_http_2(connection: socket.socket) -> bool:
    """Whether a server of gRPC, which Ray's head is, answers: RFC 9113 has both sides begin with their settings."""
    connection.sendall(_PREFACE)
    head = b""
    while len(head) < _FRAME_HEAD_BYTES:
        more = connection.recv(_FRAME_HEAD_BYTES - len(head))
        if not more:
            return False
        head += more
    return head[3] == _SETTINGS


def _refused(spec: RaySpec, error: Exception) -> EnvironmentProblem:
    text = one_line(error, 400)
    if "version mismatch" in text.lower():
        remedy = "Install the Ray and the Python of the cluster here, or the other way round."
        return problem(KEY, text, "a cluster of the same Ray and Python", remedy)
    if any(word in text.lower() for word in ("authent", "token")):
        remedy = "Set RAY_AUTH_MODE and RAY_AUTH_TOKEN_PATH here as on the cluster."
        return problem(KEY, "a cluster that refuses this machine", "Ray's authentication token", remedy)
    if spec.address is None:
        return problem("engine=ray", text, "a cluster that can be started on this machine", "")
    remedy = "Run this on a node of the cluster (`ray start --address=…` makes this machine one)."
    return problem(KEY, text, "a running Ray cluster that this machine is a node of", remedy)


def problem(key: str, found: str, expected: str, remedy: str) -> EnvironmentProblem:
    """One thing wrong with the cluster."""
    return EnvironmentProblem([Problem(key=key, found=found, expected=expected, remedy=remedy)])
