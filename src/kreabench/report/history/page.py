"""A history as a page: sentences, tables and a figure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from kreabench.analysis.estimates import Estimate
from kreabench.analysis.history import MIN_RUNS, MIN_SIDE
from kreabench.decisions.history import LEVEL, History, HistoryRun, Series
from kreabench.report.figure_data import Figure, Line, Lines
from kreabench.report.format import ABSENT, count, estimate, shown_unit
from kreabench.report.history.words import change_in_words, sentences, sparkline, when
from kreabench.report.page import Page, Section
from kreabench.report.parts import Cell, Column, Notice, Row, Table
from kreabench.report.text import message, visible

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


def history_page(history: History) -> Page:
    """The whole report of a history."""
    first, last = history.runs[0], history.runs[-1]
    warnings = [history.brand] if history.brand else []
    return Page(
        kind="history",
        title=f"{count(len(history.runs), 'run')} of {visible(last.setting)}",
        subtitle=f"{when(first)} to {when(last)} UTC; {count(history.prompts, 'prompt')} in common",
        notices=tuple(
            Notice(level="warning" if text in warnings else "info", text=visible(text))
            for text in (*warnings, *history.notices)
        ),
        sections=(
            Section(id="found", title="What changed", sentences=tuple(sentences(history))),
            Section(id="course", title="Course", figures=(_figure(history),)),
            Section(id="quantities", title="Quantities", tables=(("", quantities_table(history)),)),
            Section(id="runs", title="Runs", tables=(("", runs_table(history)),)),
            Section(id="method", title="Method", sentences=METHOD),
        ),
        files=("history.csv", "steps.csv", "history.json"),
    )


def quantities_table(history: History) -> Table:
    """One row a quantity: first and last value, and its course."""
    rows = []
    for one in history.series:
        there = [value for value in one.values if value is not None]
        rows.append(
            Row(
                cells=(
                    Cell(
                        text=one.name, detail=shown_unit(one.unit), remark="untrained weights" if one.untrained else ""
                    ),
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
                    Cell(text=when(run)),
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
        title="Course",
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
    """Number, date, and the first thing that changed, as short as a label must be."""
    more = f" +{len(run.changed) - 1}" if len(run.changed) > 1 else ""
    name, _, change = run.changed[0].partition(" ") if run.changed else ("", "", "")
    new = change.rpartition(" → ")[2]
    return " ".join(filter(None, (f"#{number + 1} {run.created_utc[:10]}", _cut(name, 16), _cut(new, 12)))) + more


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


def _line(series: Series) -> Line:
    better = {"higher": "higher is better", "lower": "lower is better", "reference": "neither side is better"}
    brand = ", untrained weights" if series.untrained else ""
    return Line(
        title=f"{series.name} ({better[series.better]}{brand})",
        y_label=shown_unit(series.unit),
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
