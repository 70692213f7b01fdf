"""The plan: a pure function of what is asked. Which settings, which requests, in which order, under which identity."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from kreabench.backends.accelerations.choose import chosen, missing
from kreabench.backends.accelerations.features import features_of_phase
from kreabench.backends.batching import reject_batch
from kreabench.backends.table import identity_options, service_identity
from kreabench.core.endpoint_inputs import FILLED_INPUTS
from kreabench.core.ids import stable_hash
from kreabench.core.planned import (
    LoadGroup,
    Plan,
    Setting,
    SkippedSetting,
)
from kreabench.core.sizes import parse_size
from kreabench.core.specs import (
    AccelerationSpec,
    ExperimentSpec,
    OutputFormat,
    Prompt,
    TargetSpec,
)
from kreabench.core.traffic import TrafficSpec
from kreabench.limits import (
    reject_acceleration,
    reject_guidance,
    reject_num_images,
    reject_output_format,
    reject_size,
    reject_steps,
    reject_strength,
)
from kreabench.plan_references import reference_ids
from kreabench.plan_requests import IDENTITY_VERSION, requests_of, requests_of_level

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One point of the multiplied axes for one target, defaults filled in, not yet known to be possible."""

    target: TargetSpec
    acceleration: AccelerationSpec
    steps: int | None
    guidance: float | None
    size: str
    num_images: int
    output_format: OutputFormat
    strength: float | None = None
    concurrency: int = 1
    rate_per_s: float | None = None
    batch_size: int = 1
    replicas: int = 1


def build_plan(experiment: ExperimentSpec) -> Plan:
    """Multiply the axes, leave out what is excluded, list what cannot be done, and order the requests."""
    settings: dict[str, Setting] = {}
    groups: dict[str, tuple[TargetSpec, dict[str, AccelerationSpec], list[Setting]]] = {}
    skipped: dict[SkippedSetting, None] = {}
    excluded = 0
    for point in _points(experiment):
        if is_excluded(point, experiment.axes.exclude):
            excluded += 1
            continue
        point = replace(point, acceleration=chosen(point.acceleration, point.target, experiment.machine))
        reason = rejection(point) or missing(point.acceleration.features, point.target, experiment.machine)
        if reason is not None:
            skipped[_skipped(point, reason)] = None
            continue
        setting = _setting(point, experiment.traffic)
        settings[setting.id] = setting
        group = groups.setdefault(setting.load_key, (point.target, {}, []))
        group[1][point.acceleration.name] = point.acceleration
        group[2].append(setting)
    references = reference_ids(experiment, settings.values())
    first = [
        LoadGroup(
            id=load_key,
            target=target,
            accelerations=tuple(accelerations.values()),
            settings=tuple(replace(setting, reference_id=references[setting.id]) for setting in members),
            requests=(),
            warmup=0 if target.hosted else experiment.warmup,
            concurrency=_most_in_flight(members[0], experiment.traffic),
            traffic=experiment.traffic,
        )
        for load_key, (target, accelerations, members) in groups.items()
    ]
    load_groups = list(_passes(experiment, first))
    return Plan(
        hash=_plan_hash(load_groups),
        groups=tuple(load_groups),
        skipped=tuple(skipped),
        excluded=excluded,
        settings=tuple(setting for group in first for setting in group.settings),
    )


def _passes(experiment: ExperimentSpec, groups: Sequence[LoadGroup]) -> Iterator[LoadGroup]:
    """Every load group once a pass, with its requests: A B, then B A, so that a steady drift hits all alike."""
    for number in range(1, experiment.passes + 1):
        repeats = range((number - 1) * experiment.repeats, number * experiment.repeats)
        for group in groups if number % 2 else reversed(groups):
            prompts = _prompts_of(group.target, experiment.prompts)
            yield replace(
                group,
                id=group.id if number == 1 else f"{group.id}-pass{number}",
                requests=tuple(
                    requests_of(experiment, group.id, group.settings, prompts, repeats)
                    if experiment.traffic is None
                    else requests_of_level(experiment, experiment.traffic, group.settings[0], prompts)
                ),
                pass_number=number,
            )


