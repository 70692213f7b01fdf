"""The loopback Hub serves the real client library: what is tested with it would work on the Hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from tests.hub_service import HubService, use_hub

FILES = {"config.json": b'{"a": 1}', "model.safetensors": b"weights" * 1000, "data/rows.parquet": b"rows"}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubService]:
    service = HubService()
    with use_hub(service, monkeypatch, tmp_path):
        yield service
    service.stop()


@pytest.mark.parametrize("repo_type", ["model", "dataset"])
def test_files_and_folders_by_branch_and_commit(hub: HubService, repo_type: str) -> None:
    commit = hub.put("owner/name", FILES, repo_type=repo_type)

    for name, content in FILES.items():
        path = Path(hf_hub_download("owner/name", name, repo_type=repo_type, revision="main"))
        assert path.read_bytes() == content
        assert commit in path.parts
    folder = Path(snapshot_download("owner/name", repo_type=repo_type, revision=commit, allow_patterns=["*.json"]))
    assert (folder / "config.json").read_bytes() == FILES["config.json"]


def test_refusals_are_the_librarys_own(hub: HubService) -> None:
    hub.put("owner/name", FILES)
    hub.put("owner/gated", FILES, gated=True)

    with pytest.raises(EntryNotFoundError):
        hf_hub_download("owner/name", "other.json")
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download("owner/name", "config.json", revision="none")
    with pytest.raises(RepositoryNotFoundError):
        hf_hub_download("owner/other", "config.json")
    with pytest.raises(GatedRepoError):
        hf_hub_download("owner/gated", "config.json")
    assert Path(hf_hub_download("owner/gated", "config.json", token="hf_x")).is_file()
