"""What metrics lack on this machine, printed, and fetched where it can be."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from kreabench.core.errors import ExitCode
from kreabench.core.specs import MetricSpec

WIDTH = 26
"""Characters of the first column."""
FETCHED = "metrics"
"""What there is to fetch."""


def names_in(text: str | None) -> tuple[str, ...] | None:
    """`a,b` as names; None stays None, which means the default configuration's. Raises click.UsageError for none."""
    if text is None:
        return None
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise click.UsageError("no metric named; expected files of conf/metrics, such as --metrics clip_score,lpips")
    return names


def to_fetch(text: str, metrics: str | None) -> tuple[str, ...] | None:
    """The metrics meant by `--fetch metrics` or `--fetch metrics=a,b`. Raises click.UsageError."""
    what, equals, names = text.partition("=")
    if what != FETCHED:
        raise click.UsageError(f"nothing called {what!r} to fetch; expected {FETCHED} or {FETCHED}=NAME,NAME")
    if equals and metrics is not None:
        raise click.UsageError("metrics named twice, by --fetch metrics=… and by --metrics; expected one of them")
    return names_in(names if equals else metrics)


def report_metrics(names: Sequence[str] | None, config_dir: Path | None, overrides: Sequence[str]) -> bool:
    """Print of each metric whether it is ready; True when one is not. Raises ConfigError. Sends and loads nothing."""
    from kreabench.config.resolve import load_metrics
    from kreabench.scoring.requirements import missing

    specs = load_metrics(names, config_dir, overrides)
    lacking = missing(specs, os.environ)
    for spec in specs:
        problems = [str(entry.problem) for entry in lacking if entry.metric == spec.name]
        _print_state(spec, problems)
    if any(entry.fetchable for entry in lacking):
        click.echo(f"\n`{_command(names, config_dir, overrides)}` fetches what can be fetched.")
    return bool(lacking)


def _command(names: Sequence[str] | None, config_dir: Path | None, overrides: Sequence[str]) -> str:
    """What fetches for the metrics of the same command line."""
    what = FETCHED if names is None else f"{FETCHED}={','.join(names)}"
    own = [] if config_dir is None else ["--config-dir", str(config_dir)]
    return shlex.join(["kreabench", "doctor", "--fetch", what, *own, *overrides])


def fetch_metrics(names: Sequence[str] | None, config_dir: Path | None, overrides: Sequence[str]) -> int:
    """Get what the metrics lack, saying each; exit code 0 when all is there. Raises ConfigError."""
    from kreabench.config.resolve import load_metrics
    from kreabench.scoring.requirements import fetch

    specs = load_metrics(names, config_dir, overrides)
    left, refused = fetch(specs, os.environ, click.echo)
    told = {problem.key for problem in refused}
    for spec in specs:
        mine = [entry for entry in left if entry.metric == spec.name]
        keys = {entry.problem.key for entry in mine}
        problems = [str(problem) for problem in refused if problem.key in keys]
        problems += [str(entry.problem) for entry in mine if entry.problem.key not in told]
        _print_state(spec, problems)
    return ExitCode.USAGE if left else ExitCode.DONE


def _print_state(spec: MetricSpec, problems: Sequence[str]) -> None:
    click.echo(f"{spec.name:<{WIDTH}} {'not ready' if problems else 'ready'}")
    for problem in problems:
        click.echo(f"{'':<{WIDTH}} {problem}")
