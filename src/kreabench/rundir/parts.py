"""Parts of a run: journals and pictures that other processes write, each in a run directory of its own.

parts/<number>/<name>/   a part: run.json with the plan's hash, journal.jsonl, images/, logs/; see `rundir.directory`

Two processes never append to one journal. `rundir.merge` brings parts into the run; a part is only ever read there,
also while it is still being written.
"""

from __future__ import annotations

from pathlib import Path

from kreabench.core.errors import RunDirectoryError
from kreabench.rundir.directory import RUN_FILE

PARTS_FOLDER = "parts"


def batch_folders(run_path: Path) -> list[Path]:
    """The folders of parts that were given out together, in the order in which they were."""
    folder = run_path / PARTS_FOLDER
    numbered = [entry for entry in folder.iterdir() if entry.name.isdecimal()] if folder.is_dir() else []
    return sorted((entry for entry in numbered if entry.is_dir()), key=lambda entry: int(entry.name))


def parts_of(run_path: Path) -> list[Path]:
    """The parts below the run at `run_path` that were begun, those given out first in front."""
    return [
        entry
        for batch in batch_folders(run_path)
        for entry in sorted(batch.iterdir(), key=lambda entry: entry.name)
        if (entry / RUN_FILE).is_file()
    ]


def run_of_part(path: Path) -> Path | None:
    """The run that the folder `path` is a part of, as its place says; None where it is none."""
    batch = path.resolve().parent
    is_part = batch.name.isdecimal() and batch.parent.name == PARTS_FOLDER
    return batch.parent.parent if is_part and (batch.parent.parent / RUN_FILE).is_file() else None


def refuse_part(path: Path) -> None:
    """Raises RunDirectoryError where `path` is a part below a run: to go on with it would draw all of the plan."""
    run_path = run_of_part(path)
    if run_path is not None:
        raise RunDirectoryError(
            f"{path} is a part of the run {run_path}",
            remedy=f"Go on with the run: `kreabench merge {run_path}`, then `kreabench resume {run_path}`.",
        )
