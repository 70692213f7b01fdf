"""A gate from the words of a command line, for `kreabench gate` and for tests of the user's own."""

from __future__ import annotations

from pathlib import Path

from kreabench.config.gate_policies import load_policy
from kreabench.decisions.compare import compare_sides
from kreabench.decisions.gate import GateResult, judge
from kreabench.decisions.opening import open_two


def run_gate(
    base: str, candidate: str, *, policy: str = "default", config_dir: Path | None = None, force: bool = False
) -> GateResult:
    """Judge `candidate` by `base`, each `RUN`, `RUN:SELECTION` or a baseline file; `policy` is a name or a file.

    Raises ConfigError, RunDirectoryError, and NotComparable unless `force`.
    """
    sides = open_two(base, candidate)
    spec = load_policy(policy, {metric.name for side in sides for metric in side.metrics}, config_dir)
    return judge(compare_sides(*sides, force=force), spec)
