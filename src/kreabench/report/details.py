"""The tables around the numbers: what was skipped, what failed, what was loaded, at which prices, by which versions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kreabench.core.planned import Plan, Setting
from kreabench.core.records import Failure, FailureRecord, LoadRecord, SampleRecord
from kreabench.core.specs import MetricSpec, PriceSpec, TargetSpec
from kreabench.metrics.table import MetricRow, range_in_words, row_of
from kreabench.metrics.weight_sources import NOT_PINNED, is_pinned
from kreabench.report.format import ABSENT, count, duration, general, usd
from kreabench.report.parts import Cell, Column, Row, Table
from kreabench.report.text import message, visible

MAX_FAILURES = 40
"""Different failures listed; more of them say nothing new."""


def skipped_table(plan: Plan) -> Table | None:
    """Points of the matrix that a target cannot do."""
    if not plan.skipped:
        return None
    strengths = any(s.strength is not None for s in plan.skipped)
    crowds = any(s.concurrency > 1 for s in plan.skipped)

    def strength(value: float | None) -> tuple[str, ...]:
        return ((ABSENT if value is None else f"{value:g}"),) if strengths else ()

    rows = tuple(
        _row(
            *(s.target, s.acceleration, general(s.steps), general(s.guidance)),
            *strength(s.strength),
            *(s.size, s.num_images, s.output_format, *((s.concurrency,) if crowds else ()), s.reason),
        )
        for s in plan.skipped
    )
    names = ("Target", "Acceleration", "Steps", "Guidance", *(("Strength",) if strengths else ()))
    names = (*names, "Size", "Images", "Format", *(("In flight",) if crowds else ()))
    columns = _columns(*names, prose=("Reason",))
    return Table(columns=columns, rows=rows, caption="Settings that were asked for and cannot be done.")


@dataclass(kw_only=True)
class _Occurrences:
    samples: int = 0
    attempts: int = 0
    where: dict[str, None] = field(default_factory=dict)


def failures_table(
    samples: Iterable[SampleRecord], failures: Iterable[FailureRecord], settings: Sequence[Setting]
) -> Table | None:
    """What failed and why, equal failures counted together, those that cost most samples first."""
    labels = {setting.id: setting.label for setting in settings}
    found: dict[tuple[str, str, str, str], _Occurrences] = {}
    for sample in samples:
        if sample.error is not None:
            occurrences = found.setdefault(_kind(sample.error), _Occurrences())
            occurrences.samples += 1
            occurrences.where[labels.get(sample.setting_id, sample.setting_id)] = None
    for failure in failures:
        occurrences = found.setdefault(_kind(failure.error), _Occurrences())
        occurrences.attempts += 1
        if failure.setting_id is not None:
            occurrences.where[labels.get(failure.setting_id, failure.setting_id)] = None
    if not found:
        return None
    ordered = sorted(found.items(), key=lambda item: (-item[1].samples, -item[1].attempts, item[0]))
    rows = tuple(
        _row(o.samples, o.attempts, type_, stage, text, remedy or ABSENT, _where(tuple(o.where)))
        for (type_, stage, text, remedy), o in ordered[:MAX_FAILURES]
    )
    more = len(ordered) - MAX_FAILURES
    return Table(
        columns=(
            Column(title="Samples", note="Requests that failed for good.", numeric=True),
            Column(
                title="Attempts", note="Loads, warm-ups and attempts that failed but ended no request.", numeric=True
            ),
            *_columns("Kind", "Stage", prose=("Message", "Remedy", "Where")),
        ),
        rows=rows,
        caption="Every failure is a record: none is dropped, none counts as a zero.",
        notes=(f"{more} further kinds of failure are in samples.csv and the run's journal.",) if more > 0 else (),
    )


def _kind(error: Failure) -> tuple[str, str, str, str]:
    return message(error.type), message(error.stage), message(error.message), message(error.remedy)


def _where(labels: tuple[str, ...]) -> str:
    shown = "; ".join(map(visible, labels[:2]))
    return f"{shown}; {len(labels) - 2} more" if len(labels) > 2 else shown or ABSENT


def loads_table(loads: Sequence[LoadRecord]) -> Table | None:
    """Each time a model was loaded, and the back end's own account of it."""
    if not loads:
        return None
    rows = tuple(_row(load.target, load.started_utc, duration(load.load_s), _identity(load.identity)) for load in loads)
    columns = _columns("Target", "Started (UTC)", "Took", prose=("Identity",))
    return Table(columns=columns, rows=rows, caption="Loading is timed by itself and is in no sample's latency.")


