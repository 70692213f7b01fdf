"""What a run was drawn on and with: its device, its reference, and the versions of all that may change a picture."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from kreabench.core.device_names import device_in_words
from kreabench.core.planned import Setting
from kreabench.core.records import LoadRecord
from kreabench.core.redaction import redact
from kreabench.core.specs import ExperimentSpec, TargetSpec
from kreabench.rundir.directory import RunInfo

OF_TARGET = {"device": "device of ", "reference": "reference of "}
"""Fact of a side → what stands before a target's name in the same fact of that target alone."""

_LEFT_OUT = frozenset(
    {"device", "device_model", "parameters", "predicted_memory", "features", "features_found", "left_out"}
)
"""Of a load's identity: facts of their own, or what follows from the setting."""


def facts_of(experiment: ExperimentSpec, loads: Iterable[LoadRecord], settings: Iterable[Setting]) -> dict[str, str]:
    """What must be equal before two sides are compared (`comparability.KEYS`), of each target and of all.

    The reference is the one that the plan found, as `default` steps are another number for another target or run.
    """
    targets = {target.name: target for target in experiment.targets}
    found: dict[str, set[str]] = {}
    for load in loads:
        if load.target in targets:
            name = f"{OF_TARGET['device']}{load.target}"
            found.setdefault(name, set()).add(_device(targets[load.target], load.identity))
    for setting in settings:
        if setting.id == setting.reference_id:
            steps = "" if setting.steps is None else f", {setting.steps} steps"
            found.setdefault(f"{OF_TARGET['reference']}{setting.target}", set()).add(f"{setting.acceleration}{steps}")
    return facts_for({name: "; ".join(sorted(values)) for name, values in found.items()}, targets)


def facts_for(facts: Mapping[str, str], targets: Collection[str]) -> dict[str, str]:
    """`facts` with the device and the reference of some targets alone; unchanged where those are not known."""
    chosen = dict(facts)
    for name, before in OF_TARGET.items():
        values = {facts[f"{before}{target}"] for target in targets if f"{before}{target}" in facts}
        if values:
            chosen[name] = "; ".join(sorted(values))
    return chosen


def _device(target: TargetSpec, identity: Mapping[str, Any]) -> str:
    if target.hosted:
        return f"hosted ({target.backend}{', emulated' if target.emulated else ''})"
    return device_in_words(identity)


def versions_of(info: RunInfo, loads: Iterable[LoadRecord]) -> dict[str, str]:
    """Packages, variables of the environment, and, as `TARGET: NAME`, what each load said of its model. No paths."""
    versions = {name: _plain(version) for name, version in info.versions.items()}
    versions |= {f"environment {name}": _plain(value) for name, value in info.environment.items()}
    if info.git_revision:
        versions["git revision"] = info.git_revision
    found: dict[str, dict[str, None]] = {}
    for load in loads:
        for name, value in _flat(load.identity):
            found.setdefault(f"{load.target}: {name}", {})[_plain(value)] = None
    return versions | {name: ", ".join(values) for name, values in found.items()}


def _flat(identity: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names of what is nested are joined by a space; numbers of a service's connection are as good as any."""
    for name, value in identity.items():
        if name in _LEFT_OUT or value is None:
            continue
        if isinstance(value, Mapping):
            yield from ((f"{name} {inner}", part) for inner, part in _flat(value))
        else:
            yield name, value


def _plain(value: Any) -> str:
    """Without the folders of absolute paths, and without keys: it is shown, and kept in baseline files."""
    text = str(value)
    for kind in (PurePosixPath, PureWindowsPath):
        if kind(text).is_absolute():
            return f"…/{kind(text).name}"
    return redact(text)
