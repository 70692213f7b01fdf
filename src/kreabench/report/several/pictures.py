"""The grids of several runs as one for each target and size, with the runs beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from kreabench.report.parts import Grid, GridColumn, GridRow, Picture, Pictures
from kreabench.report.pictures import INPUT
from kreabench.report.several.names import RunName
from kreabench.report.several.tables import once


def beside(names: Sequence[RunName], pictures: Sequence[Pictures], brand: str) -> Pictures:
    """Settings that are equal stand next to each other, a column a run."""
    titles = dict.fromkeys(grid.title for one in pictures for grid in one.grids)
    grids = []
    for number, title in enumerate(titles, 1):
        members = [(name, grid) for name, one in zip(names, pictures, strict=True) for grid in one.grids]
        grids.append(_merged([(name, grid) for name, grid in members if grid.title == title], number, brand))
    return Pictures(
        caption=" ".join(once([(name, one.caption) for name, one in zip(names, pictures, strict=True)], len(names))),
        grids=tuple(grids),
        notes=once(
            [(name, note) for name, one in zip(names, pictures, strict=True) for note in one.notes],
            len(names),
            counts=True,
        ),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """Where a column of the merged grid comes from."""

    name: RunName
    grid: Grid
    number: int

    @property
    def head(self) -> GridColumn:
        return self.grid.columns[self.number]


def _merged(members: Sequence[tuple[RunName, Grid]], number: int, brand: str) -> Grid:
    places = tuple(_places(members))
    rows: dict[tuple[str, str], dict[str, GridRow]] = {}
    for name, grid in members:
        for row in grid.rows:
            rows.setdefault((row.title, row.prompt), {})[name.letter] = row
    return Grid(
        name=f"pictures-{number}",
        title=members[0][1].title,
        columns=tuple(_head(place) for place in places),
        rows=tuple(
            GridRow(title=title, prompt=prompt, cells=tuple(_cell(there.get(one.name.letter), one) for one in places))
            for (title, prompt), there in rows.items()
        ),
        sheet=True,
        brand=brand,
    )


def _places(members: Sequence[tuple[RunName, Grid]]) -> Iterator[_Place]:
    """Column for column of the first run, with the same of the others behind it; then what only these have."""
    found: dict[tuple[str, str], list[_Place]] = {}
    for name, grid in members:
        for number, column in enumerate(grid.columns):
            found.setdefault((column.title, column.detail), []).append(_Place(name=name, grid=grid, number=number))
    for (title, _), places in found.items():
        yield from places[:1] if title == INPUT else places


def _head(place: _Place) -> GridColumn:
    column = place.head
    return column if column.title == INPUT else replace(column, title=f"{place.name.letter}: {column.title}")


def _cell(row: GridRow | None, place: _Place) -> Picture:
    return Picture(state="missing", text="not among this run's") if row is None else row.cells[place.number]
