"""A page as data: its answer, notices, facts and sections, in order. HTML and Markdown are made of nothing else.

Text in here is plain: whoever writes a format escapes for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from kreabench.report.explorer.data import ReportData
from kreabench.report.figure_data import Figure
from kreabench.report.parts import Fact, Grid, Notice, Table


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A heading and what is below it, in the order of the fields."""

    id: str
    """Unique on the page; an address inside it."""
    title: str
    name: str = ""
    """In the list of contents, where there is little room; empty: the title."""
    opens: bool = False
    """Whether Markdown leaves it open, where it closes what few read."""
    text: str = ""
    sentences: tuple[str, ...] = ()
    """A list."""
    figures: tuple[Figure, ...] = ()
    tables: tuple[tuple[str, Table], ...] = ()
    """Heading, which may be empty, and table."""
    grids: tuple[Grid, ...] = ()
    grid_notes: tuple[str, ...] = ()
    """A list before the grids, about what they show."""
    part: str = ""
    """What the page's script draws here out of `Page.explorer`; figures and grids then are for those without it, and
    for Markdown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A whole page."""

    kind: str
    """What it is, such as `comparison`."""
    title: str
    subtitle: str
    """When, and with what."""
    notices: tuple[Notice, ...]
    sections: tuple[Section, ...]
    files: tuple[str, ...]
    """Names of the files beside it that hold the same numbers unrounded."""
    description: str = ""
    """In the words of whoever made the run."""
    answer: tuple[str, ...] = ()
    """What a reader came for, before everything else; how sure it is, if need be, after the first."""
    answer_rests_on: tuple[str, ...] = ()
    """What the answer takes for granted; a list that is closed until it is opened."""
    command: str = ""
    """To be typed into a shell; one line."""
    command_note: str = ""
    facts: tuple[Fact, ...] = ()
    explorer: ReportData | None = None
    """What `Section.part` is drawn from; None for a page without a script."""
    held: dict[str, bytes] = field(default_factory=dict)
    """Pictures that the page holds inside: name in `explorer` → JPEG, PNG or WebP file."""

    @property
    def figures(self) -> Iterator[Figure]:
        """All of them, in order."""
        return (figure for section in self.sections for figure in section.figures)

    @property
    def sheets(self) -> Iterator[Grid]:
        """Grids that are drawn as files of their own."""
        return (grid for section in self.sections for grid in section.grids if grid.sheet and not grid.is_empty)
