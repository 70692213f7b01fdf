"""A recommendation as it is told: its parts, and the tables that a page and its files share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kreabench.analysis.break_even import BreakEven
from kreabench.analysis.estimates import Estimate
from kreabench.core.planned import Setting
from kreabench.core.policies import COSTS, Cost
from kreabench.core.questions import Objective
from kreabench.decisions.recommend import Recommendation, Verdict
from kreabench.decisions.recommend_evidence import Contest, Entrant
from kreabench.decisions.recommend_front import Front, FrontPoint
from kreabench.decisions.recommend_hosting import Hosting
from kreabench.decisions.recommend_question import Asked
from kreabench.report.format import ABSENT, GIB, difference, estimate, scaled, significant
from kreabench.report.labels import differing_axes, reference_mark, setting_cell
from kreabench.report.parts import Cell, Column, Row, Table
from kreabench.report.recommend.words import axis_words, oriented, reason_of, share
from kreabench.report.text import message, visible

OWNERSHIP = {"rented_while_used": "rented by the hour, only while used", "all_day": "rented or owned all day"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Override:
    """The command that draws the recommended setting again."""

    words: tuple[str, ...]
    command: str
    obstacle: str
    """Why it was not seen to compose to that setting here; empty where it was."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RecommendReport:
    """All that is told."""

    name: str
    created_utc: str
    notice: str | None
    unfinished: int
    """Requests of the run without a final sample."""
    dropped: Mapping[str, str]
    """Setting id → why racing dropped it."""
    other_question: bool
    """Whether the race asked another question than the recommendation: what it dropped may be the answer."""
    contest: Contest
    asked: Asked
    recommendation: Recommendation
    front: Front
    hosting: Hosting | str
    """Or why there is none."""
    override: Override | None


def shown_costs(report: RecommendReport) -> list[Cost]:
    """Costs that some setting has."""
    return [cost for cost in COSTS if any(v.entrant.costs[cost].median for v in report.recommendation.verdicts)]


def cost_unit(cost: Cost) -> tuple[str, float]:
    """Unit of a column, and how much of the cost's own unit it is."""
    units = {"latency": ("s a request", 1.0), "peak_memory": ("GiB", GIB), "energy": ("J a request", 1.0)}
    return units.get(cost, ("$ an image", 1.0))


def ordered(recommendation: Recommendation) -> list[Verdict]:
    """The answer, then what qualifies, what is not decided, and what does not, each in the order of the objective."""
    ranks = {"qualifies": 0, "not decided": 1, "does not": 2}
    place = {verdict.entrant.setting.id: number for number, verdict in enumerate(recommendation.ranked)}
    return sorted(
        recommendation.verdicts, key=lambda verdict: (ranks[verdict.standing], place[verdict.entrant.setting.id])
    )


def standing_words(report: RecommendReport, verdict: Verdict) -> str:
    """Its class, and whether it is the answer."""
    recommendation = report.recommendation
    if verdict is recommendation.answer:
        return "the answer"
    return "runner-up" if verdict is recommendation.runner_up else verdict.standing


def _setting(setting: Setting, report: RecommendReport) -> Cell:
    axes = differing_axes([verdict.entrant.setting for verdict in report.recommendation.verdicts])
    return setting_cell(setting, axes)


def settings_table(report: RecommendReport) -> Table:
    """Every setting with its class and reason."""
    costs = shown_costs(report)
    losses = report.recommendation.question.max_quality_loss
    rows = [
        Row(
            cells=(
                _setting(verdict.entrant.setting, report),
                Cell(text=standing_words(report, verdict), strong=verdict is report.recommendation.answer),
                *(_cost(verdict.entrant, cost) for cost in costs),
                *(_quality(report.contest, verdict, loss.metric) for loss in losses),
                _probability(verdict, report.recommendation.draws),
                Cell(text=message(reason_of(verdict), 500)),
            ),
            mark=reference_mark(verdict.entrant.setting),
        )
        for verdict in ordered(report.recommendation)
    ]
    return Table(
        columns=(
            Column(title="Setting"),
            Column(title="Class"),
            *(Column(title=axis_words(report.contest, c, None), unit=cost_unit(c)[0], numeric=True) for c in costs),
            *(_metric_column(report.contest, loss.metric) for loss in losses),
            Column(title="Is the answer", note="Share of the resamples of the prompts.", numeric=True),
            Column(title="Why", prose=True),
        ),
        rows=tuple(rows),
        caption="Every setting, with 95 % intervals below the numbers: medians of costs, and the metric's difference "
        "from the setting's own reference.",
    )


def _metric_column(contest: Contest, metric: str) -> Column:
    facts = contest.metrics[metric]
    arrow = "↑ better" if facts.higher_is_better else "↓ better"
    brand = "untrained weights" if facts.untrained else ""
    return Column(title=f"Δ {metric}", unit=" · ".join(filter(None, (facts.unit, arrow))), numeric=True, brand=brand)


def _cost(entrant: Entrant, cost: Cost) -> Cell:
    value = entrant.costs[cost].median
    if value is None:
        return Cell(text=ABSENT, detail="not measured", absent=True)
    text, interval = estimate(scaled(value, cost_unit(cost)[1]))
    return Cell(text=text, detail=interval or f"n = {value.n}, no interval")


