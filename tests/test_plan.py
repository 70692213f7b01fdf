"""The plan is a pure function of what is asked: complete, stable, interleaved, honest about what cannot be done."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import groupby, product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kreabench.backends import table
from kreabench.backends.options import LATER
from kreabench.core.specs import (
    AxesSpec,
    Defaults,
    ExperimentSpec,
    Limits,
    Prompt,
    ReferenceSpec,
    ServiceSpec,
    TargetSpec,
    Trained,
)
from kreabench.plan_build import build_plan
from kreabench.plan_difference import describe_difference
from tests.support import make_acceleration, make_experiment, make_target

NONE = make_acceleration()
FUSED = make_acceleration(name="fused", hosted=None, features={"fuse_qkv": {}})
CACHED = make_acceleration(name="cached", hosted="high", features={"first_block_cache": {"threshold": 0.2}})
BOTH = make_acceleration(name="both", hosted="high", features={"fuse_qkv": {}, "first_block_cache": {"threshold": 0.2}})


def axes(**changes: Any) -> AxesSpec:
    base = AxesSpec(
        steps=("default",), guidance=("default",), size=("default",), num_images=(1,), output_format=("png",)
    )
    return replace(base, **changes)


def prompts(number: int) -> tuple[Prompt, ...]:
    return tuple(Prompt(id=f"p{i}", text=f"picture {i}") for i in range(number))


def experiment(**changes: Any) -> ExperimentSpec:
    values: dict[str, Any] = {
        "targets": (make_target(),),
        "accelerations": (NONE,),
        "axes": axes(),
        "prompts": prompts(3),
        "seeds": (0, 1),
        "reference": ReferenceSpec(acceleration="none", steps="default"),
    }
    return make_experiment(**(values | changes))


def hosted(**changes: Any) -> TargetSpec:
    return make_target(name="hosted", hosted=True, accelerations=("none", "high"), **changes)


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(st.integers(1, 50), min_size=1, max_size=4, unique=True),
    guidance=st.lists(st.sampled_from([1.0, 3.5, 4.5]), min_size=1, max_size=2, unique=True),
    sizes=st.lists(st.sampled_from(["128x128", "256x128", "square"]), min_size=1, max_size=3, unique=True),
    seeds=st.lists(st.integers(0, 99), min_size=1, max_size=3, unique=True),
    count=st.integers(1, 4),
    repeats=st.integers(1, 2),
)
def test_every_request_is_there_exactly_once(
    steps: list[int], guidance: list[float], sizes: list[str], seeds: list[int], count: int, repeats: int
) -> None:
    asked = experiment(
        accelerations=(NONE, FUSED, BOTH),
        axes=axes(steps=tuple(steps), guidance=tuple(guidance), size=tuple(sizes)),
        seeds=tuple(seeds),
        prompts=prompts(count),
        repeats=repeats,
    )
    plan = build_plan(asked)
    assert len(plan.settings) == 3 * len(steps) * len(guidance) * len(sizes)
    drawn = Counter((r.setting_id, r.prompt_id, r.seed, r.repeat) for group in plan.groups for r in group.requests)
    wanted = product((s.id for s in plan.settings), (f"p{i}" for i in range(count)), seeds, range(repeats))
    assert drawn == Counter(wanted)
    assert len({r.id for group in plan.groups for r in group.requests}) == plan.request_count


def test_settings_with_one_load_key_share_a_group() -> None:
    plan = build_plan(experiment(accelerations=(NONE, FUSED, CACHED, BOTH)))
    together = {tuple(sorted({s.acceleration for s in group.settings})) for group in plan.groups}
    assert together == {("cached", "none"), ("both", "fused")}


def test_settings_are_interleaved_by_prompt() -> None:
    plan = build_plan(experiment(axes=axes(steps=(2, 4, 8)), prompts=prompts(6)))
    (group,) = plan.groups
    blocks = [(key, list(block)) for key, block in groupby(group.requests, lambda r: (r.prompt_id, r.seed))]
    assert len(blocks) == 6 * 2
    for _, block in blocks:
        assert {request.setting_id for request in block} == {setting.id for setting in group.settings}
    orders = {tuple(request.setting_id for request in block) for _, block in blocks}
    assert len(orders) > 1
    assert [prompt for prompt, _ in groupby(group.requests, lambda r: r.prompt_id)] != [f"p{i}" for i in range(6)]


def test_the_order_follows_its_seed_and_nothing_else_does() -> None:
    first, second = build_plan(experiment(order_seed=1)), build_plan(experiment(order_seed=2))
    (one,), (two,) = first.groups, second.groups
    assert [r.id for r in one.requests] != [r.id for r in two.requests]
    assert {r.id for r in one.requests} == {r.id for r in two.requests}
    assert first.hash != second.hash


def test_adding_a_prompt_moves_no_other_past_its_neighbours() -> None:
    (before,), (after,) = (build_plan(experiment(prompts=prompts(n))).groups for n in (5, 6))
    kept = [r.id for r in after.requests if r.prompt_id != "p5"]
    assert kept == [r.id for r in before.requests]


def test_hashes_are_those_of_every_other_machine() -> None:
    """Golden values: when they change, IDENTITY_VERSION must, and old runs are no longer resumed."""
    plan = build_plan(experiment(accelerations=(NONE, BOTH)))
    assert plan.hash == "3226cced2d3fd329"
    assert plan.settings[0].id == "ba3ebf0d0f02a207"
    assert plan.groups[0].requests[0].id == "2d1d713e61b8b558"


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"name": "other", "description": "other"}, True),
        ({"budget_usd": 3.0}, True),
        ({"metrics": ()}, True),
        ({"targets": (make_target(usd_per_hour=9.0),)}, True),
        ({"targets": (make_target(trained=Trained(sizes=((48, 48),))),)}, True),
        ({"targets": (make_target(model="builtin:other"),)}, False),
        ({"targets": (make_target(revision="abc"),)}, False),
        ({"targets": (make_target(options={"latency_s": 1.0}),)}, False),
        ({"seeds": (0, 2)}, False),
        ({"warmup": 3}, False),
        ({"repeats": 2}, False),
        ({"passes": 2}, False),
        ({"prompts": (*prompts(2), Prompt(id="p2", text="another picture"))}, False),
        ({"reference": ReferenceSpec(acceleration="none", steps=1)}, False),
    ],
)
def test_the_plan_is_identified_by_what_is_measured(changes: dict[str, Any], same: bool) -> None:
    base, changed = experiment(), experiment(**changes)
    assert (build_plan(base).hash == build_plan(changed).hash) is same
    if not same:
        assert describe_difference(base, changed)


def test_differences_are_named() -> None:
    text = "\n".join(describe_difference(experiment(), experiment(seeds=(7,), axes=axes(steps=(9,)))))
    assert "seeds: was [0, 1], now [7]" in text
    assert "9 steps" in text
    reference = experiment(reference=ReferenceSpec(acceleration="none", steps=1))
    assert "reference.steps: was default, now 1" in describe_difference(experiment(), reference)


def test_what_a_target_cannot_do_is_skipped_with_the_reason() -> None:
    limits = make_target().limits
    small = make_target(
        name="small", limits=Limits(**{**{f: getattr(limits, f) for f in limits.__slots__}, "steps": (1, 4)})
    )
    plan = build_plan(experiment(targets=(make_target(), small), axes=axes(steps=(4, 8))))
    assert [(s.target, s.steps) for s in plan.skipped] == [("small", 8)]
    assert plan.skipped[0].reason == "small takes steps from 1 to 4"
    assert len(plan.settings) == 3


def test_acceleration_at_a_hosted_service() -> None:
    plan = build_plan(experiment(targets=(hosted(),), accelerations=(NONE, FUSED, BOTH)))
    assert {s.acceleration for s in plan.settings} == {"none", "both"}
    assert [s.acceleration for s in plan.skipped] == ["fused"]
    assert "no counterpart" in plan.skipped[0].reason
    assert len(plan.groups) == 1, "a hosted target is connected to once"


def test_hosted_targets_are_not_warmed_up_with_paid_requests() -> None:
    plan = build_plan(experiment(targets=(make_target(), hosted()), warmup=2))
    assert {group.target.name: group.warmup for group in plan.groups} == {"mini_fake": 2, "hosted": 0}


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        (({"steps": 8},), 4),
        (({"steps": [4, 8]},), 2),
        (({"steps": "default"},), 4),
        (({"acceleration": "fused", "steps": 4},), 5),
        (({"size": "square"},), 6),
        (({"size": "128x128"},), 0),
        (({"guidance": 4.5, "target": ["mini_fake"]},), 0),
    ],
)
def test_exclude(exclude: tuple[dict[str, Any], ...], left: int) -> None:
    plan = build_plan(experiment(accelerations=(NONE, FUSED), axes=axes(steps=(2, 4, 8), exclude=exclude)))
    assert len(plan.settings) == left
    assert plan.excluded == 6 - left


def test_default_and_the_same_value_are_one_setting() -> None:
    plan = build_plan(experiment(axes=axes(steps=("default", 4), size=("128x128", "default"))))
    assert len(plan.settings) == 1


def references(plan_of: ExperimentSpec) -> dict[tuple[str, int | None], tuple[str, int | None] | None]:
    plan = build_plan(plan_of)
    names = {setting.id: (setting.acceleration, setting.steps) for setting in plan.settings}
    return {
        names[setting.id]: names[setting.reference_id] if setting.reference_id else None for setting in plan.settings
    }


def test_the_reference_is_unaccelerated_at_default_steps() -> None:
    found = references(experiment(accelerations=(NONE, BOTH), axes=axes(steps=(2, 4, 8))))
    assert set(found.values()) == {("none", 4)}
    assert found[("none", 4)] == ("none", 4)


def test_without_the_default_steps_the_most_steps_are_the_reference() -> None:
    assert set(references(experiment(axes=axes(steps=(2, 8, 6)))).values()) == {("none", 8)}


def test_max_and_fixed_steps() -> None:
    at = experiment(axes=axes(steps=(2, 4, 8)))
    assert set(references(replace(at, reference=ReferenceSpec(acceleration="none", steps="max"))).values()) == {
        ("none", 8)
    }
    assert set(references(replace(at, reference=ReferenceSpec(acceleration="none", steps=2))).values()) == {("none", 2)}
    assert set(references(replace(at, reference=ReferenceSpec(acceleration="none", steps=3))).values()) == {None}


def test_no_reference_without_the_acceleration() -> None:
    assert set(references(experiment(accelerations=(BOTH,))).values()) == {None}


def test_sizes_have_references_of_their_own() -> None:
    plan = build_plan(experiment(axes=axes(size=("128x128", "256x128"), steps=(2, 4))))
    sizes = {setting.id: (setting.width, setting.height) for setting in plan.settings}
    for setting in plan.settings:
        assert setting.reference_id is not None
        assert sizes[setting.reference_id] == sizes[setting.id]


def test_passes_go_back_and_forth_between_models() -> None:
    once = build_plan(experiment(accelerations=(NONE, FUSED)))
    three = build_plan(experiment(accelerations=(NONE, FUSED), repeats=2, passes=3))
    first, second = (group.id for group in once.groups)
    assert [group.id for group in three.groups] == [
        first,
        second,
        f"{second}-pass2",
        f"{first}-pass2",
        f"{first}-pass3",
        f"{second}-pass3",
    ]
    assert [group.pass_number for group in three.groups] == [1, 1, 2, 2, 3, 3]
    assert three.settings == once.settings
    assert [{r.repeat for r in group.requests} for group in three.groups] == [
        {0, 1},
        {0, 1},
        {2, 3},
        {2, 3},
        {4, 5},
        {4, 5},
    ]
    ids = [request.id for group in three.groups for request in group.requests]
    assert len(set(ids)) == len(ids) == 3 * 2 * 2 * 3 * 2
    assert all(setting.load_key == group.id.split("-")[0] for group in three.groups for setting in group.settings)


def test_passes_of_one_repeat_are_the_requests_of_as_many_repeats() -> None:
    """So that a pass is compared with the reference of the same pass, and nothing is drawn under an old identity."""
    passes, repeats = build_plan(experiment(passes=2)), build_plan(experiment(repeats=2))
    ids = [{request.id for group in plan.groups for request in group.requests} for plan in (passes, repeats)]
    assert ids[0] == ids[1]
    assert passes.hash != repeats.hash


def without_steps(**changes: Any) -> TargetSpec:
    limits = replace(make_target().limits, steps=None, guidance=None)
    defaults = Defaults(steps=None, guidance=None, size="128x128")
    return make_target(name="bare", hosted=True, accelerations=(), limits=limits, defaults=defaults, **changes)


def test_concurrency_is_part_of_a_hosted_setting() -> None:
    once, three = experiment(targets=(hosted(),)), experiment(targets=(hosted(),), concurrency=(1, 4, 1, 40))
    (plain,), plan = build_plan(once).settings, build_plan(three)
    assert [(setting.concurrency, group.concurrency) for group in plan.groups for setting in group.settings] == [
        (1, 1),
        (4, 4),
        (40, 40),
    ]
    assert plan.settings[0].id == plain.id, "settings of earlier runs are still the same"
    assert len({setting.id for setting in plan.settings}) == len({group.id for group in plan.groups}) == 3
    assert len({request.id for group in plan.groups for request in group.requests}) == plan.request_count
    assert all(setting.reference_id == setting.id for setting in plan.settings)
    assert plan.settings[1].label.endswith("png 4 in flight")
    assert "40 in flight" in "\n".join(describe_difference(once, three))


def test_a_local_target_has_one_request_in_flight() -> None:
    one, four = experiment(), experiment(concurrency=(4,))
    assert build_plan(one).hash == build_plan(four).hash
    assert build_plan(four).groups[0].concurrency == 1


def test_concurrency_can_be_excluded() -> None:
    plan = build_plan(experiment(targets=(hosted(),), concurrency=(1, 4), axes=axes(exclude=({"concurrency": [4]},))))
    assert [setting.concurrency for setting in plan.settings] == [1]
    assert plan.excluded == 1


def test_an_endpoint_without_steps_and_guidance() -> None:
    plan = build_plan(
        experiment(
            targets=(without_steps(), hosted()),
            accelerations=(NONE, BOTH),
            axes=axes(steps=("default", 8), guidance=("default", 3.0)),
        )
    )
    (bare,) = (setting for setting in plan.settings if setting.target == "bare")
    assert (bare.steps, bare.guidance, bare.steps_to_run, bare.reference_id) == (None, None, None, bare.id)
    assert bare.label == "bare none 128×128 png"
    reasons = {skip.reason for skip in plan.skipped}
    assert reasons == {
        "bare has no steps",
        "bare has no guidance",
        "bare has no acceleration; both asks for high",
    }


@pytest.mark.parametrize("steps", ["default", "max", 8])
def test_the_reference_of_an_endpoint_without_steps(steps: Any) -> None:
    plan = build_plan(experiment(targets=(without_steps(),), reference=ReferenceSpec(acceleration="none", steps=steps)))
    assert [setting.reference_id for setting in plan.settings] == [plan.settings[0].id]


def test_parameters_are_part_of_the_target() -> None:
    plain, other = (build_plan(experiment(targets=(hosted(**changes),))) for changes in ({}, {"parameters": {"a": 1}}))
    assert plain.settings[0].id != other.settings[0].id


def test_an_option_that_came_later_changes_no_earlier_target(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Options:
        images: str = "pipeline"
        names: tuple[str, ...] = field(default=(), metadata=LATER)
        shares: dict[str, float] = field(default_factory=dict, metadata=LATER)

    monkeypatch.setattr(table, "FalEmulatorOptions", Options)

    def identity(**options: Any) -> dict[str, Any]:
        return table.service_identity(ServiceSpec(kind="fal-emulator", options=options))

    assert identity(images="patterns", names=[], shares={}) == identity(images="patterns")
    assert identity(images="patterns", names=["a"])["options"] == {"images": "patterns", "names": ["a"]}
