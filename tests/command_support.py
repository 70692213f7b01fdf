"""Running a command line inside the test's own process."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from kreabench.cli.main import main

Call = Callable[..., "tuple[int, str]"]


@contextmanager
def command_line(capfd: pytest.CaptureFixture[str]) -> Iterator[Call]:
    """A function that runs one: exit code, all output. A traceback fails the test."""
    previous = signal.getsignal(signal.SIGTERM)

    def run_command(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return int(ended.value.code or 0), out + err

    yield run_command
    signal.signal(signal.SIGTERM, previous)
