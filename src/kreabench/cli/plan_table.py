"""`kreabench plan`: what a run would do, take and cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from rich.console import Console
from rich.table import Table

from kreabench.analysis.notices import notice
from kreabench.cli.terminal import SHOWN_SETTINGS, make_table, print_skipped, say
from kreabench.core.planned import LoadGroup, Plan, Setting
from kreabench.core.specs import ExperimentSpec
from kreabench.estimate import GroupEstimate, PlanEstimate, estimate_plan, requests_within
from kreabench.estimate_wall import wall_time
from kreabench.race.estimate import race_extents
from kreabench.race.rounds import rounds_of
from kreabench.report.format import ABSENT, count, duration, general, usd
from kreabench.report.trained import not_trained_for

LEAST_TIMINGS = 6
"""Fewest of which a median has an interval of 95 %."""


def print_plan(out: Console, experiment: ExperimentSpec, plan: Plan, run_path: Path, *, show_all: bool) -> None:
    """What a run would do, take and cost."""
    guess = estimate_plan(plan)
    banner = notice(experiment.targets)
    if banner:
        say(out, f"! {banner}", "bold yellow")
    hosted = any(group.target.hosted for group in plan.groups)
    table = make_table(
        ("model load", "l"),
        *([("in flight", "r")] if hosted else []),
        ("settings", "r"),
        ("requests", "r"),
        ("warm-ups", "r"),
        ("images", "r"),
        ("dollars", "r"),
        ("expected", "r"),
    )
    for group in guess.groups:
        table.add_row(*_group_cells(group, in_flight=hosted))
    out.print(table)
    if show_all or len(plan.settings) <= SHOWN_SETTINGS:
        out.print(_settings_list(plan.settings))
    else:
        say(out, f"{len(plan.settings)} settings; list them with --all")
    print_skipped(out, plan.skipped)
    for note in (*_left_out(plan), *_not_sent(experiment)):
        say(out, note)
    if plan.excluded:
        say(out, f"{plan.excluded} settings left out by axes.exclude")
    _print_inputs(out, experiment)
    images = sum(group.images for group in guess.groups)
    dollars = f"{_dollars(guess)}{_limit(experiment.budget_usd)}"
    parts = (
        f"{count(plan.request_count, 'request')} ({_made_of(experiment, plan)})",
        count(images, "image"),
        count(len(plan.groups), "model load"),
        dollars,
        _time(experiment, plan, guess),
    )
    say(out, ", ".join(parts))
    _print_race(out, experiment, plan)
    _print_money(out, experiment, plan, guess)
    _print_first_calls(out, plan)
    _print_close_seeds(out, experiment)
    for text in not_trained_for(experiment.targets, plan.settings):
        say(out, f"! {text}", "bold yellow")
    state = "exists" if (run_path / "run.json").exists() else "new"
    say(out, f"run {run_path} ({state}), plan {plan.hash}")


def _made_of(experiment: ExperimentSpec, plan: Plan) -> str:
    """What the number of requests comes from."""
    settings, traffic = count(len(plan.settings), "setting"), experiment.traffic
    if traffic is not None:
        how = "what arrives in" if traffic.is_open else f"at most {traffic.max_requests:,} in"
        return f"{settings} under load, each {how} {duration(traffic.duration_s)}"
    return (
        f"{settings} × {count(len(experiment.prompts), 'prompt')} × {count(len(experiment.seeds), 'seed')} × "
        f"{count(experiment.repeats, 'repeat')}{_passes(experiment)}"
    )


def _time(experiment: ExperimentSpec, plan: Plan, guess: PlanEstimate) -> str:
    """From beginning to end, and where several work at once, under what condition and how much work that is."""
    wall = wall_time(plan, experiment.engine)
    if wall is None or guess.hours is None:
        return "unknown time"
    said = f"about {duration(wall.hours * 3600)}{' ' if wall.how else ''}{wall.how}"
    return said if wall.hours >= guess.hours else f"{said} ({duration(guess.hours * 3600)} of work)"


def _print_race(out: Console, experiment: ExperimentSpec, plan: Plan) -> None:
    """When a race looks, and what it takes at least and at most."""
    if experiment.race is None:
        return
    *looks, last = rounds_of(experiment)
    sizes = ", ".join(str(len(one.prompts)) for one in looks)
    say(
        out,
        f"race: {count(len(looks), 'look')}, at {sizes} of {len(last.prompts)} prompts; every round loads models anew",
    )
    for word, extent in zip(("least", "most"), race_extents(experiment, plan), strict=True):
        hours = "unknown time" if extent.hours is None else f"about {duration(extent.hours * 3600)}"
        dollars = f", {usd(extent.usd)} by the price list" if extent.usd else ""
        say(out, f"  at {word} {count(extent.images, 'image')}, {count(extent.loads, 'model load')}{dollars}, {hours}")


def _dollars(guess: PlanEstimate) -> str:
    """All together; what an endpoint without a price costs is not known, and said to be so."""
    hosted = [group for group in guess.groups if group.group.target.hosted]
    if not hosted:
        return "no hosted requests"
    if all(group.usd is None for group in hosted):
        return "dollars unknown"
    unknown = " and what has no price" if any(group.usd is None for group in hosted) else ""
    return f"at most {usd(guess.usd)} by the price list{unknown}"


def _limit(budget_usd: float | None) -> str:
    return "" if budget_usd is None else f" (budget {usd(budget_usd)})"


def _print_money(out: Console, experiment: ExperimentSpec, plan: Plan, guess: PlanEstimate) -> None:
    """Dollars of each hosted target where there are several, those of local devices, and where the budget ends it."""
    if guess.device_usd:
        capped = "" if experiment.budget_usd is None else ", which budget.usd does not count"
        say(out, f"local devices: about {usd(guess.device_usd)} by pricing.device_usd_per_hour{capped}")
    by_target: dict[str, list[float | None]] = {}
    for group in guess.groups:
        if group.group.target.hosted:
            by_target.setdefault(group.group.target.name, []).append(group.usd)
    if len(by_target) > 1:
        said = ", ".join(
            f"{name} {'unknown' if None in parts else usd(sum(part or 0.0 for part in parts))}"
            for name, parts in by_target.items()
        )
        say(out, f"dollars by target: {said}")
    if experiment.budget_usd is not None and guess.usd > experiment.budget_usd:
        within = requests_within(plan, experiment.budget_usd)
        hosted = sum(group.requests for group in guess.groups if group.group.target.hosted)
        say(out, f"! stops at the budget after about {within:,} of {count(hosted, 'hosted request')}", "bold yellow")


def _print_inputs(out: Console, experiment: ExperimentSpec) -> None:
    """Input pictures, and what is done to some of them before they are used."""
    pictures = {image.sha256: image for prompt in experiment.prompts for image in prompt.images}
    if not pictures or all(target.task == "text-to-image" for target in experiment.targets):
        return
    said = Counter(note for image in pictures.values() for note in image.notes)
    notes = "".join(f"; {number} {note}" for note, number in said.most_common())
    say(out, f"{count(len(pictures), 'input picture')}{notes}")


def _passes(experiment: ExperimentSpec) -> str:
    return f" × {experiment.passes} passes" if experiment.passes > 1 else ""


def _left_out(plan: Plan) -> list[str]:
    """What accelerations go without, each note once."""
    notes = (
        f"{acceleration.name}: {note}"
        for group in plan.groups
        for acceleration in group.accelerations
        for note in acceleration.left_out
    )
    return list(dict.fromkeys(notes))


def _not_sent(experiment: ExperimentSpec) -> list[str]:
    """What prompts bring and an endpoint does not take."""
    if not any(prompt.text for prompt in experiment.prompts):
        return []
    wordless = [target.name for target in experiment.targets if target.inputs and "prompt" not in target.inputs]
    return [f"{name} takes no prompt: the words beside the pictures are not sent" for name in wordless]


def _group_cells(group: GroupEstimate, *, in_flight: bool) -> list[str]:
    at_once = str(group.group.concurrency) if group.group.target.hosted else ABSENT
    names = ", ".join(acceleration.name for acceleration in group.group.accelerations)
    return [
        f"{group.group.target.name}: {names}{_pass(group.group)}",
        *([at_once] if in_flight else []),
        str(len(group.group.settings)),
        str(group.requests),
        str(group.warmup_calls),
        str(group.images),
        ABSENT if group.usd is None else usd(group.usd),
        ABSENT if group.hours is None else duration(group.hours * 3600),
    ]


def _pass(group: LoadGroup) -> str:
    return f" (pass {group.pass_number})" if group.pass_number > 1 else ""


def _settings_list(settings: Sequence[Setting]) -> Table:
    strengths = any(setting.strength is not None for setting in settings)
    at_once = any(setting.concurrency > 1 for setting in settings)
    batches = any(setting.batch_size > 1 for setting in settings)
    replicas = any(setting.replicas > 1 for setting in settings)
    rates = any(setting.rate_per_s is not None for setting in settings)
    table = make_table(
        ("setting", "l"),
        ("target", "l"),
        ("acceleration", "l"),
        ("steps", "r"),
        ("guidance", "r"),
        *([("strength", "r")] if strengths else []),
        ("size", "r"),
        ("images", "r"),
        ("format", "l"),
        *([("batch", "r")] if batches else []),
        *([("replicas", "r")] if replicas else []),
        *([("in flight", "r")] if at_once else []),
        *([("arrivals 1/s", "r")] if rates else []),
        ("", "l"),
    )
    for setting in settings:
        mark = "reference" if setting.reference_id == setting.id else "" if setting.reference_id else "no reference"
        table.add_row(
            setting.id[:8],
            setting.target,
            setting.acceleration,
            general(setting.steps),
            general(setting.guidance),
            *([general(setting.strength)] if strengths else []),
            f"{setting.width}×{setting.height}",
            str(setting.num_images),
            setting.output_format,
            *([str(setting.batch_size)] if batches else []),
            *([str(setting.replicas)] if replicas else []),
            *([str(setting.concurrency)] if at_once else []),
            *([general(setting.rate_per_s)] if rates else []),
            mark,
        )
    return table


def _print_first_calls(out: Console, plan: Plan) -> None:
    """The first request on each connection is no timing, and each request in flight has a connection of its own."""
    for group in plan.groups:
        requests, at_once = len(group.requests), group.concurrency
        loaded = group.traffic is not None  # there an opening is part of what is measured
        if (
            not loaded
            and group.target.hosted
            and at_once > 1
            and requests - at_once < LEAST_TIMINGS * len(group.settings)
        ):
            timed = max(0, requests - at_once)
            text = (
                f"! {group.target.name} at {at_once} in flight: only about {timed} of {count(requests, 'request')} can "
                f"be timed, as the first on each connection is not, and a median needs {LEAST_TIMINGS} a setting for "
                "its interval; more run.seeds or run.repeats give more"
            )
            say(out, text, "bold yellow")


def _print_close_seeds(out: Console, experiment: ExperimentSpec) -> None:
    """Image k of a request is drawn with seed + k, so seeds closer than that draw some pictures twice."""
    most, seeds = max(experiment.axes.num_images), sorted(experiment.seeds)
    if any(later - earlier < most for earlier, later in pairwise(seeds)):
        spaced = ",".join(str(seeds[0] + number * most) for number in range(len(seeds)))
        say(out, f"! some pictures are drawn twice: image k has seed + k; better run.seeds=[{spaced}]", "bold yellow")
