"""What a plan takes from beginning to end where several work at once, against hand calculation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kreabench.core.engine_spec import EngineSpec, RaySpec, SlurmSpec
from kreabench.core.planned import LoadGroup, Plan
from kreabench.core.specs import ExpectedTime
from kreabench.estimate import estimate_plan
from kreabench.estimate_wall import wall_time
from tests.engine_support import engine_spec
from tests.support import make_group, make_plan, make_setting, make_target

RAY = RaySpec(
    address=None, workers=None, gpus_per_worker=1, cpus_per_worker=1, accelerator_type=None, start_timeout_s=60.0
)
SLURM = SlurmSpec(
    cluster="slurm",
    partition=None,
    account=None,
    qos=None,
    constraint=None,
    time_min=60,
    gpus_per_job=1,
    gpu_kind=None,
    cpus_per_job=1,
    mem_gb=None,
    jobs_per_group=1,
    jobs_at_once=None,
    max_requeues=0,
    extra={},
    wait=False,
)


def group(name: str, prompts: int = 36, **changes: Any) -> LoadGroup:
    """Loads in 360 s and draws a picture in 100 s: with 36 prompts 0.1 h and 1 h."""
    expected = ExpectedTime(load_s=360.0, base_s=100.0, step_megapixel_s=0.0, source="a guess")
    target = make_target(name=name, expected=expected, **changes)
    return make_group([make_setting(target=name)], target=target, prompts=prompts)


def slurm(**changes: Any) -> EngineSpec:
    return engine_spec(kind="slurm", slurm=replace(SLURM, **changes))


ONE, FOUR = make_plan(group("one")), make_plan(*map(group, ("a", "b", "c", "d")))
WITH_HOSTED = make_plan(group("a"), group("b"), group("c", backend="fake_hosted", hosted=True))


@pytest.mark.parametrize(
    ("plan", "engine", "hours"),
    [
        (ONE, engine_spec(), 1.1),
        (FOUR, engine_spec(), 4.4),
        (FOUR, engine_spec(devices=("cuda:0", "cuda:1")), 2.2),
        (ONE, engine_spec(devices=("cuda:0", "cuda:1")), 0.6),  # each of the two loads
        (FOUR, engine_spec(devices=tuple(f"cuda:{number}" for number in range(8))), 0.6),
        (make_plan(group("one", prompts=1)), engine_spec(devices=("cuda:0", "cuda:1")), 460 / 3600),
        (FOUR, engine_spec(kind="ray", ray=RAY), 4.4),
        (FOUR, engine_spec(kind="ray", ray=replace(RAY, workers=4)), 1.1),
        (FOUR, slurm(), 1.1),
        (FOUR, slurm(jobs_per_group=4), 0.35),
        (FOUR, slurm(jobs_per_group=4, jobs_at_once=2), 0.7),
        (WITH_HOSTED, engine_spec(devices=("cuda:0", "cuda:1")), 2.2),
        (WITH_HOSTED, slurm(), 1.1),
    ],
)
def test_wall_time(plan: Plan, engine: EngineSpec, hours: float) -> None:
    found = wall_time(plan, engine)
    assert found is not None
    assert found.hours == pytest.approx(hours)
    whole = estimate_plan(plan).hours
    assert whole is not None
    assert found.hours <= whole + 1e-9


def test_seeds_of_one_prompt_are_dealt_out_to_workers_but_not_to_jobs() -> None:
    one = group("one")
    plan = make_plan(replace(one, requests=tuple(replace(request, prompt_id="p") for request in one.requests)))
    pool, jobs = (
        wall_time(plan, engine) for engine in (engine_spec(devices=("cuda:0", "cuda:1")), slurm(jobs_per_group=2))
    )
    assert pool is not None
    assert jobs is not None
    assert [pool.hours, jobs.hours] == pytest.approx([0.6, 1.1])


@pytest.mark.parametrize(
    ("plan", "engine", "expected"),
    [
        (ONE, engine_spec(), ""),
        (ONE, engine_spec(devices=("cuda:0", "cuda:1")), "with 2 workers at once"),
        (ONE, engine_spec(kind="ray", ray=RAY), "with one worker; how many the cluster has room for is seen when"),
        (ONE, engine_spec(kind="ray", ray=replace(RAY, workers=2)), "if the cluster has room for them"),
        (
            FOUR,
            slurm(jobs_per_group=3, jobs_at_once=2),
            "all 12 jobs when they are submitted, 2 of a model's",
        ),
    ],
)
def test_the_condition_is_said(plan: Plan, engine: EngineSpec, expected: str) -> None:
    found = wall_time(plan, engine)
    assert found is not None
    assert expected in found.how
    assert bool(expected) == bool(found.how)


def test_what_nobody_expects_is_unknown() -> None:
    assert wall_time(make_plan(replace(group("one"), target=make_target(expected=None))), engine_spec()) is None