def _identity(identity: Mapping[str, Any]) -> str:
    parts = (f"{key}: {value if isinstance(value, str) else json.dumps(value)}" for key, value in identity.items())
    return message(", ".join(parts), 600)


def metrics_table(metrics: Sequence[MetricSpec]) -> Table | None:
    """What each metric measures, with which weights, and what it is known to get wrong."""
    rows = []
    for spec in metrics:
        row = row_of(spec)
        if row is not None:
            facts = (spec.name, row.unit, range_in_words(row), row.summary, row.bias, _weights(spec, row), row.licence)
            rows.append(_row(*facts))
    columns = _columns("Metric", "Unit", "Range", prose=("Measures", "Known bias", "Weights", "Their licence"))
    return Table(columns=columns, rows=tuple(rows), caption="What the scores mean.") if rows else None


def _weights(spec: MetricSpec, row: MetricRow) -> str:
    """What the metric loads, and from where if that was elsewhere; never a path of the machine."""
    if spec.options.get("untrained"):
        return "random, untrained"
    values = [value for value in spec.options.values() if isinstance(value, str)]
    sources = [value for value in values if value.startswith(("hub:", "https://"))]
    told = [source if is_pinned(source) else f"{source} ({NOT_PINNED})" for source in sources]
    return "; ".join([row.weights, *told])


def prices_table(targets: Sequence[TargetSpec]) -> Table | None:
    """Where the dollars come from."""
    rows = []
    for target in targets:
        if target.price is not None:
            rows.append(_row(target.name, target.price.date, _price(target.price), target.price.source))
        if target.usd_per_hour is not None:
            rows.append(_row(target.name, ABSENT, f"{usd(target.usd_per_hour)} an hour of the device", "configuration"))
    columns = _columns("Target", "Read on", prose=("Price", "Source"))
    return Table(columns=columns, rows=tuple(rows), caption="Prices as configured.") if rows else None


def _price(price: PriceSpec) -> str:
    if price.usd_per_image is not None:
        return f"{usd(price.usd_per_image)} an image"
    first, further = price.usd_first_megapixel or 0.0, price.usd_further_megapixel or 0.0
    rate = f"{usd(first)} a megapixel" if first == further else f"{usd(first)} the first megapixel of an image"
    more = "" if first == further else f", {usd(further)} each further one"
    rounding = ", each image rounded up" if price.round_up else ""
    return f"{rate}{more}; a megapixel is {price.megapixel_pixels:,} pixels{rounding}"


def environment_table(
    plan_hash: str, git_revision: str | None, versions: Mapping[str, str], environment: Mapping[str, str]
) -> Table:
    """Which versions, on what."""
    rows = [_row("plan", plan_hash)]
    rows += [_row("git revision", git_revision)] if git_revision else []
    rows += [_row(name, version) for name, version in versions.items()]
    rows += [_row(name, value) for name, value in environment.items()]
    return Table(
        columns=_columns("Name", prose=("Value",)), rows=tuple(rows), caption="Versions and environment of the run."
    )


def targets_table(targets: Sequence[TargetSpec]) -> Table:
    """What was measured."""
    rows = tuple(
        _row(
            target.name,
            f"{'hosted' if target.hosted else 'local'}, {target.backend}",
            _nature(target),
            target.revision or ABSENT,
            target.model,
        )
        for target in targets
    )
    columns = _columns("Target", "Back end", "Nature", "Revision", prose=("Model",))
    return Table(columns=columns, rows=rows, caption=f"{count(len(targets), 'target')} of this run.")


def _nature(target: TargetSpec) -> str:
    said = [text for text in _brands(target) if text]
    return ", ".join(said) or "as published"


def _brands(target: TargetSpec) -> Iterable[str]:
    return (
        target.model_note,
        "untrained weights" if target.untrained else "",
        "emulated service" if target.emulated else "",
    )


def _columns(*titles: str, prose: Sequence[str] = ()) -> tuple[Column, ...]:
    return (*(Column(title=title) for title in titles), *(Column(title=title, prose=True) for title in prose))


def _row(*values: object) -> Row:
    return Row(cells=tuple(_cell(value) for value in values))


def _cell(value: object) -> Cell:
    text = message(str(value), 600)
    return Cell(text=text, absent=text == ABSENT)
