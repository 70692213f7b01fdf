"""What is told to a tracker: only what was measured, failures counted, nothing of this machine; before any tracker."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from kreabench.core.errors import ConfigError, EnvironmentProblem
from kreabench.core.specs import MetricSpec
from kreabench.report.evidence import gather
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.table import join_table
from kreabench.tracking import environment
from kreabench.tracking.entries import Entry, Export
from kreabench.tracking.mlflow_tracker import address, shown
from kreabench.tracking.numbers import numbers, unit_word
from kreabench.tracking.tell import check
from kreabench.tracking.telling import export_of, run_id_of
from kreabench.tracking.wandb_tracker import project_of
from tests.decided_runs import METRICS, decided_run
from tests.report_runs import KEY
from tests.support import make_failure, make_sample


def told(run_path: Path, pictures: int = 0, **changes: object) -> Export:
    run, plan = decided_run(run_path, **changes)  # type: ignore[arg-type]
    return export_of(gather(run, plan, join_table(run, plan)), pictures)


def everything(export: Export) -> str:
    """All texts and tables of an export but its parquet files."""
    entries = [export.run, *export.settings]
    files = [content.decode() for entry in entries for name, content in entry.files() if name.endswith(".csv")]
    shown = [[entry.id, entry.name, dict(entry.parameters), dict(entry.metrics), dict(entry.tags)] for entry in entries]
    return json.dumps(shown, ensure_ascii=False) + "\n".join(files)


def test_numbers_are_those_of_the_table_and_failures_are_counted(tmp_path: Path) -> None:
    export = told(tmp_path / "run", prompts=20)
    table = pd.read_parquet(tmp_path / "run" / "samples.parquet")
    assert len(export.settings) == 4
    for entry in export.settings:
        rows = table[table["setting_id"] == entry.id]
        timed = rows[(rows["status"] == "ok") & rows["timing_valid"].isin([True])]
        assert entry.metrics["failed"] == (rows["status"] == "failed").sum() == 1
        assert entry.metrics["ok"] + 1 == entry.metrics["requested"] == 40
        assert entry.metrics["latency_median_s"] == pytest.approx(timed["end_to_end_s"].median())
        assert entry.metrics["latency_median_s_n"] == len(timed)
        low, high = entry.metrics["latency_median_s_low"], entry.metrics["latency_median_s_high"]
        assert low < entry.metrics["latency_median_s"] < high
        assert entry.metrics["peak_memory_max_bytes"] == rows["peak_allocated_bytes"].max()
        means = rows[rows["status"] == "ok"].groupby("prompt_id")["score_clip"].mean()
        assert entry.metrics["score_clip_mean_100_x_cosine"] == pytest.approx(means.mean())
        assert entry.metrics["score_clip_mean_n"] == len(means)
        assert ("latency_p90_s" in entry.metrics) == (len(timed) >= 29)
        assert "latency_p99_s" not in entry.metrics
        assert entry.metrics["score_psnr_infinite"] > 0
        assert entry.parameters["steps"] in (2, 4)
    assert export.run.metrics["failed"] == 4
    assert export.run.state == "finished"


def test_what_was_not_measured_is_absent_and_said(tmp_path: Path) -> None:
    never = MetricSpec(name="never", kind="lpips", options={})
    run, plan = decided_run(tmp_path / "run")
    run = RunDirectory(run.path, replace(run.info, experiment=replace(run.info.experiment, metrics=(*METRICS, never))))
    export = export_of(gather(run, plan, join_table(run, plan)))
    for entry in export.settings:
        assert not [name for name in entry.metrics if name.startswith(("score_never_mean", "energy", "latency_p9"))]
        assert entry.metrics["score_never_unscored"] == entry.metrics["images"]
        assert "never: not scored" in entry.tags["kreabench.absent"]
        assert "guidance" in entry.parameters
        assert "strength" not in entry.parameters
        assert all(math.isfinite(value) for value in entry.metrics.values())
        assert all(entry.tags.values())


def test_a_run_that_goes_on_is_said_to_run_and_one_that_failed_throughout_to_have_failed(tmp_path: Path) -> None:
    half = told(tmp_path / "half", done=0.5)
    assert half.run.state == "running"
    assert {entry.state for entry in half.settings} >= {"running"}
    nothing = told(tmp_path / "nothing", done=0.0)
    assert all("latency_median_s" not in entry.metrics and entry.metrics["ok"] == 0 for entry in nothing.settings)
    failed = told(tmp_path / "failed", prompts=1, seeds=(0,))  # which decided_run lets fail
    assert {entry.state for entry in failed.settings} == {"failed"}
    assert all(entry.metrics["failed"] == 1 for entry in failed.settings)


def test_copies_of_a_run_have_its_id_and_a_second_run_of_the_plan_another(tmp_path: Path) -> None:
    run, _ = decided_run(tmp_path / "run")
    run.path.rename(tmp_path / "moved")
    assert run_id_of(RunDirectory.open(tmp_path / "moved").info) == run_id_of(run.info)
    again = replace(run.info, created_utc="2026-11-02T00:00:00.000Z")
    assert run_id_of(again) != run_id_of(run.info)


def test_no_key_and_no_path_is_told(tmp_path: Path) -> None:
    run, plan = decided_run(tmp_path / "run")
    request = next(r for group in plan.groups for r in group.requests if r.prompt_id == "prompt-0" and r.seed == 0)
    error = make_failure(message=f"cannot reach https://x:{KEY}@fal.run of /home/somebody/secret/place: {KEY}")
    with run.writer() as writer:
        writer.append(make_sample(request, error=error))
    target = replace(run.info.experiment.targets[0], model=str(tmp_path / "weights" / "mine"),
                     model_note=f"as {KEY} of {tmp_path}/notes says")  # fmt: skip
    experiment = replace(run.info.experiment, targets=(target,), description=f"uses {KEY} of {tmp_path}/there")
    run = RunDirectory(run.path, replace(run.info, experiment=experiment))
    export = export_of(gather(run, plan, join_table(run, plan)))
    text = everything(export) + " ".join(export.run.words + export.settings[0].words)
    assert "as [removed] of …/notes says" in export.run.words
    assert KEY not in text
    assert str(tmp_path) not in text
    assert "/home/somebody" not in text
    assert "…/mine" in text


def test_brands_are_told(tmp_path: Path) -> None:
    run, plan = decided_run(tmp_path / "run")
    target = replace(run.info.experiment.targets[0], untrained=True, emulated=True, model_note="a toy of drawn shapes")
    run = RunDirectory(run.path, replace(run.info, experiment=replace(run.info.experiment, targets=(target,))))
    export = export_of(gather(run, plan, join_table(run, plan)))
    for entry in (export.run, *export.settings):
        assert entry.words == ("untrained", "emulated", "a toy of drawn shapes")
        assert "a toy of drawn shapes" in entry.tags["kreabench.notice"]
        assert entry.tags["kreabench.plan_hash"] == run.info.plan_hash
        assert entry.tags["kreabench.version"] == "0.1.0"
    assert export.settings[0].tags["kreabench.untrained_metrics"] == "clip"
    notices = [row for name, content in export.run.files() if name == "samples.csv" for row in content.decode().split()]
    assert "notice" in notices[0]


def test_pictures_are_of_the_same_prompts_and_what_cannot_be_sent_is_said(tmp_path: Path) -> None:
    export = told(tmp_path / "run", pictures=3)  # whose records name files that are not there
    names = [name for entry in export.settings for name, _ in entry.files()]
    assert names == []
    assert len(export.left_out) > 4
    assert all("gone from the run" in reason or "flagged" in reason for reason in export.left_out)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "text", True])
def test_only_finite_numbers_are_numbers(value: object) -> None:
    assert numbers({"x": value, "y": 0, "z": 0.5}) == {"y": 0.0, "z": 0.5}


def test_every_metric_has_a_name_that_mlflow_takes() -> None:
    from kreabench.metrics.table import METRICS as TABLE

    for kind in TABLE:
        assert re.fullmatch(r"[a-z0-9_]*", unit_word(MetricSpec(name="x", kind=kind, options={}))), kind
    assert unit_word(MetricSpec(name="x", kind="psnr", options={})) == "db"


def test_options_of_the_other_tracker_and_a_lacking_address_are_refused() -> None:
    with pytest.raises(ConfigError, match="--project: found --to mlflow"):
        check("mlflow", {}, project="x", uri="http://127.0.0.1:1", experiment=None)
    with pytest.raises(ConfigError, match="--experiment: found --to wandb"):
        check("wandb", {}, project=None, uri=None, experiment="x")
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_URI: found nothing"):
        address(None, {})
    with pytest.raises(ConfigError) as refused:
        address("https://me:a-secret-key@tracker.example", {})
    assert "a-secret-key" not in str(refused.value)
    assert address(None, {"MLFLOW_TRACKING_URI": "http://h:1"}) == "http://h:1"
    assert address("http://g:2", {"MLFLOW_TRACKING_URI": "http://h:1"}) == "http://g:2"


@pytest.mark.parametrize("uri", ["http://[bad", "http://me:a-secret-key@[bad"])
def test_what_is_no_url_is_refused_without_being_repeated(uri: str) -> None:
    for given, environ in ((uri, {}), (None, {"MLFLOW_TRACKING_URI": uri})):
        with pytest.raises(ConfigError, match="cannot be read as a URL") as refused:
            address(given, environ)
        assert "a-secret-key" not in str(refused.value)


def test_an_address_is_shown_without_names_and_keys() -> None:
    assert shown("http://a-token@h:1/there?key=a-token") == "http://h:1/there"
    assert shown("postgresql://me:a-token@h/runs?password=a-token") == "postgresql://h/runs"
    assert shown("sqlite:////runs.db") == "sqlite:////runs.db"


def test_a_project_that_the_service_does_not_take_is_refused_before_a_run_is_read() -> None:
    for name in ("a/b", "a%b", "a\nb", "x" * 129):
        with pytest.raises(ConfigError, match="--project: found"):
            check("wandb", {}, project=name, uri=None, experiment=None)
    with pytest.raises(ConfigError, match="WANDB_PROJECT: found ':' in it"):
        project_of(None, {"WANDB_PROJECT": "x:y"})
    assert project_of("é 😀 & co", {"WANDB_PROJECT": "x:y"}) == "é 😀 & co"
    assert project_of("", {"WANDB_PROJECT": ""}) == "kreabench"


def test_hidden_variables_are_back_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KREABENCH_ONE", "theirs")
    with environment.variables({"KREABENCH_TWO": "ours"}, hidden=("KREABENCH_ONE", "KREABENCH_THREE")):
        assert [os.environ.get(f"KREABENCH_{name}") for name in ("ONE", "TWO", "THREE")] == [None, "ours", None]
    assert [os.environ.get(f"KREABENCH_{name}") for name in ("ONE", "TWO")] == ["theirs", None]


@pytest.mark.parametrize("package", ["mlflow", "wandb"])
def test_a_lacking_package_is_named_with_its_extra(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EnvironmentProblem, match=re.escape(f"kreabench[{package}]")):
        environment.need_package(package, package)


def test_messages_of_libraries_lose_keys() -> None:
    text = environment.said(ValueError(f"bad key abcdefgh12345678 {KEY}"), {"WANDB_API_KEY": "abcdefgh12345678"})
    assert text == "ValueError: bad key [removed] [removed]"


def test_help_needs_no_tracker() -> None:
    code = """
import sys
from kreabench.cli.main import main
try:
    main(["export", "--help"])
except SystemExit as exit:
    assert not exit.code
print("LOADED", *sorted({"mlflow", "wandb", "pandas", "torch"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED"


def test_entries_do_not_share_a_setting(tmp_path: Path) -> None:
    export = told(tmp_path / "run")
    entries: list[Entry] = [export.run, *export.settings]
    assert len({entry.id for entry in entries}) == len(entries)
