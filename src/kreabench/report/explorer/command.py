"""The command that draws one setting again: overrides of the shipped configuration, out of a run's own config.yaml."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kreabench.core.overrides import NoOverride, override, overrides_of
from kreabench.core.planned import Setting
from kreabench.core.redaction import redact
from kreabench.core.specs import ExperimentSpec
from kreabench.report.explorer.shipped import Values, metrics_of, names_of, shipped, top
from kreabench.report.text import file_name, message
from kreabench.rundir.directory import CONFIG_FILE, RunDirectory

_SOURCES = ("file", "hub", "grammar")
_RUN = ("seeds", "repeats", "passes", "warmup", "order_seed")
"""Of `run`; the folder and the race are the reader's, concurrency is the setting's."""
_LEVELS = ("rate", "in_flight", "batch_size")
"""Of `load`; they are the setting's."""
_WHOLE = ("budget", "scoring")
"""Sections that are repeated as they were."""
_LATER = ("trained",)
"""Of a target; runs from before these keys lack them, and asked for none."""


class Commands:
    """Of one run; what its settings have in common is worked out once."""

    def __init__(self, run: RunDirectory) -> None:
        self._experiment = run.info.experiment
        self._values = _composed(run)
        self._common: tuple[str, ...] = ()
        self._obstacle = ""
        try:
            self._common = tuple(_common(self._values, self._experiment))
        except NoOverride as error:
            self._obstacle = str(error)

    def of(self, setting: Setting, reference: Setting | None) -> str:
        """One line for a shell; where the run cannot be expressed, a comment that says why.

        Its plan holds `setting`, and `reference` where that is another one, with all prompts, seeds and repeats.
        """
        if self._obstacle:
            return _sorry(self._obstacle)
        try:
            words = [*_setting_words(self._values, setting, reference), *self._common]
        except NoOverride as error:
            return _sorry(str(error))
        name = f"{file_name(self._experiment.name)[:60]}-{setting.id[:8]}"
        line = shlex.join(["kreabench", "run", override("name", name), *words])
        if redact(line) != line or not line.isprintable():
            return _sorry("its configuration holds a path or a key, which a report does not show")
        return line


def _sorry(why: str) -> str:
    return f"# No command of one line draws it again: {message(why, 200)}."


