"""Pictures of workers that see no file system of the driver's: over a store, by URL.

Below the URL, in a folder that no other run has:

seen/<token>         the driver was here; seen/<token>-<n>: and so was a node
inputs/<file name>   input pictures, put there by the driver, named by their SHA-256
blobs/<sha256>-…     pictures on their way to the run directory; removed at the end of the run

Each side takes its keys from its own environment. What is fetched is verified by its hash.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from kreabench.core.errors import RunDirectoryError, StorageError
from kreabench.core.ids import stable_hash
from kreabench.core.records import Failure, ImageRecord
from kreabench.execution.messages import Done, Failed, decode_answer, encode_line
from kreabench.remote.fetching import Fetch, check_folders, contents_of
from kreabench.remote.manifest import StoredFile, StoredObject, check_path
from kreabench.remote.stores import Store, open_store
from kreabench.remote.urls import parse_url
from kreabench.rundir.files import make_folders, storage_error, write_file
from kreabench.rundir.inputs import INPUTS_FOLDER

AT_ONCE = 16
"""Calls of the driver to the store."""

KEY = "engine.pictures_url"


def store_of_run(pictures_url: str, key: str) -> Store:
    """What lies below the URL for the run that is called `key`. Raises as `parse_url` and `open_store`."""
    return open_store(parse_url(f"{pictures_url.rstrip('/')}/{key}"))


class Inbox:
    """The driver's side: says that it is there, brings input pictures, fetches what was drawn."""

    def __init__(self, store: Store, run_path: Path, token: str) -> None:
        """Raises StorageError where the store refuses."""
        self._store, self._run_path, self._token = store, run_path, token
        self._calls = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="pictures")
        store.put(_seen(token), token.encode())
        self._put_inputs()

    def unreadable(self, trial: str) -> str | None:
        """Why the driver cannot read what a node wrote as a trial; None where it can. Raises StorageError."""
        try:
            found = self._store.get(trial)
        except FileNotFoundError:
            return f"{self._store.location}/{trial}, which a node has written, is not there for this machine"
        self._store.delete([trial])
        return (
            None if found == self._token.encode() else f"{self._store.location}/{trial} is not what a node has written"
        )

    def answered(self, coming: Future[Any], log_path: Path) -> Future[Any]:
        """What `coming` says once its pictures are in the run directory, and what the worker logged in `log_path`."""
        whole: Future[Any] = Future()

        def fetch(done: Future[Any]) -> None:
            try:
                self._calls.submit(self._finish, done, log_path, whole)
            except RuntimeError:  # closed: nobody waits for it any more
                whole.cancel()

        coming.add_done_callback(fetch)
        return whole

    def close(self) -> None:
        """Remove what was on its way. A store that refuses now keeps it until the run goes on."""
        self._calls.shutdown(wait=True, cancel_futures=True)
        with suppress(StorageError), ThreadPoolExecutor(AT_ONCE, thread_name_prefix="pictures") as calls:
            list(calls.map(lambda name: self._store.delete([name]), self._store.sizes()))

    def _put_inputs(self) -> None:
        folder = self._run_path / INPUTS_FOLDER
        if not folder.is_dir():
            return
        there = self._store.sizes(INPUTS_FOLDER)
        files = [file for file in folder.iterdir() if f"{INPUTS_FOLDER}/{file.name}" not in there]
        list(self._calls.map(lambda file: self._store.put(f"{INPUTS_FOLDER}/{file.name}", file.read_bytes()), files))

    def _finish(self, done: Future[Any], log_path: Path, whole: Future[Any]) -> None:
        try:
            said = dict(done.result())
            _append(log_path, said.pop("log", b""))
            if "answer" in said:
                said["answer"] = self._with_pictures(said["answer"])
            whole.set_result(said)
        except StorageError as error:
            whole.set_result({"refused": (error.message, error.remedy)})
        except BaseException as error:  # of the actor, mostly: whoever waits is to hear it
            whole.set_exception(error)

    def _with_pictures(self, line: bytes) -> bytes:
        """The answer itself once its pictures are here; a failure instead where one of them is lost."""
        answer = decode_answer(line)
        if not isinstance(answer, Done):
            return line
        try:
            for image in answer.delivery.images:
                self._fetch(image)
        except (RunDirectoryError, ValueError) as error:
            return encode_line(_lost(answer, str(error)))
        return line

    def _fetch(self, image: ImageRecord) -> None:
        """Raises RunDirectoryError and ValueError for a picture that is lost, StorageError."""
        check_path(image.path)
        file = StoredFile(path=image.path, sha256=image.sha256, size_bytes=image.size_bytes, object=0)
        check_folders(self._run_path, [file])
        stored = StoredObject(name=_blob(image), size_bytes=image.size_bytes)
        path = self._run_path / image.path
        for _, content in contents_of(self._store, Fetch(stored=stored, files=(file,))):
            try:
                make_folders(path.parent)
                write_file(path, content)
            except OSError as error:
                raise storage_error(path, error) from error


