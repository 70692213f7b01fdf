"""What a run was drawn on and with: its device, its reference, and the versions of all that may change a picture."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from kreabench.core.records import LoadRecord
from kreabench.core.specs import ExperimentSpec, TargetSpec
from kreabench.rundir.directory import RunInfo

DEVICE_OF = "device of "
"""Before a target's name, among the facts of a side."""

_LEFT_OUT = frozenset(
    {"device", "device_model", "parameters", "predicted_memory", "features", "features_found", "left_out"}
)
"""Of a load's identity: facts of their own, or what follows from the setting."""


def facts_of(experiment: ExperimentSpec, loads: Sequence[LoadRecord]) -> dict[str, str]:
    """What must be equal before two sides are compared; see `comparability.KEYS`."""
    devices: dict[str, set[str]] = {}
    targets = {target.name: target for target in experiment.targets}
    for load in loads:
        if load.target in targets:
            devices.setdefault(load.target, set()).add(_device(targets[load.target], load.identity))
    by_target = {f"{DEVICE_OF}{name}": ", ".join(sorted(found)) for name, found in devices.items()}
    reference = f"{experiment.reference.acceleration}, {experiment.reference.steps} steps"
    return with_device({"reference": reference, **by_target}, set(targets))


def with_device(facts: Mapping[str, str], targets: Collection[str]) -> dict[str, str]:
    """`facts` with the device of some targets alone. Unchanged where the device of no target is known."""
    devices = {facts[f"{DEVICE_OF}{name}"] for name in targets if f"{DEVICE_OF}{name}" in facts}
    return {**facts, **({"device": ", ".join(sorted(devices))} if devices else {})}


def _device(target: TargetSpec, identity: Mapping[str, Any]) -> str:
    if target.hosted:
        return f"hosted ({target.backend}{', emulated' if target.emulated else ''})"
    kind = str(identity.get("device") or "a device without a name").partition(":")[0]  # cuda:0 and cuda:1 are alike
    model = identity.get("device_model")
    return f"{kind} ({model})" if model else kind


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
    """Without the folders of an absolute path."""
    text = str(value)
    for kind in (PurePosixPath, PureWindowsPath):
        if kind(text).is_absolute():
            return f"…/{kind(text).name}"
    return text
