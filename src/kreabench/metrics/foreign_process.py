"""A program of somebody else: started, spoken to in JSON lines, never trusted, ended with its children. Linux only."""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

MOST_LINE_BYTES = 1_000_000
"""Of one message from the program."""
_TAIL_BYTES = 4096
"""Kept of what it says on its standard error."""
_CHUNK_BYTES = 65_536
_MOST_LAST_CHUNKS = 256
_CLOSE_GRACE_S = 5.0
"""How long an idle program may take to end by itself."""
_LAST_WORDS_S = 0.5
"""How long a program that closed its output may take to end."""
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSW", re.IGNORECASE)

_LAUNCH = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
try:
    os.execv(sys.argv[2], sys.argv[2:])
except OSError as error:
    sys.exit(f"{sys.argv[2]}: {error.strerror}")
"""
"""Ties the program to this process before it becomes the program: what `prctl` asks for outlives `exec`."""


class ForeignFault(Exception):
    """The program ended, hung, or did not keep to the protocol; the message says which, and its last words."""


class ForeignProcess:
    """A running program. It dies with the thread that started it, so start it from one that lives long enough."""

    def __init__(self, command: Sequence[str], *, cwd: Path | None, environ: Mapping[str, str]) -> None:
        """`command[0]` is a path. Raises OSError where no process can be started."""
        self._secrets = [value for name, value in environ.items() if _SECRET_NAME.search(name) and len(value) >= 4]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=dict(environ),
            start_new_session=True,
            bufsize=0,
        )
        self._pidfd = os.pidfd_open(self._process.pid)
        self._input, self._output, self._errors = map(_unblocked, _pipes(self._process))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._output, selectors.EVENT_READ)
        self._selector.register(self._errors, selectors.EVENT_READ)
        self._unsent = bytearray()
        self._unread = bytearray()
        self._tail = bytearray()
        self._ended = False

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: Mapping[str, Any]) -> None:
        """Hand over a message; it goes out while `receive` waits."""
        self._unsent += json.dumps(message).encode() + b"\n"

    def receive(self, limit_s: float) -> dict[str, Any]:
        """The program's next message. Raises ForeignFault; the program is of no more use then, and is ended."""
        deadline = time.monotonic() + limit_s
        while True:
            line = self._take_line()
            if line is not None:
                return self._message(line)
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise self._fault(f"no answer within {limit_s:g} s")
            if not self._pump(remaining):
                raise self._fault(self._how_it_ended())

    def close(self, *, polite: bool) -> None:
        """End it and its children; `polite` tells it first, and gives it a few seconds."""
        if self._ended:
            return
        if polite:
            self.send({"type": "close"})
            with suppress(OSError):
                self._input.write(self._unsent)
            self._input.close()
            self._wait_for_end(_CLOSE_GRACE_S)
        self._kill()

    def _take_line(self) -> bytes | None:
        end = self._unread.find(b"\n")
        if end < 0:
            if len(self._unread) > MOST_LINE_BYTES:
                raise self._fault(f"it wrote a line of more than {MOST_LINE_BYTES} bytes")
            return None
        line = bytes(self._unread[:end])
        del self._unread[: end + 1]
        for secret in self._secrets:
            line = line.replace(os.fsencode(secret), b"[secret]")
        return line

    def _message(self, line: bytes) -> dict[str, Any]:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            raise self._fault(f"it wrote what is no message: {self._clean(line[:80])!r}")
        return message

    def _pump(self, limit_s: float) -> bool:
        """Wait for something to happen and take it in; False once the program has closed its output."""
        self._watch_input()
        going = True
        for key, _ in self._selector.select(min(limit_s, 3600.0)):
            if key.fileobj is self._input:
                self._write()
            elif key.fileobj is self._errors:
                self._read_errors()
            else:
                chunk = self._output.read(_CHUNK_BYTES)
                if chunk == b"":
                    going = False
                self._unread += chunk or b""
        return going

    def _watch_input(self) -> None:
        watched = self._input in self._selector.get_map()
        if self._unsent and not watched:
            self._selector.register(self._input, selectors.EVENT_WRITE)
        elif watched and not self._unsent:
            self._selector.unregister(self._input)

    def _write(self) -> None:
        try:
            del self._unsent[: self._input.write(self._unsent[:_CHUNK_BYTES]) or 0]
        except BrokenPipeError:  # its end shows on its output
            self._unsent.clear()

    def _read_errors(self) -> None:
        chunk = self._errors.read(_CHUNK_BYTES)
        if chunk == b"":
            self._selector.unregister(self._errors)
        self._tail += chunk or b""
        del self._tail[:-_TAIL_BYTES]

    def _read_last_words(self) -> None:
        if not self._ended:
            for _ in range(_MOST_LAST_CHUNKS):  # it may write as fast as it is read
                chunk = self._errors.read(_CHUNK_BYTES)
                if not chunk:
                    break
                self._tail += chunk
                del self._tail[:-_TAIL_BYTES]

    def _how_it_ended(self) -> str:
        self._wait_for_end(_LAST_WORDS_S)
        self._read_last_words()
        self._kill()
        code = self._process.returncode
        if code == -signal.SIGKILL:
            return "it was killed, or closed its output"
        return f"it was ended by {signal.Signals(-code).name}" if code < 0 else f"it ended with exit code {code}"

    def _fault(self, what: str) -> ForeignFault:
        self._read_last_words()
        self._kill()
        said = [line for line in self._clean(bytes(self._tail)).splitlines() if line.strip()]
        last_words = " | ".join(said[-3:])[-400:]
        return ForeignFault(f"{what}; its last words: {last_words}" if last_words else what)

    def _clean(self, content: bytes) -> str:
        """Readable text, by lines, without the secrets that were handed on."""
        text = content.decode("utf-8", "replace")
        for secret in self._secrets:
            text = text.replace(secret, "[secret]")
        return "\n".join(_UNPRINTABLE.sub(" ", line) for line in text.splitlines())

    def _wait_for_end(self, seconds: float) -> None:
        """Without taking notice of the end: until then its number, which is its group's, belongs to nobody else."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._pidfd, selectors.EVENT_READ)
            selector.select(seconds)

    def _kill(self) -> None:
        if self._ended:
            return
        self._ended = True
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._selector.close()
        os.close(self._pidfd)
        for pipe in (self._input, self._output, self._errors):
            with suppress(OSError):
                pipe.close()


def _pipes(process: subprocess.Popen[bytes]) -> Iterable[IO[bytes]]:
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is None:
            raise AssertionError("all three were asked for")
        yield pipe


def _unblocked(pipe: IO[bytes]) -> IO[bytes]:
    os.set_blocking(pipe.fileno(), False)
    return pipe
