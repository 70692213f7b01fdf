"""`kreabench list`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from kreabench.core.registry import suggest
from kreabench.report.text import visible

Rows = list[tuple[str, str]]


def _backends(config_dir: Path | None) -> Rows:
    from kreabench.backends.table import BACKENDS

    return [(name, row.summary) for name, row in BACKENDS.items()]


def _features(config_dir: Path | None) -> Rows:
    from kreabench.backends.accelerations.features import FEATURES

    return [(name, row.summary) for name, row in FEATURES.items()]


def _configured(group: str) -> Callable[[Path | None], Rows]:
    def rows(config_dir: Path | None) -> Rows:
        from kreabench.config.compose import group_options

        return [(name, _described(path)) for name, path in group_options(group, config_dir).items()]

    return rows


def _prompts(config_dir: Path | None) -> Rows:
    """Each set's words, and how many prompts of which categories it has; nothing is fetched."""
    from kreabench.config.compose import group_options, search_path
    from kreabench.config.prompt_summary import summary_of

    folders = [root / "prompts" for root in search_path(config_dir)]
    files = group_options("prompts", config_dir)
    return [(name, f"{_described(path)} [{summary_of(path, folders)}]") for name, path in files.items()]


def _described(path: Path) -> str:
    """A group option's own words: its first `description`, else its first comment."""
    comments = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("description:"):
            return line.removeprefix("description:").strip().strip("\"'")
        if line.startswith("#") and "@package" not in line:
            comments.append(line.lstrip("# "))
        elif comments:
            break
    return " ".join(comments)


KINDS: dict[str, Callable[[Path | None], Rows]] = {
    "targets": _configured("target"),
    "accelerations": _configured("acceleration"),
    "prompts": _prompts,
    "axes": _configured("axes"),
    "pricing": _configured("pricing"),
    "engines": _configured("engine"),
    "gates": _configured("gate"),
    "backends": _backends,
    "features": _features,
}

EXPERIMENTS, METRICS = "experiments", "metrics"
"""Listed with all that is known of each, on lines of their own."""


@click.command(name="list")
@click.argument("what", metavar="WHAT")
@click.option(
    "--config-dir", type=click.Path(path_type=Path), help="A folder of your own groups, beside the shipped ones."
)
def list_(what: str, config_dir: Path | None) -> None:
    """List what can be chosen.

    WHAT is one of targets, accelerations, experiments, prompts, axes, pricing, engines, gates (files of the
    configuration), metrics, backends, features (parts of the program). Of experiments it says what each is for, how
    many images it draws, what that costs and how long it takes.
    """
    if what == METRICS:
        from kreabench.cli.metric_listing import print_metrics

        print_metrics(config_dir)
        return
    if what == EXPERIMENTS:
        from kreabench.cli.experiment_listing import print_experiments

        print_experiments(config_dir, _described)
        return
    if what not in KINDS:
        known = [*KINDS, EXPERIMENTS, METRICS]
        raise click.UsageError(f"nothing called {what!r} to list; expected {suggest(what, known)}")
    rows = KINDS[what](config_dir)
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        click.echo(f"{visible(name):<{width}}  {visible(text)}".rstrip())
