"""Running a command line inside the test's own process."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kreabench.cli.main import main

Call = Callable[..., "tuple[int, str]"]


def run_command(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error. A traceback fails the test."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err
    return int(ended.value.code or 0), out, err


def command_line(capfd: pytest.CaptureFixture[str]) -> Call:
    """A function that runs one: exit code, all output."""

    def run(*arguments: str) -> tuple[int, str]:
        code, out, err = run_command(capfd, *arguments)
        return code, out + err

    return run
