"""A recommendation on a terminal: the answer first, then why, then the front and the break-even."""

from __future__ import annotations

from rich.console import Console

from kreabench.analysis.estimates import Estimate
from kreabench.cli.fitting import FitColumn, tables
from kreabench.cli.terminal import say
from kreabench.core.questions import Objective
from kreabench.decisions.recommend import Verdict
from kreabench.report.format import ABSENT, difference, scaled, significant
from kreabench.report.labels import differing_axes, setting_cell
from kreabench.report.recommend.content import (
    RecommendReport,
    axis_title,
    axis_value,
    cost_unit,
    hosting_sentences,
    hosting_table,
    ordered,
    shown_costs,
    standing_words,
)
from kreabench.report.recommend.remarks import remarks
from kreabench.report.recommend.words import (
    answer_sentence,
    limits_words,
    oriented,
    reason_of,
    share,
    state_lines,
)
from kreabench.report.text import message

_SHORT = {"latency": "s", "peak_memory": "GiB", "energy": "J", "usd_per_image": "$/image"}


def print_recommendation(out: Console, report: RecommendReport) -> None:
    """All of it."""
    recommendation = report.recommendation
    if report.notice:
        say(out, f"! {report.notice}", "yellow")
    say(out, answer_sentence(report.contest, recommendation), "bold")
    if report.override is not None:
        say(out, f"to draw with it: {report.override.command}")
        if report.override.obstacle:
            say(out, f"({report.override.obstacle})")
    say(out, f"asked: {limits_words(report.contest, recommendation)}")
    for sentence in report.asked.assumed:
        say(out, sentence)
    for remark in remarks(report.contest, recommendation):
        say(out, f"! {remark}", "yellow")
    for line in state_lines(report.unfinished, report.dropped, report.other_question):
        say(out, f"! {line}", "yellow")
    _print_settings(out, report)
    _print_front(out, report)
    _print_hosting(out, report)


def _print_settings(out: Console, report: RecommendReport) -> None:
    """Settings are numbered, so that the reasons below need no more width than there is."""
    rows = ordered(report.recommendation)
    costs = shown_costs(report)
    losses = report.recommendation.question.max_quality_loss
    lead = [
        FitColumn(head="", cells=[str(number) for number in range(1, len(rows) + 1)]),
        FitColumn(head="setting, steps", cells=[_name(verdict, report) for verdict in rows], side="l"),
    ]
    columns = [
        FitColumn(head="class", cells=[standing_words(report, verdict) for verdict in rows], side="l"),
        *(FitColumn(head=_SHORT[cost], cells=[_cost(verdict, cost) for verdict in rows]) for cost in costs),
        *(
            FitColumn(
                head=f"Δ {loss.metric}{'†' if report.contest.metrics[loss.metric].untrained else ''}",
                cells=[_change(report, verdict, loss.metric) for verdict in rows],
            )
            for loss in losses
        ),
        FitColumn(head="answer in", cells=[_answer_in(verdict, report) for verdict in rows]),
    ]
    out.print()
    for table in tables(out, lead, columns):
        out.print(table)
    reasons: dict[str, list[int]] = {}
    for number, verdict in enumerate(rows, start=1):
        reasons.setdefault(message(reason_of(verdict), 300), []).append(number)
    for reason, numbers in reasons.items():
        say(out, f"{_ranges(numbers)}: {reason}")


def _answer_in(verdict: Verdict, report: RecommendReport) -> str:
    return ABSENT if verdict.probability is None else _share(verdict.probability, report.recommendation.draws)


def _ranges(numbers: list[int]) -> str:
    """`1, 3–5`."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][-1] == number - 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}–{part[-1]}" for part in parts)


def _name(verdict: Verdict, report: RecommendReport) -> str:
    """No more of its axes than tell the settings apart."""
    setting, all_ = verdict.entrant.setting, [other.entrant.setting for other in report.recommendation.verdicts]
    cell = setting_cell(setting, differing_axes(all_))
    steps, size, *others = cell.detail.split(", ") if setting.steps is not None else ["", *cell.detail.split(", ")]
    several = [
        setting.target if len({other.target for other in all_}) > 1 else "",
        setting.acceleration,
        steps.partition(" ")[0],
        size if len({(other.width, other.height) for other in all_}) > 1 else "",
        *others,
        "(ref)" if verdict.entrant.is_reference else "",
    ]
    return message(" ".join(filter(None, several)), 100)


def _cost(verdict: Verdict, cost: str) -> str:
    for known, measured in verdict.entrant.costs.items():
        if known == cost and measured.median is not None:
            return significant(scaled(measured.median, cost_unit(known)[1]).value)
    return ABSENT


def _change(report: RecommendReport, verdict: Verdict, metric: str) -> str:
    check = next(check for check in verdict.checks if check.name == metric)
    if verdict.entrant.is_reference or check.value is None:
        return ABSENT
    return difference(oriented(report.contest, metric, check.value))[0]


def _print_front(out: Console, report: RecommendReport) -> None:
    """By the numbers of the settings in the table above."""
    front, draws = report.front, report.recommendation.draws
    names = ", ".join(axis_title(report, axis)[0] for axis in front.axes)
    if not front.points:
        say(out, f"\nno front over {names}: no setting has a value of each")
        return
    rows = enumerate(ordered(report.recommendation), start=1)
    numbers = {verdict.entrant.setting.id: number for number, verdict in rows}
    say(out, f"\nfront over {names}, with the share of {draws:,} resamples of the prompts in which a setting is on it:")
    points = sorted(front.points, key=lambda point: numbers[point.entrant.setting.id])
    for point in sorted((point for point in points if point.on_front), key=lambda point: point.values[0].value):
        values = ", ".join(_value(report, axis, value) for axis, value in zip(front.axes, point.values, strict=True))
        say(out, f"{numbers[point.entrant.setting.id]}: {values}; on it in {_share(point.probability, draws)}")
    for point in points:
        if point.dominated_by is not None and point.p_dominated is not None:
            by = f"by {numbers[point.dominated_by.setting.id]} in {_share(point.p_dominated, draws)}"
            say(
                out, f"{numbers[point.entrant.setting.id]}: dominated {by}; on it in {_share(point.probability, draws)}"
            )
    for entrant, axis in front.left_out:
        say(out, f"{numbers[entrant.setting.id]}: left out, it has no {axis_title(report, axis)[0]}")


def _value(report: RecommendReport, axis: Objective, value: Estimate) -> str:
    title, unit = axis_title(report, axis)
    number = significant(axis_value(axis, value).value)
    if axis == "quality":
        return f"{title} {number}"
    return f"${number} an image" if axis == "usd_per_image" else f"{number} {unit}"


def _share(probability: float, draws: int) -> str:
    return share(probability, draws).partition(" of ")[0]


def _print_hosting(out: Console, report: RecommendReport) -> None:
    hosting = report.hosting
    if isinstance(hosting, str):
        say(out, f"\nlocal or hosted: not compared: {hosting}")
        return
    say(out, "\nlocal or hosted:")
    for sentence in hosting_sentences(hosting):
        say(out, sentence)
    for row in hosting_table(hosting).rows:
        name, value, unit, source = (cell.text for cell in row.cells)
        say(out, f"{name}: {value} {unit}".rstrip() + f" ({source})")
    for note in hosting_table(hosting).notes:
        say(out, note)
