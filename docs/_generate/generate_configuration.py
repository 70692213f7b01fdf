"""The groups of conf/, and the tables of metrics and features, as Markdown."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from pathlib import Path

from click.testing import CliRunner

from kreabench.backends.accelerations.features import FEATURES
from kreabench.cli.listing import KINDS, list_
from kreabench.config.compose import conf_dir, group_options
from kreabench.metrics.table import METRICS, MetricRow, range_in_words


def groups() -> str:
    """The groups, and how many files each has."""
    names = sorted(entry.name for entry in conf_dir().iterdir() if entry.is_dir())
    return _table(("group", "files"), ((f"`{name}`", _names(group_options(name))) for name in names))


def config() -> str:
    """conf/config.yaml, which explains itself."""
    return _file(conf_dir() / "config.yaml")


def targets() -> str:
    """Every target with its words."""
    return _listed("targets")


def prompts() -> str:
    """Every set of prompts with its words and size."""
    return _listed("prompts")


def pricing() -> str:
    """Every price list."""
    return _listed("pricing")


def policies() -> str:
    """Every policy of the gate."""
    return _listed("gates")


def accelerations() -> str:
    """Every profile with its words."""
    return _listed("accelerations")


def features() -> str:
    """What profiles are made of: name, words, whether it belongs to loading or to a call."""
    rows = ((f"`{name}`", row.summary, row.phase) for name, row in FEATURES.items())
    return _table(("feature", "what it does", "applied at"), rows)


def experiments() -> str:
    """Every experiment: what `kreabench list experiments` says of it, and the file itself."""
    listing = CliRunner().invoke(list_, ["experiments"], catch_exceptions=False).output
    told = dict(re.findall(r"^(\w+)\n((?: .*\n)+)", listing, re.M))
    parts = [
        f"## `experiment={name}`\n\n```text\n{textwrap.dedent(told[name]).rstrip()}\n```\n\n{_file(path)}"
        for name, path in group_options("experiment").items()
    ]
    return "\n\n".join(parts)


def metrics() -> str:
    """Every kind of metric with all that is known of it."""
    return "\n\n".join(f"## `{kind}`\n\n{_metric(row)}" for kind, row in METRICS.items())


def _metric(row: MetricRow) -> str:
    better = "neither; a shift is a change of look" if row.better == "reference" else row.better
    needs = [
        word for word, needed in (("the prompt", row.needs_prompt), ("a reference", row.needs_reference)) if needed
    ]
    facts = {
        "measures": row.summary,
        "scores": "a set of pictures" if row.per == "set" else "each picture",
        "unit": row.unit,
        "range": range_in_words(row),
        "better": better,
        "needs": " and ".join(needs) or "the picture alone",
        "weights": row.weights,
        "licence": row.licence,
        "known to get wrong": row.bias,
        "cost": row.cost,
    }
    return _table(("", ""), facts.items())


def _listed(kind: str) -> str:
    return _table(("name", ""), ((f"`{name}`", text) for name, text in KINDS[kind](None)))


def _names(files: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in files)


def _file(path: Path) -> str:
    return f"```yaml\n{path.read_text(encoding='utf-8').rstrip()}\n```"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = tuple(heads)
    lines = [heads, tuple(":---" for _ in heads), *(tuple(map(_text, row)) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(text: str) -> str:
    """Of a cell; what stands between backticks is left."""
    if text.startswith("`"):
        return text
    return text.replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[").replace("*", "\\*")