def _composed(run: RunDirectory) -> Values:
    """config.yaml of the run; empty where it is gone or damaged."""
    from yaml import YAMLError, safe_load

    try:
        values = safe_load((run.path / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError):
        return {}
    return values if isinstance(values, dict) else {}


def _section(values: Mapping[str, Any], *keys: str) -> Values:
    """A part of the configuration; empty where there is none."""
    found: Any = values
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else {}


def _common(values: Values, experiment: ExperimentSpec) -> Iterator[str]:
    targets = {target.name for target in experiment.targets}
    if not targets <= _section(values, "target").keys() or not _section(values, "axes"):
        raise NoOverride("its config.yaml does not hold what it was asked")
    yield from _prompts(_section(values, "prompts"))
    run, theirs = _section(values, "run"), top()["run"]
    for key in _RUN:
        if key in run:
            yield from _changes(f"run.{key}", run[key], theirs.get(key))
    if experiment.traffic is not None:
        yield override("run.load", True)
        for key, value in _section(values, "load").items():
            if key not in _LEVELS:
                yield from _changes(f"load.{key}", value, top()["load"].get(key))
    yield from _metrics(_section(values, "metrics"))
    for name in _WHOLE:
        yield from _changes(name, _section(values, name), top()[name])
    hour = _section(values, "pricing").get("device_usd_per_hour")
    if hour is not None:
        yield override("pricing.device_usd_per_hour", hour)


def _changes(key: str, wanted: Any, there: Any) -> Iterator[str]:
    try:
        yield from overrides_of(key, wanted, there)
    except NoOverride as error:
        raise NoOverride(f"it lacks {error}, which the shipped configuration has") from error


def _prompts(wanted: Values) -> Iterator[str]:
    """The shipped set that takes the fewest changes."""
    file = wanted.get("file")
    known = {name: shipped("prompts", name) or {} for name in names_of("prompts")}
    if file is not None and file not in {values.get("file") for values in known.values()}:
        raise NoOverride("its prompts come from a file of its own")
    said: dict[str, list[str]] = {}
    for name, values in known.items():
        if any((values.get(key) is None) != (wanted.get(key) is None) for key in _SOURCES):
            continue
        extra = {key: None for key in wanted if key not in values}
        try:
            said[name] = list(overrides_of("prompts", {**dict.fromkeys(values), **wanted}, {**values, **extra}))
        except NoOverride:
            continue
    if not said:
        raise NoOverride("its prompts are of no shipped set")
    best = min(said, key=lambda name: (len(said[name]), name != "short"))
    yield from [override("prompts", best)] if best != "short" else []
    yield from said[best]


def _metrics(wanted: Values) -> Iterator[str]:
    """The shipped files that hold them, each once, then what differs."""
    files: list[str] = []
    there: Values = {}
    for name, values in wanted.items():
        if name in there:
            continue
        holding = [file for file in names_of("metrics") if name in metrics_of(file)]
        holding = [file for file in holding if metrics_of(file).keys() <= wanted.keys()]
        if not holding:
            raise NoOverride(f"its metric {name} is no shipped one")
        best = next((file for file in holding if metrics_of(file)[name] == values), holding[0])
        files.append(best)
        there |= metrics_of(best)
    yield override("metrics", files)
    for name, values in wanted.items():
        yield from _changes(f"metrics.{name}", values, there[name])


def _setting_words(values: Values, setting: Setting, reference: Setting | None) -> Iterator[str]:
    members = [setting] if reference is None else list(dict.fromkeys([reference, setting]))
    accelerations = list(dict.fromkeys(one.acceleration for one in members))
    steps = list(dict.fromkeys(one.steps for one in members))
    for group, names in (("target", [setting.target]), ("acceleration", accelerations)):
        yield override(group, names)
        for name in names:
            there = shipped(group, name)
            if there is None:
                raise NoOverride(f"the {group} {name} is no shipped one")
            absent = {key: None for key in _LATER if key in there}
            yield from _changes(f"{group}.{name}", {**absent, **_section(values, group, name)}, there)
    yield override("axes.steps", ["default"] if steps == [None] else sorted(step for step in steps if step is not None))
    yield from _axes(setting)
    yield from _load(values, members)
    if len(accelerations) > 1 and len(steps) > 1:
        corners = [{"acceleration": one.acceleration, "steps": two.steps} for one in members for two in members]
        kept = [{"acceleration": one.acceleration, "steps": one.steps} for one in members]
        yield override("axes.exclude", [corner for corner in corners if corner not in kept])
    yield from _reference(values, reference)


def _axes(setting: Setting) -> Iterator[str]:
    yield override("axes.size", [f"{setting.width}x{setting.height}"])
    if setting.guidance is not None:
        yield override("axes.guidance", [setting.guidance])
    if setting.num_images != 1:
        yield override("axes.num_images", [setting.num_images])
    if setting.strength is not None:
        yield override("axes.strength", [setting.strength])
    if setting.output_format != "png":
        yield override("axes.output_format", [setting.output_format])


def _load(values: Values, members: Sequence[Setting]) -> Iterator[str]:
    """Rate of arrivals or requests in flight; of a load run that of the reference beside it."""
    rates = sorted({one.rate_per_s for one in members if one.rate_per_s is not None})
    if rates:
        yield override("load.rate", rates)
    elif _section(values, "run").get("load"):
        yield override("load.in_flight", sorted({one.concurrency for one in members}))
    elif members[0].concurrency != 1:
        yield override("run.concurrency", members[0].concurrency)
    if any(one.batch_size > 1 for one in members):
        yield override("load.batch_size", sorted({one.batch_size for one in members}))
    if any(one.replicas > 1 for one in members):  # else the engine is the reader's
        yield override("engine.devices", _section(values, "engine")["devices"])


def _reference(values: Values, reference: Setting | None) -> Iterator[str]:
    if reference is None:
        yield from _changes("reference", _section(values, "reference"), top()["reference"])
        return
    if reference.acceleration != top()["reference"]["acceleration"]:
        yield override("reference.acceleration", reference.acceleration)
    if reference.steps is not None:
        yield override("reference.steps", reference.steps)
