"""One day of a canary: what is drawn, for how many dollars at most, and where it is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from kreabench import pipeline
from kreabench.config.compose import quoted
from kreabench.config.resolve import Composed, load
from kreabench.core.errors import ConfigError, Problem
from kreabench.core.planned import Plan
from kreabench.estimate import estimate_plan
from kreabench.observer import Observer
from kreabench.plan_build import build_plan

EXPERIMENT = "canary"
"""The file of conf/experiment that says what is drawn."""

_ROUNDING_USD = 1e-9
_OURS = ("experiment", "target", "name", "run.dir")
"""Keys of a configuration that the canary itself decides."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What one day shall draw."""

    composed: Composed
    plan: Plan
    usd: float
    """Estimated, by the price list."""
    budget_usd: float
    """The most that the day may cost."""


def ask(
    target: str, overrides: Sequence[str], folder: Path, *, repeats: int, now: datetime, config_dir: Path | None
) -> Asked:
    """The configuration of the day that begins `now`, kept below `folder`.

    `overrides` are those of `kreabench run`, over the experiment of the canary. Raises ConfigError for one that the
    canary decides itself, a target that is not hosted, a load run, more than one setting, no cap, and an estimate above
    the cap.
    """
    taken = [word for word in overrides if word.lstrip("+~").split("=", 1)[0].split("@")[0] in _OURS]
    if taken:
        expected = (
            "overrides such as prompts.limit=4; the target, the folder and the name of a day are the canary's own"
        )
        raise ConfigError([Problem(key="OVERRIDES", found=taken[0], expected=expected)])
    own_repeats = any(word.lstrip("+").startswith("run.repeats=") for word in overrides)
    words = [
        f"experiment={EXPERIMENT}",
        f"target=[{target}]",
        *([] if own_repeats else [f"run.repeats={repeats}"]),
        *overrides,
        f"run.dir={quoted(str(folder))}",
        f"name={now.strftime('%Y-%m-%dT%H%M%SZ')}",
    ]
    composed = load(words, config_dir)
    experiment = composed.experiment
    plan = build_plan(experiment)
    problems = []
    if not all(one.hosted for one in experiment.targets):
        problems.append(Problem(key="TARGET", found=target, expected="a hosted target; see kreabench list targets"))
    if experiment.traffic is not None:
        problems.append(Problem(key="run.load", found="on", expected="off; kreabench load puts a target under load"))
    if len(plan.settings) > 1:
        found = f"{len(plan.settings)} settings"
        problems.append(Problem(key="axes", found=found, expected="one setting: the same pictures every day"))
    budget_usd = experiment.budget_usd
    if budget_usd is None:
        problems.append(Problem(key="budget.usd", found="null", expected="the most that a day may cost, in dollars"))
    usd = estimate_plan(plan).usd
    if budget_usd is not None and usd > budget_usd + _ROUNDING_USD:
        remedy = "Draw less (prompts.limit=4), or raise budget.usd. Nothing was sent."
        found = f"a day that would cost about ${usd:.4g}"
        expected = f"at most ${budget_usd:g}, the cap of a day"
        problems.append(Problem(key="budget.usd", found=found, expected=expected, remedy=remedy))
    if problems or budget_usd is None:
        raise ConfigError(problems)
    return Asked(composed=composed, plan=plan, usd=usd, budget_usd=budget_usd)


def draw(
    asked: Asked,
    environ: Mapping[str, str],
    observe: Callable[[], AbstractContextManager[Observer]],
    say: Callable[[str], None],
) -> pipeline.Outcome:
    """Draw and score the day: a run like any other, without a report. Raises as `pipeline.start` and `execute` do."""
    composed = asked.composed
    run = pipeline.start(
        composed.run_path, composed.experiment, composed.config_yaml, environ, composed.input_files, say=say
    )
    with observe() as observer:
        return pipeline.execute(run, observer=observer, report_path=None)
