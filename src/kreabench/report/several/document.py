"""Several runs in one report: model versions, devices, services. The first is what the others are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

from kreabench.analysis.settings import SettingSummary
from kreabench.report.build import document_of, figures_note
from kreabench.report.charts import build_figures
from kreabench.report.comparison.page import PAIRED_METHOD
from kreabench.report.document import Document
from kreabench.report.evidence import Evidence
from kreabench.report.explorer.sources import sources_of
from kreabench.report.explorer.verdict import verdict_of
from kreabench.report.figure_data import Figure
from kreabench.report.format import count
from kreabench.report.page import Section
from kreabench.report.parts import Fact, Notice, Table
from kreabench.report.pictures import MAX_THUMBNAILS
from kreabench.report.several.comparison import Versus, compare_runs
from kreabench.report.several.names import RunName, names_of
from kreabench.report.several.pictures import beside
from kreabench.report.several.sections import comparison_section
from kreabench.report.several.tables import once, runs_table, side_by_side, stacked
from kreabench.report.several.words import regressions, verdict_sentence
from kreabench.report.thumbnails import Thumbnail

_TITLED = 3
"""Runs whose names are in the title."""


Headed = tuple[tuple[str, Table], ...]
"""Heading and table."""


def several_document(
    evidences: Sequence[Evidence], today: date | None = None, thumbnails: Mapping[str, Thumbnail] | None = None
) -> Document:
    """What is said of the runs together, in order. `today` and `thumbnails` as in `document_of`."""
    names = names_of([one.run for one in evidences])
    everything = [summary for one in evidences for summary in one.summaries]
    found = compare_runs(evidences, names)
    verdict = verdict_of(
        sources_of(evidences),
        tuple(loss for one in found for loss in regressions(one)),
        " ".join(map(verdict_sentence, found)),
    )
    most = MAX_THUMBNAILS // len(evidences)
    documents = [document_of(one, today, thumbnails, most, everything, verdict) for one in evidences]
    brand = " ".join(once([(n, d.brand) for n, d in zip(names, documents, strict=True) if d.brand], len(names)))
    summaries, figures = _figures(evidences, names, brand)
    runs = runs_table(
        names, [one.run.info.created_utc[:16].replace("T", " ") for one in evidences], [one.facts for one in documents]
    )

    def below(field: str, *, shared: bool = False) -> Table | None:
        return stacked(names, [getattr(one, field) for one in documents], shared=shared)

    settings, targets = below("settings"), below("targets", shared=True)
    return Document(
        title=_title(names),
        description="; ".join(
            once([(n, d.description) for n, d in zip(names, documents, strict=True) if d.description], len(names))
        ),
        subtitle=f"{len(names)} runs; {names[0]} is what the others are compared with",
        verdict=verdict,
        notices=_notices(names, documents),
        facts=_facts(found, summaries),
        comparisons=(
            Section(id="runs", title="Runs", opens=True, tables=(("", runs),)),
            *map(comparison_section, found),
        ),
        targets=replace(targets or documents[0].targets, caption="What was measured."),
        settings=settings or documents[0].settings,
        skipped=below("skipped"),
        figures=figures,
        figures_note=figures_note(figures, summaries),
        pictures=beside(names, [one.pictures for one in documents], brand),
        failures=below("failures"),
        loads=below("loads"),
        metrics=below("metrics", shared=True),
        prices=below("prices", shared=True),
        method=tuple(dict.fromkeys((*documents[0].method, *PAIRED_METHOD))),
        environment=side_by_side(names, [one.environment for one in documents]),
        summaries=tuple(summary for one in documents for summary in one.summaries),
        measurements=_headed(names, [one.measurements for one in documents]),
        votes=_headed(names, [one.votes for one in documents]),
        brand=brand,
        set_scores=tuple(score for one in documents for score in one.set_scores),
        shifts=tuple(shift for one in documents for shift in one.shifts),
        categories=tuple(summary for one in documents for summary in one.categories),
        runs=tuple((name.letter.lower(), one) for name, one in zip(names, documents, strict=True)),
    )


def _title(names: Sequence[RunName]) -> str:
    """The base last, as in `B against A`."""
    others = [str(name) for name in names[1:]]
    more = len(others) - _TITLED
    shown = [*others[:_TITLED], *([f"{more} more"] if more > 0 else [])]
    told = f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else shown[0]
    return f"{told} against {names[0]}"


def _notices(names: Sequence[RunName], documents: Sequence[Document]) -> tuple[Notice, ...]:
    """Of all runs, equal ones once."""
    found = []
    for level in ("warning", "info"):
        said = [
            (name, notice.text)
            for name, one in zip(names, documents, strict=True)
            for notice in one.notices
            if notice.level == level
        ]
        found += [
            Notice(level="warning" if level == "warning" else "info", text=text)
            for text in once(said, len(names), counts=True)
        ]
    return tuple(found)


def _facts(found: Sequence[Versus], summaries: Sequence[SettingSummary]) -> tuple[Fact, ...]:
    ok, failed = sum(one.ok for one in summaries), sum(one.failed for one in summaries)
    facts = [
        Fact(label="Runs", value=f"{len(found) + 1}"),
        Fact(label="Settings", value=f"{len(summaries):,}", detail="of all runs"),
        Fact(label="Samples", value=f"{ok:,}", detail=f"and {failed:,} failed" if failed else "none failed"),
    ]
    for one in found:
        settings = () if one.comparison is None else one.comparison.settings
        pairs = sum(two.pairs for two in settings)
        detail = f"of pictures, in {count(len(settings), 'pair')} of settings" if settings else "not comparable"
        facts.append(
            Fact(label=f"Pairs, {one.candidate.letter} and {one.base.letter}", value=f"{pairs:,}", detail=detail)
        )
    return tuple(facts)


def _headed(names: Sequence[RunName], found: Sequence[Headed]) -> Headed:
    """Below each other under each heading, in the order in which runs have these."""
    tables = [dict(one) for one in found]
    headings = dict.fromkeys(heading for one in tables for heading in one)
    merged = ((heading, stacked(names, [one.get(heading) for one in tables])) for heading in headings)
    return tuple((heading, table) for heading, table in merged if table is not None)


def _figures(
    evidences: Sequence[Evidence], names: Sequence[RunName], brand: str
) -> tuple[list[SettingSummary], tuple[Figure, ...]]:
    """Every figure with all runs in it, over the metrics that all have; targets say of which run they are."""
    common = [
        spec.name for spec in evidences[0].metrics if all(spec.name in {m.name for m in e.metrics} for e in evidences)
    ]
    told = [
        replace(
            summary,
            setting=replace(summary.setting, target=f"{name.letter}: {summary.setting.target}"),
            metrics=tuple(metric for metric in summary.metrics if metric.name in common),
        )
        for one, name in zip(evidences, names, strict=True)
        for summary in one.directed
    ]
    return told, build_figures([_ordered(summary, common) for summary in told], brand)


def _ordered(summary: SettingSummary, names: Sequence[str]) -> SettingSummary:
    """With its metrics in the order of the first run's, as figures take them by their number."""
    return replace(summary, metrics=tuple(sorted(summary.metrics, key=lambda metric: names.index(metric.name))))
