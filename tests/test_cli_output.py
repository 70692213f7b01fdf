"""Standard output is the least of a run: whatever becomes of it, the samples and the exit code stay right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from kreabench.core.errors import ExitCode

SMALL = ("experiment=trial", "prompts.limit=2", "run.seeds=[0]", "run.warmup=0", "metrics=[]")


def shell(folder: Path, script: str, *, limit_s: float = 60, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `script`, in which $K is the command."""
    return subprocess.run(
        ["bash", "-c", f"K='{sys.executable} -m kreabench'; {script}"],
        cwd=folder,
        env={**os.environ, **environ},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        timeout=limit_s,
    )


def delivered(run: Path) -> int:
    lines = (run / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    return sum(record["kind"] == "sample" for record in map(json.loads, lines))


def test_a_reader_that_goes_away_neither_stops_a_run_nor_changes_its_exit_code(tmp_path: Path) -> None:
    slow = "target.fake_local.options.latency_s=0.2"
    done = shell(tmp_path, f"$K run {' '.join(SMALL)} {slow} | head -n 1; exit ${{PIPESTATUS[0]}}")
    assert (done.returncode, done.stderr) == (ExitCode.DONE, "")
    assert len(done.stdout.splitlines()) == 1
    assert delivered(tmp_path / "runs/trial") == 4
    assert (tmp_path / "reports/trial/index.html").is_file()


def test_a_list_that_is_read_in_part(tmp_path: Path) -> None:
    done = shell(tmp_path, "$K list targets | true; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stderr) == (ExitCode.DONE, "")


def test_closed_standard_streams(tmp_path: Path) -> None:
    done = shell(tmp_path, f"$K run {' '.join(SMALL)} <&- >&- 2>&-")
    assert (done.returncode, done.stderr) == (ExitCode.DONE, "")
    assert delivered(tmp_path / "runs/trial") == 4
    done = shell(tmp_path, "$K show runs/trial >&-")
    assert (done.returncode, done.stderr) == (ExitCode.DONE, "")


def test_an_output_file_on_a_full_disk_is_said_and_the_run_finished(tmp_path: Path) -> None:
    done = shell(tmp_path, f"$K run {' '.join(SMALL)} > /dev/full")
    assert done.returncode == ExitCode.USAGE
    assert done.stderr == "kreabench: cannot write standard output: No space left on device\n"
    assert delivered(tmp_path / "runs/trial") == 4
    assert (tmp_path / "reports/trial/index.html").is_file()


def test_an_encoding_without_our_characters(tmp_path: Path) -> None:
    done = shell(tmp_path, f"$K run {' '.join(SMALL)}", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (ExitCode.DONE, "")
    assert "4 of 4 samples delivered" in done.stdout


def test_what_nobody_expected_is_no_regression(tmp_path: Path) -> None:
    """Python's own exit code for an exception is 1, by which scripts know that a model got worse."""
    code = (
        "from kreabench.cli import main, listing;"
        "listing.KINDS['targets'] = lambda folder: 1 / 0; main.main(['list', 'targets'])"
    )
    done = shell(tmp_path, f'{sys.executable} -c "{code}"')
    assert done.returncode == ExitCode.USAGE
    assert "ZeroDivisionError" in done.stderr
    assert "this is a bug in kreabench" in done.stderr


def test_a_working_folder_that_was_deleted(tmp_path: Path) -> None:
    done = shell(tmp_path, "mkdir gone; cd gone; rmdir ../gone; $K plan experiment=trial")
    assert done.returncode == ExitCode.USAGE
    assert done.stderr.startswith("kreabench: the current folder cannot be used")
