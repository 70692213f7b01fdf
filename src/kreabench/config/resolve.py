"""Validated configuration → frozen specs. All problems are collected and raised together, each naming its key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from kreabench.backends.accelerations.choose import combination_problems
from kreabench.backends.accelerations.features import complete
from kreabench.backends.machine import look
from kreabench.config import compose
from kreabench.config.engines import engine_spec, machine_of
from kreabench.config.model import AccelerationConfig, Config, MetricConfig, ScoringConfig
from kreabench.config.problems import problems_of, shown
from kreabench.config.prompts import PromptSet, expanded, load_prompt_set
from kreabench.config.race import make_race
from kreabench.config.targets import Collector, make_target
from kreabench.config.tasks import task_problems
from kreabench.config.traffic import check_batches, make_traffic
from kreabench.core.device_names import DEVICE_NAMES, is_device_name
from kreabench.core.engine_spec import EngineSpec
from kreabench.core.errors import ConfigError, Problem
from kreabench.core.registry import suggest
from kreabench.core.sizes import parse_size
from kreabench.core.specs import (
    AccelerationSpec,
    AxesSpec,
    ExperimentSpec,
    MachineSpec,
    MetricSpec,
    Prompt,
    ReferenceSpec,
    ScoringSpec,
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
from kreabench.metrics.table import METRICS, options_class
from kreabench.pricing import budget_problems

V = TypeVar("V")


@dataclass(frozen=True, kw_only=True, slots=True)
class Composed:
    """What one command line asks for."""

    experiment: ExperimentSpec
    run_path: Path
    report_path: Path
    config_yaml: str
    input_files: Mapping[str, Path | bytes] = field(default_factory=dict)
    """SHA-256 of each input picture → its file or content, to be copied into the run directory."""


def load(overrides: Sequence[str], config_dir: Path | None = None) -> Composed:
    """Compose, validate and resolve. Raises ConfigError with every problem found."""
    values = compose.compose(overrides, config_dir)
    config = validate(values)
    _check_reference(config, config_dir)
    roots = [Path.cwd(), *(root / "prompts" for root in compose.search_path(config_dir))]
    files: dict[str, Path | bytes] = {}

    def prompts() -> tuple[Prompt, ...]:
        found: PromptSet = load_prompt_set(config.prompts, roots)
        files.update(found.files)
        return found.prompts

    experiment = resolve(config, prompts, machine_of(config.engine, look()))
    return Composed(
        experiment=experiment,
        run_path=expanded("run.dir", config.run.dir) / config.name,
        report_path=expanded("report.dir", config.report.dir) / config.name,
        config_yaml=compose.to_yaml(values),
        input_files=files,
    )


def _check_reference(config: Config, config_dir: Path | None) -> None:
    """A slip of the pen would leave every setting without a reference; one that is merely not chosen is a choice."""
    name = config.reference.acceleration
    known = {*config.acceleration, *compose.group_options("acceleration", config_dir)}
    if name not in known:
        raise ConfigError([Problem(key="reference.acceleration", found=repr(name), expected=suggest(name, known))])


def load_metrics(
    names: Sequence[str] | None, config_dir: Path | None = None, overrides: Sequence[str] = ()
) -> tuple[MetricSpec, ...]:
    """The metrics of these files of conf/metrics/; where None are named those of the configuration with `overrides`.

    Raises ConfigError.
    """
    chosen = [] if names is None else [f"metrics=[{','.join(names)}]"]
    values = compose.compose([*overrides, *chosen], config_dir)
    config = validate(values)
    collect = Collector()
    metrics = tuple(_metric(collect, name, value) for name, value in config.metrics.items())
    if collect.problems:
        raise ConfigError(collect.problems)
    return metrics


def load_engine(overrides: Sequence[str]) -> EngineSpec:
    """The engine of `overrides`, which are of the group `engine` alone. Raises ConfigError."""
    strange = [override for override in overrides if not override.startswith(("engine=", "engine."))]
    if strange or not any(override.startswith("engine=") for override in overrides):
        found = strange[0] if strange else " ".join(overrides)
        expected = "engine=NAME, and keys of that engine such as engine.wait=true"
        raise ConfigError([Problem(key="command line", found=found, expected=expected)])
    return engine_spec(validate(compose.compose(overrides)).engine)


def validate(values: Mapping[str, Any]) -> Config:
    """The typed configuration. Raises ConfigError."""
    try:
        return Config.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(problems_of(error, "", root=Config)) from error


def resolve(
    config: Config, prompts: Callable[[], tuple[Prompt, ...]], machine: MachineSpec | None = None
) -> ExperimentSpec:
    """Frozen specs of the whole configuration. Raises ConfigError."""
    collect = Collector()
    try:
        loaded_prompts = prompts()
    except ConfigError as error:
        collect.problems.extend(error.problems)
        loaded_prompts = ()
    targets = tuple(make_target(collect, name, value, config.pricing) for name, value in config.target.items())
    accelerations = tuple(_acceleration(collect, name, value) for name, value in config.acceleration.items())
    axes = _axes(collect, config, targets)
    metrics = tuple(_metric(collect, name, value) for name, value in config.metrics.items())
    scoring = _scoring(collect, config.scoring)
    race = make_race(collect, config, metrics, targets, loaded_prompts) if config.run.race else None
    traffic = make_traffic(collect, config, targets) if config.run.load else None
    if config.budget.usd is not None:
        collect.problems.extend(budget_problems(targets))
    if collect.problems:
        raise ConfigError(collect.problems)
    _check_acceptance(collect, targets, accelerations, axes)
    if traffic is not None:
        check_batches(collect, traffic, targets, accelerations)
    collect.problems.extend(task_problems(targets, loaded_prompts))
    if collect.problems:
        raise ConfigError(collect.problems)
    return ExperimentSpec(
        name=config.name,
        description=config.description,
        targets=targets,
        accelerations=accelerations,
        axes=axes,
        prompts=loaded_prompts,
        seeds=tuple(dict.fromkeys(config.run.seeds)),
        repeats=config.run.repeats,
        warmup=config.run.warmup,
        order_seed=config.run.order_seed,
        reference=ReferenceSpec(acceleration=config.reference.acceleration, steps=config.reference.steps),
        metrics=metrics,
        engine=engine_spec(config.engine),
        budget_usd=config.budget.usd,
        passes=config.run.passes,
        concurrency=tuple(dict.fromkeys(config.run.concurrency)),
        machine=machine,
        scoring=scoring,
        race=race,
        traffic=traffic,
    )


def _scoring(collect: Collector, config: ScoringConfig) -> ScoringSpec:
    if config.device is not None and not is_device_name(config.device):
        collect.add("scoring.device", repr(config.device), f"{DEVICE_NAMES}, or null for the metrics' own")
    return ScoringSpec(during_generation=config.during_generation, device=config.device)


def _acceleration(collect: Collector, name: str, config: AccelerationConfig) -> AccelerationSpec:
    key, found = f"acceleration.{name}.features", {**config.features, **config.on_cuda}
    problems = combination_problems(config.features, config.on_cuda)
    for message in problems:
        collect.add(key, shown(found), message)
    if problems:
        return AccelerationSpec(name=name, description=config.description, hosted=config.hosted, features={})
    on_cuda = {group: tuple(complete(some) for some in choice) for group, choice in config.on_cuda.items()}
    return AccelerationSpec(
        name=name,
        description=config.description,
        hosted=config.hosted,
        features=complete(config.features),
        on_cuda=on_cuda,
    )


def _metric(collect: Collector, name: str, config: MetricConfig) -> MetricSpec:
    row = METRICS.get(config.kind)
    if row is None:
        collect.add(f"metrics.{name}.kind", repr(config.kind), suggest(config.kind, METRICS))
        return MetricSpec(name=name, kind=config.kind, options={})
    options = collect.options(f"metrics.{name}.options", options_class(config.kind), config.options)
    return MetricSpec(name=name, kind=config.kind, options=options, per=row.per)


def _axes(collect: Collector, config: Config, targets: Sequence[TargetSpec]) -> AxesSpec:
    axes = config.axes
    for index, size in enumerate(axes.size):
        if size != "default":
            collect.size(f"axes.size[{index}]", size)
    names = {"target": list(config.target), "acceleration": list(config.acceleration)}
    exclude = []
    for index, entry in enumerate(axes.exclude):
        pattern = entry.model_dump(exclude_none=True)
        key = f"axes.exclude[{index}]"
        if not pattern:
            collect.add(key, "nothing", "at least one axis to match; an empty pattern would leave out everything")
        for axis, valid in names.items():
            for value in _listed(pattern.get(axis, [])):
                if value not in valid:
                    collect.add(f"{key}.{axis}", repr(value), suggest(value, valid))
        for size in _listed(pattern.get("size", [])):
            if size != "default":
                collect.size(f"{key}.size", size)
        exclude.append(pattern)
    return AxesSpec(
        steps=tuple(axes.steps),
        guidance=tuple(axes.guidance),
        size=tuple(axes.size),
        num_images=tuple(axes.num_images),
        output_format=tuple(axes.output_format),
        exclude=tuple(exclude),
        strength=tuple(axes.strength),
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _check_acceptance(
    collect: Collector,
    targets: Sequence[TargetSpec],
    accelerations: Sequence[AccelerationSpec],
    axes: AxesSpec,
) -> None:
    """A value that no chosen target accepts is an error; one that only some refuse becomes a skipped setting."""

    def check(key: str, value: V, reject: Callable[[TargetSpec, V], str | None], shown: str = "") -> None:
        reasons = [reject(target, value) for target in targets]
        if all(reason is not None for reason in reasons):
            expected = "; ".join(dict.fromkeys(reason for reason in reasons if reason is not None))
            collect.add(key, shown or value, expected)

    for steps in _numbers(axes.steps):
        check("axes.steps", int(steps), reject_steps)
    for guidance in _numbers(axes.guidance):
        check("axes.guidance", guidance, reject_guidance)
    for size in (size for size in axes.size if size != "default"):
        check("axes.size", parse_size(size), _reject_size, size)
    for count in axes.num_images:
        check("axes.num_images", count, reject_num_images)
    for name in axes.output_format:
        check("axes.output_format", name, reject_output_format)
    for strength in _numbers(axes.strength):
        check("axes.strength", strength, reject_strength)
    for acceleration in accelerations:
        check("acceleration", acceleration, reject_acceleration, acceleration.name)


def _numbers(values: Sequence[float | str]) -> list[float]:
    """The values that are not the word `default`."""
    return [value for value in values if not isinstance(value, str)]


def _reject_size(target: TargetSpec, size: tuple[int, int]) -> str | None:
    return reject_size(target, *size)
