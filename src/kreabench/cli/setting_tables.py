"""Settings as lines of tables that fit a terminal: what happened, and the scores that have a better side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from kreabench.analysis.settings import MetricSummary, SettingSummary
from kreabench.cli.terminal import make_table
from kreabench.core.score_records import SetScoreRecord
from kreabench.core.specs import MetricSpec
from kreabench.report.format import ABSENT, MIB, general, significant
from kreabench.report.sets import set_value

_UNBOUNDED = 10_000
"""Columns of a terminal that cuts no table short."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TextColumn:
    """One column of a table."""

    head: str
    cells: Mapping[str, str]
    """By id of the setting."""
    side: str = "r"
    """`l` or `r`."""


def score_columns(
    summaries: Sequence[SettingSummary],
    metrics: Sequence[MetricSpec],
    set_scores: Sequence[SetScoreRecord],
    of_sets: Sequence[MetricSpec],
) -> list[TextColumn]:
    """A column a metric of pictures (`metrics`), then one a metric of sets that has a value or a failure anywhere."""
    names = {spec.name for spec in metrics}
    scores = {
        summary.setting.id: {metric.name: metric for metric in summary.metrics if metric.name in names}
        for summary in summaries
    }
    held: dict[str, dict[str, SetScoreRecord]] = {}
    for score in set_scores:
        held.setdefault(score.metric, {})[score.setting_id] = score
    return [
        *(
            TextColumn(
                head=_head(spec.name, any(row[spec.name].untrained for row in scores.values() if spec.name in row)),
                cells={id_: _metric_cell(row[spec.name]) for id_, row in scores.items() if spec.name in row},
            )
            for spec in metrics
        ),
        *(
            TextColumn(
                head=_head(spec.name, any(score.untrained for score in found.values())),
                cells={id_: _set_cell(score) for id_, score in found.items()},
            )
            for spec in of_sets
            if (found := held.get(spec.name))
        ),
    ]


def setting_tables(
    out: Console, members: Sequence[SettingSummary], axes: Sequence[str], scores: Sequence[TextColumn]
) -> Iterator[Table]:
    """What happened and the scores, as much in one table as fits on `out`; then the rest beside the settings again."""
    names = _names(members, axes)
    left = [*_happened(members), *scores]
    while left:
        fit = max(1, _how_many_fit(out, members, names, left))
        yield _table(members, [*names, *left[:fit]])
        left = left[fit:]


def _how_many_fit(
    out: Console, members: Sequence[SettingSummary], lead: Sequence[TextColumn], scores: Sequence[TextColumn]
) -> int:
    """Scores beside `lead` in a table no wider than `out`."""
    options = out.options.update(width=_UNBOUNDED)
    for number in range(len(scores), 0, -1):
        if out.measure(_table(members, [*lead, *scores[:number]]), options=options).maximum <= out.width:
            return number
    return 0


def _table(members: Sequence[SettingSummary], columns: Sequence[TextColumn]) -> Table:
    table = make_table(*((column.head, column.side) for column in columns))
    for summary in members:
        table.add_row(*(column.cells.get(summary.setting.id, ABSENT) for column in columns))
    return table


def _names(members: Sequence[SettingSummary], axes: Sequence[str]) -> list[TextColumn]:
    """What tells the settings of one target and size apart."""
    called = {s.setting.id: f"{s.setting.acceleration}{' (ref)' if s.is_reference else ''}" for s in members}
    return [
        TextColumn(head="acceleration", cells=called, side="l"),
        TextColumn(head="steps", cells={s.setting.id: general(s.setting.steps) for s in members}),
        *(
            TextColumn(head=axis, cells={s.setting.id: _axis(getattr(s.setting, axis)) for s in members})
            for axis in axes
        ),
    ]


def _axis(value: object) -> str:
    return ABSENT if value is None else str(value)


def _happened(members: Sequence[SettingSummary]) -> list[TextColumn]:
    """Memory and dollars only where some setting has them: a hosted model tells no memory, our own no price."""
    heads = ("ok", "failed", "median s", "peak MiB", "$/image")
    rows = {summary.setting.id: _happened_cells(summary) for summary in members}
    columns = [
        TextColumn(head=head, cells={id_: row[index] for id_, row in rows.items()}) for index, head in enumerate(heads)
    ]
    known = [column for column in columns[3:] if set(column.cells.values()) != {ABSENT}]
    return [*columns[:3], *known]


def _happened_cells(summary: SettingSummary) -> tuple[str, ...]:
    peak = summary.memory
    return (
        f"{summary.ok}{'' if summary.requested is None else f'/{summary.requested}'}",
        str(summary.failed),
        ABSENT if summary.latency is None else significant(summary.latency.value),
        ABSENT if peak is None else f"{peak.max_bytes / MIB:,.0f}",
        ABSENT if summary.cost.usd_per_image is None else significant(summary.cost.usd_per_image),
    )


def _head(name: str, untrained: bool) -> str:
    return f"{name}†" if untrained else name


def _metric_cell(metric: MetricSummary) -> str:
    if metric.mean is None:
        return "∞" if metric.infinite else ABSENT
    text = significant(metric.mean.value)
    return f"{text} ({metric.infinite} ∞)" if metric.infinite else text


def _set_cell(score: SetScoreRecord) -> str:
    value, error = set_value(score)
    return f"{value} ± {error}" if error else value
