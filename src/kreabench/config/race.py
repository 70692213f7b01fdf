"""The question of a race: `race` of the configuration → its spec, with everything wrong with it."""

from __future__ import annotations

from collections.abc import Sequence

from kreabench.config.model import Config, LossConfig, RaceConfig
from kreabench.config.targets import Collector
from kreabench.core.policies import COSTS, MarginSpec
from kreabench.core.questions import QualityLoss, QuestionSpec
from kreabench.core.registry import suggest
from kreabench.core.specs import MetricSpec, Prompt, RaceSpec, TargetSpec
from kreabench.metrics.table import row_of

GIB = 2**30


def make_race(
    collect: Collector,
    config: Config,
    metrics: Sequence[MetricSpec],
    targets: Sequence[TargetSpec],
    prompts: Sequence[Prompt],
) -> RaceSpec:
    """The race that is asked for; `collect` is told what it cannot be."""
    race = config.race
    known = {spec.name: spec for spec in metrics}
    for name in race.max_quality_loss:
        _check_metric(collect, f"race.max_quality_loss.{name}", name, known)
    if race.quality_metric is not None:
        _check_metric(collect, "race.quality_metric", race.quality_metric, known)
    _check_question(collect, race, targets)
    _check_sizes(collect, config, prompts)
    return RaceSpec(question=_question(race), looks=race.looks, first_prompts=race.first_prompts)


def _question(race: RaceConfig) -> QuestionSpec:
    return QuestionSpec(
        objective=race.objective,
        quality_metric=race.quality_metric,
        max_latency_s=race.max_latency_s,
        max_usd_per_image=race.max_usd_per_image,
        max_peak_memory_bytes=None if race.max_peak_memory_gib is None else race.max_peak_memory_gib * GIB,
        max_energy_j=race.max_energy_j,
        min_images_per_day=race.min_images_per_day,
        max_quality_loss=tuple(
            QualityLoss(metric=name, margin=_margin(loss)) for name, loss in race.max_quality_loss.items()
        ),
        level=race.level,
    )


def _margin(loss: LossConfig) -> MarginSpec:
    if loss.absolute is not None:
        return MarginSpec(kind="absolute", value=loss.absolute)
    if loss.relative is not None:
        return MarginSpec(kind="relative", value=loss.relative)
    return MarginSpec(kind="noise_floor", value=loss.noise_floor or 0.0)


def _check_metric(collect: Collector, key: str, name: str, known: dict[str, MetricSpec]) -> None:
    """A metric of a race has one number a picture of which one side is better, whatever other pictures are like."""
    if name in COSTS:
        collect.add(key, repr(name), "another name of this metric: a cost is called so")
        return
    if name not in known:
        expected = suggest(name, known) if known else "a metric of this run, which has none: choose some with metrics="
        collect.add(key, repr(name), expected)
        return
    row = row_of(known[name])
    if row is None:
        return  # its kind is unknown, and said to be so
    expected = "a metric with a score a picture that has a better side and needs no reference, such as clip_score"
    reasons = (
        (row.per == "set", "which has one score a setting"),
        (row.better == "reference", "of which neither side is better"),
        (row.needs_reference, "which compares with the reference: another picture, as good, would score badly"),
    )
    for wrong, why in reasons:
        if wrong:
            collect.add(key, f"{name}, {why}", expected)
            return


def _check_question(collect: Collector, race: RaceConfig, targets: Sequence[TargetSpec]) -> None:
    if race.objective == "quality" and race.quality_metric is None:
        collect.add("race.quality_metric", "nothing", "the metric that the objective quality is about")
    if race.objective != "quality" and not race.max_quality_loss:
        collect.add(
            "race.max_quality_loss",
            "nothing",
            "at least one metric and how much of it may be lost, such as {clip_score: {noise_floor: 0.5}}: "
            f"without one the setting with the least {race.objective} wins, however bad its pictures are",
        )
    unpriced = all(target.price is None and target.usd_per_hour is None for target in targets)
    asked = [
        ("objective", race.objective == "usd_per_image"),
        ("max_usd_per_image", race.max_usd_per_image is not None),
    ]
    expected = "a price of some target: pricing.endpoints or pricing.device_usd_per_hour"
    for key, is_asked in asked:
        if is_asked and unpriced and targets:
            collect.add(f"race.{key}", "dollars", expected)
    if any(target.random_weights for target in targets):
        collect.add("run.race", "on", "off for targets with random weights, whose pictures are not scored")


def _check_sizes(collect: Collector, config: Config, prompts: Sequence[Prompt]) -> None:
    race = config.race
    if prompts and race.first_prompts >= len(prompts):
        collect.add(
            "race.first_prompts",
            f"{race.first_prompts} of {len(prompts)} prompts",
            "fewer than there are prompts: else a look comes when all is drawn",
            "Take more prompts, or look earlier",
        )
    if len(set(config.run.seeds)) * min(config.axes.num_images) < 2:
        for name, loss in race.max_quality_loss.items():
            if loss.noise_floor is not None:
                collect.add(
                    f"race.max_quality_loss.{name}.noise_floor",
                    f"{loss.noise_floor:g}, with one picture a prompt",
                    "at least two run.seeds: a noise floor is the spread from seed to seed",
                )
