"""A report of whatever there is, into whatever place: what cannot be done is one clear error, and harms nothing."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from rich.console import Console

import kreabench
from kreabench.cli import experiment_listing, terminal
from kreabench.cli.listing import list_
from kreabench.core.errors import StorageError
from kreabench.observer import Observer
from kreabench.pipeline import execute
from kreabench.report.dictionary import described
from kreabench.report.files import write_files
from kreabench.report.several.names import folder_name
from tests.report_runs import make_run

OLD = {"samples.csv": b"old samples", "pictures/a.jpg": b"old picture", "index.html": b"old page"}
NEW = {"samples.csv": b"new samples", "pictures/b.jpg": b"new picture" * 1000, "index.html": b"new page"}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder that holds a report and a note of somebody's."""
    folder = tmp_path / "report"
    write_files(folder, OLD)
    (folder / "note.txt").write_text("mine", encoding="utf-8")
    return folder


def held(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


NOTED = {**OLD, "note.txt": b"mine"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES], ids=os.strerror)
@pytest.mark.parametrize("name", list(NEW))
def test_a_disk_that_refuses_any_file_leaves_the_earlier_report_whole(
    out: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    write_bytes = Path.write_bytes

    def refuse(path: Path, content: bytes) -> int:
        if path.name == Path(name).name:
            raise OSError(number, os.strerror(number), str(path))
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(StorageError, match=f"cannot write .*report: {os.strerror(number)}"):
        write_files(out, NEW)
    assert held(out) == NOTED


def test_a_folder_in_the_place_of_a_file_is_found_before_anything_is_replaced(out: Path) -> None:
    (out / "index.html").unlink()
    (out / "index.html").mkdir()
    with pytest.raises(StorageError, match=r"index\.html: a folder is there"):
        write_files(out, NEW)
    assert held(out) == {name: content for name, content in NOTED.items() if name != "index.html"}


def test_a_file_in_the_place_of_a_folder_is_found_before_anything_is_replaced(out: Path) -> None:
    with pytest.raises(StorageError, match="A part of the path is a file"):
        write_files(out, {"samples.csv": b"new", "note.txt/a.png": b"figure", "index.html": b"new"})
    assert held(out) == NOTED


def test_a_run_directory_takes_no_report(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    (tmp_path / "samples.parquet").write_bytes(b"the run's own")
    with pytest.raises(StorageError, match="holds a run"):
        write_files(tmp_path, {"samples.parquet": b"the report's", "index.html": b"page"})
    assert (tmp_path / "samples.parquet").read_bytes() == b"the run's own"
    assert write_files(tmp_path / "report", NEW).read_bytes() == b"new page", "below it there is room"


def test_a_name_that_no_folder_can_have_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="Choose a shorter path"):
        write_files(tmp_path / ("x" * 300), NEW)


KILLED = """
import os, signal, sys
from pathlib import Path
from kreabench.report.files import write_files
write_bytes = Path.write_bytes
def die(path, content):
    write_bytes(path, content[: len(content) // 2])
    if path.name == "b.jpg":
        os.kill(os.getpid(), int(sys.argv[2]))
Path.write_bytes = die
write_files(Path(sys.argv[1]), {"samples.csv": b"new", "pictures/b.jpg": b"new", "index.html": b"new"})
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_writer_leaves_the_earlier_report_and_the_next_one_cleans_up(out: Path, number: int) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(out), str(int(number))], capture_output=True, check=False, timeout=60
    )
    assert killed.returncode in {-number, 1}
    left = {name: content for name, content in held(out).items() if not name.startswith(".")}
    assert left == NOTED
    assert bool([name for name in held(out) if name.startswith(".")]) == (number == signal.SIGKILL)

    write_files(out, NEW)

    assert held(out) == {**NOTED, **NEW}
    assert not [path.name for path in out.iterdir() if path.name.startswith(".")]


def test_reports_into_one_folder_are_written_one_after_the_other(out: Path) -> None:
    descriptor = os.open(out, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    writer = threading.Thread(target=write_files, args=(out, NEW))
    writer.start()
    writer.join(timeout=0.3)
    assert writer.is_alive()
    assert held(out) == NOTED
    os.close(descriptor)
    writer.join(timeout=20)
    assert held(out) == {**NOTED, **NEW}


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("demo", "demo"),
        ("krea-1.0_b", "krea-1.0_b"),
        ("../../elsewhere", "elsewhere"),
        ("/etc/cron.d", "etc-cron.d"),
        ("", "run"),
        ("..", "run"),
        ("a\x00b\n\x1b[31m", "a-b-31m"),
        ("W" * 10_000, "W" * 100),
    ],
)
def test_the_name_in_a_run_leads_to_one_folder_below_the_reports(name: str, folder: str) -> None:
    """Runs come from other people too."""
    assert folder_name([name]) == folder


def test_the_folder_of_long_names_can_be_made(tmp_path: Path) -> None:
    (tmp_path / folder_name([letter * 200 for letter in "abcd"])).mkdir()


def test_a_stage_of_any_name_has_its_type() -> None:
    """Without it settings.parquet cannot be written."""
    assert [one.type for one in described("settings.csv", ["stage_two\nlines_mean_s"], ())] == ["number"]


def test_lists_hold_no_control_characters_of_a_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "mine.yaml").write_text("description: red \x1b[31m and \u202eback\n", encoding="utf-8")
    list_.main(["targets", "--config-dir", str(tmp_path)], standalone_mode=False)
    assert re.search(r"^mine +red ⟨U\+001B⟩\[31m and ⟨U\+202E⟩back$", capsys.readouterr().out, re.M)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_experiments_are_listed_in_the_columns_there_are_at_most_80(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "console", lambda piped_width: Console(width=width))
    monkeypatch.setattr(experiment_listing, "_facts", lambda name, config_dir: [("draws", "24 images " * 20)])
    experiment_listing.print_experiments(None, lambda path: "what it is for, \x1b[2J in words " * 9)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert min(width, 80) - 10 < max(map(len, out.splitlines())) <= min(width, 80)


def test_a_run_whose_report_would_lie_in_it_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    run, _ = make_run(tmp_path / "run", done=0.0, steps=(2,), sizes=((128, 128),))
    before = (run.path / "journal.jsonl").read_bytes()
    with pytest.raises(StorageError, match="holds a run"):
        execute(run, observer=Observer(), report_path=run.path)
    assert (run.path / "journal.jsonl").read_bytes() == before


def test_a_hostile_name_does_not_choose_where_the_library_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = make_run(tmp_path / "run", steps=(2,), sizes=((128, 128),), pictures=False)
    file = run.path / "run.json"
    file.write_text(file.read_text(encoding="utf-8").replace('"demo"', '"../../outside"'), encoding="utf-8")
    monkeypatch.setattr("kreabench.reporting.rereport", lambda runs, folder, options: folder)
    (folder,) = kreabench.open_run(run.path).report().relative_to("reports").parts
    assert folder not in {"", ".", ".."}
