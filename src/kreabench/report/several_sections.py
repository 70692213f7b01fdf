"""What a report of several runs says of them beside each other, in sections of its page."""

from __future__ import annotations

from collections.abc import Iterator

from kreabench.decisions.comparison import Comparison, SettingComparison
from kreabench.report.comparison import DETAILED
from kreabench.report.comparison_answer import answer_lines
from kreabench.report.comparison_listings import versions_table
from kreabench.report.comparison_tables import costs_table, metrics_table, rates_table, summary_table
from kreabench.report.comparison_words import alone_lines, pair_title
from kreabench.report.page import Section
from kreabench.report.parts import Table
from kreabench.report.several_comparison import Versus, commands
from kreabench.report.text import message


def comparison_section(versus: Versus) -> Section:
    """What the comparison comes to, and one table of all settings that both runs have."""
    letter = versus.candidate.letter
    id_, title = f"against-{letter.lower()}", f"{versus.candidate} against {versus.base}"
    comparison = versus.comparison
    if comparison is None:
        text = f"These two runs are not comparable: {versus.why_not.rstrip('.')}. Both are reported below."
        return Section(id=id_, name=f"{letter} against {versus.base.letter}", title=title, text=text)
    tables: tuple[tuple[str, Table | None], ...] = (
        *((("", summary_table(comparison)),) if len(comparison.settings) > 1 else _tables(comparison)),
        ("What differs besides", versions_table(comparison)),
    )
    return Section(
        id=id_,
        name=f"{letter} against {versus.base.letter}",
        title=title,
        text=f"{letter} is the candidate, {versus.base.letter} the base; pictures are paired by prompt and seed. "
        f"Holm's correction is over {comparison.family}.",
        sentences=tuple(_sentences(versus, comparison)),
        tables=tuple((heading, table) for heading, table in tables if table is not None),
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


def details_section(versus: Versus) -> Section | None:
    """Each pair of settings in full, where these are few but more than one."""
    comparison = versus.comparison
    if comparison is None or not 1 < len(comparison.settings) <= DETAILED:
        return None
    letters = f"{versus.candidate.letter} against {versus.base.letter}"
    return Section(
        id=f"pairs-{versus.candidate.letter.lower()}",
        name=f"{letters}, in full",
        title=f"{letters}, setting by setting",
        tables=tuple(_of_pairs(comparison)),
    )


def _of_pairs(comparison: Comparison) -> Iterator[tuple[str, Table]]:
    for two in comparison.settings:
        for heading, table in _tables(comparison, two):
            yield f"{pair_title(two)}: {heading.lower()}", table


def _tables(comparison: Comparison, two: SettingComparison | None = None) -> tuple[tuple[str, Table], ...]:
    """Of one pair of settings, else of the first."""
    chosen = comparison.settings[0] if two is None else two
    tables = (
        ("Quality", metrics_table(chosen, comparison.family)),
        ("Costs", costs_table(chosen)),
        ("Mishaps", rates_table(chosen)),
    )
    return tuple((heading, table) for heading, table in tables if table is not None)
