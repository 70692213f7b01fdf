"""The report of a run as data: what is said, and the numbers behind it. `report_page` puts it in order."""

from __future__ import annotations

from dataclasses import dataclass

from kreabench.analysis.categories import CategorySummary
from kreabench.analysis.settings import SettingSummary
from kreabench.analysis.shifts import Shift
from kreabench.core.score_records import SetScoreRecord
from kreabench.decisions.load_levels import LoadCurve
from kreabench.report.explorer.data import VerdictData
from kreabench.report.figure_data import Figure
from kreabench.report.page import Section
from kreabench.report.parts import Fact, Notice, Pictures, Table


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A whole report."""

    title: str
    description: str
    subtitle: str
    """When, and with what."""
    verdict: VerdictData
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
    votes: tuple[tuple[str, Table], ...] = ()
    """Heading and table of what blind votes say; only what is there."""
    set_scores: tuple[SetScoreRecord, ...] = ()
    """The numbers behind the table of sets of pictures, for machine-readable renderers."""
    shifts: tuple[Shift, ...] = ()
    """The numbers of their table, as `summaries`."""
    categories: tuple[CategorySummary, ...] = ()
    """As `shifts`."""
    load: tuple[LoadCurve, ...] = ()
    """The numbers of a load run."""
    comparisons: tuple[Section, ...] = ()
    """Of several runs: these, and each further one against the first. Before everything else."""
    runs: tuple[tuple[str, Document], ...] = ()
    """Of several runs: the id of each in report.json, and what is said of it alone."""
