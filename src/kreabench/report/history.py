"""What a history says, in words, tables and a figure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from kreabench.analysis.estimates import Estimate, p_in_words
from kreabench.analysis.history import MIN_RUNS, MIN_SIDE
from kreabench.decisions.history import LEVEL, FoundStep, History, HistoryRun, Series
from kreabench.report.document import Cell, Column, Figure, Line, Lines, Notice, Row, Table
from kreabench.report.format import ABSENT, count, difference, estimate, significant
from kreabench.report.text import message, shorten, visible

_HASH = re.compile(r"\b[0-9a-f]{16,}\b")
_BARS = "▁▂▃▄▅▆▇█"
SHOWN_VERSIONS = 4
"""More packages that differ are counted only; the table of runs names them all."""

SHOWN_CHANGES = 12
"""Runs that differ from the one before are told one by one up to this number."""

METHOD = (
    "A value is the mean over the prompts that every run asks for with the same words and has scores of, with "
    "Student's 95 % interval over prompts; where the runs share seeds, over the same pictures. Costs are medians of "
    "requests with exact intervals, failures are shares with Clopper and Pearson's interval.",
    f"Steps are sought in {MIN_RUNS} runs or more. A permutation test over the order of the runs weighs the gain of "
    f"the best split into two or three stretches of at least {MIN_SIDE} runs; dynamic programming says where the best "
    "one is, by least squares. The stretches are searched again, each at its share of the level. Holm's method "
    f"corrects for all quantities together: of histories without a step at most {LEVEL:.0%} show one. A slow drift "
    "shows as one step or several.",
    "The size of a step is the mean of the runs after it less that of the runs before it, as far as the next steps, "
    "with Welch's 95 % interval over runs; it takes the place as known. Runs that repeat to the last digit have no "
    "noise: a change of them is exact and needs no test.",
    "Besides, every run is compared with the one before it, in pairs by prompt and seed (Student's test over prompts). "
    "Those are marked that still differ after Holm's method over all metrics and all neighbours, at "
    f"{LEVEL:.0%} together. Such a difference holds for the two runs: whether it lasts, only a step says.",
    "A run, or two beside each other, further than six robust standard deviations from the running median of seven "
    "is odd: that is said, and no step rests on it.",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryDocument:
    """A history as data, for every renderer. Text is plain."""

    title: str
    subtitle: str
    notices: tuple[Notice, ...]
    sentences: tuple[str, ...]
    """What was found, gravest first."""
    figure: Figure
    tables: tuple[tuple[str, Table], ...]
    """Heading and table."""
    method: tuple[str, ...]


def history_document(history: History) -> HistoryDocument:
    """The whole report of a history."""
    first, last = history.runs[0], history.runs[-1]
    warnings = [history.brand] if history.brand else []
    return HistoryDocument(
        title=f"{count(len(history.runs), 'run')} of {visible(last.setting)}",
        subtitle=f"{_when(first)} to {_when(last)} UTC; {count(history.prompts, 'prompt')} in common",
        notices=tuple(
            Notice(level="warning" if text in warnings else "info", text=visible(text))
            for text in (*warnings, *history.notices)
        ),
        sentences=tuple(sentences(history)),
        figure=_figure(history),
        tables=(("Quantities", quantities_table(history)), ("Runs", runs_table(history))),
        method=METHOD,
    )


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


def _when(run: HistoryRun) -> str:
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


def quantities_table(history: History) -> Table:
    """One row a quantity: first and last value, and its course."""
    rows = []
    for one in history.series:
        there = [value for value in one.values if value is not None]
        rows.append(
            Row(
                cells=(
                    Cell(text=one.name, detail=one.unit, remark="untrained weights" if one.untrained else ""),
                    _cell(there[0]),
                    _cell(there[-1]),
                    Cell(text=f"{len(there)}"),
                    Cell(text=sparkline(one.values)),
                    Cell(text=f"{len(one.steps)}", detail=", ".join(f"#{step.after + 1}" for step in one.steps)),
                    Cell(text=one.basis),
                )
            )
        )
    return Table(
        columns=(
            Column(title="Quantity"),
            Column(title="First", note="value of the first run, with its 95 % interval", numeric=True),
            Column(title="Last", numeric=True),
            Column(title="Runs", numeric=True),
            Column(title="Course", note="a bar a run, from the least to the greatest value"),
            Column(title="Steps", numeric=True),
            Column(title="Rests on", prose=True),
        ),
        rows=tuple(rows),
        caption="Each quantity over the runs, in their order.",
    )


def _cell(value: Estimate) -> Cell:
    text, interval = estimate(value)
    return Cell(text=text, detail=f"{interval or 'no interval'}, n = {value.n}")


def runs_table(history: History) -> Table:
    """One row a run: when, what it is, what changed, what was found there."""
    rows = []
    for number, run in enumerate(history.runs):
        stepped = [one.name for one in history.series if any(step.after == number for step in one.steps)]
        differs = [one.name for one in history.series if any(change.after == number for change in one.changes)]
        odd = [one.name for one in history.series if number in one.odd]
        found = [
            f"{what}: {', '.join(names)}"
            for what, names in (("step", stepped), ("differs", differs), ("odd", odd))
            if names
        ]
        rows.append(
            Row(
                cells=(
                    Cell(text=f"#{number + 1}"),
                    Cell(text=_when(run)),
                    Cell(text=message(run.name, 80)),
                    Cell(
                        text="; ".join(map(change_in_words, run.changed))
                        if run.changed
                        else ("nothing" if number else ABSENT)
                    ),
                    Cell(text="; ".join(found), strong=bool(stepped)),
                )
            )
        )
    return Table(
        columns=(
            Column(title="Run"),
            Column(title="Made", unit="UTC"),
            Column(title="Name"),
            Column(title="Changed", note="against the run before", prose=True),
            Column(title="Found", prose=True),
        ),
        rows=tuple(rows),
        caption="The runs, and what is not as in the run before.",
    )


def _figure(history: History) -> Figure:
    return Figure(
        name="history",
        title="History",
        caption="Each quantity over the runs, with 95 % intervals: of a metric they say how far other prompts could "
        "move the value; as the runs share their prompts, far smaller changes are seen. Dashed: a step, with the means "
        "between steps. The labels under the last panel: date, and what changed against the run before.",
        alt=f"{count(len(history.series), 'quantity', 'quantities')} over {count(len(history.runs), 'run')}; "
        "the numbers are in history.csv.",
        brand=history.brand,
        data=Lines(
            labels=tuple(_label(number, run) for number, run in enumerate(history.runs)),
            panels=tuple(_line(one) for one in history.series),
        ),
    )


def _label(number: int, run: HistoryRun) -> str:
    more = f" +{len(run.changed) - 1}" if len(run.changed) > 1 else ""
    changed = (
        f" {shorten(run.changed[0].split(' → ')[0].split(' ')[0], 16)} {_new(run.changed[0])}" if run.changed else ""
    )
    return f"#{number + 1} {run.created_utc[:10]}{changed}{more}"


def _new(text: str) -> str:
    """The end of `torch 2.14.0 → 2.15.0`."""
    return shorten(text.rpartition(" → ")[2], 12)


def _line(series: Series) -> Line:
    better = {"higher": "higher is better", "lower": "lower is better", "reference": "neither side is better"}
    brand = ", untrained weights" if series.untrained else ""
    return Line(
        title=f"{series.name} ({better[series.better]}{brand})",
        y_label=series.unit,
        values=series.values,
        breaks=tuple(one.after for one in series.breaks),
        steps=tuple(step.after for step in series.steps),
        levels=tuple(_levels(series)),
        odd=series.odd,
        changed=tuple(change.after for change in series.changes),
    )


def _levels(series: Series) -> Iterator[tuple[int, int, float]]:
    """Between steps; nothing where there is none, as a mean over a break or all would say more than is known."""
    ends = sorted({step.after for step in series.steps} | {one.after for one in series.breaks})
    bounds = [0, *ends, len(series.values)]
    stepped = {step.after for step in series.steps}
    for start, stop in pairwise(bounds):
        values = [
            (at, value.value)
            for at in range(start, stop)
            if (value := series.values[at]) is not None and at not in series.odd
        ]
        if values and (start in stepped or stop in stepped):
            yield values[0][0], values[-1][0], sum(value for _, value in values) / len(values)
