"""`kreabench recommend`."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kreabench.core.errors import ExitCode
from kreabench.core.policies import COSTS
from kreabench.core.questions import Objective, QualityLoss, read_loss

if TYPE_CHECKING:
    from kreabench.decisions.recommend import Recommendation
    from kreabench.recommending import Wishes

OBJECTIVES: tuple[Objective, ...] = (*COSTS, "quality")

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

POSITIVE = click.FloatRange(min=0, min_open=True)
NOT_NEGATIVE = click.FloatRange(min=0)
SHARE = click.FloatRange(0, 1, min_open=True)


def _finite(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    """Nothing is ever more than NaN: such a limit would hold nothing back."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"found {value}; expected a finite number")
    return value


def _number(name: str, help_: str, type_: click.FloatRange = POSITIVE, **more: Any) -> Callable[[FunctionT], FunctionT]:
    return click.option(name, type=type_, callback=_finite, help=help_, **more)


def _losses(ctx: click.Context, param: click.Parameter, words: tuple[str, ...]) -> tuple[QualityLoss, ...]:
    try:
        losses = tuple(map(read_loss, words))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    names = [loss.metric for loss in losses]
    if len(names) != len(set(names)):
        raise click.BadParameter("a metric is named twice")
    return losses


def _front(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[Objective, ...] | None:
    if text is None:
        return None
    axes = [part.strip() for part in text.split(",")]
    known = [axis for axis in OBJECTIVES if axis in axes]
    if len(known) != len(axes) or len(axes) not in (2, 3):
        raise click.BadParameter(f"found {text!r}; expected two or three different ones of {', '.join(OBJECTIVES)}")
    return tuple(sorted(known, key=axes.index))


@click.command()
@click.argument("run", metavar="RUN")
@click.option("--objective", type=click.Choice(OBJECTIVES), help="What shall be least, or best [default: latency].")
@click.option("--quality", metavar="METRIC", help="The metric of quality [default: the first that can judge it].")
@_number("--max-latency", "Most seconds a request, by the median.", metavar="S")
@_number("--max-usd-per-image", "Most dollars an image, by the median.", metavar="X")
@_number("--max-vram-gib", "Most memory, by the highest request. A hosted model takes none.", metavar="G")
@_number("--max-energy-j", "Most joules a request, by the median.", metavar="J")
@_number("--min-images-per-day", "Fewest images in a day, around the clock.", metavar="N")
@click.option(
    "--max-quality-loss",
    "losses",
    metavar="METRIC=D[unit|%|noise]",
    multiple=True,
    callback=_losses,
    help="Most that a metric may lose against the reference, in its unit, in % of the reference's value, or in noise "
    "floors; may be given again for another metric [default: METRIC=0.5noise].",
)
@click.option(
    "--level",
    type=click.FloatRange(min=0, max=0.5, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    help="Error rate of `loses less than allowed`, over all settings together.",
)
@click.option(
    "--front",
    "axes",
    metavar="AXIS,AXIS[,AXIS]",
    callback=_front,
    help="Axes of the front, of the objectives above [default: latency,quality; without a metric that can judge it "
    "latency,usd_per_image].",
)
@_number("--usd-per-hour", "Local or hosted: price of an hour of the own GPU [default: the run's].", NOT_NEGATIVE)
@_number("--utilisation", "Share of its paid hours in which it draws, 0 to 1 [default: 1].", SHARE)
@_number("--loads-per-day", "How often the model is loaded a day [default: 1].", NOT_NEGATIVE)
@_number("--load-s", "Seconds of one load [default: as measured].", NOT_NEGATIVE)
@_number("--usd-per-kwh", "Price of electricity, where the hour does not hold it [default: 0].", NOT_NEGATIVE)
@_number("--watts", "Power of the whole machine while it draws [default: the measured energy].", NOT_NEGATIVE)
@_number("--api-usd-per-image", "Price of the service [default: the run's hosted setting].", NOT_NEGATIVE)
@click.option("--config-dir", type=click.Path(path_type=Path), help="The folder of your own groups that the run used.")
@click.option("--out", type=click.Path(path_type=Path), help="Write a page, tables and figures into this folder.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write all of it as JSON.")
def recommend(run: str, config_dir: Path | None, out: Path | None, json_file: Path | None, **asked: Any) -> int:
    """Which setting to use: the best one that is shown to lose no more than is allowed.

    RUN is a run directory or the URL of a pushed run, or RUN:AXIS=VALUE,… for some of its settings. Each setting is
    compared with the reference of its own target, size and guidance.

    \b
      kreabench recommend runs/krea
      kreabench recommend runs/krea --objective usd_per_image --max-latency 3
      kreabench recommend runs/krea --max-quality-loss clip_score=0.3noise

    A limit that is not given is not asked. `gate` says whether one version is worse than another; this chooses among
    the settings of one run.

    Exit code 0 with an answer, 1 where every setting is shown not to qualify, 3 where none is shown to qualify and
    some are not decided.
    """
    from kreabench.cli.recommend_print import print_recommendation
    from kreabench.cli.terminal import console, say
    from kreabench.recommending import run_recommendation
    from kreabench.report.recommend.files import write_json, write_page

    report = run_recommendation(run, _wishes(asked), config_dir=config_dir)
    terminal = console()
    print_recommendation(terminal, report)
    if out is not None:
        say(terminal, f"report: {write_page(report, out)}")
    if json_file is not None:
        write_json(report, json_file)
    return int(exit_code(report.recommendation))


def exit_code(recommendation: Recommendation) -> ExitCode:
    """What a script can act on."""
    if recommendation.answer is not None:
        return ExitCode.DONE
    undecided = any(verdict.standing == "not decided" for verdict in recommendation.verdicts)
    return ExitCode.INCONCLUSIVE if undecided else ExitCode.REGRESSION


def _wishes(asked: dict[str, Any]) -> Wishes:
    """Of the options' values by name."""
    from kreabench.decisions.recommend_hosting import HostingOptions
    from kreabench.decisions.recommend_question import Limits
    from kreabench.recommending import Wishes

    gib = asked["max_vram_gib"]
    return Wishes(
        objective=asked["objective"],
        quality=asked["quality"],
        losses=asked["losses"],
        limits=Limits(
            max_latency_s=asked["max_latency"],
            max_usd_per_image=asked["max_usd_per_image"],
            max_peak_memory_bytes=None if gib is None else gib * 2**30,
            max_energy_j=asked["max_energy_j"],
            min_images_per_day=asked["min_images_per_day"],
        ),
        level=asked["level"],
        axes=asked["axes"],
        hosting=HostingOptions(
            usd_per_hour=asked["usd_per_hour"],
            utilisation=asked["utilisation"],
            usd_per_kwh=asked["usd_per_kwh"],
            watts=asked["watts"],
            loads_per_day=asked["loads_per_day"],
            load_s=asked["load_s"],
            api_usd_per_image=asked["api_usd_per_image"],
        ),
    )