def _quality(contest: Contest, verdict: Verdict, metric: str) -> Cell:
    check = next(check for check in verdict.checks if check.name == metric)
    if verdict.entrant.is_reference:
        return Cell(text=ABSENT, detail="the reference", absent=True)
    if check.value is None:
        return Cell(text=ABSENT, detail="not known", absent=True)
    text, interval = difference(oriented(contest, metric, check.value))
    return Cell(text=text, detail=f"{interval}, n = {check.value.n}")


def _probability(verdict: Verdict, draws: int) -> Cell:
    if verdict.probability is None:
        return Cell(text=ABSENT, absent=True)
    return Cell(text=share(verdict.probability, draws).partition(" of ")[0])


def axis_title(report: RecommendReport, axis: Objective) -> tuple[str, str]:
    """Name and unit of an axis of the front."""
    if axis == "quality":
        metric = report.front.metric or ""
        return metric, report.contest.metrics[metric].unit
    return axis_words(report.contest, axis, None), cost_unit(axis)[0]


def axis_value(axis: Objective, value: Estimate) -> Estimate:
    """In the unit of `axis_title`."""
    return value if axis == "quality" else scaled(value, cost_unit(axis)[1])


def front_table(report: RecommendReport) -> Table:
    """Settings on the front, then those that are dominated and by what."""
    front = report.front
    order = sorted(front.points, key=lambda point: (not point.on_front, point.values[0].value))
    titles = [axis_title(report, axis) for axis in front.axes]
    names = {axis: title for axis, (title, _) in zip(front.axes, titles, strict=True)}
    left = [f"{visible(entrant.setting.label)}: no {names[axis]}" for entrant, axis in front.left_out]
    return Table(
        columns=(
            Column(title="Setting"),
            *(Column(title=title, unit=unit, numeric=True) for title, unit in titles),
            Column(title="On the front", note="By the point estimates."),
            Column(title="Not dominated", note="Share of the resamples of the prompts.", numeric=True),
            Column(title="Dominated by", prose=True),
        ),
        rows=tuple(
            Row(
                cells=(
                    _setting(point.entrant.setting, report),
                    *(
                        Cell(text=significant(axis_value(axis, value).value))
                        for axis, value in zip(front.axes, point.values, strict=True)
                    ),
                    Cell(text="yes" if point.on_front else "no", strong=point.on_front),
                    Cell(text=share(point.probability, report.recommendation.draws).partition(" of ")[0]),
                    Cell(text=dominated_words(point, report.recommendation.draws)),
                ),
                mark=reference_mark(point.entrant.setting),
            )
            for point in order
        ),
        caption=f"The front over {', '.join(names.values())}: no other setting is at least as good in all of them and "
        "better in one. The shares are of resamples of the prompts, the same for all settings.",
        notes=tuple(f"Left out of the front: {text}." for text in left),
    )


def dominated_words(point: FrontPoint, draws: int) -> str:
    """What dominates it, and how often."""
    if point.dominated_by is None or point.p_dominated is None:
        return ""
    return f"{visible(point.dominated_by.setting.label)} (in {share(point.p_dominated, draws)})"


def hosting_table(hosting: Hosting) -> Table:
    """Every assumption with its source."""
    return Table(
        columns=(
            Column(title="Assumption"),
            Column(title="Value", numeric=True),
            Column(title="Unit"),
            Column(title="Source", prose=True),
        ),
        rows=tuple(
            Row(
                cells=(
                    Cell(text=one.name),
                    Cell(text=significant(one.value)),
                    Cell(text=one.unit),
                    Cell(text=visible(one.source)),
                )
            )
            for one in hosting.assumptions
        ),
        caption="What the dollars rest on.",
        notes=(
            "Electricity of a GPU that waits, and the people who keep it running, are not in the dollars.",
            "The interval of a break-even follows from that of the latency alone.",
        ),
    )


def hosting_sentences(hosting: Hosting) -> tuple[str, ...]:
    """What comes of it, a sentence a way of owning."""
    own = visible(hosting.own.setting.label)
    api = "the service" if hosting.api is None else visible(hosting.api.setting.label)
    head = f"{own} on an own GPU against {api} at ${significant(hosting.api_usd_per_image)} an image."
    return (head, *(_sentence(result) for result in hosting.results), *hosting.warnings)


def _sentence(result: BreakEven) -> str:
    name = OWNERSHIP[result.ownership].capitalize()
    tail = (
        f"one device draws {result.capacity:,.0f} images a day at most, then at "
        f"${significant(result.usd_at_capacity)} an image"
    )
    if result.images_per_day is None:
        return f"{name}: the own GPU never costs less: {result.reason}; {tail}."
    low, high = result.images_per_day.interval or (None, None)
    interval = "" if low is None or high is None or low == high else f" ({low:,.0f} – {high:,.0f})"
    if result.images_per_day.value < 1:
        return f"{name}: the own GPU costs less from the first image on; {tail}."
    return f"{name}: the own GPU costs less from {result.images_per_day.value:,.0f} images a day on{interval}; {tail}."
