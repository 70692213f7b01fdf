"""The plan: a pure function of what is asked. Which settings, which requests, in which order, under which identity."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from kreabench.backends.accelerations.choose import chosen, missing
from kreabench.backends.accelerations.features import features_of_phase
from kreabench.backends.input_images import NORMALISATION
from kreabench.backends.table import identity_options, service_identity
from kreabench.core.endpoint_inputs import FILLED_INPUTS
from kreabench.core.ids import stable_hash
from kreabench.core.planned import (
    LoadGroup,
    Plan,
    Request,
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

T = TypeVar("T")

IDENTITY_VERSION = 1
"""Part of every hash; raised when the meaning of a request changes, so that old and new are never taken as equal."""


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


def build_plan(experiment: ExperimentSpec) -> Plan:
    """Multiply the axes, leave out what is excluded, list what cannot be done, and order the requests."""
    settings: dict[str, Setting] = {}
    groups: dict[str, tuple[TargetSpec, dict[str, AccelerationSpec], list[Setting]]] = {}
    skipped: list[SkippedSetting] = []
    excluded = 0
    for point in _points(experiment):
        if is_excluded(point, experiment.axes.exclude):
            excluded += 1
            continue
        point = replace(point, acceleration=chosen(point.acceleration, point.target, experiment.machine))
        reason = rejection(point) or missing(point.acceleration.features, point.target, experiment.machine)
        if reason is not None:
            skipped.append(_skipped(point, reason))
            continue
        setting = _setting(point)
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
            concurrency=members[0].concurrency,
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
                requests=tuple(_requests(experiment, group.id, group.settings, prompts, repeats)),
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
            _unique(experiment.concurrency) if target.hosted else [1],
        )
        for acceleration, steps, guidance, size, num_images, output_format, strength, concurrency in product:
            yield Point(
                target=target,
                acceleration=acceleration,
                steps=steps,
                guidance=guidance,
                size=size,
                num_images=num_images,
                output_format=output_format,
                strength=strength,
                concurrency=concurrency,
            )


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


def _setting(point: Point) -> Setting:
    target, acceleration = point.target, point.acceleration
    width, height = parse_size(point.size)
    identity = target_identity(target)
    concurrency = {} if point.concurrency == 1 else {"concurrency": point.concurrency}
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
        load_key=load_key,
        reference_id=None,
        strength=point.strength,
        concurrency=point.concurrency,
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


def _requests(
    experiment: ExperimentSpec,
    load_key: str,
    settings: Sequence[Setting],
    prompts: Sequence[Prompt],
    repeats: Iterable[int],
) -> Iterator[Request]:
    """Interleaved by prompt: every setting draws a prompt before the next prompt begins, in a seeded random order.

    The order is a sort by hash, so it is the same on every Python version, and adding a setting or prompt moves no
    other one past its neighbours.
    """
    for repeat in repeats:
        for prompt in sorted(prompts, key=lambda prompt: _order(experiment, load_key, repeat, prompt.id)):
            for seed in experiment.seeds:
                within = sorted(
                    settings, key=lambda setting: _order(experiment, load_key, repeat, prompt.id, seed, setting.id)
                )
                for setting in within:
                    yield Request(
                        id=_request_id(setting.id, prompt, seed, repeat),
                        setting_id=setting.id,
                        prompt_id=prompt.id,
                        prompt=prompt.text,
                        seed=seed,
                        repeat=repeat,
                        images=prompt.images,
                    )


def _order(experiment: ExperimentSpec, *parts: object) -> bytes:
    return hashlib.sha256("\0".join(map(str, (experiment.order_seed, *parts))).encode()).digest()


def _request_id(setting_id: str, prompt: Prompt, seed: int, repeat: int) -> str:
    parts = [str(IDENTITY_VERSION), setting_id, prompt.id, prompt.text, str(seed), str(repeat)]
    if prompt.images:
        parts += [NORMALISATION, *(image.sha256 for image in prompt.images)]
    text = "\0".join(parts)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plan_hash(groups: list[LoadGroup]) -> str:
    digest = hashlib.sha256(f"plan {IDENTITY_VERSION}".encode())
    for group in groups:
        digest.update(f"group {group.id} {group.warmup}\n".encode())
        for setting in group.settings:
            digest.update(f"setting {setting.id} {setting.reference_id}\n".encode())
        for request in group.requests:
            digest.update(f"{request.id}\n".encode())
    return digest.hexdigest()[:16]
