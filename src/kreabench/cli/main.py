"""The root command: a table of commands, loaded when called, and the one place where errors become exit codes."""

from __future__ import annotations

import gc
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from kreabench import __version__
from kreabench.cli.output import lasting_output
from kreabench.core.errors import ExitCode, KreabenchError
from kreabench.core.registry import load_object, suggest

COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("kreabench.cli.run:run", "Plan, generate, score, report; resumes by itself."),
    "plan": ("kreabench.cli.run:plan", "What a run would do, take and cost; runs nothing."),
    "load": ("kreabench.cli.load:load", "Put targets under load, and find the knee."),
    "resume": ("kreabench.cli.run:resume", "Go on after a crash, an interrupt or a spent budget."),
    "merge": ("kreabench.cli.merge:merge", "Parts that other processes drew become one run."),
    "score": ("kreabench.cli.score:score", "Score a run's pictures: only what is missing."),
    "compare": ("kreabench.cli.compare:compare", "Two runs, or settings of one, in pairs of pictures."),
    "gate": ("kreabench.cli.gate:gate", "Did it get worse? Passed, regressed or inconclusive."),
    "recommend": ("kreabench.cli.recommend:recommend", "Which setting to use, how sure, and what else."),
    "history": ("kreabench.cli.history:history", "Metrics over versions, and where they took a step."),
    "canary": ("kreabench.cli.canary:canary", "A few pictures a day: did the hosted model change?"),
    "report": ("kreabench.cli.report:report", "Write the page, tables and figures of runs."),
    "show": ("kreabench.cli.report:show", "Print a run's verdict, settings and failures."),
    "vote": ("kreabench.cli.vote:vote", "Vote blind on pairs of a run's pictures."),
    "push": ("kreabench.cli.transfer:push", "Send a run to shared storage: S3, GCS, a folder."),
    "pull": ("kreabench.cli.transfer:pull", "Bring a pushed run into a folder, verified."),
    "export": ("kreabench.cli.export:export", "Tell MLflow or W&B of a run."),
    "baseline": ("kreabench.cli.baseline:baseline", "Keep a run's scores in a small file, for git."),
    "list": ("kreabench.cli.listing:list_", "List targets, experiments, metrics and so on."),
    "doctor": ("kreabench.cli.doctor:doctor", "What will work on this machine, and what lacks."),
    "fal-emulator": ("kreabench.cli.fal_emulator:fal_emulator", "A loopback fal for tests and trials."),
}


class LazyGroup(click.Group):
    """Knows its commands by name and help line; imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = load_object(COMMANDS[cmd_name][0])
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            ctx.fail(f"no command {args[0]!r}; expected {suggest(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_) for name, (_, help_) in COMMANDS.items()])


OBJECTS_BETWEEN_COLLECTIONS = 100_000
"""Imports and journals make millions of objects that stay: to look through them at every 700th takes a tenth of all."""

EPILOG = """\b
Exit codes: 0 done or passed; 1 regressed, or no setting qualifies; 2 usage,
configuration or environment; 3 inconclusive or undecided; 4 finished with
failed samples or scores; 5 stopped at the budget; 130 interrupted."""


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kreabench")
def cli() -> None:
    """Benchmark FLUX.1 Krea [dev], run locally with diffusers or bought from the fal API.

    Start with `kreabench doctor`, then `kreabench plan experiment=demo` and `kreabench run experiment=demo`.
    """


def _on_sigterm(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _check_working_folder() -> None:
    try:
        Path.cwd()
    except OSError as error:
        raise KreabenchError(
            f"the current folder cannot be used: {error.strerror}", remedy="Change to one that exists (cd)."
        ) from error


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run a command line and exit with the code that the design promises."""
    signal.signal(signal.SIGTERM, _on_sigterm)
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    try:
        _check_working_folder()
        with lasting_output():
            result: Any = cli.main(args=arguments, prog_name="kreabench", standalone_mode=False)
        code = int(result) if isinstance(result, int) else ExitCode.DONE
    except KreabenchError as error:
        click.echo(f"kreabench: {error}", err=True)
        code = error.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        # From here on there is nothing left to interrupt.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        click.echo("kreabench: interrupted", err=True)
        code = ExitCode.INTERRUPTED
    except click.ClickException as error:
        error.show()
        code = ExitCode.USAGE
    except Exception:
        # Python would leave with 1, which says that a model got worse.
        traceback.print_exc()
        click.echo("kreabench: this is a bug in kreabench; please report it with the lines above", err=True)
        code = ExitCode.USAGE
    sys.exit(code)