def rejection(point: Point) -> str | None:
    """Why this target cannot do this point; None when it can."""
    target = point.target
    width, height = parse_size(point.size)
    checks = (
        reject_steps(target, point.steps),
        reject_guidance(target, point.guidance),
        reject_size(target, width, height),
        reject_num_images(target, point.num_images),
        reject_output_format(target, point.output_format),
        reject_strength(target, point.strength),
        reject_acceleration(target, point.acceleration),
        reject_batch(target, point.acceleration, point.batch_size),
    )
    return next((reason for reason in checks if reason is not None), None)


def is_excluded(point: Point, patterns: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a partial setting of `axes.exclude` matches the point. `default` in a pattern matches the default."""
    values: dict[str, Any] = {
        "target": point.target.name,
        "acceleration": point.acceleration.name,
        "steps": point.steps,
        "guidance": point.guidance,
        "size": parse_size(point.size),
        "num_images": point.num_images,
        "output_format": point.output_format,
        "strength": point.strength,
        "concurrency": point.concurrency,
    }
    return any(
        all(values[key] in _accepted(point.target, key, wanted) for key, wanted in pattern.items())
        for pattern in patterns
    )


def _accepted(target: TargetSpec, key: str, wanted: Any) -> list[Any]:
    options = wanted if isinstance(wanted, list | tuple) else [wanted]
    if key in {"steps", "guidance", "size", "strength"}:
        options = [getattr(target.defaults, key) if option == "default" else option for option in options]
    return [parse_size(option) for option in options] if key == "size" else list(options)


def _points(experiment: ExperimentSpec) -> Iterator[Point]:
    axes = experiment.axes
    for target in experiment.targets:
        defaults = target.defaults
        product = itertools.product(
            experiment.accelerations,
            _unique(defaults.steps if value == "default" else int(value) for value in axes.steps),
            _unique(defaults.guidance if value == "default" else float(value) for value in axes.guidance),
            _unique_sizes(defaults.size if value == "default" else value for value in axes.size),
            _unique(axes.num_images),
            _unique(axes.output_format),
            _strengths(target, axes.strength),
            _levels(experiment, target),
        )
        for acceleration, steps, guidance, size, num_images, output_format, strength, level in product:
            yield Point(
                target=target,
                acceleration=acceleration,
                steps=steps,
                guidance=guidance,
                size=size,
                num_images=num_images,
                output_format=output_format,
                strength=strength,
                **level,
            )


def _levels(experiment: ExperimentSpec, target: TargetSpec) -> list[dict[str, Any]]:
    """What `Point` has of a load; of a load run every batch size with all its levels."""
    traffic = experiment.traffic
    if traffic is None:
        return [{"concurrency": many} for many in _unique(experiment.concurrency)] if target.hosted else [{}]
    return [
        {
            "rate_per_s": rate,
            "concurrency": in_flight,
            "batch_size": batch_size,
            "replicas": 1 if target.hosted else traffic.replicas,
        }
        for batch_size in traffic.batch_size
        for rate, in_flight in traffic.levels
    ]


def _most_in_flight(setting: Setting, traffic: TrafficSpec | None) -> int:
    return traffic.max_in_flight if traffic is not None and traffic.is_open else setting.concurrency


def _strengths(target: TargetSpec, values: Iterable[float | str]) -> list[float | None]:
    """One point without a strength where the task has none."""
    if target.task != "image-to-image":
        return [None]
    return _unique(target.defaults.strength if value == "default" else float(value) for value in values)


def _unique(values: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(values))


def _unique_sizes(sizes: Iterable[str]) -> list[str]:
    return list({parse_size(size): size for size in reversed(list(sizes))}.values())[::-1]


def target_identity(target: TargetSpec) -> dict[str, Any]:
    """What makes two targets the same thing to measure; prices, limits and guesses are no part of it."""
    return {
        "name": target.name,
        "backend": target.backend,
        "task": target.task,
        "model": target.model,
        "revision": target.revision,
        "service": service_identity(target.service) if target.service else None,
        "options": identity_options(target.backend, target.options),
        **({"parameters": target.parameters} if target.parameters else {}),
        # Their ranges only say what may be asked; which of them there are decides what is sent.
        **({"inputs": sorted(FILLED_INPUTS & target.inputs.keys())} if target.inputs else {}),
    }


def _load_features(acceleration: AccelerationSpec) -> dict[str, dict[str, Any]]:
    return features_of_phase(acceleration.features, "load")


def _setting(point: Point, traffic: TrafficSpec | None = None) -> Setting:
    target, acceleration = point.target, point.acceleration
    width, height = parse_size(point.size)
    identity = target_identity(target)
    concurrency: dict[str, Any] = {} if point.concurrency == 1 else {"concurrency": point.concurrency}
    if traffic is not None and point.rate_per_s is not None:
        concurrency = {"arrivals": traffic.arrivals, "rate_per_s": point.rate_per_s}
    for name in ("batch_size", "replicas"):
        concurrency |= {} if getattr(point, name) == 1 else {name: getattr(point, name)}
    load_key = stable_hash(
        {
            "version": IDENTITY_VERSION,
            "target": identity,
            "load_features": {} if target.hosted else _load_features(acceleration),
            **concurrency,
        }
    )
    how = {"hosted": acceleration.hosted} if target.hosted else {"features": acceleration.features}
    setting_id = stable_hash(
        {
            "version": IDENTITY_VERSION,
            "target": identity,
            "acceleration": {"name": acceleration.name, **how},
            "steps": point.steps,
            "guidance": point.guidance,
            "width": width,
            "height": height,
            "num_images": point.num_images,
            "output_format": point.output_format,
            **({} if point.strength is None else {"strength": point.strength}),
            **concurrency,
        }
    )
    return Setting(
        id=setting_id,
        target=target.name,
        task=target.task,
        acceleration=acceleration.name,
        steps=point.steps,
        guidance=point.guidance,
        width=width,
        height=height,
        num_images=point.num_images,
        output_format=point.output_format,
        # Under load every setting has the service to itself.
        load_key=load_key if traffic is None else stable_hash([load_key, setting_id]),
        reference_id=None,
        strength=point.strength,
        concurrency=point.concurrency,
        rate_per_s=point.rate_per_s,
        batch_size=point.batch_size,
        replicas=point.replicas,
    )


def _skipped(point: Point, reason: str) -> SkippedSetting:
    return SkippedSetting(
        target=point.target.name,
        acceleration=point.acceleration.name,
        steps=point.steps,
        guidance=point.guidance,
        size=point.size,
        num_images=point.num_images,
        output_format=point.output_format,
        reason=reason,
        strength=point.strength,
        concurrency=point.concurrency,
    )


def _prompts_of(target: TargetSpec, prompts: Sequence[Prompt]) -> list[Prompt]:
    """As the target sees them: text-to-image draws from the text alone, whatever pictures stand beside it."""
    if target.task != "text-to-image":
        return list(prompts)
    return [replace(prompt, images=()) if prompt.images else prompt for prompt in prompts]


def _plan_hash(groups: list[LoadGroup]) -> str:
    digest = hashlib.sha256(f"plan {IDENTITY_VERSION}".encode())
    for group in groups:
        digest.update(f"group {group.id} {group.warmup}\n".encode())
        for setting in group.settings:
            digest.update(f"setting {setting.id} {setting.reference_id}\n".encode())
        if group.traffic is not None:
            digest.update(f"traffic {stable_hash(group.traffic.identity())}\n".encode())
        for request in group.requests:
            digest.update(f"{request.id}\n".encode())
    return digest.hexdigest()[:16]
