"""A recommendation as a page."""

from __future__ import annotations

from kreabench.report.figure_data import Figure
from kreabench.report.page import Page, Section
from kreabench.report.parts import Notice
from kreabench.report.recommend.content import (
    RecommendReport,
    front_table,
    hosting_sentences,
    hosting_table,
    settings_table,
)
from kreabench.report.recommend.figures import front_figure, hosting_figure
from kreabench.report.recommend.remarks import remarks
from kreabench.report.recommend.words import answer_sentence, limits_words, state_lines
from kreabench.report.text import message, visible

METHOD = (
    "A setting qualifies on quality when it is shown to lose less than is allowed against its reference: by "
    "the less sure of Student's and Hall's one-sided tests over prompts of paired differences (Hall's heeds skewness), "
    "corrected by Holm over the settings of the question. It does not when it is shown to lose more. Else it is not "
    "decided; no significant difference is never a pass.",
    "A setting qualifies on a cost by its median; where the interval of the median is on both sides of the limit, it "
    "is said to be on the edge. Of memory the highest request decides.",
    "How sure: the prompts are resampled with replacement, the same for all settings, and the decision is made again "
    "by the point estimates; the share is how often a setting is then the answer. The allowed loss is taken as known.",
    "A front's level of quality is the reference's mean over all prompts and the paired difference from it.",
    "About so many prompts would decide: in 80 % of repetitions, with as many seeds, if mean and spread stay the same.",
)


def recommend_page(report: RecommendReport) -> Page:
    """The whole page."""
    contest, recommendation, override = report.contest, report.recommendation, report.override
    notices = [Notice(level="warning", text=report.notice)] if report.notice else []
    notices += [
        Notice(level="warning", text=text)
        for text in state_lines(report.unfinished, report.dropped, report.other_question)
    ]
    notices += [Notice(level="info", text=text) for text in remarks(contest, recommendation)]
    question = (f"Asked: {limits_words(contest, recommendation)}.", *report.asked.assumed)
    curves = () if isinstance(report.hosting, str) else ("local_or_hosted.csv",)
    return Page(
        kind="recommendation",
        title=f"Which setting: {visible(report.name)}",
        subtitle=f"Run of {report.created_utc[:16].replace('T', ' ')} UTC",
        answer=(answer_sentence(contest, recommendation),),
        command="" if override is None else visible(override.command),
        command_note="" if override is None else message(override.obstacle),
        notices=tuple(notices),
        sections=(
            Section(id="question", title="Question", sentences=question),
            *_sections(report),
            Section(id="method", title="Method", sentences=METHOD),
        ),
        files=("recommend.json", "recommend_settings.csv", "front.csv", *curves),
    )


def _sections(report: RecommendReport) -> list[Section]:
    hosting = report.hosting
    if isinstance(hosting, str):
        hosted = Section(id="hosting", title="Local or hosted", sentences=(f"Not compared: {hosting}.",))
    else:
        hosted = Section(
            id="hosting",
            title="Local or hosted",
            sentences=hosting_sentences(hosting),
            figures=_there(hosting_figure(report)),
            tables=(("", hosting_table(hosting)),),
        )
    return [
        Section(id="settings", title="Settings", tables=(("", settings_table(report)),)),
        Section(id="front", title="Front", figures=_there(front_figure(report)), tables=(("", front_table(report)),)),
        hosted,
    ]


def _there(figure: Figure | None) -> tuple[Figure, ...]:
    return () if figure is None else (figure,)
