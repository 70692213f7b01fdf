"""The report as data: what is said, in order, and nothing about how it looks. Every renderer reads this alone.

Text in here is plain: whoever writes a format escapes for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kreabench.analysis.categories import CategorySummary
from kreabench.analysis.estimates import Estimate
from kreabench.analysis.settings import SettingSummary
from kreabench.analysis.shifts import Shift
from kreabench.core.score_records import SetScoreRecord

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of a table."""

    cells: tuple[Cell, ...]
    mark: str = ""
    """What is special about the row, such as `reference`."""


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
class Point:
    """One setting in a scatter."""

    series: str
    """Points of one series are joined, in order of steps."""
    colour: str
    """What the colour stands for: the acceleration."""
    marker: str
    """What the marker stands for: the target."""
    label: str
    """Unique for the setting."""
    steps: int | None
    """None where the endpoint has no steps."""
    x: Estimate
    y: Estimate
    reference: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One plot of a scatter figure."""

    title: str
    y_label: str
    brand: str
    """What keeps the numbers on the y axis from being real, or empty."""
    points: tuple[Point, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scatter:
    """Panels over one kind of cost, in rows."""

    x_label: str
    rows: tuple[tuple[Panel, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """One setting: its stages, and its whole with an interval."""

    label: str
    stages: tuple[tuple[str, float], ...]
    """Stage and mean seconds, in order of occurrence."""
    total: Estimate
    reference: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Bars:
    """Stacked bars, in groups with a heading each."""

    x_label: str
    groups: tuple[tuple[str, tuple[Bar, ...]], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One quantity over the runs: a panel of its own."""

    title: str
    y_label: str
    values: tuple[Estimate | None, ...]
    """One a run; None where it has none."""
    breaks: tuple[int, ...]
    """Indices of runs that no line leads to."""
    steps: tuple[int, ...]
    """Indices of the first runs after a step."""
    levels: tuple[tuple[int, int, float], ...]
    """First and last run of each stretch between steps, and the mean of its values; empty without a step."""
    odd: tuple[int, ...]
    changed: tuple[int, ...]
    """Indices of runs that differ from the one before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lines:
    """Panels over the same runs, one below the other."""

    labels: tuple[str, ...]
    """Of the runs: date, and what changed."""
    panels: tuple[Line, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontPanel:
    """Settings in two respects."""

    x_label: str
    y_label: str
    points: tuple[Point, ...]
    """Labelled by the setting's id."""
    front: tuple[bool, ...]
    """One a point: whether it is on the front."""
    shares: tuple[float, ...]
    """One a point: in what share of resamples it is."""
    joined: bool
    """Whether the front is one of these two respects alone, so that a stair can join it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontPlot:
    """A front over two or three respects, a panel a pair."""

    panels: tuple[FrontPanel, ...]
    answer: str | None
    """Label of the point to be marked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """A named line."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Curves:
    """Lines over logarithmic axes."""

    x_label: str
    y_label: str
    curves: tuple[Curve, ...]
    crossings: tuple[tuple[float, float], ...]
    limit: float
    """Of x: a dotted line."""
    limit_label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """Something to draw."""

    name: str
    """File name without its ending."""
    title: str
    caption: str
    alt: str
    """What a person who cannot see it should know."""
    brand: str
    """Drawn into the figure, as figures are passed on alone: what keeps its numbers from being real; or empty."""
    data: Scatter | Bars | FrontPlot | Curves | Lines


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A whole report."""

    title: str
    description: str
    subtitle: str
    """When, and with what."""
    notices: tuple[Notice, ...]
    facts: tuple[Fact, ...]
    targets: Table
    settings: Table
    skipped: Table | None
    figures: tuple[Figure, ...]
    figures_note: str
    """Why there are no figures, or fewer than expected; empty otherwise."""
    pictures: Pictures
    failures: Table | None
    loads: Table | None
    metrics: Table | None
    prices: Table | None
    method: tuple[str, ...]
    environment: Table
    summaries: tuple[SettingSummary, ...]
    """The numbers behind `settings`, for machine-readable renderers."""
    brand: str
    """What keeps all numbers from being real, for renderings that are passed on alone; or empty."""
    measurements: tuple[tuple[str, Table], ...] = ()
    """Heading and table of what was measured beside time and dollars; only what is there."""
    set_scores: tuple[SetScoreRecord, ...] = ()
    """The numbers behind the table of sets of pictures, for machine-readable renderers."""
    shifts: tuple[Shift, ...] = ()
    """The numbers of their table, as `summaries`."""
    categories: tuple[CategorySummary, ...] = ()
    """As `shifts`."""
