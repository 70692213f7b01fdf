"""From the evidence of one run, or of several, to report.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kreabench import __version__
from kreabench.report.document import Document
from kreabench.report.explorer.break_even import break_even_of
from kreabench.report.explorer.counterparts import told_apart
from kreabench.report.explorer.data import NoticeData, ReportData
from kreabench.report.explorer.fronts import fronts_of
from kreabench.report.explorer.knees import knees_of
from kreabench.report.explorer.pictures import Pictured
from kreabench.report.explorer.prompts import prompts_of
from kreabench.report.explorer.quantities import quantities_of
from kreabench.report.explorer.settings import settings_of, skipped_of
from kreabench.report.explorer.sources import Source, axes_of, run_data
from kreabench.report.explorer.votes import votes_of


def build_data(sources: Sequence[Source], document: Document, pictured: Pictured) -> ReportData:
    """`document` is what the page says in words, `pictured` what `explorer.pictures` chose."""
    quantities = quantities_of(sources)
    return ReportData(
        kreabench=__version__,
        title=document.title,
        runs=tuple(map(run_data, sources)),
        verdict=document.verdict,
        notices=tuple(NoticeData(level=one.level, text=one.text) for one in document.notices),
        axes=axes_of(sources),
        quantities=quantities,
        settings=told_apart(sources, settings_of(sources, quantities)),
        skipped=tuple(skipped_of(sources)),
        fronts=fronts_of(sources, quantities),
        knees=knees_of(sources, quantities),
        prompts=tuple(replace(one, input=pictured.inputs.get(one.id, "")) for one in prompts_of(sources)),
        pictures=pictured.pictures,
        pictures_note=pictured.note,
        worst=pictured.worst,
        break_even=break_even_of(sources),
        votes=tuple(votes_of(sources)),
        method=document.method,
    )
