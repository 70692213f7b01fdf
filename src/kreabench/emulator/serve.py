"""The emulator's process: loopback socket, its own certificate authority, a clean end by signal or with its parent."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TextIO

import uvicorn

from kreabench.backends.options import FalEmulatorOptions
from kreabench.core.errors import EnvironmentProblem, Problem
from kreabench.emulator.app import build_app
from kreabench.emulator.certificates import write_certificates
from kreabench.emulator.distributions import parse_time
from kreabench.emulator.endpoints import read_endpoints
from kreabench.emulator.faults import check_faults
from kreabench.emulator.painters import make_painter
from kreabench.emulator.service import QUEUE_HOST, Place, Service, make_service
from kreabench.emulator.studio import Studio
from kreabench.emulator.truth import TruthLog
from kreabench.execution.child import die_with_parent

_GRACE_S = 1
_KEEP_ALIVE_S = 60
"""As patient as the real service's proxies, so that a client's pooled connections stay good between two runs."""
_SWITCH_S = 0.0005


def serve(options: FalEmulatorOptions, *, port: int, parent_pid: int | None, out: TextIO, err: TextIO) -> None:
    """Serve until SIGTERM or SIGINT; both end in SystemExit(0). One JSON line on `out` says where.

    With `parent_pid` the process also ends when that parent does. Raises EnvironmentProblem when an option or an
    endpoint's file is wrong, the port is taken, the truth log cannot be written, the pipeline does not load or the
    parent is gone.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit_cleanly)
    if parent_pid is not None:
        _check_parent(parent_pid)
        die_with_parent(parent_pid, number=signal.SIGTERM)  # a clean end: its temporary folder goes too
    logging.basicConfig(stream=err, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    check_options(options)
    endpoints = read_endpoints([Path(file) for file in options.endpoint])
    # The painting thread gives way to the event loop within a millisecond, so that drawing delays no answer.
    sys.setswitchinterval(_SWITCH_S)
    with (
        bound_socket(port) as listener,
        _open_truth_log(options.truth_log) as truth,
        tempfile.TemporaryDirectory(prefix="kreabench-fal-") as folder,  # private: mode 0700
    ):
        place = Place(scheme="http" if options.http else "https", port=listener.getsockname()[1])
        studio = Studio(make_painter(options))
        try:
            studio.start()
            service = make_service(options, place, endpoints, studio, truth)
            _listen(service, listener, Path(folder), out, err)
        finally:
            studio.stop()


def check_options(options: FalEmulatorOptions) -> None:
    """Raises EnvironmentProblem naming every option that is not what it should be."""
    problems = []
    for key, check in (
        ("--queue-s", lambda: parse_time(options.queue_s)),
        ("--inference-s", lambda: parse_time(options.inference_s)),
        ("--fault", lambda: check_faults(options.fault)),
    ):
        try:
            check()
        except ValueError as error:
            found, _, expected = str(error).removeprefix("found ").partition("; expected ")
            problems.append(Problem(key=key, found=found, expected=expected))
    for key, value, least in (
        ("--runners", options.runners, 1),
        ("--concurrency", options.concurrency, 1),
        ("--submit-limit", options.submit_limit, 1),
        ("--cold-start-s", options.cold_start_s, 0),
    ):
        if value is not None and value < least:
            problems.append(Problem(key=key, found=f"{value:g}", expected=f"{least} or more"))
    if problems:
        raise EnvironmentProblem(problems)


def _exit_cleanly(signum: int, frame: FrameType | None) -> NoReturn:
    """uvicorn takes the signal, shuts down, then hands it on to this handler."""
    sys.exit(0)


def _check_parent(parent_pid: int) -> None:
    if os.getppid() != parent_pid:
        raise EnvironmentProblem(
            [Problem(key="--die-with-parent", found=f"parent {os.getppid()}", expected=f"parent {parent_pid}")]
        )


def bound_socket(port: int) -> socket.socket:
    """A listening socket on the loopback. Raises EnvironmentProblem when the port is taken."""
    # The protocol is named because asyncio switches Nagle's algorithm off only on sockets that name it; with it on,
    # each answer would wait 40 ms for the client's delayed acknowledgement.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((QUEUE_HOST, port))
        listener.listen()
    except OSError as error:
        listener.close()
        problem = Problem(
            key="--port",
            found=f"{port} ({error.strerror})",
            expected="a free port of this machine",
            remedy="Use --port 0 for one that is free.",
        )
        raise EnvironmentProblem([problem]) from error
    return listener


def _open_truth_log(path: str | None) -> TruthLog:
    try:
        return TruthLog(None if path is None else Path(path))
    except OSError as error:
        problem = Problem(key="--truth-log", found=f"{path} ({error.strerror})", expected="a file that can be written")
        raise EnvironmentProblem([problem]) from error


class Server(uvicorn.Server):
    """Ends streams and hanging answers before it waits for connections to finish."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._service.close()
        await super().shutdown(sockets)


def _listen(service: Service, listener: socket.socket, folder: Path, out: TextIO, err: TextIO) -> None:
    ca_file, server_file = (None, None) if service.options.http else write_certificates(folder)

    def announce() -> None:
        print(json.dumps(ready_line(service.place, ca_file)), file=out, flush=True)
        print(instructions(service.place, ca_file), file=err, flush=True)

    config = uvicorn.Config(
        build_app(service, on_ready=announce),
        ssl_certfile=server_file,
        http=service.connections.protocol(),
        lifespan="on",
        loop="asyncio",
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACE_S,
    )
    config.load()
    if server_file is not None:
        server_file.unlink()  # the private key is in memory now
    Server(config, service).run(sockets=[listener])


def ready_line(place: Place, ca_file: Path | None) -> dict[str, Any]:
    """What a program needs to find the service."""
    return {
        "run_host": place.run_host,
        "queue_host": place.queue_host,
        "rest_url": place.queue_url,
        "cdn_url": place.queue_url,
        "scheme": place.scheme,
        "ca_file": None if ca_file is None else str(ca_file),
        "pid": os.getpid(),
    }


def instructions(place: Place, ca_file: Path | None) -> str:
    """What a person needs to point the unchanged fal client at the service."""
    uploads = f"  fal_client.client.REST_URL = fal_client.client.CDN_URL = {place.queue_url!r}\nCtrl-C stops it."
    if ca_file is not None:
        return (
            "A loopback fal is ready. Point the real fal client at it with\n"
            f"  export FAL_RUN_HOST={place.run_host} FAL_QUEUE_RUN_HOST={place.queue_host}"
            f" SSL_CERT_FILE={ca_file} FAL_KEY=emulated\n"
            "and, for uploads, in Python before the first call:\n"
            "  import fal_client.client\n"
            f"{uploads}"
        )
    return (
        "A loopback fal is ready, without TLS. Point the real fal client at it in Python, before the first call:\n"
        "  import os, fal_client.client; os.environ['FAL_KEY'] = 'emulated'\n"
        f"  fal_client.client.RUN_URL_FORMAT = 'http://{place.run_host}/'\n"
        f"  fal_client.client.QUEUE_URL_FORMAT = '{place.queue_url}/'\n"
        f"{uploads}"
    )
