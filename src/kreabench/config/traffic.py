"""A load run: `load` of the configuration → its spec, with everything wrong with it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from kreabench.backends.batching import reject_batch
from kreabench.config.engines import LocalEngineConfig
from kreabench.config.model import Config
from kreabench.config.targets import Collector
from kreabench.core.specs import AccelerationSpec, TargetSpec
from kreabench.core.traffic import TrafficSpec

_SPREAD = 5
"""Standard deviations that the number of random arrivals stays within, for all practical purposes."""


def make_traffic(collect: Collector, config: Config, targets: Sequence[TargetSpec]) -> TrafficSpec:
    """The load that is asked for; `collect` is told what it cannot be."""
    load = config.load
    replicas = _replicas(collect, config) if any(not target.hosted for target in targets) else 1
    for key, found, fine in (
        ("run.race", "on", not config.run.race),
        ("run.concurrency", str(config.run.concurrency), config.run.concurrency == [1]),
        ("run.repeats", str(config.run.repeats), config.run.repeats == 1),
        ("run.passes", str(config.run.passes), config.run.passes == 1),
    ):
        if not fine:
            expected = "its default in a load run, where `load` says what is sent and when"
            collect.add(key, found, expected)
    traffic = TrafficSpec(
        arrivals=load.arrivals,
        rate_per_s=tuple(sorted(set(load.rate))),
        in_flight=tuple(sorted(set(load.in_flight))),
        duration_s=load.duration_s,
        drain_s=load.drain_s,
        max_requests=load.max_requests,
        max_in_flight=load.max_in_flight,
        objective_s=load.objective_s,
        objective_share=load.objective_share,
        seed=load.seed,
        batch_size=tuple(sorted(set(load.batch_size))),
        replicas=replicas,
    )
    _check_count(collect, traffic)
    return traffic


def _replicas(collect: Collector, config: Config) -> int:
    """Workers that local targets are drawn by."""
    engine = config.engine
    if isinstance(engine, LocalEngineConfig):
        return max(1, len(engine.devices))
    expected = "local, as one queue of this machine stands before the workers of a local target"
    collect.add("engine", engine.kind, expected, "Choose engine=local, or hosted targets alone")
    return 1


def check_batches(
    collect: Collector, traffic: TrafficSpec, targets: Sequence[TargetSpec], accelerations: Sequence[AccelerationSpec]
) -> None:
    """A batch that no target draws is an error; one that only some refuse becomes a skipped setting."""
    for size in traffic.batch_size:
        reasons = [reject_batch(target, acceleration, size) for target in targets for acceleration in accelerations]
        if reasons and all(reason is not None for reason in reasons):
            expected = "; ".join(dict.fromkeys(reason for reason in reasons if reason is not None))
            collect.add("load.batch_size", size, f"1, as {expected}")


def _check_count(collect: Collector, traffic: TrafficSpec) -> None:
    """A level that is cut by a number would be shorter than its duration, and nobody would see it."""
    if not traffic.is_open:
        return
    most = traffic.rate_per_s[-1] * traffic.duration_s
    needed = math.ceil(most + (_SPREAD * math.sqrt(most) if traffic.arrivals == "poisson" else 0.0))
    if needed > traffic.max_requests:
        collect.add(
            "load.max_requests",
            str(traffic.max_requests),
            f"at least {needed}, for {traffic.rate_per_s[-1]:g}/s over {traffic.duration_s:g} s",
            "Raise it, or lower load.rate or load.duration_s",
        )
