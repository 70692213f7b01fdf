"""A run says where it comes from, and never a secret."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from kreabench import __version__
from kreabench.core.records import SCHEMA_VERSION
from kreabench.rundir import codec, provenance
from kreabench.rundir.directory import RunDirectory
from tests.support import make_experiment

NOON = datetime(2026, 1, 2, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
SECRET = "0d1f-secret-value"


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def test_what_is_recorded(tmp_path: Path) -> None:
    experiment = make_experiment()
    info = provenance.collect("abc", experiment, environ={"OMP_NUM_THREADS": "2"}, now=NOON, folder=tmp_path)
    assert info.schema_version == SCHEMA_VERSION
    assert info.plan_hash == "abc"
    assert info.experiment is experiment
    assert info.created_utc == "2026-01-02T10:00:00.123Z"
    assert info.versions["kreabench"] == __version__
    assert info.versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert info.versions["torch"].startswith("2.")
    assert info.environment == {"OMP_NUM_THREADS": "2"}
    assert info.git_revision is None


def test_no_secret_reaches_the_run_directory(tmp_path: Path) -> None:
    environ = dict.fromkeys(
        ("FAL_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "HOME", "HF_HOME", "HTTPS_PROXY"),
        SECRET,
    )
    environ["CUDA_VISIBLE_DEVICES"] = "0"
    info = provenance.collect("abc", make_experiment(), environ=environ, now=NOON, folder=tmp_path)
    run = RunDirectory.create(tmp_path / "run", info, "name: test\n")
    assert info.environment == {"CUDA_VISIBLE_DEVICES": "0"}
    for file in run.path.iterdir():
        assert SECRET.encode() not in file.read_bytes()


def test_the_allow_list_names_no_key_path_host_or_person() -> None:
    suspicious = ("KEY", "TOKEN", "SECRET", "PASS", "HOME", "DIR", "PATH", "HOST", "URL", "PROXY", "USER", "CACHE_")
    assert [name for name in provenance.ENVIRONMENT if any(word in name for word in suspicious)] == []


def test_packages_that_are_not_installed_are_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "PACKAGES", ("msgspec", "no-such-distribution"))
    assert set(provenance.package_versions()) >= {"kreabench", "python", "machine", "msgspec"}
    assert "no-such-distribution" not in provenance.package_versions()


def test_the_revision_of_the_code_around_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "-q")

    def revision() -> str | None:
        environ = {"GIT_DIR": "/nowhere", "FAL_KEY": SECRET}
        return provenance.collect("abc", make_experiment(), environ=environ, now=NOON).git_revision

    monkeypatch.chdir(tmp_path)
    assert revision() is None, "no commit yet"
    (tmp_path / "code.py").write_text("one = 1\n")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "-q", "-m", "one")
    clean = revision()
    assert clean is not None
    assert len(clean) == 40
    (tmp_path / "note.txt").write_text("untracked files change nothing\n")
    assert revision() == clean
    (tmp_path / "code.py").write_text("one = 2\n")
    assert revision() == f"{clean}-dirty"


def test_without_git_there_is_no_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*arguments: object, **options: object) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", absent)
    info = provenance.collect("abc", make_experiment(), environ={}, now=datetime.now(UTC), folder=tmp_path)
    assert info.git_revision is None
    assert b'"git_revision":null' in codec.encode(info)
