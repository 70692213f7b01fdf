"""Features of accelerations: bad ones are named before anything loads."""

from __future__ import annotations

from typing import Any

import pytest

from kreabench.backends.accelerations import FEATURES, check_features, features_of_phase


@pytest.mark.parametrize(
    "features",
    [
        {},
        {"fuse_qkv": {}, "vae_channels_last": {}},
        {"first_block_cache": {"threshold": 0}},
        {"first_block_cache": {"threshold": 0.12}},
    ],
)
def test_good_features_have_no_messages(features: dict[str, Any]) -> None:
    assert check_features(features) == ()


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ({"fuse_qvk": {}}, ["fuse_qvk", "first_block_cache, fuse_qkv, vae_channels_last", "did you mean fuse_qkv?"]),
        ({"fuse_qkv": {"threshold": 1}}, ["fuse_qkv.threshold", "no parameters"]),
        ({"fuse_qkv": None}, ["fuse_qkv", "mapping", "{}", "None"]),
        ({"first_block_cache": {}}, ["first_block_cache.threshold", "missing"]),
        ({"first_block_cache": {"threshold": "high"}}, ["first_block_cache.threshold", "at least 0", "'high'"]),
        ({"first_block_cache": {"threshold": True}}, ["first_block_cache.threshold", "True"]),
        ({"first_block_cache": {"threshold": -0.1}}, ["first_block_cache.threshold", "-0.1"]),
        ({"first_block_cache": {"threshold": float("nan")}}, ["first_block_cache.threshold", "nan"]),
        ({"first_block_cache": {"threshold": 0.1, "treshold": 1}}, ["first_block_cache.treshold", "mean threshold?"]),
    ],
)
def test_each_bad_feature_is_named_with_what_is_accepted(features: dict[str, Any], words: list[str]) -> None:
    (message,) = check_features(features)
    for word in words:
        assert word in message


def test_all_problems_are_found_at_once() -> None:
    assert len(check_features({"nonsense": {}, "fuse_qkv": {"x": 1}, "first_block_cache": {"y": 1}})) == 4


def test_phases_part_the_features() -> None:
    features = {"first_block_cache": {"threshold": 0.1}, "vae_channels_last": {}, "fuse_qkv": {}}
    load, call = features_of_phase(features, "load"), features_of_phase(features, "call")
    assert list(load) == ["fuse_qkv", "vae_channels_last"]
    assert call == {"first_block_cache": {"threshold": 0.1}}
    assert {row.phase for row in FEATURES.values()} == {"load", "call"}
