"""Tables of several runs as one: below each other with the run named, or side by side."""

from __future__ import annotations

from collections.abc import Sequence

from kreabench.report.format import ABSENT
from kreabench.report.parts import Cell, Column, Fact, Row, Table
from kreabench.report.several.names import RunName

RUN = Column(title="Run")

_Key = tuple[str, str, str]


def stacked(names: Sequence[RunName], tables: Sequence[Table | None], *, shared: bool = False) -> Table | None:
    """The rows of all `tables`, each with its run before it; None where no run has a table.

    `shared`: a table that is equal in all runs stands once, without a run.
    """
    there = [(name, table) for name, table in zip(names, tables, strict=True) if table is not None]
    if not there:
        return None
    first = there[0][1]
    if shared and len(there) == len(names) and all(table == first for _, table in there):
        return first
    columns = {_key(column): column for _, table in reversed(there) for column in table.columns}
    order = list(dict.fromkeys(_key(column) for _, table in there for column in table.columns))
    return Table(
        columns=(RUN, *(columns[key] for key in order)),
        rows=tuple(_row(name, table, row, order) for name, table in there for row in table.rows),
        caption=" ".join(once([(name, table.caption) for name, table in there], len(there))),
        notes=once([(name, note) for name, table in there for note in table.notes], len(names), counts=True),
        aside=all(table.aside for _, table in there),
    )


def _key(column: Column) -> _Key:
    """Columns of two runs are one where their numbers have one meaning and one unit."""
    return column.title, column.unit, column.brand


def _row(name: RunName, table: Table, row: Row, order: Sequence[_Key]) -> Row:
    cells = dict(zip(map(_key, table.columns), row.cells, strict=True))
    absent = Cell(text=ABSENT, detail="not in this run", absent=True)
    return Row(
        cells=(run_cell(name), *(cells.get(key, absent) for key in order)),
        mark=row.mark,
        setting=f"{name.letter.lower()}/{row.setting}" if row.setting else "",
    )


def run_cell(name: RunName) -> Cell:
    """The run of a row."""
    return Cell(text=name.letter, detail=name.name)


def once(said: Sequence[tuple[RunName, str]], runs: int, *, counts: bool = False) -> tuple[str, ...]:
    """Every text once, with the runs it is said of before it, unless these are all of `runs`.

    `counts`: what several say with a number in it is of each of them, as it must not read as a sum.
    """
    whose: dict[str, dict[str, RunName]] = {}
    for name, text in said:
        whose.setdefault(text, {})[name.letter] = name
    found = []
    for text, those in whose.items():
        sums = counts and len(those) > 1 and any(map(str.isdigit, text))
        who = "each run" if len(those) == runs else ", ".join(map(str, those.values())) + (", each" if sums else "")
        found.append(text if len(those) == runs and not sums else f"{who[0].upper()}{who[1:]}: {text}")
    return tuple(found)


def side_by_side(names: Sequence[RunName], tables: Sequence[Table]) -> Table:
    """Tables of a name and a value: a column a run, what differs marked."""
    values = [{row.cells[0].text: row.cells[1].text for row in table.rows} for table in tables]
    rows = []
    for name in dict.fromkeys(name for one in values for name in one):
        said = [one.get(name) for one in values]
        differs = len(set(said)) > 1
        cells = (Cell(text=text or ABSENT, absent=text is None, strong=differs) for text in said)
        rows.append(Row(cells=(Cell(text=name), *cells), mark="differs" if differs else ""))
    heads = (Column(title=name.letter, unit=name.name, prose=True) for name in names)
    return Table(
        columns=(Column(title="Name"), *heads), rows=tuple(rows), caption="Versions and environment of the runs."
    )


def runs_table(names: Sequence[RunName], when: Sequence[str], facts: Sequence[Sequence[Fact]]) -> Table:
    """A line a run with its headline figures, which are the same ones for all."""
    return Table(
        columns=(RUN, Column(title="Drawn", unit="UTC"), *(Column(title=fact.label) for fact in facts[0])),
        rows=tuple(
            Row(
                cells=(run_cell(name), Cell(text=time), *(Cell(text=one.value, detail=one.detail) for one in those)),
                mark="" if number else "base",
            )
            for number, (name, time, those) in enumerate(zip(names, when, facts, strict=True))
        ),
        caption="The runs of this report; the others are compared with the first.",
    )
