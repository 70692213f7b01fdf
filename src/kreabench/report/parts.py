"""What a page is made of, as data: notices, facts, tables, pictures. Nothing about how it looks.

Text in here is plain: whoever writes a format escapes for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LONG_TABLE = 24
"""Rows that are seen at a glance."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """Something to know before reading on."""

    level: Literal["warning", "info"]
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """One headline figure."""

    label: str
    value: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """Head of a table's column."""

    title: str
    unit: str = ""
    note: str = ""
    """What the column means."""
    numeric: bool = False
    prose: bool = False
    """Whether its cells are sentences."""
    brand: str = ""
    """A warning that belongs to every number below, such as `untrained weights`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One value of a table, formatted."""

    text: str
    detail: str = ""
    """Second line: an interval, or why there is none, or why there is no value."""
    remark: str = ""
    """What limits the value: scores that are missing, prompts that were cut."""
    absent: bool = False
    """Whether there is no value; `detail` then says why."""
    strong: bool = False
    """Whether `text` stands out; its words or a sign in it say why, as a look alone is lost on many."""
    sort: float | None = None
    """What the cell is sorted by; None: by its text, as a number where it begins with one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of a table."""

    cells: tuple[Cell, ...]
    mark: str = ""
    """What is special about the row, such as `reference`."""
    setting: str = ""
    """Id of the setting that the row is about; empty where it is about none, or several. A filter hides it by this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Heads, rows, and what must be said about them."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    caption: str
    """One sentence; also the name of the table for screen readers."""
    notes: tuple[str, ...] = ()
    """Below the table."""
    aside: bool = False
    """Whether few readers need all of it: a long one is closed until it is opened."""

    @property
    def is_long(self) -> bool:
        """Whether it would push what follows out of sight."""
        return len(self.rows) > LONG_TABLE


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One cell of a grid of pictures."""

    state: Literal["shown", "failed", "pending", "missing", "unreadable"]
    """`missing`: its file is not beside the run; `pending`: the request has not run yet."""
    text: str = ""
    """Why there is no picture."""
    scores: tuple[str, ...] = ()
    """Name and value of each score of the picture."""
    flag: str = ""
    """What is wrong with a picture that was delivered: black, constant, flagged by the safety checker."""
    alt: str = ""
    thumbnail: bytes | None = None
    """JPEG file of at most `pictures.THUMBNAIL_PX` a side; set exactly when state is `shown`."""
    size: tuple[int, int] = (0, 0)
    """Width and height of the thumbnail."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GridColumn:
    """Head of a grid's column."""

    title: str
    detail: str
    mark: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class GridRow:
    """One prompt and its pictures."""

    title: str
    prompt: str
    cells: tuple[Picture, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """Prompt × setting, at one size."""

    name: str
    """File name without its ending."""
    title: str
    columns: tuple[GridColumn, ...]
    rows: tuple[GridRow, ...]
    sheet: bool = False
    """Whether it is also drawn as one picture, figures/<name>.png."""
    brand: str = ""
    """Drawn into its sheet, which is passed on alone: what keeps the pictures from being a real model's; or empty."""

    @property
    def is_empty(self) -> bool:
        """Whether no cell has a picture."""
        return not any(cell.thumbnail for row in self.rows for cell in row.cells)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pictures:
    """All grids, and what was left out."""

    caption: str
    grids: tuple[Grid, ...]
    notes: tuple[str, ...]
