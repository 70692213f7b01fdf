"""From a run to what is told of it: parameters, numbers, tags, and the report's own tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from kreabench import __version__
from kreabench.analysis.settings import SettingSummary
from kreabench.core.ids import stable_hash
from kreabench.core.planned import Setting
from kreabench.core.records import LoadRecord
from kreabench.core.redaction import redact
from kreabench.core.specs import TargetSpec
from kreabench.report.dictionary import DICTIONARY, data_dictionary
from kreabench.report.evidence import Evidence
from kreabench.report.explorer.quantities import absent_of
from kreabench.report.load.tables import load_csv
from kreabench.report.parquet import samples_parquet, settings_parquet
from kreabench.report.sets import set_scores_csv
from kreabench.report.tables import axes_of, samples_csv, settings_csv
from kreabench.report.text import message, visible
from kreabench.rundir.directory import RunInfo
from kreabench.tracking.entries import Entry, Export, Parameter, State
from kreabench.tracking.numbers import metrics_of, numbers
from kreabench.tracking.picture_files import chosen_units, picture_files

PREFIX = "kreabench."
"""Of every tag of ours."""

RUN_TAG = f"{PREFIX}run_id"
SETTING_TAG = f"{PREFIX}setting_id"

_BRANDS = ("untrained", "emulated", "random_weights")


def run_id_of(info: RunInfo) -> str:
    """The same for every copy of a run, and another for a second run of the same plan."""
    return stable_hash([info.plan_hash, info.created_utc])


def export_of(evidence: Evidence, pictures: int = 0) -> Export:
    """What is told of a run, in whatever state it is, with at most so many `pictures` of each setting."""
    left_out: list[str] = []
    units = chosen_units(evidence.plan, pictures)
    settings = tuple(_setting_entry(evidence, summary, units, left_out) for summary in evidence.summaries)
    return Export(run=_run_entry(evidence), settings=settings, left_out=left_out)


def _run_entry(evidence: Evidence) -> Entry:
    info, experiment = evidence.run.info, evidence.experiment
    summaries, paid = evidence.summaries, evidence.journal.money
    counts = {
        "settings": len(summaries),
        "skipped_settings": len(evidence.plan.skipped),
        "dropped_settings": len(evidence.dropped),
        "requested": sum(summary.requested or 0 for summary in summaries),
        "ok": sum(summary.ok for summary in summaries),
        "failed": sum(summary.failed for summary in summaries),
        "images": sum(summary.images for summary in summaries),
        "usd_total": paid.usd if paid.totals or paid.unknown else None,
        "usd_unknown_requests": paid.unknown if paid.totals or paid.unknown else None,
    }
    dropped = {setting.label: drop.reason for setting in evidence.whole.settings
               if (drop := evidence.dropped.get(setting.id)) is not None}  # fmt: skip
    tags = {
        "description": experiment.description,
        "git_revision": info.git_revision or "",
        "skipped": "; ".join(
            f"{one.target} {one.acceleration} {one.size}: {one.reason}" for one in evidence.plan.skipped
        ),
        "dropped": "; ".join(f"{label}: {reason}" for label, reason in dropped.items()),
        **{f"version.{name}": version for name, version in info.versions.items()},
    }
    parameters: dict[str, Parameter] = {
        "experiment": visible(experiment.name),
        "prompts": len(experiment.prompts),
        "seeds": len(experiment.seeds),
        "repeats": experiment.repeats,
        "passes": experiment.passes,
        "warmup": experiment.warmup,
    }
    return Entry(
        id=run_id_of(info),
        name=visible(experiment.name),
        parameters=parameters,
        metrics=numbers(counts),
        tags=_tags(info, evidence.brand, tags),
        words=_words(experiment.targets),
        state=_state(evidence, summaries),
        files=partial(_tables, evidence),
        **_times(info, evidence.journal.samples.values()),
    )


def _setting_entry(evidence: Evidence, summary: SettingSummary, units: Any, left_out: list[str]) -> Entry:
    setting, info = summary.setting, evidence.run.info
    target = evidence.targets[setting.target]
    loads = [load for load in evidence.journal.loads if _is_of(load, setting)]
    requests = [r for group in evidence.plan.groups for r in group.requests if r.setting_id == setting.id]
    samples = evidence.journal.samples
    scores = [score for score in evidence.journal.set_scores if score.setting_id == setting.id]
    metric_names = [metric.name for metric in summary.metrics]
    absent = absent_of(summary, ("latency_s", "usd_per_image", "peak_memory_bytes", *metric_names))
    tags = {
        "setting_id": setting.id,
        "reference_id": setting.reference_id or "",
        "is_reference": str(summary.is_reference).lower(),
        "untrained": str(target.untrained).lower(),
        "emulated": str(target.emulated).lower(),
        "random_weights": str(target.random_weights).lower(),
        "model_note": target.model_note,
        "device": _one_of(loads, "device"),
        "absent": "; ".join(f"{name}: {why}" for name, why in absent.items()),
        "untrained_metrics": ", ".join(metric.name for metric in summary.metrics if metric.untrained),
        "peak_memory_kind": summary.memory.kind if summary.memory else "",
        "usd_basis": " ".join(summary.cost.bases),
        "degenerate_kinds": "; ".join(f"{kind} ({number})" for kind, number in summary.degenerate.items()),
        **_device_words(summary),
    }
    return Entry(
        id=setting.id,
        name=visible(setting.label),
        parameters=_parameters(setting, target, _one_of(loads, "revision")),
        metrics=metrics_of(summary, scores),
        tags=_tags(info, evidence.brand, tags),
        words=_words([target]),
        state=_state(evidence, [summary]),
        files=partial(picture_files, evidence.run.path, units, requests, samples, left_out),
        **_times(info, (samples[request.id] for request in requests if request.id in samples)),
    )


def _parameters(setting: Setting, target: TargetSpec, found_revision: str) -> dict[str, Parameter]:
    asked = {
        **axes_of(setting),
        "rate_per_s": setting.rate_per_s,
        "size": f"{setting.width}x{setting.height}",
        "backend": target.backend,
        "hosted": target.hosted,
        "model": target.model,
        "model_revision": found_revision or target.revision,
    }
    return {
        name: message(value) if isinstance(value, str) else value
        for name, value in asked.items()
        if value not in (None, "")
    }


def _tags(info: RunInfo, brand: str, more: Mapping[str, str]) -> dict[str, str]:
    every = {
        "run_id": run_id_of(info),
        "plan_hash": info.plan_hash,
        "created_utc": info.created_utc,
        "version": info.versions.get("kreabench", ""),
        "exported_by": __version__,
        "notice": brand,
        **more,
    }
    return {f"{PREFIX}{name}": message(text, 2000) for name, text in every.items() if text}


def _words(targets: Iterable[TargetSpec]) -> tuple[str, ...]:
    found = list(targets)
    words = [brand.replace("_", " ") for brand in _BRANDS if any(getattr(target, brand) for target in found)]
    return tuple(dict.fromkeys([*words, *(message(target.model_note) for target in found if target.model_note)]))


def _device_words(summary: SettingSummary) -> dict[str, str]:
    if summary.device is None:
        return {}
    return {
        name: "; ".join(f"{text} ({number})" for text, number in pairs)
        for name, pairs in (("throttle_reasons", summary.device.throttle_reasons), ("flags", summary.device.flags))
    }


def _is_of(load: LoadRecord, setting: Setting) -> bool:
    return load.target == setting.target and load.group_id.startswith(setting.load_key)


def _one_of(loads: Sequence[LoadRecord], name: str) -> str:
    """What the loads of a setting say of themselves, each value once; empty where they do not."""
    return ", ".join(dict.fromkeys(str(load.identity[name]) for load in loads if load.identity.get(name)))


def _state(evidence: Evidence, summaries: Sequence[SettingSummary]) -> State:
    """Of the whole run, or of one setting; what a level of load was cut short by is not going on."""
    over = {level.setting.id for curve in evidence.load for level in curve.levels if not level.goes_on}
    left = [one for one in summaries if one.setting.id not in over and one.ok + one.failed < (one.requested or 0)]
    if evidence.standing.left and left:
        return "running"
    return "finished" if any(summary.ok for summary in summaries) else "failed"


def _times(info: RunInfo, samples: Iterable[Any]) -> dict[str, Any]:
    starts = [sample.started_utc for sample in samples if sample.started_utc]
    first = min(starts, default=info.created_utc)
    return {"started_utc": first, "ended_utc": max(starts, default=first)}


def _tables(evidence: Evidence) -> Iterator[tuple[str, bytes]]:
    """Those that the report writes, as it writes them: prompts are in them, redacted is what programs said.

    Here the notes on models too, as tables go further than a report.
    """
    brand = redact(evidence.brand)
    tables = {
        "samples.csv": samples_csv(evidence.table, brand).encode(),
        "settings.csv": settings_csv(evidence.summaries, brand).encode(),
    }
    if evidence.journal.set_scores:
        labels = {summary.setting.id: summary.setting.label for summary in evidence.summaries}
        tables["set_scores.csv"] = set_scores_csv(evidence.journal.set_scores, labels, brand).encode()
    if evidence.load:
        tables["load.csv"] = load_csv(evidence.load, brand).encode()
    yield from tables.items()
    yield "samples.parquet", samples_parquet(evidence.table, brand)
    yield "settings.parquet", settings_parquet(evidence.summaries, brand)
    yield DICTIONARY, data_dictionary(tables, evidence.experiment.metrics).encode()
