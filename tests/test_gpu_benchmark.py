"""`make gpu`'s script, with the tiny geometry on the processor: every part of it that needs no GPU."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from kreabench.execution import local
from tests.engine_support import InThisProcess
from tests.support import ROOT

SCRIPT = ROOT / "benchmarks" / "gpu.py"


@pytest.fixture(scope="module")
def gpu() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_benchmark", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(SCRIPT.parent))  # as for a script
    sys.modules["gpu_benchmark"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def in_this_process(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
    """`python -c CODE …` and `python -m kreabench …` without a process: importing torch takes longer than the rest."""
    from kreabench.cli.main import main

    kind, what, *arguments = command[1:]
    out = io.StringIO()
    code = 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.setattr(sys, "argv", [kind, *arguments])
        if kind == "-c":
            exec(what, {})
        else:
            with pytest.raises(SystemExit) as exit_:
                main(arguments)
            code = int(exit_.value.code or 0)
    return subprocess.CompletedProcess(command, code, stdout=out.getvalue(), stderr="")


@pytest.fixture
def own_process(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the script starts runs here, but for the bare loop; all that this changes is put back."""
    monkeypatch.setattr(gpu, "subprocess", SimpleNamespace(run=in_this_process))
    monkeypatch.setattr(local, "WorkerProcess", InThisProcess)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("PYTHONPATH", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(name, os.environ.get(name, ""))


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("own_process")
def test_everything_that_needs_no_gpu_runs(
    gpu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--geometry", "mini", "--device", "cpu", "--accelerations", "none,first_block_cache"]
    arguments += ["--steps", "2", "--size", "64x64", "--samples", "2", "--block", "1", "--order", "AB"]
    folders = ["--runs", str(tmp_path / "runs"), "--reports", str(tmp_path / "reports")]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments, *folders])
    code = gpu.main()
    out = capsys.readouterr().out
    assert code == 0, out
    (folder,) = (tmp_path / "reports").iterdir()
    assert folder.name.endswith("-random-weights")
    assert (folder / "index.html").is_file()
    content = json.loads((folder / "gpu.json").read_text())
    assert content["judged"] is False
    assert content["overhead"]["n"] == 1
    assert content["overhead"]["bare_s"] > 0
    lines = {line["acceleration"]: line for line in content["accelerations"]}
    assert list(lines) == ["none", "first_block_cache"]
    for line in lines.values():
        assert line["n"] == 2
        assert line["median_s"] > 0
        assert line["energy_j"] is None
        assert line["peak_allocated_gib"] is None
    assert lines["none"]["speedup"] == 1
    text = (folder / "gpu.md").read_text()
    assert "Nothing is promised of this device" in text
    assert text in out
    assert "random weights in krea" in (folder / "report.md").read_text()


def test_a_gpu_that_is_not_there_is_said(tmp_path: Path) -> None:
    import torch

    device = f"cuda:{torch.cuda.device_count() + 1}"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--device", device], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 2, done.stderr
    assert f"device {device} was asked for" in done.stdout


def lines(gpu: ModuleType, **changes: Any) -> list[Any]:
    """What a GPU that keeps every promise would give."""
    speedup = {"none": 1.0, "compile_regional": 1.3, "regular": 1.4, "high": 2.6} | changes.pop("speedup", {})
    share = {"none": 0.4, "compile_regional": 0.55, "regular": 0.61, "high": 0.5} | changes.pop("share", {})
    common = {"n": 8, "peak_allocated_gib": 33.0, "energy_j": 2000.0}
    return [
        gpu.Line(
            acceleration=name,
            median_s=5.6 / speedup[name] if speedup[name] else None,
            speedup=speedup[name],
            share_of_floor=share[name],
            **common,
        )
        for name in speedup
    ]


def test_speedups_are_over_none_wherever_it_stands(gpu: ModuleType) -> None:
    none, *others = lines(gpu)
    measured = [line.speedup for line in gpu.with_speedups([*others, none])]
    assert measured == pytest.approx([1.3, 1.4, 2.6, 1.0])
    assert [line.speedup for line in gpu.with_speedups(others)] == [None, None, None]


@pytest.mark.parametrize(
    ("harness_s", "changes", "words"),
    [
        (5.65, {}, []),
        (5.70, {}, ["overhead 1.79%"]),
        (5.65, {"speedup": {"high": 2.4}}, ["high 2.4×"]),
        (5.65, {"speedup": {"compile_regional": None}}, ["compile_regional –"]),
        (5.65, {"share": {"regular": 0.5}}, ["regular at 50 %"]),
        (5.65, {"share": {"regular": None}}, ["regular at –"]),
    ],
)
def test_promises_are_judged_and_what_is_unknown_is_not_kept(
    gpu: ModuleType, harness_s: float, changes: dict[str, Any], words: list[str]
) -> None:
    overhead = gpu.Overhead(harness_s=harness_s, bare_s=5.6, n=8)
    missed = gpu.missed_limits(overhead, lines(gpu, **changes))
    assert len(missed) == len(words)
    for text, word in zip(missed, words, strict=True):
        assert word in text


def test_wheels_are_unpacked_where_they_can_be_imported(
    gpu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "PACKAGES", tmp_path / "packages")
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("PYTHONPATH", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(name, "")
    with zipfile.ZipFile(tmp_path / "carried_thing-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("carried_thing.py", "ANSWER = 42\n")
        wheel.writestr("carried_thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: carried-thing\nVersion: 1")
    assert not gpu._is_there("carried-thing")
    gpu.unpack_wheels(tmp_path)
    gpu.use_packages()
    assert gpu._is_there("carried-thing")
    assert importlib.import_module("carried_thing").ANSWER == 42


def test_nothing_is_missing_where_the_tests_run(gpu: ModuleType) -> None:
    assert gpu.missing_packages() == []