class Outbox:
    """A node's side: brings input pictures into a folder of its own, sends what was drawn there."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._store, self._folder = store, folder

    def unshared(self, token: str) -> tuple[str | None, str]:
        """Why this node cannot use the store, None where it can, and the trial that it has written there."""
        trial = f"{_seen(token)}-{secrets.token_hex(8)}"
        try:
            if self._store.get(_seen(token)) != token.encode():
                return f"{self._store.location}, which holds something else", trial
            self._store.put(trial, token.encode())
        except FileNotFoundError:
            return f"{self._store.location}, where nothing of the driver is", trial
        except StorageError as error:
            return f"{error.message} ({error.remedy})", trial
        return None, trial

    def bring_inputs(self) -> None:
        """Raises StorageError where the store or the disk refuses."""
        folder = self._folder / INPUTS_FOLDER
        for name in self._store.sizes(INPUTS_FOLDER):
            path = folder / Path(name).name
            if path.exists():
                continue
            content = self._store.get(name)
            if hashlib.sha256(content).hexdigest() != path.stem:
                raise StorageError(f"{self._store.location}/{name} is not the input picture that was put there")
            try:
                make_folders(folder)
                write_file(path, content)
            except OSError as error:
                raise storage_error(path, error) from error

    def send(self, images: Sequence[ImageRecord]) -> None:
        """Move pictures from the folder to the store. Raises StorageError where the store or the disk refuses."""
        for image in images:
            path = self._folder / image.path
            try:
                content = path.read_bytes()
                self._store.put(_blob(image), content)
                path.unlink()
            except OSError as error:
                raise storage_error(path, error) from error


def unsent(answer: Done, error: StorageError) -> Failed:
    """The answer in place of `answer`, whose pictures the store refused."""
    failure = Failure(type="storage", stage="store", message=error.message, remedy=error.remedy, transient=True)
    return _failed(answer, failure)


def _lost(answer: Done, reason: str) -> Failed:
    remedy = f"Look whether something else removes or changes objects below {KEY}; they are needed until the run ends."
    message = f"a picture was drawn and lost on its way: {reason}"
    failure = Failure(type="picture_lost", stage="store", message=message, remedy=remedy, transient=True)
    return _failed(answer, failure)


def _failed(answer: Done, failure: Failure) -> Failed:
    return Failed(
        started_utc=answer.started_utc,
        elapsed_s=answer.delivery.timings.end_to_end_s,
        error=failure,
        fatal=False,
        delivery=replace(answer.delivery, images=()),
        request_id=answer.request_id,
    )


def _seen(token: str) -> str:
    return f"seen/{token.lstrip('.')}"  # of hidden names a folder says nothing


def _blob(image: ImageRecord) -> str:
    # Two nodes may draw the same picture for two requests at the same time, and each writes an object of its own.
    return f"blobs/{image.sha256}-{stable_hash(image.path)}"


def _append(path: Path, text: bytes) -> None:
    if not text:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(text)
    except OSError as error:
        raise storage_error(path, error) from error
