"""`kreabench plan --power`: prompts and seeds that would decide, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kreabench.core.errors import ConfigError, Problem

if TYPE_CHECKING:
    from rich.console import Console

    from kreabench.core.planned import Plan
    from kreabench.core.specs import ExperimentSpec
    from kreabench.decisions.power_noise import Noise
    from kreabench.decisions.power_plan import Combination, PowerPlan

FEW_PROMPTS = 10
"""Below it the skewness of so few differences costs the tests power that the plan does not foresee. `min_prompts` of
the policy `default` is the same."""
LEVEL = 0.05
"""Where --level is not given."""
POWER = "0.8"
"""Where --power says no number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerOptions:
    """The command line's words, unread."""

    power: str | None
    losses: tuple[str, ...]
    noise: tuple[str, ...]
    deviations: tuple[str, ...]
    margins: tuple[str, ...]
    level: float
    json_path: Path | None


def power_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of `plan` that go with --power."""
    for option in (
        click.option("--json", "json_path", type=click.Path(path_type=Path, dir_okay=False),
                     help="With --power: also write this JSON file."),
        click.option("--level", type=click.FloatRange(0, 0.5, min_open=True, max_open=True),
                     help="With --power: error rate [default: 0.05]."),
        click.option("--margin", "margins", multiple=True, metavar="METRIC=X",
                     help="With --power: loss to be ruled out where there is none [default: the --loss]."),
        click.option("--sd", "deviations", multiple=True, metavar="METRIC=B/W",
                     help="With --power: noise as standard deviations of paired differences, between prompts and over "
                     "seeds within."),
        click.option("--noise", multiple=True, metavar="RUN",
                     help="With --power: a former run, or two (--noise A --noise B), to take the noise from."),
        click.option("--loss", "losses", multiple=True, metavar="METRIC=X",
                     help="With --power: a loss to be seen, in the metric's unit; may be repeated."),
        click.option("--power", is_flag=False, flag_value=POWER, metavar="[SHARE]",
                     help="How many prompts and seeds see a --loss with this chance (0.8), and what they cost."),
    ):  # fmt: skip
        command = option(command)
    return command


def split_power(power: str | None, overrides: Sequence[str]) -> tuple[str | None, tuple[str, ...]]:
    """`--power` without a number may swallow the override behind it: that is given back."""
    if power is not None and "=" in power:
        return POWER, (power, *overrides)
    return power, tuple(overrides)


def print_power(out: Console, options: PowerOptions, experiment: ExperimentSpec, plan: Plan) -> None:
    """Plan, print and write. Raises ConfigError with all that is wrong on the command line."""
    from kreabench.decisions.power_noise import noise_of_runs, said_noise
    from kreabench.decisions.power_plan import make_goals, plan_power

    power = _share(options.power or POWER)
    losses = {name: _positive("--loss", name, text) for name, text in _pairs("--loss", options.losses).items()}
    margins = {name: _positive("--margin", name, text) for name, text in _pairs("--margin", options.margins).items()}
    if not losses:
        expected = "a loss to be seen, such as --loss clip_score=0.3"
        raise ConfigError([Problem(key="--power", found="no --loss", expected=expected)])
    goals = make_goals(losses, margins, experiment.metrics)
    noise = {name: said_noise(*_deviations(name, text)) for name, text in _pairs("--sd", options.deviations).items()}
    left = [name for name in losses if name not in noise]
    if left and not options.noise:
        expected = f"--noise RUN, or --sd {left[0]}=BETWEEN/WITHIN"
        raise ConfigError([Problem(key="--power", found=f"no noise of {', '.join(left)}", expected=expected)])
    if len(options.noise) > 2:
        found = f"{len(options.noise)} runs"
        raise ConfigError([Problem(key="--noise", found=found, expected="one run, or two to compare")])
    noise |= noise_of_runs(options.noise, left) if left else {}
    found_plan = plan_power(
        experiment, plan, goals, {name: noise[name] for name in losses}, level=options.level, power=power
    )
    _print(out, found_plan)
    if options.json_path is not None:
        _write(options.json_path, found_plan)


def _pairs(key: str, words: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name or name in found:
            raise ConfigError([Problem(key=key, found=word, expected="METRIC=NUMBER, each metric once")])
        found[name] = value
    return found


def _positive(key: str, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0 or (value == 0 and key != "--sd"):
        numbers = "numbers of at least 0" if key == "--sd" else "a number above 0"
        expected = f"{'METRIC=BETWEEN/WITHIN with ' if key == '--sd' else ''}{numbers}, in the metric's unit"
        raise ConfigError([Problem(key=key, found=f"{name}={text}", expected=expected)])
    return value


def _deviations(name: str, text: str) -> tuple[float, float | None]:
    between, slash, within = text.partition("/")
    return _positive("--sd", name, between), _positive("--sd", name, within) if slash else None


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.5 <= value < 1:
        raise ConfigError([Problem(key="--power", found=text, expected="a share from 0.5 to below 1, such as 0.8")])
    return value


def _print(out: Console, plan: PowerPlan) -> None:
    from kreabench.cli.fitting import FitColumn, tables
    from kreabench.cli.terminal import say

    metrics = FitColumn(head="metric", cells=[goal.metric for goal in plan.goals], side="l")
    for table in tables(out, [metrics], [FitColumn(head=head, cells=cells) for head, cells in _goals(plan).items()]):
        out.print(table)
    for name, noise in plan.noise.items():
        say(out, f"noise of {name}: {_source(noise)}")
    seeds = FitColumn(head="seeds", cells=[str(one.seeds) for one in plan.combinations])
    columns = [
        FitColumn(head=head, cells=cells, side="l" if head in {"", "decided by"} else "r")
        for head, cells in _combinations(plan).items()
    ]
    for table in tables(out, [seeds], columns):
        out.print(table)
    for line in _sentences(plan):
        say(out, line)


def _goals(plan: PowerPlan) -> dict[str, list[str]]:
    """Head → a cell a metric."""
    from kreabench.report.format import significant

    noises = [plan.noise[goal.metric] for goal in plan.goals]
    return {
        "loss to see": [f"{goal.loss:g}" for goal in plan.goals],
        "margin": [f"{goal.margin:g}" for goal in plan.goals],
        "sd between": [significant(noise.components.between_sd) for noise in noises],
        "within": ["unknown" if noise.seeds_unknown else significant(noise.components.within_sd) for noise in noises],
    }


def _combinations(plan: PowerPlan) -> dict[str, list[str]]:
    """Head → a cell a number of seeds."""
    from kreabench.report.format import ABSENT, duration, usd

    each = plan.combinations
    decided = {"decided by": [_decisive(one) for one in each]} if len(plan.goals) > 1 else {}
    return {
        "to see it": [_most([need.to_see for need in one.needs]) for one in each],
        "to show none": [_most([need.to_show for need in one.needs]) for one in each],
        **decided,
        "prompts": [ABSENT if one.prompts is None else f"{one.prompts:,}" for one in each],
        "images": [ABSENT if one.images is None else f"{one.images:,}" for one in each],
        "hours": [ABSENT if one.hours is None else duration(one.hours * 3600) for one in each],
        "dollars": [ABSENT if one.usd is None else f"{usd(one.usd)}{' +' if one.unpriced else ''}" for one in each],
        "": ["cheapest" if one.cheapest else "" for one in each],
    }


def _most(numbers: Sequence[int | None]) -> str:
    return "over a million" if None in numbers else f"{max(number or 0 for number in numbers):,}"


def _decisive(one: Combination) -> str:
    """The metric that needs most prompts."""
    return max(one.needs, key=lambda need: max(need.to_see or math.inf, need.to_show or math.inf)).metric


def _source(noise: Noise) -> str:
    if noise.prompts is None:
        return "said (--sd)"
    df = noise.components
    return f"{noise.source}: {noise.prompts} prompts, {noise.pairs} pairs; df {df.between_df} and {df.within_df}"


def _sentences(plan: PowerPlan) -> list[str]:
    """What the numbers rest on, and what is short."""
    from kreabench.analysis.power import ASSURANCE

    several = f", Holm over {len(plan.goals)} metrics" if len(plan.goals) > 1 else ""
    lines = [
        f"To see it: prompts that establish a true loss of that size with a chance of {plan.power * 100:.3g} %, at "
        f"level {plan.level:g}{several}. To show none: prompts that rule out a loss of the margin with that chance, "
        "where there is none at all.",
        "A prompt is one unit: more seeds lower only the noise within prompts. Student's tests over prompts, in pairs: "
        "both sides need the same prompts and seeds, and the cost is that of this plan.",
    ]
    if any(noise.prompts is not None for noise in plan.noise.values()):
        lines.append(
            f"Estimated noise is taken at its upper limit of {ASSURANCE * 100:.0f} % confidence, as it may be larger."
        )
    for name, noise in plan.noise.items():
        if noise.seeds_unknown:
            lines.append(
                f"! {name}: without a second seed the noise within prompts is unknown; all of it counts as between "
                "them, so more seeds seem to help nothing. The truth needs no more prompts than this."
            )
        if noise.components.between_sd == noise.components.within_sd == 0:
            lines.append(f"! {name}: the noise is 0, pictures repeat exactly: two prompts show any loss.")
    return [*lines, *_closing(plan)]


def _closing(plan: PowerPlan) -> list[str]:
    """What the chosen set is short of, and the cheapest."""
    from kreabench.report.format import count

    lines = []
    short = [one for one in plan.combinations if one.missing_prompts]
    if short:
        told = "; ".join(f"{one.missing_prompts:,} too few with {count(one.seeds, 'seed')}" for one in short)
        lines.append(f"! The chosen set has {count(plan.prompts, 'prompt')}: {told}.")
    best = next((one for one in plan.combinations if one.cheapest), None)
    if best is None:
        lines.append("! No number of prompts up to a million does: the loss is too small beside the noise.")
    else:
        lines.append(
            f"Cheapest by {plan.cheapest_by}: {count(best.prompts or 0, 'prompt')} × {count(best.seeds, 'seed')} × "
            f"{count(plan.settings, 'setting')}. Hours and dollars are expected ones, of the plan as composed."
        )
        if best.prompts is not None and best.prompts < FEW_PROMPTS:
            lines.append(
                f"! Below {FEW_PROMPTS} prompts the tests decide less often than planned, and the policies of "
                "`kreabench gate` find a run with so few inconclusive."
            )
        if best.hours is None:
            lines.append("Hours are unknown: a target says nothing of its speed (target.NAME.expected).")
        if best.usd is None:
            lines.append(
                "Dollars are unknown: nothing has a price (pricing.device_usd_per_hour is that of the own GPU)."
            )
    if any(one.unpriced and one.usd is not None for one in plan.combinations):
        lines.append("+ and what has no price")
    return lines


def _write(path: Path, plan: PowerPlan) -> None:
    from dataclasses import asdict

    from kreabench.report.files import write_one
    from kreabench.report.json_text import json_text

    content = asdict(plan) | {"noise": {name: asdict(noise) for name, noise in plan.noise.items()}}
    write_one(path, json_text(content))
