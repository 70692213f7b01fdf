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
from typing import NoReturn, TextIO

import trustme
import uvicorn

from kreabench.backends.options import FalEmulatorOptions
from kreabench.core.errors import EnvironmentProblem, Problem
from kreabench.emulator.app import QUEUE_HOST, RUN_HOST, build_app
from kreabench.emulator.jobs import JobQueue
from kreabench.emulator.painters import make_painter
from kreabench.emulator.runner import Runner, truth_entry
from kreabench.emulator.truth import TruthLog
from kreabench.execution.child import die_with_parent

_GRACE_S = 1


def serve(options: FalEmulatorOptions, *, port: int, parent_pid: int | None, out: TextIO, err: TextIO) -> None:
    """Serve until SIGTERM or SIGINT; both end in SystemExit(0). One JSON line on `out` says where.

    With `parent_pid` the process also ends when that parent does. Raises EnvironmentProblem when the port is taken,
    the truth log cannot be written, the pipeline does not load or the parent is gone.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit_cleanly)
    if parent_pid is not None:
        _check_parent(parent_pid)
        die_with_parent(parent_pid, number=signal.SIGTERM)  # a clean end: its temporary folder goes too
    logging.basicConfig(stream=err, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    with (
        _bound_socket(port) as listener,
        _open_truth_log(options.truth_log) as truth,
        tempfile.TemporaryDirectory(prefix="kreabench-fal-") as folder,  # private: mode 0700
    ):
        queue = JobQueue(queue_s=options.queue_s, on_finish=lambda job: truth.write(truth_entry(job)))
        runner = Runner(queue, make_painter(options), options)
        try:
            runner.start()
            _serve_https(queue, runner, listener, Path(folder), out, err)
        finally:
            runner.stop()


def _exit_cleanly(signum: int, frame: FrameType | None) -> NoReturn:
    """uvicorn takes the signal, shuts down, then hands it on to this handler."""
    sys.exit(0)


def _check_parent(parent_pid: int) -> None:
    if os.getppid() != parent_pid:
        raise EnvironmentProblem(
            [Problem(key="--die-with-parent", found=f"parent {os.getppid()}", expected=f"parent {parent_pid}")]
        )


def _bound_socket(port: int) -> socket.socket:
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


def _serve_https(
    queue: JobQueue, runner: Runner, listener: socket.socket, folder: Path, out: TextIO, err: TextIO
) -> None:
    port = listener.getsockname()[1]
    ca_file = folder / "ca.pem"
    server_file = folder / "server.pem"
    authority = trustme.CA()
    certificate = authority.issue_cert(RUN_HOST, QUEUE_HOST)
    authority.cert_pem.write_to_path(str(ca_file))
    certificate.private_key_and_cert_chain_pem.write_to_path(str(server_file))

    def announce() -> None:
        ready = {
            "run_host": f"{RUN_HOST}:{port}",
            "queue_host": f"{QUEUE_HOST}:{port}",
            "ca_file": str(ca_file),
            "pid": os.getpid(),
        }
        print(json.dumps(ready), file=out, flush=True)
        print(_instructions(ready["run_host"], ready["queue_host"], ca_file), file=err, flush=True)

    config = uvicorn.Config(
        build_app(queue, port=port, runner_name=runner.name, on_ready=announce),
        ssl_certfile=server_file,
        lifespan="on",
        loop="asyncio",
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    config.load()
    server_file.unlink()  # the private key is in memory now
    uvicorn.Server(config).run(sockets=[listener])


def _instructions(run_host: object, queue_host: object, ca_file: Path) -> str:
    return (
        "A loopback fal is ready. Point the real fal client at it with\n"
        f"  export FAL_RUN_HOST={run_host} FAL_QUEUE_RUN_HOST={queue_host} SSL_CERT_FILE={ca_file} FAL_KEY=emulated\n"
        "Ctrl-C stops it."
    )
