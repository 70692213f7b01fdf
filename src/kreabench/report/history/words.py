"""What a history says in sentences, and the course of a quantity in one line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from kreabench.analysis.estimates import Estimate, p_in_words
from kreabench.analysis.history import MIN_SIDE
from kreabench.decisions.history import FoundStep, History, HistoryRun, Series
from kreabench.report.format import ABSENT, count, difference, significant
from kreabench.report.text import message, shorten, visible

_HASH = re.compile(r"\b[0-9a-f]{16,}\b")
_BARS = "▁▂▃▄▅▆▇█"
SHOWN_VERSIONS = 4
"""More packages that differ are counted only; the table of runs names them all."""

SHOWN_CHANGES = 12
"""Runs that differ from the one before are told one by one up to this number."""


def sentences(history: History) -> Iterator[str]:
    """Steps, then runs that differ from the one before, odd runs, breaks, and what could not be sought."""
    steps = [(one, step) for one in history.series for step in one.steps]
    for one, step in steps:
        yield step_sentence(history, one, step)
    changed = sorted({change.after for one in history.series for change in one.changes})
    yield from (_change_sentence(history, after) for after in changed[:SHOWN_CHANGES])
    if len(changed) > SHOWN_CHANGES:
        yield f"{count(len(changed) - SHOWN_CHANGES, 'more run')} differ from the one before; steps.csv has them all."
    for one in history.series:
        for at in one.odd:
            yield (
                f"{one.name}: {run_name(history, at)} stands alone at {_value(one, at)}; "
                f"a step needs {MIN_SIDE} runs on each side."
            )
    searched = [one for one in history.series if one.searched]
    if not steps:
        yield f"No step was found in {_who(history, searched)}." if searched else "No step could be sought."
    if not changed and history.comparisons:
        yield f"No run is shown to differ from the one before it ({count(history.comparisons, 'test')})."
    for one_break in dict.fromkeys(one_break for one in history.series for one_break in one.breaks):
        told = _who(history, [one for one in history.series if one_break in one.breaks])
        where = run_name(history, one_break.after)
        yield f"Not comparable: {told} up to and from {where} on; {visible(one_break.reason)}."
    for obstacle in dict.fromkeys(one.obstacle for one in history.series if one.obstacle):
        yield f"{_who(history, [one for one in history.series if one.obstacle == obstacle])}: {obstacle}."


def _who(history: History, series: Sequence[Series]) -> str:
    return "all quantities" if len(series) == len(history.series) > 1 else ", ".join(one.name for one in series)


def step_sentence(history: History, series: Series, step: FoundStep) -> str:
    """`clip: between A and B: by −0.42 [−0.50 – −0.34] (p = 0.001), worse. torch 2.14.0 → 2.15.0.`"""
    why = "exact: the runs repeat" if step.p_value is None else p_in_words(step.p_value)
    return (
        f"{series.name}: a step between {run_name(history, step.before)} and {run_name(history, step.after)}: by "
        f"{_by(series, step.difference)} ({why}, {step.difference.n} runs){_side(series, step.difference)}. "
        f"{changed_in_words(step.versions)}"
    )


def _change_sentence(history: History, after: int) -> str:
    """One run against the one before it, in all metrics that differ."""
    found = [
        f"{one.name} by {_by(one, change.difference)} ({p_in_words(change.p_value)}, "
        f"{count(change.difference.n, 'prompt')}){_side(one, change.difference)}"
        for one in history.series
        for change in one.changes
        if change.after == after
    ]
    return (
        f"{run_name(history, after)} differs from #{after}: {'; '.join(found)}. "
        f"{changed_in_words(history.runs[after].changed)}"
    )


def changed_in_words(versions: Sequence[str]) -> str:
    """What differs between two runs."""
    if not versions:
        return "No version that is recorded differs."
    more = f" and {len(versions) - SHOWN_VERSIONS} more" if len(versions) > SHOWN_VERSIONS else ""
    return f"Changed: {'; '.join(map(change_in_words, versions[:SHOWN_VERSIONS]))}{more}."


def change_in_words(text: str) -> str:
    """`torch 2.14.0 → 2.15.0`, with hashes cut to what tells them apart."""
    return shorten(_HASH.sub(lambda match: match[0][:12], message(text)), 120)


def run_name(history: History, at: int) -> str:
    """Number and name of a run, without the folders of an absolute path."""
    return f"#{at + 1} {message(history.runs[at].name, 48)}"


def _by(series: Series, value: Estimate) -> str:
    centre, interval = difference(value)
    unit = f" {series.unit}" if series.unit not in {"", "1"} else ""
    return f"{centre}{f' [{interval}]' if interval else ''}{unit}"


def _side(series: Series, value: Estimate) -> str:
    if series.better == "reference" or not value.value:
        return ""
    return ", better" if (value.value > 0) == (series.better == "higher") else ", worse"


def _value(series: Series, at: int) -> str:
    value = series.values[at]
    return ABSENT if value is None else significant(value.value)


def when(run: HistoryRun) -> str:
    """Date and time, to the minute."""
    return run.created_utc[:16].replace("T", " ")


def sparkline(values: Sequence[Estimate | None], last: int | None = None) -> str:
    """A bar a run, from the least to the greatest value; a dot where there is none. Of the `last` runs, None: all."""
    values = values if last is None else values[-last:]
    there = [value.value for value in values if value is not None]
    if not there:
        return "·" * len(values)
    low, span = min(there), max(there) - min(there)
    return "".join(
        "·" if value is None else _BARS[round((value.value - low) / span * 7)] if span else _BARS[0] for value in values
    )
