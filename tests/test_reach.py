"""Fetching where there is no network: refused at once and in one line, not after a library's minute of trying again."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import open_clip
import pytest

from kreabench.core.errors import ConfigError, EnvironmentProblem, Problem
from kreabench.core.reach import unreachable
from kreabench.metrics.clip_weights import ClipWeightsNeed
from kreabench.metrics.weights import WeightsNeed
from kreabench.scoring.requirements import under

NOWHERE = "http://127.0.0.1:1"
OPENAI = ClipWeightsNeed(model="ViT-B-32-quickgelu", weights="openai")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", NOWHERE)
    monkeypatch.setattr(constants, "ENDPOINT", NOWHERE)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("tried again"))


def refusal(need: ClipWeightsNeed | WeightsNeed) -> Problem:
    with pytest.raises(EnvironmentProblem) as caught:
        need.fetch(os.environ, lambda line: None)
    return caught.value.problems[0]


def test_what_can_be_reached_and_what_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert unreachable(f"http://127.0.0.1:{server.getsockname()[1]}/x") is None
    assert "127.0.0.1" in str(unreachable(NOWHERE))
    assert unreachable("") is None
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:2")
    assert unreachable(NOWHERE) is None, "the proxy finds the way"


def test_weights_of_the_hub_are_refused_at_once() -> None:
    problem = refusal(WeightsNeed(name="weights", source=f"hub:owner/name@{'0' * 40}"))
    assert "no connection to 127.0.0.1" in problem.found


def test_a_tag_of_open_clip_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_clip, "download_pretrained", lambda *_: pytest.fail("asked the network"))
    assert "no connection to 127.0.0.1" in refusal(OPENAI).found


def test_a_tag_is_not_fetched_where_that_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_clip, "download_pretrained", lambda *_: pytest.fail("asked the network"))
    monkeypatch.setenv("KREABENCH_OFFLINE", "1")
    assert "KREABENCH_OFFLINE is set" in refusal(OPENAI).found


def test_published_prompts_are_refused_at_once() -> None:
    from kreabench.config.hub_prompts import hub_prompts
    from kreabench.config.model import HubPromptsConfig

    config = HubPromptsConfig(dataset="owner/name", revision="0" * 40, file=["a.json"], column="prompt")
    with pytest.raises(ConfigError, match=r"no connection to 127\.0\.0\.1"):
        hub_prompts(config)


def test_a_remedy_that_fetches_names_its_metric() -> None:
    problem = Problem(
        key="options.weights", found="x", expected="y", remedy="Get it: `kreabench doctor --fetch metrics`"
    )
    assert under("lpips", problem).remedy == "Get it: `kreabench doctor --fetch metrics=lpips`"
