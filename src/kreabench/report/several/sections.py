"""What a report of several runs says of them beside each other, in sections of its page."""

from __future__ import annotations

from collections.abc import Iterator

from kreabench.decisions.comparison import Comparison
from kreabench.report.comparison.answer import answer_lines
from kreabench.report.comparison.listings import versions_table
from kreabench.report.comparison.tables import costs_table, metrics_table, rates_table, summary_table
from kreabench.report.comparison.words import alone_lines
from kreabench.report.page import Section
from kreabench.report.parts import Table
from kreabench.report.several.comparison import Versus, commands
from kreabench.report.text import message


def comparison_section(versus: Versus) -> Section:
    """What the comparison comes to, setting by setting, or why there is none."""
    letter = versus.candidate.letter
    id_, title = f"against-{letter.lower()}", f"{versus.candidate} against {versus.base}"
    comparison = versus.comparison
    if comparison is None:
        text = f"These two runs are not comparable: {versus.why_not.rstrip('.')}. Both are reported below."
        return Section(id=id_, name=f"{letter} against {versus.base.letter}", title=title, text=text)
    return Section(
        id=id_,
        name=f"{letter} against {versus.base.letter}",
        title=title,
        opens=True,
        text=f"{letter} is the candidate, {versus.base.letter} the base; pictures are paired by prompt and seed. "
        f"Holm's correction is over {comparison.family}.",
        sentences=tuple(_sentences(versus, comparison)),
        tables=tuple((heading, table) for heading, table in _tables(comparison) if table is not None),
    )


def _sentences(versus: Versus, comparison: Comparison) -> Iterator[str]:
    yield from answer_lines(comparison)
    yield from versus.limits
    branded = {
        f"{end}{side.notice}." for side in (comparison.base, comparison.candidate) for end in ("", f"{side.name}: ")
    }
    yield from (message(text, 600) for text in comparison.caveats if text not in branded)
    yield from alone_lines(comparison)
    yield from commands(versus)


def _tables(comparison: Comparison) -> Iterator[tuple[str, Table | None]]:
    """One table of all pairs of settings; a single one in full."""
    if len(comparison.settings) > 1:
        yield "", summary_table(comparison)
    else:
        two = comparison.settings[0]
        yield "Quality", metrics_table(two, comparison.family)
        yield "Costs", costs_table(two)
        yield "Mishaps", rates_table(two)
    yield "What differs besides", versions_table(comparison)
