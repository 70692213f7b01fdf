"""Runs told to W&B's client, which writes them offline, and read back from its files. Its service is not asked."""

from __future__ import annotations

import getpass
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from kreabench.rundir.directory import RunDirectory
from kreabench.tracking import wandb_tracker
from kreabench.tracking.telling import run_id_of
from tests.command_support import run_command
from tests.decided_runs import pictured_run
from tests.export_support import offline_records

pytest.importorskip("wandb")

pytestmark = pytest.mark.filterwarnings("ignore")  # of wandb, which this process calls

Call = Callable[..., "tuple[int, str, str]"]


@pytest.fixture
def run_path(tmp_path: Path) -> Path:
    return pictured_run(tmp_path / "run")


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Call]:
    import wandb

    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name in ("DIR", "DATA_DIR", "CACHE_DIR", "CONFIG_DIR"):
        (tmp_path / "theirs" / name).mkdir(parents=True)
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path / "theirs" / name))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("NETRC", os.devnull)
    wandb.teardown()
    yield partial(run_command, capfd, "export")
    wandb.teardown()


def written(tmp_path: Path) -> dict[str, list[Any]]:
    """Id of a run of theirs → its records."""
    files = sorted((tmp_path / "theirs" / "DIR").rglob("run-*.wandb"))
    return {file.stem.removeprefix("run-"): list(offline_records(file)) for file in files}


def summary_of(records: list[Any]) -> dict[str, Any]:
    updates = [item for record in records if record.HasField("summary") for item in record.summary.update]
    return {item.key or item.nested_key[0]: json.loads(item.value_json) for item in updates}


def config_of(records: list[Any]) -> dict[str, Any]:
    sent = [record.config for record in records if record.HasField("config")]
    sent += [record.run.config for record in records if record.HasField("run")]
    return {item.key or item.nested_key[0]: json.loads(item.value_json) for one in sent for item in one.update}


def test_a_group_with_a_run_for_each_setting_is_written(
    run_path: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "litellm", ModuleType("litellm"))  # the library advertises beside it
    code, out, err = call(str(run_path), "--to", "wandb", "--project", "krea", "--images", "2")
    assert (code, err) == (0, "")
    assert "5 new" in out
    runs, id_ = written(tmp_path), run_id_of(RunDirectory.open(run_path).info)
    table = pd.read_parquet(run_path / "samples.parquet")
    assert set(runs) == {id_, *(f"{id_}-{setting}" for setting in table["setting_id"].unique())}
    for name, records in runs.items():
        (begun,) = [record.run for record in records if record.HasField("run")][:1]
        assert (begun.run_group, begun.project) == (id_, "krea")
        artifacts = {record.request.log_artifact.artifact.type for record in records if record.HasField("request")}
        artifacts |= {record.artifact.type for record in records if record.HasField("artifact")}
        summary, config = summary_of(records), config_of(records)
        assert all(isinstance(value, int | float | dict) for key, value in summary.items() if not key.startswith("_"))
        if name == id_:
            assert begun.job_type == "run"
            assert "tables" in artifacts
            assert summary["failed"] == 4
            continue
        rows = table[table["setting_id"] == name.removeprefix(f"{id_}-")]
        timed = rows[(rows["status"] == "ok") & rows["timing_valid"].isin([True])]
        assert begun.job_type == "setting"
        assert "pictures" in artifacts
        assert summary["latency_median_s"] == pytest.approx(timed["end_to_end_s"].median())
        assert (summary["failed"], summary["ok"]) == (1, 7)
        assert "energy_per_image_j" not in summary
        assert config["steps"] == rows["steps"].iloc[0]
        assert config["kreabench.run_id"] == id_


def test_nothing_of_this_machine_is_written(run_path: Path, call: Call, tmp_path: Path) -> None:
    assert call(str(run_path), "--to", "wandb")[0] == 0
    files = list((tmp_path / "theirs" / "DIR").rglob("run-*.wandb"))
    assert len(files) == 5
    private = {socket.gethostname(), str(run_path), str(Path.home()), getpass.getuser(), "pytest"}
    for file in files:
        told = [record for record in offline_records(file) if not record.HasField("artifact")]
        for record in told:
            record.ClearField("request")
        text = "\n".join(map(str, told))
        assert [name for name in private if len(name) > 4 and name in text] == []
    assert not list((tmp_path / "theirs" / "DIR").rglob("requirements.txt"))
    assert not list((tmp_path / "theirs" / "DIR").rglob("wandb-metadata.json"))


def test_without_a_key_nothing_is_asked_or_sent(run_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    code, _, err = call(str(run_path), "--to", "wandb")
    assert code == 2
    assert "WANDB_API_KEY: found not set" in err


def test_a_service_that_is_not_there_is_an_error_in_bounded_time(
    run_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "abcdef0123" * 4
    monkeypatch.setattr(wandb_tracker, "_WAIT_S", 2)
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", key)
    begun_s = time.monotonic()
    code, out, err = call(str(run_path), "--to", "wandb")
    assert code == 2
    assert time.monotonic() - begun_s < 60
    assert "http://127.0.0.1:9: found CommError" in err
    assert key not in out + err


def test_a_mode_in_which_nothing_would_be_written_is_refused(
    run_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    code, _, err = call(str(run_path), "--to", "wandb")
    assert code == 2
    assert "WANDB_MODE: found 'disabled'; expected online or offline" in err


def test_variables_of_a_sweep_or_a_launched_job_change_neither_id_nor_project(
    run_path: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SWEEP_ID", "RUN_ID", "RUN_GROUP", "PROJECT"):
        monkeypatch.setenv(f"WANDB_{name}", "another")
    monkeypatch.setenv("WANDB_LAUNCH", "true")
    assert call(str(run_path), "--to", "wandb", "--project", "krea")[0] == 0
    runs, id_ = written(tmp_path), run_id_of(RunDirectory.open(run_path).info)
    assert len(runs) == 5
    for name, records in runs.items():
        (begun,) = [record.run for record in records if record.HasField("run")][:1]
        assert name.startswith(id_)
        assert (begun.run_group, begun.project, begun.sweep_id) == (id_, "krea", "")


def test_the_folder_that_is_named_is_the_one_that_is_written(
    run_path: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs" / "DIR" / ".wandb").mkdir()  # which their client prefers
    code, out, _ = call(str(run_path), "--to", "wandb")
    assert code == 0
    assert f"{tmp_path}/theirs/DIR/.wandb" in out
    assert len(list((tmp_path / "theirs" / "DIR" / ".wandb").rglob("run-*.wandb"))) == 5
    (tmp_path / "a-file").touch()
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "a-file"))
    code, out, err = call(str(run_path), "--to", "wandb")
    assert code == 2
    assert "WANDB_DIR: found …/a-file: File exists" in err


def test_an_interrupt_ends_it_although_the_service_is_silent(
    run_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "abcdef0123" * 4)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        process = subprocess.Popen(
            [sys.executable, "-m", "kreabench", "export", str(run_path), "--to", "wandb"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            asked, _ = silent.accept()
            begun_s = time.monotonic()
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=45)
        finally:
            process.kill()
        asked.close()
    assert time.monotonic() - begun_s < 40, "their client alone takes a minute"
    assert process.returncode == 130
    assert "kreabench: interrupted" in out
    assert "Traceback" not in out
