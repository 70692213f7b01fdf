"""The first run of a report against each further one: what was compared, or why it cannot be."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kreabench.core.errors import ConfigError
from kreabench.decisions.comparability import Mismatch, mismatches
from kreabench.decisions.compare import compare_sides
from kreabench.decisions.comparison import Comparison
from kreabench.decisions.sides import Side
from kreabench.metrics.table import row_of
from kreabench.report.evidence import Evidence
from kreabench.report.several.names import RunName
from kreabench.report.text import message, visible


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Versus:
    """One run against the first."""

    base: RunName
    candidate: RunName
    comparison: Comparison | None
    why_not: str
    """Why there is none, in sentences; empty where there is one."""
    limits: tuple[str, ...]
    """What is not compared, or is all the same, and why."""
    paths: tuple[str, str]
    """Of both runs, to be typed into a shell."""


def compare_runs(evidences: Sequence[Evidence], names: Sequence[RunName]) -> tuple[Versus, ...]:
    """Every further run against the first."""
    return tuple(
        _versus((evidences[0], names[0]), (one, name)) for one, name in zip(evidences[1:], names[1:], strict=True)
    )


def _versus(base: tuple[Evidence, RunName], candidate: tuple[Evidence, RunName]) -> Versus:
    here, there = (replace(one.side, name=str(name)) for one, name in (base, candidate))
    found = mismatches(here, there)
    comparison, why_not = None, "; ".join(f"prompts: {_words(one)}" for one in found if one.key == "prompts")
    if not why_not:
        try:
            comparison = compare_sides(_fit(here, found), _fit(there, found), force=True)
        except ConfigError as error:
            why_not = "; ".join(message(f"{one.found}; needed: {one.expected}", 600) for one in error.problems)
    return Versus(
        base=base[1],
        candidate=candidate[1],
        comparison=comparison,
        why_not=why_not,
        limits=() if comparison is None else tuple(map(_limit, found)),
        paths=(typed(base[0].run.path), typed(candidate[0].run.path)),
    )


def _fit(side: Side, found: Sequence[Mismatch]) -> Side:
    """Without the metrics that say nothing about the other side."""
    keys = {one.key for one in found}
    kept = [
        spec
        for spec in side.metrics
        if f"metric {spec.name}" not in keys
        and not ("reference" in keys and (row := row_of(spec)) is not None and row.needs_reference)
    ]
    return replace(side, metrics=tuple(kept))


def _limit(one: Mismatch) -> str:
    """In words: another device is what such a report may be about, anything else leaves metrics out."""
    if one.key == "device":
        return (
            f"Drawn on two devices, {message(one.base, 120)} against {message(one.candidate, 120)}: ratios of costs "
            "compare these, and pictures may differ by them alone."
        )
    what = "metrics of fidelity" if one.key == "reference" else one.key
    return f"Not compared, {what}: {_words(one)}"


def _words(one: Mismatch) -> str:
    return message(f"{one.base} against {one.candidate}; {one.why}. {one.remedy}", 600)


def typed(path: Path) -> str:
    """A run's path for a command: as it was named below the working folder, else its last part alone."""
    return visible(shlex.quote(path.name if path.is_absolute() or ".." in path.parts else path.as_posix()))


def commands(versus: Versus) -> Iterator[str]:
    """What to ask next."""
    pair = " ".join(versus.paths)
    yield f"Whether a loss is small enough is for a margin to say, which this page does not ask: kreabench gate {pair}"
    yield f"Every test in full, prompt by prompt, with the worst pictures: kreabench compare {pair} --out FOLDER"
