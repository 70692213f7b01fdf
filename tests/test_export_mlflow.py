"""Runs told to MLflow's own server, started here on loopback, and read back from it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from kreabench.report.evidence import gather
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.table import join_table
from kreabench.tracking.mlflow_tracker import export_to_mlflow
from kreabench.tracking.telling import export_of, run_id_of
from tests.command_support import run_command
from tests.decided_runs import decided_run, pictured_run

pytest.importorskip("mlflow.server", reason="needs the whole mlflow, not only its client")

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(300)]  # of mlflow, which this process calls

Call = Callable[..., "tuple[int, str, str]"]
START_S = 240.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {
        "--backend-store-uri": f"sqlite:///{folder}/runs.db",
        "--artifacts-destination": str(folder / "artifacts"),
        "--host": "127.0.0.1",
        "--port": str(port),
        "--workers": "1",
    }
    command = [sys.executable, "-m", "mlflow", "server", *(word for pair in options.items() for word in pair)]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        uri = f"http://127.0.0.1:{port}"
        _wait(uri, process, folder / "log")
        yield uri
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(uri: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end_s = time.monotonic() + START_S
    while time.monotonic() < end_s:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"{uri}/health", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise AssertionError(f"no server after {START_S} s: {log.read_text()}")


@pytest.fixture
def run_path(tmp_path: Path) -> Path:
    return pictured_run(tmp_path / "run")


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    return partial(run_command, capfd, "export")


def runs_at(server: str, experiment: str) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(server)
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id])) if found else []


def test_a_run_and_its_settings_are_there_once_however_often_they_are_exported(
    server: str, run_path: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    options = ("--to", "mlflow", "--tracking-uri", server, "--experiment", "once", "--images", "2")
    code, out, _ = call(str(run_path), *options)
    assert code == 0
    assert "5 new" in out
    assert "View run" not in out
    first = {run.info.run_id: run for run in runs_at(server, "once")}
    info = RunDirectory.open(run_path).info
    (parent,) = [run for run in first.values() if "mlflow.parentRunId" not in run.data.tags]
    nested = [run for run in first.values() if run is not parent]
    assert len(nested) == 4
    assert {run.data.tags["mlflow.parentRunId"] for run in nested} == {parent.info.run_id}
    for run in first.values():
        assert run.data.tags["kreabench.run_id"] == run_id_of(info)
        assert run.data.tags["kreabench.plan_hash"] == info.plan_hash
        assert run.info.status == "FINISHED"
    table = pd.read_parquet(run_path / "samples.parquet")
    for run in nested:
        rows = table[table["setting_id"] == run.data.tags["kreabench.setting_id"]]
        timed = rows[(rows["status"] == "ok") & rows["timing_valid"].isin([True])]
        assert run.data.metrics["latency_median_s"] == pytest.approx(timed["end_to_end_s"].median())
        assert run.data.metrics["failed"] == 1
        assert run.data.params["steps"] == str(rows["steps"].iloc[0])
        assert run.data.params["acceleration"] == rows["acceleration"].iloc[0]
    client = MlflowClient(server)
    pictures = [item.path for item in client.list_artifacts(nested[0].info.run_id, "pictures")]
    assert len(pictures) >= 1
    tables = {item.path for item in client.list_artifacts(parent.info.run_id)}
    assert tables >= {"samples.csv", "samples.parquet", "settings.csv", "settings.parquet", "data_dictionary.csv"}
    from mlflow.artifacts import download_artifacts

    got = download_artifacts(run_id=parent.info.run_id, artifact_path="samples.parquet", tracking_uri=server,
                             dst_path=str(tmp_path / "got"))  # fmt: skip
    assert len(pd.read_parquet(got)) == len(table)

    client.set_tag(nested[0].info.run_id, "ours", "stays")
    shutil.move(run_path, tmp_path / "copy")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "once")
    code, out, _ = call(str(tmp_path / "copy"), "--to", "mlflow", "--images", "2")
    assert code == 0
    assert "5 brought up to date" in out
    second = {run.info.run_id: run for run in runs_at(server, "once")}
    assert set(second) == set(first)
    assert second[nested[0].info.run_id].data.tags["ours"] == "stays"
    for run_id, run in second.items():
        assert run.data.metrics == first[run_id].data.metrics
        history = client.get_metric_history(run_id, "failed")
        assert len(history) == 1, "what is the same is not told again"
    assert [item.path for item in client.list_artifacts(nested[0].info.run_id, "pictures")] == pictures


def test_what_goes_on_is_brought_up_to_date_and_what_cannot_be_taken_back_is_made_anew(
    server: str, call: Call, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    options = ("--to", "mlflow", "--tracking-uri", server, "--experiment", "goes-on")
    decided_run(tmp_path / "half", done=0.5)
    whole, _ = decided_run(tmp_path / "whole")
    assert call(str(tmp_path / "half"), *options)[0] == 0
    before = {run.info.run_id: run for run in runs_at(server, "goes-on")}
    assert "RUNNING" in {run.info.status for run in before.values()}
    assert call(str(whole.path), *options)[0] == 0
    after = {run.info.run_id: run for run in runs_at(server, "goes-on")}
    assert set(after) == set(before)
    assert {run.info.status for run in after.values()} == {"FINISHED"}
    assert sum(run.data.metrics["ok"] for run in after.values()) > sum(r.data.metrics["ok"] for r in before.values())
    # All scores are lost: their means must not stay.
    (whole.path / "scores.jsonl").write_bytes(b"")
    code, out, _ = call(str(whole.path), *options)
    assert code == 0
    assert "4 made anew" in out
    last = {run.info.run_id: run for run in runs_at(server, "goes-on")}
    assert len(last) == 5
    assert len(set(last) & set(after)) == 1
    assert not [name for run in last.values() for name in run.data.metrics if name.startswith("score_clip_mean")]
    gone = next(iter(set(after) - set(last)))
    assert MlflowClient(server).get_run(gone).info.lifecycle_stage == "deleted"


def test_a_setting_that_was_dropped_since_is_taken_away(server: str, tmp_path: Path) -> None:
    run, plan = decided_run(tmp_path / "run")
    export = export_of(gather(run, plan, join_table(run, plan)))
    assert export_to_mlflow(export, server, "dropped").removed == 0
    sent = export_to_mlflow(replace(export, settings=export.settings[1:]), server, "dropped")
    assert (sent.updated, sent.removed) == (len(export.settings), 1)
    left = {run.data.tags.get("kreabench.setting_id", "") for run in runs_at(server, "dropped")}
    assert left == {"", *(entry.id for entry in export.settings[1:])}


def test_two_runs_of_one_id_are_refused(server: str, run_path: Path, call: Call) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(server)
    experiment_id = client.create_experiment("twice")
    tags = {"kreabench.run_id": run_id_of(RunDirectory.open(run_path).info)}
    ids = [client.create_run(experiment_id, tags=tags).info.run_id for _ in range(2)]
    code, _, err = call(str(run_path), "--to", "mlflow", "--tracking-uri", server, "--experiment", "twice")
    assert code == 2
    assert all(run_id in err for run_id in ids)


def test_a_deleted_experiment_is_refused(server: str, run_path: Path, call: Call) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(server)
    client.delete_experiment(client.create_experiment("gone"))
    code, _, err = call(str(run_path), "--to", "mlflow", "--tracking-uri", server, "--experiment", "gone")
    assert code == 2
    assert "which is deleted there" in err


def test_a_server_that_is_not_there_or_never_answers_is_an_error_in_bounded_time(
    run_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        begun_s = time.monotonic()
        code, _, err = call(str(run_path), "--to", "mlflow", "--tracking-uri", f"http://127.0.0.1:{port}")
        assert code == 2
        assert time.monotonic() - begun_s < 60
    assert "timed out" in err.lower()
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT")
    code, _, err = call(str(run_path), "--to", "mlflow", "--tracking-uri", f"http://127.0.0.1:{port}")
    assert code == 2
    assert "expected an MLflow tracking server that answers" in err


def test_a_key_of_the_environment_is_in_no_output_and_a_refused_one_is_explained(
    run_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "a-token-that-nobody-may-see")
    with answering(401) as (uri, seen):
        code, out, err = call(str(run_path), "--to", "mlflow", "--tracking-uri", uri)
    assert seen == ["Bearer a-token-that-nobody-may-see"]
    assert code == 2
    assert "MLFLOW_TRACKING_TOKEN" in err
    assert "a-token-that-nobody-may-see" not in out + err


def test_a_server_that_asks_for_ten_minutes_is_an_error_in_bounded_time(run_path: Path, call: Call) -> None:
    begun_s = time.monotonic()
    with answering(429, {"Retry-After": "600"}) as (uri, seen):
        code, _, err = call(str(run_path), "--to", "mlflow", "--tracking-uri", uri)
    assert code == 2
    assert time.monotonic() - begun_s < 60
    assert len(seen) == 2
    assert "429" in err


@contextmanager
def answering(status: int, headers: Mapping[str, str] | None = None) -> Iterator[tuple[str, list[str]]]:
    """A server that answers every request so, and repeats its key; the keys that it saw."""
    seen = []

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["Authorization"])
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(f"no: {self.headers['Authorization']}".encode())

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()
