"""`kreabench list metrics`: what each measures, needs, costs and gets wrong."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click

from kreabench.metrics.table import METRICS, MetricRow, range_in_words

_WIDTH = 100
"""Columns of a line."""
_KIND = re.compile(r"^\s*kind:\s*['\"]?(\w+)", re.MULTILINE)
"""Indented in a file of several metrics."""


def print_metrics(config_dir: Path | None) -> None:
    """Every kind of metric, with the files of conf/metrics that use it. Raises ConfigError."""
    from kreabench.config.compose import group_options

    files: dict[str, list[str]] = {}
    for name, path in group_options("metrics", config_dir).items():
        for kind in dict.fromkeys(_KIND.findall(path.read_text(encoding="utf-8", errors="replace"))):
            files.setdefault(kind, []).append(name)
    for kind, row in METRICS.items():
        click.echo(kind)
        for head, text in _facts(row, files.get(kind, [])):
            wrapped = textwrap.fill(text, _WIDTH, initial_indent=f"  {head:<10}", subsequent_indent=" " * 12)
            click.echo(wrapped)


def _facts(row: MetricRow, files: list[str]) -> Iterator[tuple[str, str]]:
    better = "neither direction is better: a shift is a change of look"
    direction = better if row.better == "reference" else f"{row.better} is better"
    needs = [
        word for word, needed in (("the prompt", row.needs_prompt), ("a reference", row.needs_reference)) if needed
    ]
    yield "measures", row.summary
    yield "scores", f"{'a set of pictures' if row.per == 'set' else 'each picture'}; unit: {row.unit}"
    yield "range", f"{range_in_words(row)}; {direction}"
    yield "needs", " and ".join(needs) or "the picture alone"
    yield "weights", row.weights
    yield "licence", row.licence
    yield "bias", row.bias
    yield "cost", row.cost
    yield "files", ", ".join(files) or "none in conf/metrics"
