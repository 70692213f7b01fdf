"""What must be equal is checked, what differs is said, and --force hides nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kreabench.core.records import SCHEMA_VERSION, LoadRecord
from kreabench.decisions.comparability import NotComparable, mismatches, version_differences
from kreabench.decisions.compare import compare_sides, with_metrics
from kreabench.decisions.provenance import facts_for, facts_of, versions_of
from kreabench.rundir.directory import RunInfo
from tests.compare_support import CLIP, LPIPS, make_side
from tests.support import UTC, make_experiment, make_setting, make_target


def load(target: str, **identity: Any) -> LoadRecord:
    return LoadRecord(group_id="g", target=target, started_utc=UTC, load_s=1.0, identity=identity)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"facts": {"device": "cuda (NVIDIA H200)", "reference": "none, default steps"}}, "device"),
        ({"facts": {"device": "cpu", "reference": "none, 28 steps"}}, "reference"),
        ({"words": {"prompt-0": "other words", "prompt-1": "words-1"}}, "prompts"),
        ({"identities": {"clip": "another"}}, "metric clip"),
    ],
)
def test_what_must_be_equal(changes: dict[str, Any], key: str) -> None:
    both = (CLIP, LPIPS)
    base, candidate = make_side(metrics=both), make_side(name="candidate", metrics=both, **changes)
    with pytest.raises(NotComparable, match="--force") as caught:
        compare_sides(base, candidate)
    assert [one.key for one in caught.value.mismatches] == [key]
    assert [one.key for one in compare_sides(base, candidate, force=True).forced] == [key]


def test_every_mismatch_is_told_at_once() -> None:
    both = (CLIP, LPIPS)
    candidate = make_side(
        identities={"clip": "another"}, facts={"device": "cuda", "reference": "high, max steps"}, metrics=both
    )
    assert [one.key for one in mismatches(make_side(metrics=both), candidate)] == ["device", "reference", "metric clip"]


def test_what_one_side_does_not_know_or_lacks_is_no_mismatch() -> None:
    candidate = make_side(facts={}, words={"prompt-0": "words-0", "new": "other"})
    assert mismatches(make_side(), candidate) == ()


def test_a_metric_that_is_not_compared_may_differ() -> None:
    both = (CLIP, LPIPS)
    base = make_side(metrics=both)
    candidate = make_side(metrics=both, identities={"clip": "0123456789abcdef", "lpips": "another"})
    assert [one.key for one in mismatches(base, candidate)] == ["metric lpips"]
    assert mismatches(with_metrics(base, ["clip"]), with_metrics(candidate, ["clip"])) == ()


def test_a_selection_knows_its_own_device() -> None:
    local, hosted = make_target(name="here"), make_target(name="there", backend="fal", hosted=True, emulated=True)
    loads = [
        load("here", device="cuda:1", device_model="NVIDIA H200"),
        load("here", device="cuda:0", device_model="NVIDIA H200"),
        load("there", endpoint="fal-ai/flux"),
    ]
    settings = [make_setting(target="here", steps=28), make_setting(target="there", steps=None)]
    facts = facts_of(make_experiment(targets=(local, hosted)), loads, settings)
    assert facts["device"] == "cuda (NVIDIA H200); hosted (fal, emulated)"
    assert facts["reference of here"] == "none, 28 steps"
    assert facts_for(facts, {"there"})["reference"] == "none"
    base, candidate = make_side(facts=facts_for(facts, {"here"})), make_side(facts=facts_for(facts, {"there"}))
    assert [str(one.base) for one in mismatches(base, candidate)] == ["cuda (NVIDIA H200)"]


def test_versions_tell_the_model_without_paths() -> None:
    info = RunInfo(
        schema_version=SCHEMA_VERSION,
        plan_hash="",
        created_utc=UTC,
        experiment=make_experiment(),
        versions={"torch": "2.15.0"},
        environment={"CUDA_VISIBLE_DEVICES": "1"},
        git_revision="abc",
    )
    identity = {"model": "/home/somebody/weights/krea", "revision": "r1", "device": "cpu", "versions": {"cuda": "13"}}
    again = identity | {"revision": "r2"}
    found = versions_of(info, [load("here", **identity), load("here", **again), load("here", **identity)])
    assert found == {
        "torch": "2.15.0",
        "environment CUDA_VISIBLE_DEVICES": "1",
        "git revision": "abc",
        "here: model": "…/krea",
        "here: revision": "r1, r2",
        "here: versions cuda": "13",
    }


def test_versions_that_differ_are_said_whatever_the_targets_are_called() -> None:
    base = make_side(versions={"torch": "2.15.0", "numpy": "2", "mini_fake: revision": "a", "other: revision": "x"})
    candidate = make_side(versions={"torch": "2.16.0", "numpy": "2", "renamed: revision": "b"})
    renamed = tuple(replace(setting, target="renamed") for setting in candidate.settings)
    found = version_differences(base, replace(candidate, settings=renamed))
    assert {(one.name, one.base, one.candidate) for one in found} == {
        ("torch", "2.15.0", "2.16.0"),
        ("revision", "a", "b"),
    }


def test_the_reference_matters_to_fidelity_alone() -> None:
    other = make_side(facts={"device": "cpu", "reference": "none, 8 steps"})
    assert mismatches(make_side(), other) == ()
