"""`kreabench run`, `plan` and `resume`."""

from __future__ import annotations

import math
import os
from pathlib import Path

import click

from kreabench.cli.power import LEVEL, PowerOptions, power_options, print_power, split_power
from kreabench.core.errors import ConfigError, Problem

OVERRIDES = click.argument("overrides", nargs=-1, type=click.UNPROCESSED, metavar="[OVERRIDES]...")
CONFIG_DIR = click.option(
    "--config-dir",
    type=click.Path(path_type=Path),
    help="A folder of your own groups (target/, acceleration/, experiment/, …), beside ours.",
)
PASS_ON = {"ignore_unknown_options": True, "help_option_names": ["-h", "--help"]}


def finite(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    """Nothing is ever more than NaN: such a budget would hold nobody back."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"found {value}; expected a finite number of dollars")
    return value


@click.command(context_settings=PASS_ON)
@OVERRIDES
@CONFIG_DIR
@click.option("--retry-failed", is_flag=True, help="Try failed samples again, also those that would fail again.")
def run(overrides: tuple[str, ...], config_dir: Path | None, retry_failed: bool) -> int | None:
    """Plan, generate, score and report.

    OVERRIDES choose and change the configuration in conf/:

    \b
      kreabench run experiment=demo
      kreabench run target=[krea_local] acceleration=[none,high] axes.steps=[8,28]
      kreabench run target=[krea_fal] axes.size=[square_hd] budget.usd=2

    The run directory is runs/<name>. When it is there already and holds the same plan, the run goes on where it
    stopped; with another plan it is refused, saying what differs. `--cfg job` prints the composed configuration,
    `--info` and `--hydra-help` are Hydra's.
    """
    if any(word.startswith("-") for word in overrides):
        from kreabench.config.hydra_cli import run_hydra_flags

        run_hydra_flags([*overrides, *(["--config-dir", str(config_dir)] if config_dir else [])])
        return None
    return start_and_execute(overrides, config_dir, retry_failed=retry_failed)


def start_and_execute(overrides: tuple[str, ...], config_dir: Path | None, *, retry_failed: bool = False) -> int:
    """Begin the run that `overrides` ask for, or go on with it; the exit code."""
    from kreabench import pipeline
    from kreabench.cli.execute import execute_and_print
    from kreabench.cli.terminal import console, say
    from kreabench.config.resolve import load

    composed = load(overrides, config_dir)
    out = console()
    directory = pipeline.start(
        composed.run_path,
        composed.experiment,
        composed.config_yaml,
        os.environ,
        composed.input_files,
        say=lambda line: say(out, line),
    )
    return execute_and_print(directory, report_path=composed.report_path, retry_failed=retry_failed)


@click.command(context_settings=PASS_ON)
@OVERRIDES
@CONFIG_DIR
@click.option("--all", "show_all", is_flag=True, help="List every setting, however many there are.")
@power_options
def plan(
    overrides: tuple[str, ...],
    config_dir: Path | None,
    show_all: bool,
    power: str | None,
    losses: tuple[str, ...],
    noise: tuple[str, ...],
    deviations: tuple[str, ...],
    margins: tuple[str, ...],
    level: float | None,
    json_path: Path | None,
) -> None:
    """Settings, images, model loads, expected hours and dollars. Runs and sends nothing.

    OVERRIDES are those of `kreabench run`. With --power: how many prompts and seeds would decide, and what they cost.

    \b
      kreabench plan target=[krea_local] axes.steps=[8,28]
      kreabench plan --power --loss clip_score=0.3 --noise runs/last
    """
    power, overrides = split_power(power, overrides)
    flags = [word for word in overrides if word.startswith("-")]
    if flags:
        raise ConfigError([Problem(key="command line", found=flags[0], expected="overrides such as axes.steps=[8,28]")])
    if power is None and (losses or noise or deviations or margins or json_path or level is not None):
        raise click.UsageError("--loss, --noise, --sd, --margin, --level and --json go with --power")
    from kreabench.cli.plan_table import print_plan
    from kreabench.cli.terminal import console
    from kreabench.planning import compose_plan

    composed, planned = compose_plan(overrides, config_dir)
    if power is None:
        print_plan(console(), composed.experiment, planned, composed.run_path, show_all=show_all)
        return
    options = PowerOptions(
        power=power,
        losses=losses,
        noise=noise,
        deviations=deviations,
        margins=margins,
        level=LEVEL if level is None else level,
        json_path=json_path,
    )
    print_power(console(), options, composed.experiment, planned)


@click.command()
@click.argument("run_path", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("overrides", metavar="[ENGINE]...", nargs=-1)
@click.option(
    "--budget-usd",
    type=click.FloatRange(min=0),
    callback=finite,
    help="A new budget for hosted requests and scores, in dollars.",
)
@click.option("--retry-failed", is_flag=True, help="Try failed samples again, also those that would fail again.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the report [default: reports/<name>].")
def resume(
    run_path: Path, overrides: tuple[str, ...], budget_usd: float | None, retry_failed: bool, out: Path | None
) -> int:
    """Go on with a run after a crash, an interrupt or a spent budget.

    RUN is a run directory such as runs/demo. What is journalled is never drawn again. ENGINE, such as `engine=local`,
    chooses another engine than the one that the run had.

    \b
      kreabench resume runs/demo
      kreabench resume runs/demo engine=slurm engine.partition=gpu
    """
    from kreabench import pipeline
    from kreabench.cli.execute import execute_and_print
    from kreabench.report.several.names import folder_name

    engine = None
    if overrides:
        from kreabench.config.resolve import load_engine

        engine = load_engine(overrides)
    directory = pipeline.reopen(run_path, budget_usd=budget_usd, engine=engine)
    report_path = out or Path("reports") / folder_name([directory.info.experiment.name])
    return execute_and_print(directory, report_path=report_path, retry_failed=retry_failed)
