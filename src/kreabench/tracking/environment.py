"""What every tracker needs: its package, and its library's errors as ours."""

from __future__ import annotations

import importlib.util
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from kreabench.core.errors import EnvironmentProblem, Problem, chain_of, one_line
from kreabench.report.text import message

LEAST_SECRET = 8
"""Characters: shorter values of these variables are left in a message, lest they blank out words."""

_SECRET_ENDS = ("_KEY", "_TOKEN", "_PASSWORD")


def need_package(package: str, extra: str) -> None:
    """Raises EnvironmentProblem where a tracker's library is not installed."""
    try:
        found = importlib.util.find_spec(package) is not None
    except ValueError:  # a module without a spec, or blocked
        found = False
    if not found:
        raise EnvironmentProblem(
            [
                Problem(
                    key=package,
                    found="not installed",
                    expected="the tracker's client",
                    remedy=f"Install it with: pip install 'kreabench[{extra}]'",
                )
            ]
        )


def said(error: Exception, environ: Mapping[str, str] | None = None) -> str:
    """What a tracker's library said, on one line, without keys: neither shaped like one, nor of the environment."""
    text = one_line(_deepest(error))
    for name, value in (os.environ if environ is None else environ).items():
        if name.endswith(_SECRET_ENDS) and len(value) >= LEAST_SECRET:
            text = text.replace(value, "[removed]")
    return message(text, 300)


def _deepest(error: Exception) -> Exception:
    """Of an error of the network that others wrapped, the first one, which says it shortest; else `error` itself."""
    network = [one for one in chain_of(error) if isinstance(one, ConnectionError | TimeoutError | socket.gaierror)]
    return network[-1] if network else error


@contextmanager
def variables(values: Mapping[str, str], hidden: Iterable[str] = ()) -> Iterator[None]:
    """Set variables of the environment, which these libraries read when they are called, but none that is set.

    Those that are `hidden` are not there meanwhile.
    """
    taken = {name: os.environ.pop(name) for name in hidden if name in os.environ}
    mine = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(mine)
    try:
        yield
    finally:
        for name in mine:
            os.environ.pop(name, None)
        os.environ.update(taken)
