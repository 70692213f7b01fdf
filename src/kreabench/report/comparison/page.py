"""A comparison as a document: what is said of it, in order, and nothing about how it looks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kreabench.decisions.comparison import Comparison, SettingComparison
from kreabench.report.comparison.answer import answer_lines
from kreabench.report.comparison.listings import prompts_table, unpaired_table, versions_table
from kreabench.report.comparison.pictures import MAX_THUMBNAILS, worst_grids
from kreabench.report.comparison.tables import (
    costs_table,
    fidelity_table,
    metrics_table,
    rates_table,
    summary_table,
)
from kreabench.report.comparison.words import alone_lines, differing, forced_lines, pair_title, short_label, side_name
from kreabench.report.format import count
from kreabench.report.page import Page, Section
from kreabench.report.parts import Fact, Notice
from kreabench.report.text import message, visible

DETAILED = 4
"""Pairs of settings that are shown in full; of more there is one table, and details of a selection."""

PAIRED_METHOD = (
    "Pictures are paired by prompt, seed, repeat and their number in a request; only pairs of equal size have their "
    "scores compared. What has no partner is listed and in no difference.",
    "The unit of inference is the prompt: each prompt's mean over its pairs, then Student's 95 % interval and "
    "two-sided test over prompts (arXiv 2411.00640). An interval ends where the metric's range does.",
    "p-values are corrected by Holm's method over all tests of the comparison together; intervals are each for itself.",
    "Effect is the mean difference over the standard deviation over prompts (Cohen's d of pairs).",
    "No significant difference is no proof of equality: only a margin set beforehand can show that (kreabench gate).",
    "A picture equal to its reference has no PSNR: a pair in which both are counts as no difference; a pair in which "
    "one is, is left out and counted.",
    "Ratios are of medians over samples fit for timing: no first call, no retry, nothing cached. Memory is that of "
    "torch on the device, or of the worker process where there is no device, never both, never of a hosted service.",
    "Rates are compared by Newcombe's interval, which is right without any mishap as well.",
)
METHOD = (
    *PAIRED_METHOD,
    "Of the prompts that came off worst the pair of pictures with the greatest loss is shown, with its own scores; † "
    "marks a score made with untrained weights.",
)


def build_comparison(comparison: Comparison, *, worst: int) -> Page:
    """The page of a comparison, with so many of the worst prompts of each metric."""
    base, candidate = side_name(comparison.base.name), side_name(comparison.candidate.name)
    alone = comparison.base is comparison.candidate
    return Page(
        kind="comparison",
        title=f"{candidate}, every setting against its reference" if alone else f"{candidate} against {base}",
        subtitle="Positive differences mean that the candidate has more; ↑ more is better, ↓ less is, ≈ neither.",
        answer=tuple(answer_lines(comparison)),
        notices=tuple(_notices(comparison)),
        facts=tuple(_facts(comparison, alone=alone)),
        sections=(*_sections(comparison, worst), Section(id="method", title="Method", sentences=METHOD)),
        files=("comparison.csv", "prompts.csv"),
    )


def _notices(comparison: Comparison) -> Iterator[Notice]:
    yield from (Notice(level="warning", text=text) for text in forced_lines(comparison))
    brands = {f"{side.notice}." for side in (comparison.base, comparison.candidate)}
    for text in comparison.caveats:
        yield Notice(level="warning" if text in brands else "info", text=message(text, 600))
    yield from (Notice(level="info", text=text) for text in alone_lines(comparison))


def _facts(comparison: Comparison, *, alone: bool) -> Iterator[Fact]:
    sides = [("Run", comparison.base)] if alone else [("Base", comparison.base), ("Candidate", comparison.candidate)]
    for label, side in sides:
        when = side.created_utc[:16].replace("T", " ")
        yield Fact(label=label, value=visible(side.run_name), detail=f"run of {when} UTC")
    settings = comparison.settings
    pairs, equal = sum(two.pairs for two in settings), sum(two.identical for two in settings)
    lonely, resized = sum(len(two.unpaired) for two in settings), sum(two.resized for two in settings)
    yield Fact(label="Pairs of settings", value=f"{len(settings):,}")
    details = [f"{equal:,} of equal files"] if equal else []
    details += [f"{resized:,} of two sizes, not scored"] if resized else []
    yield Fact(label="Pairs of pictures", value=f"{pairs:,}", detail=", ".join(details))
    yield Fact(label="Without a partner", value=f"{lonely:,}", detail="pictures")


def _sections(comparison: Comparison, worst: int) -> Iterator[Section]:
    settings = comparison.settings
    if len(settings) > 1:
        text = f"Holm's correction is over {comparison.family}."
        if len(settings) > DETAILED:
            text += " For details, prompts and pictures of one, select it: RUN:acceleration=high,steps=8."
        tables = (("", summary_table(comparison)),)
        yield Section(id="summary", name="Summary", title="All settings", text=text, tables=tables)
    versions = versions_table(comparison)
    if versions:
        yield Section(id="versions", name="Versions", title="What differs", tables=(("", versions),))
    if len(settings) <= DETAILED:
        shown = max(1, worst // len(settings)) if worst else 0
        axes = differing(settings)
        for two in settings:
            yield _details(comparison, two, shown, axes)
    else:
        missing = tuple((pair_title(two), table) for two in settings if (table := unpaired_table(two)))
        if missing:
            yield Section(id="unpaired", title="Without a partner", text="", tables=missing[:DETAILED])


def _details(comparison: Comparison, two: SettingComparison, worst: int, axes: Sequence[str]) -> Section:
    tables = (
        ("Quality", metrics_table(two, comparison.family)),
        ("Fidelity", fidelity_table(two)),
        ("Costs", costs_table(two)),
        ("Mishaps", rates_table(two)),
        ("Prompt by prompt", prompts_table(two)),
        ("Without a partner", unpaired_table(two)),
    )
    alone = len(comparison.settings) == 1
    pairs = [count(two.pairs, "pair") + " of pictures"]
    pairs += [f"{two.identical:,} of equal files"] if two.identical else []
    pairs += [f"{two.resized:,} of two sizes, whose scores are not compared"] if two.resized else []
    return Section(
        id=f"details-{two.candidate.id}",
        name="Details" if alone else short_label(two.candidate, axes) or "Details",
        title=pair_title(two),
        text=", ".join(pairs) + ".",
        tables=tuple((title, table) for title, table in tables if table is not None),
        grids=worst_grids(comparison, two, worst, MAX_THUMBNAILS // len(comparison.settings)),
    )
