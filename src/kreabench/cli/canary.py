"""`kreabench canary`."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kreabench.cli.run import CONFIG_DIR
from kreabench.core.errors import ExitCode

if TYPE_CHECKING:
    from rich.console import Console

    from kreabench.decisions.canary import CanaryResult
    from kreabench.observer import Observer
    from kreabench.watching.watch import Watch


@click.command()
@click.argument("target", metavar="TARGET")
@click.argument("overrides", nargs=-1, metavar="[OVERRIDES]...")
@CONFIG_DIR
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("canary"),
    show_default=True,
    help="Where the days are kept, below the target's name.",
)
@click.option("--policy", default="canary", show_default=True, metavar="NAME", help="Of the gate that judges scores.")
@click.option(
    "--distance",
    "measure",
    default="ssim",
    show_default=True,
    metavar="METRIC",
    help="How far a picture is from another one: ssim, ms_ssim, lpips, dists or dino_similarity.",
)
@click.option(
    "--false-alarms-per-year",
    type=float,
    default=0.2,
    show_default=True,
    help="How many are accepted, of pictures, scores and latency together, where a day is drawn every day.",
)
@click.option("--judge-only", is_flag=True, help="Judge the newest day again; draw and send nothing.")
@click.option("--json", "json_file", metavar="FILE", help="Write everything as JSON here; - is standard output.")
def canary(
    target: str,
    overrides: tuple[str, ...],
    config_dir: Path | None,
    folder: Path,
    policy: str,
    measure: str,
    false_alarms_per_year: float,
    judge_only: bool,
    json_file: str | None,
) -> int:
    """Did the hosted model change since yesterday? A few fixed pictures a day, for cron.

    Draws conf/experiment/canary.yaml at TARGET, a hosted target, into a run directory of its own below --dir, then
    compares pictures, scores, latency and price with the days before. OVERRIDES are those of `kreabench run`.

    Pictures are the same bit by bit, as far apart as the service's own repeats, or changed: no other reason, such as
    load or a failed day, is taken for a change. A day costs at most budget.usd: more is refused before it is sent.

    \b
      kreabench plan experiment=canary target=[krea_fal]
      kreabench canary krea_fal
      kreabench canary krea_fal prompts.limit=4 budget.usd=0.25 metrics=[look]

    Exit codes: 0 no change, 1 changed, worse, slower or at another price, 3 undecided, 4 failed requests or scores and
    no alarm, 5 stopped at the budget, 2 refused.
    """
    from kreabench.cli.terminal import console
    from kreabench.watching.day import ask
    from kreabench.watching.watch import Question, known_folder, watching

    if json_file not in (None, "-") and not Path(json_file).absolute().parent.is_dir():
        raise click.BadParameter(f"there is no folder {Path(json_file).parent}", param_hint="--json")
    below, now = folder / target, datetime.now(UTC)
    if judge_only:
        known_folder(below)
    else:
        ask(target, overrides, below, repeats=1, now=now, config_dir=config_dir)  # refused before a folder is made
    # JSON on standard output stands alone there.
    out = console() if json_file != "-" else _aside()
    question = Question(
        false_alarms_per_year=false_alarms_per_year, measure=measure, policy=policy, config_dir=config_dir
    )
    with watching(below, question, os.environ) as watch:
        ended = ExitCode.DONE if judge_only else _draw(out, watch, target, overrides, config_dir, now)
        result = watch.judge()
    code = result.exit_code(ended)
    written = _write_json(result, target, code, json_file)
    print_canary(out, result, target)
    return int(code) or (0 if written else 2)


def _aside() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def _draw(
    out: Console, watch: Watch, target: str, overrides: tuple[str, ...], config_dir: Path | None, now: datetime
) -> ExitCode:
    """How the run of today ended."""
    from kreabench.cli.progress import ProgressObserver
    from kreabench.cli.run_table import print_failures
    from kreabench.cli.terminal import say
    from kreabench.drops import drops_of
    from kreabench.report.format import count, usd
    from kreabench.rundir.directory import RunDirectory
    from kreabench.watching.day import ask, draw

    def observe() -> AbstractContextManager[Observer]:
        return ProgressObserver(out)

    asked = ask(target, overrides, watch.folder, repeats=1, now=now, config_dir=config_dir)
    if (repeats := watch.repeats(asked.plan.settings[0].id)) != 1:
        asked = ask(target, overrides, watch.folder, repeats=repeats, now=now, config_dir=config_dir)
    watch.check(frozenset(spec.name for spec in asked.composed.experiment.metrics))
    watch.prepare(lambda line: say(out, line))
    requests = count(asked.plan.request_count, "request")
    say(out, f"{requests}, about {usd(asked.usd)}, at most {usd(asked.budget_usd)}")
    outcome = draw(asked, os.environ, observe, lambda line: say(out, line))
    run = RunDirectory.open(outcome.run_path)
    print_failures(out, run.path, [one for one in run.samples().values() if one.status == "failed"], drops_of(run))
    if outcome.budget_message is not None:
        say(out, outcome.budget_message)
    say(out, f"run: {outcome.run_path}")
    return outcome.exit_code


def _write_json(result: CanaryResult, target: str, code: ExitCode, json_file: str | None) -> bool:
    """Whether the file that was asked for is there; the verdict stands without it."""
    if json_file is None:
        return True
    from kreabench.report.canary.json_file import render_json

    text = render_json(result, target, code)
    if json_file == "-":
        click.echo(text, nl=False)
        return True
    try:
        Path(json_file).write_text(text, encoding="utf-8")
    except OSError as error:
        click.echo(f"kreabench: cannot write {json_file}: {error.strerror}; the verdict stands", err=True)
        return False
    return True


def print_canary(out: Console, result: CanaryResult, target: str) -> None:
    """The headline, a line for each thing that is watched, and the days."""
    from kreabench.cli.terminal import say
    from kreabench.report.canary.words import course, headline, legend, rows

    if result.day.side.notice:
        say(out, f"! {result.day.side.notice}", "bold yellow")
    for text in result.notices:
        say(out, f"! {text}", "yellow")
    style = "bold red" if result.alarms else "yellow" if result.exit_code() else "green"
    say(out, f"canary {target}, {result.day.name}: {headline(result)}", style)
    for name, state, reason in rows(result):
        say(out, f"{name}: {state}{': ' if state else ''}{reason}")
    if result.alarms and result.differing:
        say(out, f"besides, not as on the day before: {'; '.join(result.differing)}")
    say(out, f"days: {course(result)} ({legend(result)})")
