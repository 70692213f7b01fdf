"""Writes a folder of files: every one is made first, beside the place where it goes, and only then moved there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from kreabench.core.errors import StorageError
from kreabench.report.drawing.sheet import draw_sheet
from kreabench.report.explorer.encode import encode
from kreabench.report.html_page import draw_figures, render_html
from kreabench.report.markdown_page import render_markdown
from kreabench.report.page import Page
from kreabench.rundir.directory import spare_run
from kreabench.rundir.files import make_folders, storage_error, write_file

INDEX = "index.html"
_UNFINISHED = ".kreabench-report-"
"""How the folder begins in which files are made."""


def page_files(page: Page, *, markdown: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file that follows from `page` alone, index.html last; each figure is drawn once."""
    drawn = draw_figures(page)
    for name, one in drawn.items():
        yield f"figures/{name}.png", one.png
        yield f"figures/{name}.svg", one.wide
    for grid in page.sheets:
        yield f"figures/{grid.name}.png", draw_sheet(grid)
    yield markdown, render_markdown(page).encode()
    if page.explorer is not None:
        yield "report.json", encode(page.explorer)
    yield INDEX, render_html(page, drawn).encode()


def write_files(out: Path, files: Mapping[str, bytes]) -> Path:
    """Write `files`, of which index.html is the last, into the folder `out`; returns the path of index.html.

    Files of an earlier report are replaced, others in `out` are left alone. Reports into one folder are written one
    after the other. Raises StorageError, also where `out` is a run directory; what was there is whole then.
    """
    try:
        spare_run(out)
        out.mkdir(parents=True, exist_ok=True)
        with _one_writer(out), tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=out) as folder:
            for name, content in files.items():
                _check_place(out / name)
                path = Path(folder, name)
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
            for name in files:
                Path(folder, name).replace(out / name)
    except OSError as error:
        raise storage_error(out, error) from error
    return out / INDEX


@contextmanager
def _one_writer(out: Path) -> Iterator[None]:
    """Until the block ends others wait; what a killed writer has left behind is removed first."""
    descriptor = os.open(out, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # some network file systems lock no folder
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            for left in out.glob(f"{_UNFINISHED}*"):
                shutil.rmtree(left)
        yield
    finally:
        os.close(descriptor)


def _check_place(path: Path) -> None:
    """Make the folder of a file. Raises OSError and StorageError where something is in its way."""
    path.parent.mkdir(exist_ok=True)
    if path.is_dir():
        raise StorageError(f"cannot write {path}: a folder is there", remedy="Choose another folder, or remove that.")


def write_one(path: Path, text: str) -> Path:
    """Write one file, such as the one named by --json, and its folders. Raises StorageError.

    What is there and no file, such as /dev/null or a pipe, is written into: to rename a file over it would destroy it.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(text.encode())
            return path
        make_folders(Path(os.path.abspath(path)).parent)  # noqa: PTH100 - a link in it stays what it is
        write_file(path, text.encode())
    except OSError as error:
        raise storage_error(path, error) from error
    return path
