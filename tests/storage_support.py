"""Runs with real picture files, and stores that fail when they are told to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from kreabench.core.records import SampleRecord
from kreabench.remote.stores import Store, open_store
from kreabench.remote.urls import Location, parse_url
from kreabench.rundir.directory import RunDirectory
from tests.support import encode_image, make_image_record, make_request, make_run, make_sample, picture


def stored_sample(run_path: Path, number: int, content: bytes | None = None) -> SampleRecord:
    """A sample whose picture lies in the run; equal numbers are equal pictures."""
    content = encode_image(picture(16, 16, seed=number)) if content is None else content
    relative = f"images/setting/prompt-s{number}.png"
    path = run_path / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    image = make_image_record(
        path=relative, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content), seed=number
    )
    return make_sample(make_request(seed=number), images=(image,))


def drawn_run(path: Path, pictures: int = 5) -> RunDirectory:
    """A run with so many pictures."""
    run = make_run(path)
    draw(run, range(pictures))
    return run


def draw(run: RunDirectory, numbers: Iterable[int]) -> None:
    """Draw these pictures into a run."""
    samples = [stored_sample(run.path, number) for number in numbers]
    with run.writer() as writer:
        writer.append(*samples)


def folder_store(path: Path) -> Store:
    return open_store(parse_url(f"file://{path}"))


def contents(path: Path) -> dict[str, bytes]:
    """Of all files of a run but its locks and empty journals."""
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file() and file.suffix != ".lock" and file.stat().st_size
    }


class Watched:
    """A store that counts calls, and may do something before each."""

    def __init__(self, store: Store, before: Callable[[str, str], None] = lambda call, name: None) -> None:
        self._store, self._before = store, before
        self.calls: list[tuple[str, str]] = []

    @property
    def location(self) -> Location:
        return self._store.location

    def get(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        self._note("get", name)
        return self._store.get(name, start, end)

    def put(self, name: str, content: bytes) -> None:
        self._note("put", name)
        self._store.put(name, content)

    def create(self, name: str, content: bytes) -> None:
        self._note("create", name)
        self._store.create(name, content)

    def sizes(self, below: str = "") -> dict[str, int]:
        self._note("sizes", below)
        return self._store.sizes(below)

    def delete(self, names: Iterable[str]) -> None:
        gone = list(names)
        self._note("delete", " ".join(gone))
        self._store.delete(gone)

    def _note(self, call: str, name: str) -> None:
        self.calls.append((call, name))
        self._before(call, name)
