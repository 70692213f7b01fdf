"""`kreabench list experiments`: what each is for, what it draws, costs and takes, before anything runs."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kreabench.core.errors import KreabenchError
from kreabench.report.format import count, duration, usd
from kreabench.report.text import message, visible

if TYPE_CHECKING:
    from kreabench.core.planned import Plan
    from kreabench.core.specs import ExperimentSpec, TargetSpec
    from kreabench.estimate import GroupEstimate, PlanEstimate

_MOST = 80
"""Columns of a line."""


def print_experiments(config_dir: Path | None, described: Callable[[Path], str]) -> None:
    """Each file of conf/experiment, composed and planned as it stands; `described` gives the words of a file."""
    from kreabench.cli.terminal import console
    from kreabench.config.compose import group_options

    width = min(_MOST, console(piped_width=_MOST).width)
    for name, path in group_options("experiment", config_dir).items():
        click.echo(visible(name))
        for head, text in (("for", described(path)), *_facts(name, config_dir)):
            filled = textwrap.fill(
                visible(text), width, initial_indent=f"  {head:<6}", subsequent_indent=" " * 8, break_on_hyphens=False
            )
            click.echo(filled)


def _facts(name: str, config_dir: Path | None) -> Iterator[tuple[str, str]]:
    from kreabench.config.resolve import load
    from kreabench.estimate import estimate_plan
    from kreabench.plan_build import build_plan

    try:
        experiment = load((f"experiment={name}",), config_dir).experiment
        plan = build_plan(experiment)
    except KreabenchError as error:
        yield "draws", f"unknown, as it does not compose here: {message(error.message, 300)}"
        return
    guess = estimate_plan(plan)
    yield "draws", _draws(experiment, plan, guess)
    yield "costs", "; ".join(_costs(experiment, guess))
    yield "takes", _takes(guess)


def _draws(experiment: ExperimentSpec, plan: Plan, guess: PlanEstimate) -> str:
    images = count(sum(group.images for group in guess.groups), "image")
    times = [
        count(len(plan.settings), "setting"),
        count(len(experiment.prompts), "prompt"),
        count(len(experiment.seeds), "seed"),
        *([count(experiment.repeats, "repeat")] if experiment.repeats > 1 else []),
        *([f"{experiment.passes} passes"] if experiment.passes > 1 else []),
    ]
    race = " at most, as a race drops settings" if experiment.race is not None else ""
    return f"{images}{race}: {' × '.join(times)}"


def _costs(experiment: ExperimentSpec, guess: PlanEstimate) -> Iterator[str]:
    """Dollars of hosted services, and what the others run on."""
    hosted = [group for group in guess.groups if group.group.target.hosted]
    priced = [group for group in hosted if group.usd is not None]
    if priced:
        unpaid = all(group.group.target.emulated for group in hosted)
        budget = "" if experiment.budget_usd is None else f", with a budget of {usd(experiment.budget_usd)}"
        yield f"{usd(guess.usd)} at list price{', emulated: nothing is paid' if unpaid else budget}"
    if unknown := _names(group for group in hosted if group.usd is None):
        yield f"an unknown price of {unknown}"
    local = [group for group in guess.groups if not group.group.target.hosted]
    if local:
        yield (
            "this machine's processor"
            if all(_on_processor(group.group.target) for group in local)
            else _gpu_hours(local)
        )


def _gpu_hours(local: list[GroupEstimate]) -> str:
    """What an own device is paid by the hour, where the target says it and the hours are guessed."""
    paid = [(group.group.target.usd_per_hour, group.hours) for group in local]
    if all(rate is not None and hours is not None for rate, hours in paid):
        dollars = sum((rate or 0.0) * (hours or 0.0) for rate, hours in paid)
        return f"a GPU of your own, {usd(dollars)} by its price an hour"
    return "a GPU of your own"


def _on_processor(target: TargetSpec) -> bool:
    return bool(target.options.get("device", "cpu") == "cpu")  # a back end without the option has no device


def _takes(guess: PlanEstimate) -> str:
    if guess.hours is not None:
        return f"about {duration(guess.hours * 3600)}, model loads included"
    return f"unknown: no time is expected of {_names(group for group in guess.groups if group.hours is None)}"


def _names(groups: Iterator[GroupEstimate]) -> str:
    return visible(", ".join(dict.fromkeys(group.group.target.name for group in groups)))
