"""From overrides to a plan that can be run, for `kreabench plan` and the library. Runs and sends nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kreabench.config.resolve import Composed, load
from kreabench.core.errors import ConfigError
from kreabench.core.planned import Plan
from kreabench.plan_build import build_plan
from kreabench.race.rounds import race_problems


def compose_plan(overrides: Sequence[str], config_dir: Path | None = None) -> tuple[Composed, Plan]:
    """What the overrides ask for, and its plan. Raises ConfigError with every problem found."""
    composed = load(overrides, config_dir)
    plan = build_plan(composed.experiment)
    if problems := race_problems(composed.experiment, plan):
        raise ConfigError(problems)
    return composed, plan
