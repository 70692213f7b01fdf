"""A fixture for tests of the user's own: `kreabench_gate(base, candidate)` fails the test unless the gate passes.

pytest finds it by its entry point wherever kreabench is installed, so nothing but pytest is imported here before the
fixture is called.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from kreabench.decisions.gate import GateResult

WIDTH = 120
"""Columns of the table in a failed test."""


class KreabenchGate(Protocol):
    """What the fixture is."""

    def __call__(
        self,
        base: str | os.PathLike[str],
        candidate: str | os.PathLike[str],
        policy: str | os.PathLike[str] = "default",
        *,
        force: bool = False,
        allow_inconclusive: bool = False,
    ) -> GateResult:
        """As `kreabench gate BASE CANDIDATE --policy POLICY`: what it says where it passed, else the test fails.

        `allow_inconclusive` lets a gate through that is not decided; look at the result's `outcome` then.
        """
        ...


@pytest.fixture(scope="session")
def kreabench_gate() -> KreabenchGate:
    """Judges a run against another, or a baseline file, and fails the test with the table unless it passed."""
    return _gate


def _gate(
    base: str | os.PathLike[str],
    candidate: str | os.PathLike[str],
    policy: str | os.PathLike[str] = "default",
    *,
    force: bool = False,
    allow_inconclusive: bool = False,
) -> GateResult:
    from kreabench.core.errors import KreabenchError
    from kreabench.gating import run_gate

    __tracebackhide__ = True
    try:
        result = run_gate(os.fspath(base), os.fspath(candidate), policy=os.fspath(policy), force=force)
    except KreabenchError as error:
        pytest.fail(f"kreabench gate: {error}", pytrace=False)
    if result.outcome == "passed" or (result.outcome == "inconclusive" and allow_inconclusive):
        return result
    pytest.fail(_table(result), pytrace=False)


def _table(result: GateResult) -> str:
    from io import StringIO

    from rich.console import Console

    from kreabench.cli.gate_table import print_gate

    out = StringIO()
    print_gate(Console(file=out, width=WIDTH, highlight=False, color_system=None), result)
    return out.getvalue()
