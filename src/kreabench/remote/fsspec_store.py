"""A store that fsspec reaches: S3 and what speaks like it, Google Cloud Storage."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from kreabench.core.errors import EnvironmentProblem, Problem
from kreabench.remote.store_errors import is_refused_condition, store_error
from kreabench.remote.urls import Location

T = TypeVar("T")

CONNECTIONS = 32
"""Of one store, kept open."""

_PACKAGES = {"s3": ("s3fs", "s3"), "gs": ("gcsfs", "gcs")}
"""Scheme → package and the extra that brings it."""

_OPTIONS: dict[str, dict[str, Any]] = {
    "s3": {
        "config_kwargs": {
            "connect_timeout": 10,
            "read_timeout": 60,
            "retries": {"max_attempts": 4, "mode": "standard"},
            "max_pool_connections": CONNECTIONS,
        }
    }
}


class FsspecStore:
    """Objects below a bucket's path. Nothing is asked before the first call."""

    def __init__(self, location: Location) -> None:
        """Raises EnvironmentProblem where the package of this scheme is not installed."""
        package, extra = _PACKAGES.get(location.scheme, ("fsspec", ""))
        if importlib.util.find_spec(package) is None:
            problem = Problem(
                key=package,
                found="not installed",
                expected=f"the package that reaches {location.scheme}:// URLs",
                remedy=f"Install it with: pip install 'kreabench[{extra}]'",
            )
            raise EnvironmentProblem([problem])
        self._location = location
        self._root = location.path
        self._fs: Any = None

    @property
    def location(self) -> Location:
        return self._location

    def get(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        if end is not None and end <= start:
            return b""
        span = {} if (start, end) == (0, None) else {"start": start, "end": end}
        content: bytes = self._call(lambda fs: fs.cat_file(self._path(name), **span), missing=name)
        return content

    def put(self, name: str, content: bytes) -> None:
        self._call(lambda fs: fs.pipe_file(self._path(name), content))

    def create(self, name: str, content: bytes) -> None:
        try:
            self._call(lambda fs: fs.pipe_file(self._path(name), content, mode="create"), existing=name)
        except FileExistsError:
            if self.get(name) != content:  # else it is ours: the answer to the first try was lost
                raise

    def sizes(self, below: str = "") -> dict[str, int]:
        folder = self._path(below).rstrip("/")
        try:
            found: dict[str, Any] = self._call(lambda fs: fs.find(folder, detail=True), missing=below)
        except FileNotFoundError:
            return {}
        start = len(self._root) + 1
        names = {path.lstrip("/")[start:]: int(info["size"] or 0) for path, info in found.items()}
        return {name: size for name, size in names.items() if name and not name.endswith("/")}

    def delete(self, names: Iterable[str]) -> None:
        for name in names:
            try:
                self._call(partial(_remove, path=self._path(name)), missing=name)
            except FileNotFoundError:
                continue

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _call(self, ask: Callable[[Any], T], *, missing: str | None = None, existing: str | None = None) -> T:
        """What `ask` says. `missing`, `existing`: the object whose absence or presence is an answer, not a fault."""
        try:
            if self._fs is None:
                self._fs = _open(self._location.scheme)
            return ask(self._fs)
        except FileNotFoundError as error:
            if missing is None or _no_bucket(error):
                raise store_error(self._location, error) from error
            raise FileNotFoundError(missing) from error
        except FileExistsError as error:
            if existing is None:
                raise store_error(self._location, error) from error
            raise FileExistsError(existing) from error
        except Exception as error:  # each client has a family of its own
            if existing is not None and is_refused_condition(error):
                raise FileExistsError(existing) from error
            raise store_error(self._location, error) from error


def _open(scheme: str) -> Any:
    import fsspec

    if scheme == "gs":  # else gcsfs first asks for the kind of each bucket, for which most people have no permission
        os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # it prints tracebacks of what it also raises
    return fsspec.filesystem(scheme, use_listings_cache=False, **_OPTIONS.get(scheme, {}))


def _remove(fs: Any, path: str) -> None:
    fs.rm_file(path)


def _no_bucket(error: FileNotFoundError) -> bool:
    return "bucket" in str(error).lower() and "does not exist" in str(error).lower()
