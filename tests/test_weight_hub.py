"""Weights of the Hub are found without network, fetched whole or not at all, and checked against their hashes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kreabench.metrics.weight_hashes import files_sha256, model_files
from tests.hub_service import HubService, use_hub
from tests.weights_support import CONTENT, MODEL, SHA256, fetched, model_folder, need, refusal


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubService]:
    service = HubService()
    monkeypatch.setenv("KREABENCH_CACHE", str(tmp_path / "cache"))
    with use_hub(service, monkeypatch, tmp_path):
        yield service
    service.stop()


def test_a_file_of_the_hub_is_fetched_once_and_found_without_network(hub: HubService) -> None:
    commit = hub.put("owner/name", {"x.pt": CONTENT})
    source = f"hub:owner/name/x.pt@{commit}"
    assert "doctor --fetch metrics" in refusal(lambda: need(source).locate(os.environ))
    assert hub.requests == []

    said = fetched(source)
    asked = len(hub.requests)
    fetched(source)
    located = need(source).locate(os.environ)

    assert (located.path.read_bytes(), located.sha256, located.commit) == (CONTENT, SHA256, commit)
    assert any(SHA256 in line for line in said)
    assert not any("not pinned" in line for line in said)
    assert len(hub.requests) == asked


def test_a_branch_is_said_to_be_not_pinned_and_how_to_pin_what_it_meant(hub: HubService) -> None:
    commit = hub.put("owner/name", {"x.pt": CONTENT})

    said = fetched("hub:owner/name/x.pt@main")

    assert need("hub:owner/name/x.pt@main").locate(os.environ).commit == commit
    assert f"hub:owner/name/x.pt@{commit}" in said[-1]
    assert "not pinned" in said[-1]


def test_amodel_folder_is_tensors_and_descriptions_and_never_pickles(hub: HubService) -> None:
    extra = {"open_clip_model.safetensors": b"again", "onnx/config.json": b"{}", "tokenizer.json": b"{}"}
    commit = hub.put("owner/name", MODEL | extra)
    source = f"hub:owner/name@{commit}"

    assert need(source).problem(os.environ) is not None
    assert hub.requests == []

    fetched(source)
    asked = len(hub.requests)
    located = need(source).locate(os.environ)

    assert len(hub.requests) == asked
    assert {file.name for file in located.path.iterdir()} == {"config.json", "model.safetensors", "tokenizer.json"}
    assert located.sha256 == files_sha256(model_files(located.path), os.environ)
    assert located.commit == commit


def test_a_processor_is_fetched_without_the_gigabytes_beside_it(hub: HubService, tmp_path: Path) -> None:
    hub.put("owner/name", MODEL | {"tokenizer.json": b"{}"})
    processor = replace(need("hub:owner/name@main"), tensors=False)
    assert processor.problem(os.environ) is not None

    processor.fetch(os.environ, print)
    located = processor.locate(os.environ)

    assert {file.name for file in located.path.iterdir()} == {"config.json", "tokenizer.json"}
    assert need("hub:owner/name@main").problem(os.environ) is not None
    model_folder(tmp_path / "copy", {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors": b"x"})
    assert replace(need(tmp_path / "copy"), tensors=False).locate(os.environ).sha256 == located.sha256
    (tmp_path / "empty").mkdir()
    assert replace(need(tmp_path / "empty"), tensors=False).problem(os.environ) is not None


def test_the_hash_of_a_folder_does_not_depend_on_what_other_tools_fetched(hub: HubService) -> None:
    from huggingface_hub import hf_hub_download

    commit = hub.put("owner/name", MODEL | {"open_clip_config.json": b"{}"})
    fetched(f"hub:owner/name@{commit}")
    before = need(f"hub:owner/name@{commit}").locate(os.environ).sha256
    for name in ("README.md", "pytorch_model.bin", "open_clip_config.json"):
        hf_hub_download("owner/name", name, revision=commit)

    assert need(f"hub:owner/name@{commit}").locate(os.environ).sha256 == before


def test_a_folder_of_which_only_a_part_is_here_is_missing(hub: HubService) -> None:
    from huggingface_hub import hf_hub_download

    index = json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}).encode()
    commit = hub.put(
        "owner/name",
        {"config.json": b"{}", "m.safetensors.index.json": index, "one.safetensors": b"1", "two.safetensors": b"2"},
    )
    source = f"hub:owner/name@{commit}"
    for name, words in {
        "config.json": "without .safetensors",
        "one.safetensors": "",
        "m.safetensors.index.json": "without two.safetensors",
    }.items():
        hf_hub_download("owner/name", name, revision=commit)
        assert not words or words in refusal(lambda: need(source).locate(os.environ))

    fetched(source)

    assert need(source).problem(os.environ) is None


def test_a_repository_of_pickles_alone_is_refused(hub: HubService) -> None:
    hub.put("owner/name", {"config.json": b"{}", "pytorch_model.bin": b"pickle"})

    assert "no .safetensors" in refusal(lambda: fetched("hub:owner/name@main"))
    assert hub.sent("pytorch_model.bin") == 0


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("hub:owner/other/x.pt@main", "hf auth login"),
        ("hub:owner/gated/x.pt@main", "Accept its licence on https://huggingface.co/owner/gated"),
        ("hub:owner/gated@main", "Accept its licence on https://huggingface.co/owner/gated"),
        ("hub:owner/name/y.pt@main", "file is not there"),
        ("hub:owner/name/x.pt@v2", "revision is not there"),
        ("hub:owner/name@v2", "revision is not there"),
    ],
)
def test_each_refusal_of_the_hub_has_its_remedy(hub: HubService, source: str, words: str) -> None:
    hub.put("owner/name", {"x.pt": CONTENT})
    hub.put("owner/gated", {"x.pt": CONTENT}, gated=True)

    assert words in refusal(lambda: fetched(source))


def test_a_token_is_used_and_never_shown(hub: HubService, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.put("owner/gated", {"x.pt": CONTENT}, gated=True)
    monkeypatch.setenv("HF_TOKEN", "hf_verysecret")

    said = fetched("hub:owner/gated/x.pt@main")
    text = refusal(lambda: fetched("hub:owner/other/x.pt@main"))

    assert "Bearer hf_verysecret" in hub.tokens
    assert "verysecret" not in "".join(said) + text


def test_a_damaged_cache_is_seen_and_fetched_again(hub: HubService) -> None:
    commit = hub.put("owner/name", {"x.pt": CONTENT})
    source = f"hub:owner/name/x.pt@{commit}"
    fetched(source)
    need(source).locate(os.environ).path.resolve().write_bytes(CONTENT[::-1])
    assert f"instead of {SHA256}" in refusal(lambda: need(source).locate(os.environ))

    fetched(source)

    assert need(source).locate(os.environ).sha256 == SHA256


def test_content_that_is_not_what_the_hub_promised_is_refused(hub: HubService) -> None:
    hub.put("owner/name", {"x.pt": CONTENT})
    hub.corrupt.add("x.pt")

    assert f"instead of {SHA256}" in refusal(lambda: fetched("hub:owner/name/x.pt@main"))


def test_a_download_from_the_hub_that_ends_half_way_leaves_nothing_to_be_found(
    hub: HubService, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.put("owner/name", {"x.pt": CONTENT})
    hub.truncate.add("x.pt")
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the library tries again each second

    assert "Check the network" in refusal(lambda: fetched("hub:owner/name/x.pt@main"))
    assert need("hub:owner/name/x.pt@main").problem(os.environ) is not None


def test_no_hub_at_all_is_said(hub: HubService, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.broken = True
    assert "HTTP 500" in refusal(lambda: fetched("hub:owner/name@main"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert "Check the network" in refusal(lambda: fetched("hub:owner/name@main"))


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "KREABENCH_OFFLINE"])
@pytest.mark.parametrize("source", ["hub:owner/name/x.pt@main", "https://127.0.0.1:1/x.pt"])
def test_nothing_is_sent_where_that_is_forbidden(
    hub: HubService, monkeypatch: pytest.MonkeyPatch, variable: str, source: str
) -> None:
    monkeypatch.setenv(variable, "1")

    assert f"Unset {variable}" in refusal(lambda: fetched(source))
    assert variable in refusal(lambda: need(source).locate(os.environ))
    assert hub.requests == []
