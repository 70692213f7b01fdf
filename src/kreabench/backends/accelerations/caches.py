"""Caches that skip work of the transformer, as diffusers' hooks: on for one call, or for good beside compilation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kreabench.backends.accelerations.counting import (
    Forwards,
    LayerDecisions,
    LeaderDecisions,
    NoiseLevel,
    ScheduleDecisions,
    all_forwards,
    counted_forwards,
)
from kreabench.backends.accelerations.features import FEATURES, Features

FASTERCACHE_WEIGHT = 0.5
"""Share of the last change that FasterCache adds to attention it does not compute: diffusers' own default."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """What a cache must know of the call."""

    steps: int
    """The schedule's whole length."""
    steps_to_run: int
    """Its last steps, which are those that run."""


class CacheUse:
    """One call with, or without, a cache: afterwards, what it did."""

    def __init__(self, transformer: Any, name: str | None, count: Callable[[int], Forwards] | None) -> None:
        self._transformer = transformer
        self._name = name
        self._count = count

    def forwards(self, steps: int) -> Forwards:
        """What ran in the call, which took `steps` steps."""
        return all_forwards(self._transformer, steps) if self._count is None else self._count(steps)

    def flags(self, steps: int) -> tuple[str, ...]:
        """That the cache had no effect, if it had none."""
        if self._name is None or self.forwards(steps) != all_forwards(self._transformer, steps):
            return ()
        return (f"{self._name} had no effect: every block ran in every step",)


def cache_of(features: Features) -> str | None:
    """The one cache among `features`."""
    return next((name for name in features if FEATURES[name].kind == "cache"), None)


@contextmanager
def cache_for_call(pipeline: Any, features: Features, schedule: Schedule) -> Iterator[CacheUse]:
    """Switch the cache of `features` on; afterwards, also after an aborted call, nothing of it is left."""
    transformer = pipeline.transformer
    name = cache_of(features)
    if name is None:
        yield CacheUse(transformer, None, None)
        return
    with counted_forwards(transformer) as count:
        transformer.enable_cache(_config(name, features[name], NoiseLevel(pipeline), schedule))
        try:
            # Image-to-image pipelines enter no context of their own; others set theirs within this one.
            with transformer.cache_context("cond"):
                yield CacheUse(transformer, name, count)
        finally:
            transformer._reset_stateful_cache()
            transformer.disable_cache()


class LastingCache:
    """A cache beside compilation: put on once, emptied after every call."""

    def __init__(self, pipeline: Any, name: str, values: Mapping[str, Any]) -> None:
        self._transformer = pipeline.transformer
        self._name = name
        noise = NoiseLevel(pipeline)
        self._transformer.enable_cache(_config(name, values, noise, None))
        self._decisions = _decisions(self._transformer, name, values, noise)

    @contextmanager
    def for_call(self) -> Iterator[CacheUse]:
        """Count one call. Afterwards, also after an aborted one, the cache holds nothing of it."""
        self._decisions.start()
        try:
            with self._transformer.cache_context("cond"):
                yield CacheUse(self._transformer, self._name, self._decisions.forwards)
        finally:
            self._transformer._reset_stateful_cache()


def _decisions(transformer: Any, name: str, values: Mapping[str, Any], noise: NoiseLevel) -> Any:
    if name == "first_block_cache":
        return LeaderDecisions(transformer)
    if name == "taylorseer":
        return LayerDecisions(transformer)
    rule = _pab_computes if name == "pab" else _fastercache_computes
    return ScheduleDecisions(transformer, noise, lambda step, level: rule(values, step, level))


def _pab_computes(values: Mapping[str, Any], step: int, level: float) -> bool:
    """The rule in diffusers' PyramidAttentionBroadcastHook."""
    inside = values["timestep_low"] < level < values["timestep_high"]
    return not inside or step % int(values["every"]) == 0


def _fastercache_computes(values: Mapping[str, Any], step: int, level: float) -> bool:
    """The rule in diffusers' FasterCacheBlockHook."""
    inside = level < values["timestep_high"]
    return not inside or (step > 0 and step % int(values["every"]) == 0)


def _config(name: str, values: Mapping[str, Any], noise: NoiseLevel, schedule: Schedule | None) -> Any:
    """diffusers' configuration of cache `name`."""
    import diffusers

    if name == "first_block_cache":
        return diffusers.FirstBlockCacheConfig(threshold=float(values["threshold"]))
    if name == "taylorseer":
        return diffusers.TaylorSeerCacheConfig(
            cache_interval=values["interval"],
            disable_cache_before_step=values["first_steps"],
            max_order=values["order"],
        )
    if name == "pab":
        return diffusers.PyramidAttentionBroadcastConfig(
            spatial_attention_block_skip_range=values["every"],
            spatial_attention_timestep_skip_range=(values["timestep_low"], values["timestep_high"]),
            current_timestep_callback=noise.read,
        )
    if name == "fastercache":
        return diffusers.FasterCacheConfig(
            spatial_attention_block_skip_range=values["every"],
            spatial_attention_timestep_skip_range=(-1, values["timestep_high"]),
            is_guidance_distilled=True,
            tensor_format="BCHW",
            attention_weight_callback=lambda _: FASTERCACHE_WEIGHT,
            current_timestep_callback=noise.read,
        )
    if schedule is None:
        raise RuntimeError(f"{name} needs the number of steps, which only a call knows")
    return _magcache(values, schedule)


def _magcache(values: Mapping[str, Any], schedule: Schedule) -> Any:
    """With the ratios of the steps that run: with another number of steps MagCache would silently skip others."""
    from diffusers import MagCacheConfig
    from diffusers.hooks.mag_cache import FLUX_MAG_RATIOS, nearest_interp

    ratios = nearest_interp(FLUX_MAG_RATIOS, schedule.steps)[-schedule.steps_to_run :]
    return MagCacheConfig(
        threshold=float(values["threshold"]),
        max_skip_steps=values["max_skip_steps"],
        retention_ratio=float(values["retention"]),
        num_inference_steps=schedule.steps_to_run,
        mag_ratios=ratios,
    )
