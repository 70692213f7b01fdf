"""A run directory is whole or not there, says what is wrong with it, and belongs to one driver."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kreabench.core.errors import RunDirectoryError, StorageError
from kreabench.core.ids import stable_hash
from kreabench.core.records import SCHEMA_VERSION, Cost, FailureRecord, LoadRecord, SampleRecord, WarmupRecord
from kreabench.rundir import files
from kreabench.rundir.directory import CONFIG_FILE, LOCK_FILE, RUN_FILE, RunDirectory
from tests.support import (
    ROOT,
    UTC,
    make_experiment,
    make_failure,
    make_prompt,
    make_run,
    make_sample,
    make_score,
    make_target,
    make_timings,
)

HOLD = """
import subprocess, sys
from pathlib import Path
from kreabench.rundir.directory import RunDirectory

with RunDirectory.open(Path(sys.argv[1])).writer():
    child = subprocess.Popen(["sleep", "60"], close_fds=False)
    print(child.pid, flush=True)
    sys.stdin.read()
"""


CRASH = """
import os, signal, sys
from pathlib import Path
from kreabench.rundir import files
from tests.support import make_run

real, left = files.publish, [int(sys.argv[2])]

def crash(temporary, target):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    real(temporary, target)

files.publish = crash
make_run(Path(sys.argv[1]))
"""


def test_what_was_asked_comes_back_equal_in_value_and_in_hash(tmp_path: Path) -> None:
    experiment = make_experiment(
        targets=(make_target(options={"a": 1, "b": 1.0, "c": [None, "x"], "d": {"e": True}}, usd_per_hour=2.0),),
        prompts=(make_prompt(text='</script> "quotes" ${oc.env:FAL_KEY} \u2028 日本語\n'),),
    )
    experiment = replace(experiment, axes=replace(experiment.axes, steps=("default", 4), guidance=("default", 3.0)))
    made = make_run(tmp_path / "a" / "b" / "run", experiment=experiment)
    opened = RunDirectory.open(made.path)
    assert opened.info == made.info
    assert stable_hash(opened.info.experiment) == stable_hash(experiment)
    assert (made.path / CONFIG_FILE).read_text() == "name: test\n"


def test_a_new_run_is_empty(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    state = run.state()
    assert (state.samples, state.deaths, state.tries) == ({}, {}, {})
    assert (list(run.records()), list(run.scores()), run.loads()) == ([], [], [])


def test_the_state_holds_final_samples_and_how_often_each_was_tried(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")

    def failure(request_id: str | None) -> FailureRecord:
        return FailureRecord(
            group_id="g",
            setting_id="s",
            request_id=request_id,
            attempt=1,
            started_utc=UTC,
            error=make_failure(),
        )

    load = LoadRecord(group_id="g", target="t", started_utc=UTC, load_s=1.0, identity={"model": "m"})
    final = make_sample(request_id="a", attempt=4)
    waited_in_vain = make_sample(request_id="c", error=make_failure(stage="load"))
    with run.writer() as writer:
        for record in (
            load,
            WarmupRecord(
                group_id="g",
                setting_id="s",
                started_utc=UTC,
                timings=make_timings(),
                cost=Cost(usd=None, basis="none"),
            ),
            failure("a"),
            failure("a"),
            failure(None),
            make_sample(request_id="a", error=make_failure()),
            make_sample(request_id="b"),
            waited_in_vain,
            final,
        ):
            writer.append(record)
    state = run.state()
    assert list(state.samples) == ["a", "b", "c"]
    assert state.samples["a"] == final
    assert state.deaths == {"a": 2}
    assert state.tries == {"a": 4, "b": 1}
    assert run.samples() == state.samples
    assert run.loads() == [load]


def test_of_several_scores_of_one_image_and_metric_the_last_counts(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with run.score_writer() as writer:
        writer.append_scores([make_score(value=1.0), make_score(metric="psnr", value=2.0)])
        writer.append_scores([make_score(value=3.0), make_score(image_index=1, value=4.0)])
    scores = {(score.metric, score.image_index): score.value for score in run.scores()}
    assert scores == {("clip", 0): 3.0, ("psnr", 0): 2.0, ("clip", 1): 4.0}
    assert len(list(run.score_lines())) == 4


@pytest.mark.parametrize("name", ["run.json", "journal.jsonl", "scores.jsonl", "images"])
def test_a_folder_with_a_run_or_its_remains_is_not_overwritten(tmp_path: Path, name: str) -> None:
    path = tmp_path / "run"
    path.mkdir()
    (path / name).write_text("precious")
    with pytest.raises(RunDirectoryError, match=f"already holds {name}") as caught:
        make_run(path)
    assert "another folder" in caught.value.remedy
    assert (path / name).read_text() == "precious"
    assert not (path / CONFIG_FILE).exists()


@pytest.mark.parametrize("writes", range(2))
def test_a_crash_while_creating_leaves_no_run_and_can_be_repeated(tmp_path: Path, writes: int) -> None:
    path = tmp_path / "run"
    done = subprocess.run([sys.executable, "-c", CRASH, str(path), str(writes)], check=False, timeout=60, cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    assert (path / CONFIG_FILE).exists() == (writes > 0)

    with pytest.raises(RunDirectoryError, match=f"not a run directory: {path} has no {RUN_FILE}"):
        RunDirectory.open(path)
    make_run(path)
    assert {entry.name for entry in path.iterdir()} == {CONFIG_FILE, LOCK_FILE, RUN_FILE}


def test_a_refused_write_while_creating_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    path = tmp_path / "run"
    path.mkdir()
    monkeypatch.setattr(files, "write_all", full)
    with pytest.raises(StorageError, match=r"cannot write .*config\.yaml: No space left on device") as caught:
        make_run(path)
    assert "Free space" in caught.value.remedy
    assert {entry.name for entry in path.iterdir()} == {LOCK_FILE}, "no temporary file is left"


@pytest.mark.parametrize("below", ["file", "file/run", "file/a/run"])
def test_a_file_where_the_folder_should_be(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match=r"cannot make the run directory .*: a part of the path is a file"):
        make_run(tmp_path / below)


def test_an_unwritable_parent(tmp_path: Path) -> None:
    parent = Path("/proc") if os.geteuid() == 0 else tmp_path
    if parent == tmp_path:
        parent.chmod(0o500)
    with pytest.raises(RunDirectoryError, match=f"cannot make the run directory {parent}/run") as caught:
        make_run(parent / "run")
    assert caught.value.remedy


@pytest.mark.parametrize("name", ["nowhere", "nowhere/at/all", "file/run"])
def test_opening_what_does_not_exist(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match=f"there is no folder {tmp_path / name}") as caught:
        RunDirectory.open(tmp_path / name)
    assert "kreabench run" in caught.value.remedy


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b'{"schema_version":"1"}',
        b'{"schema_version":%d}' % SCHEMA_VERSION,
        b'{"plan_hash":"x"}',
    ],
)
def test_a_damaged_run_json(tmp_path: Path, content: bytes) -> None:
    run = make_run(tmp_path / "run")
    (run.path / RUN_FILE).write_bytes(content)
    with pytest.raises(RunDirectoryError, match=r"run\.json is damaged") as caught:
        RunDirectory.open(run.path)
    assert caught.value.remedy


def test_a_wrong_field_of_run_json_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    content: dict[str, Any] = json.loads((run.path / RUN_FILE).read_text())
    content["experiment"]["seeds"] = ["one"]
    (run.path / RUN_FILE).write_text(json.dumps(content))
    with pytest.raises(RunDirectoryError, match=r"\$\.experiment\.seeds\[0\]"):
        RunDirectory.open(run.path)


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 1, 0, -1])
def test_another_schema_version(tmp_path: Path, version: int) -> None:
    run = make_run(tmp_path / "run")
    (run.path / RUN_FILE).write_text(json.dumps({"schema_version": version, "fields": "of another time"}))
    message = f"schema version {version}; this kreabench reads versions 2, 3 and 4"
    with pytest.raises(RunDirectoryError, match=message) as caught:
        RunDirectory.open(run.path)
    assert "kreabench that wrote it" in caught.value.remedy
    assert ("newer" if version > SCHEMA_VERSION else "draw it anew") in caught.value.remedy


def test_reading_leaves_the_folder_as_it_is(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    before = {entry.name: entry.read_bytes() for entry in run.path.iterdir()}
    reader = RunDirectory.open(run.path)
    reader.state()
    list(reader.scores())
    assert {entry.name: entry.read_bytes() for entry in run.path.iterdir()} == before


def test_a_second_writer_of_one_process_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with (
        run.writer(),
        pytest.raises(RunDirectoryError, match=f"another kreabench, process {os.getpid()}"),
        run.writer(),
    ):
        pass
    assert (run.path / LOCK_FILE).read_bytes() == b"", "nobody is named as the holder any more"
    with run.writer() as writer:
        writer.append(make_sample())
    with pytest.raises(StorageError, match="it was closed"):
        writer.append(make_sample())


def test_a_second_driver_is_refused_until_the_first_is_dead(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        child = int(driver.stdout.readline())
        try:
            with (
                pytest.raises(RunDirectoryError, match=f"another kreabench, process {driver.pid}") as caught,
                run.writer(),
            ):
                pass
            assert f"(kill -INT {driver.pid})" in caught.value.remedy
            assert run.state().samples == {}, "reading needs no lock"

            driver.send_signal(signal.SIGKILL)
            driver.wait()
            os.kill(child, 0)  # what the driver started lives on, and must not hold the lock
            with run.writer() as writer:
                writer.append(make_sample(request_id="after"))
        finally:
            os.kill(child, signal.SIGKILL)
    assert [record.request_id for record in run.records() if isinstance(record, SampleRecord)] == ["after"]


def test_an_interrupted_lock_file_still_refuses(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with run.writer():
        (run.path / LOCK_FILE).write_bytes(b"")
        with pytest.raises(RunDirectoryError, match="process unknown") as caught, run.writer():
            pass
    assert caught.value.remedy == "Wait until it is done."


def test_a_run_that_cannot_be_written_can_still_be_read(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run.path / LOCK_FILE).unlink()
    (run.path / LOCK_FILE).mkdir()
    with pytest.raises(RunDirectoryError, match="cannot write in"), run.writer():
        pass
    assert RunDirectory.open(run.path).state().samples == {}
