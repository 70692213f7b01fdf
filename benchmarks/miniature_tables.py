"""Tables of the miniature's benchmark: printed, as Markdown, and as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from statsmodels.stats.proportion import proportion_confint

from kreabench.analysis.estimates import Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """What was measured, in words and cells."""

    title: str
    note: str
    """How to read it, in sentences."""
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def as_text(self) -> str:
        """For a terminal: columns in line, the first one left, the others right."""
        lines = [self.header, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.header))]
        rows = [
            "  ".join(
                _aligned(cell, width, index) for index, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
            for line in lines
        ]
        return "\n".join([f"\n{self.title}", self.note, *(f"  {row.rstrip()}" for row in rows)])

    def as_markdown(self) -> str:
        """A section of a document."""
        rule = ["---", *["---:"] * (len(self.header) - 1)]
        rows = [self.header, tuple(rule), *self.rows]
        return f"## {self.title}\n\n{self.note}\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if column else cell.ljust(width)


def percent(share: Estimate | None) -> str:
    """A share with its interval, in percent. Where all are right or all wrong the exact one: resamples do not vary."""
    if share is not None and share.low == share.high and share.value in (0.0, 1.0):
        low, high = proportion_confint(round(share.value * share.n), share.n, method="beta")
        share = replace(share, low=float(low), high=float(high))
    return with_interval(share, scale=100, digits=1)


def points(difference: Estimate | None) -> str:
    """A difference of shares with its interval, signed, in points."""
    return with_interval(difference, scale=100, digits=1, signed=True)


def with_interval(found: Estimate | None, *, scale: float = 1.0, digits: int = 2, signed: bool = False) -> str:
    """`12.3 (11.0 to 13.6)`; the interval is left out where there is none or nothing varies. A dash is nothing."""
    if found is None:
        return "–"

    def shown(value: float) -> str:
        text = f"{value * scale:{'+' if signed else ''}.{digits}f}"
        return text.replace("-", "−")

    if found.low is None or found.high is None or found.low == found.high:
        return shown(found.value)
    return f"{shown(found.value)} ({shown(found.low)} to {shown(found.high)})"


def document(title: str, lines: Sequence[str], tables: Sequence[Table]) -> str:
    """All tables as one Markdown document."""
    return "\n".join([f"# {title}", "", *lines, "", *(table.as_markdown() for table in tables)])
