"""What the sums of an own GPU or the API start from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from kreabench.analysis.settings import SettingSummary
from kreabench.core.specs import TargetSpec
from kreabench.decisions.recommend_hosting import load_seconds, seconds_per_image
from kreabench.report.explorer.data import BreakEvenData, HostedData, OwnData
from kreabench.report.explorer.quantities import costs_of, value_of, values_of
from kreabench.report.explorer.sources import Source
from kreabench.report.text import message, visible

_BASES = {"billed": "billed by the service", "price_list": "by the price list", "device_hour": "by the hour"}


def break_even_of(sources: Sequence[Source]) -> BreakEvenData:
    """Local settings with their seconds, hosted ones with their price; those without are left out, and counted."""
    own = tuple(one for source in sources for one in _own(source))
    hosted = tuple(one for source in sources for one in _hosted(source))
    return BreakEvenData(own=own, hosted=hosted, notes=tuple(dict.fromkeys(_notes(sources, own, hosted))))


def _members(source: Source, *, hosted: bool) -> Iterator[tuple[SettingSummary, TargetSpec]]:
    targets = source.evidence.targets
    for summary in source.evidence.summaries:
        target = targets[summary.setting.target]
        if target.hosted == hosted:
            yield summary, target


def _own(source: Source) -> Iterator[OwnData]:
    for summary, target in _members(source, hosted=False):
        if "latency_s" not in values_of(summary) or summary.latency is None:
            continue
        setting = summary.setting
        seconds = value_of(seconds_per_image(summary.latency, setting.num_images))
        loads = load_seconds(source.evidence.journal.loads, setting.load_key)
        energy = costs_of(summary).get("energy_per_image_j")
        yield OwnData(
            setting=source.setting_id(setting.id),
            seconds_per_image=seconds.value,
            seconds_low=seconds.low,
            seconds_high=seconds.high,
            load_s=float(np.median(loads)) if loads else 0.0,
            joule_per_image=None if energy is None else energy.value,
            usd_per_hour=target.usd_per_hour,
        )


def _hosted(source: Source) -> Iterator[HostedData]:
    for summary, target in _members(source, hosted=True):
        usd = summary.cost.usd_per_image
        if usd is not None:
            yield HostedData(
                setting=source.setting_id(summary.setting.id), usd_per_image=usd, source=_source(summary, target)
            )


def _source(summary: SettingSummary, target: TargetSpec) -> str:
    """Where the dollars of a picture come from, with the date of a price list."""
    said = " and ".join(_BASES.get(basis, basis) for basis in summary.cost.bases)
    if target.price is None:
        return said
    return f"{said}; list read {visible(target.price.date)} from {message(target.price.source, 200)}"


def _target_notes(target: TargetSpec) -> Iterator[str]:
    if target.emulated:
        yield f"{visible(target.name)} is emulated: its dollars are by the price list, nothing was billed."
    if target.untrained and not target.hosted:
        yield f"{visible(target.name)} has untrained weights: its times are no real model's."
    if target.model_note:
        yield f"{visible(target.name)}: {visible(target.model_note)}."


def _notes(sources: Sequence[Source], own: Sequence[OwnData], hosted: Sequence[HostedData]) -> Iterator[str]:
    for source in sources:
        for target in source.evidence.experiment.targets:
            yield from _target_notes(target)
    if own and any(one.usd_per_hour is None for one in own):
        some = "" if all(one.usd_per_hour is None for one in own) else " of every run"
        yield (
            f"Nobody said what an hour of the own GPU{some} costs (pricing.device_usd_per_hour): without a price "
            "there is no sum."
        )
    if any(not one.load_s for one in own):
        yield "Where no loading was measured, it counts as 0 s."
    if own and all(one.joule_per_image is None for one in own):
        yield "No energy was measured: electricity is not priced."
    if not own:
        yield "No local setting of the report has a latency."
    if not hosted:
        yield "No hosted setting of the report has a price."
