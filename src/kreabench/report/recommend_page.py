"""The page and the Markdown of a recommendation, out of one document."""

from __future__ import annotations

from dataclasses import dataclass

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from kreabench.report.document import Figure, Notice, Table
from kreabench.report.html_page import TEMPLATES, content_policy, figure_images
from kreabench.report.markdown_page import escape, markdown_table
from kreabench.report.recommend_content import (
    RecommendReport,
    front_table,
    hosting_sentences,
    hosting_table,
    settings_table,
)
from kreabench.report.recommend_figures import front_figure, hosting_figure
from kreabench.report.recommend_words import answer_sentence, limits_words, remarks, state_lines
from kreabench.report.text import visible

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A heading and what is below it."""

    id: str
    title: str
    sentences: tuple[str, ...] = ()
    figure: Figure | None = None
    table: Table | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RecommendDocument:
    """A recommendation as data, for every renderer. Text is plain."""

    title: str
    subtitle: str
    answer: str
    command: str
    command_note: str
    notices: tuple[Notice, ...]
    question: tuple[str, ...]
    sections: tuple[Section, ...]
    method: tuple[str, ...]

    @property
    def figures(self) -> tuple[Figure, ...]:
        return tuple(section.figure for section in self.sections if section.figure is not None)


def recommend_document(report: RecommendReport) -> RecommendDocument:
    """The whole page."""
    contest, recommendation, override = report.contest, report.recommendation, report.override
    notices = [Notice(level="warning", text=report.notice)] if report.notice else []
    notices += [
        Notice(level="warning", text=text)
        for text in state_lines(report.unfinished, report.dropped, report.other_question)
    ]
    notices += [Notice(level="info", text=text) for text in remarks(contest, recommendation)]
    return RecommendDocument(
        title=f"Which setting: {visible(report.name)}",
        subtitle=f"Run of {report.created_utc[:16].replace('T', ' ')} UTC",
        answer=answer_sentence(contest, recommendation),
        command="" if override is None else override.command,
        command_note="" if override is None else override.obstacle,
        notices=tuple(notices),
        question=(f"Asked: {limits_words(contest, recommendation)}.", *report.asked.assumed),
        sections=tuple(_sections(report)),
        method=METHOD,
    )


def _sections(report: RecommendReport) -> list[Section]:
    hosting = report.hosting
    front = front_figure(report)
    if isinstance(hosting, str):
        hosted = Section(id="hosting", title="Local or hosted", sentences=(f"Not compared: {hosting}.",))
    else:
        hosted = Section(
            id="hosting",
            title="Local or hosted",
            sentences=hosting_sentences(hosting),
            figure=hosting_figure(report),
            table=hosting_table(hosting),
        )
    return [
        Section(id="settings", title="Settings", table=settings_table(report)),
        Section(id="front", title="Front", figure=front, table=front_table(report)),
        hosted,
    ]


def render_recommend_html(document: RecommendDocument) -> str:
    """The page, in one file, without a script and without a request to anywhere."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    return environment.get_template("recommend.html.j2").render(
        document=document,
        images={figure.name: figure_images(figure) for figure in document.figures},
        style=Markup(style),  # noqa: S704 - our own file, no value is interpolated
        policy=content_policy(style),
    )


def render_recommend_markdown(document: RecommendDocument) -> str:
    """The same in GitHub's Markdown."""
    parts = [f"# {escape(document.title)}", escape(document.subtitle), f"**{escape(document.answer)}**"]
    if document.command:
        parts.append(f"```sh\n{document.command}\n```")
    parts += [escape(document.command_note)] if document.command_note else []
    parts += [
        f"> [!{'WARNING' if notice.level == 'warning' else 'NOTE'}]\n> {escape(notice.text)}"
        for notice in document.notices
    ]
    parts.append("\n".join(f"- {escape(text)}" for text in document.question))
    for section in document.sections:
        parts.append(f"## {escape(section.title)}")
        parts += ["\n".join(f"- {escape(text)}" for text in section.sentences)] if section.sentences else []
        if section.figure is not None:
            figure = section.figure
            parts += [f"![{escape(figure.alt)}](figures/{figure.name}.png)", escape(figure.caption)]
        parts += markdown_table(section.table, folds=True) if section.table is not None else []
    parts += ["## Method", "\n".join(f"- {escape(text)}" for text in document.method)]
    return "\n\n".join(parts) + "\n"
