"""What a figure draws, as data: points, bars, lines and curves. `drawing` turns it into files."""

from __future__ import annotations

from dataclasses import dataclass

from kreabench.analysis.estimates import Estimate


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
class LoadPoint:
    """One load on a service."""

    load: float
    throughput: Estimate
    """Requests a second."""
    goodput: Estimate | None
    """The same, of those within the objective; None without one."""
    median: Estimate | None
    """Seconds."""
    tail: Estimate | None
    """Seconds of the 90th percentile."""
    grows: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadPlot:
    """What a service carries, and how long it takes, over the load."""

    x_label: str
    points: tuple[LoadPoint, ...]
    knee: Estimate | None
    objective_s: float | None
    follows: bool
    """Whether load is in the unit of throughput, which then cannot be more."""


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
    data: Scatter | Bars | FrontPlot | Curves | Lines | LoadPlot
