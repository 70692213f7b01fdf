"""`builtin:mini` and `builtin:mini-noisy`: a tiny FLUX with random weights, and another version of it.

And `builtin:mini-redux`: what Redux adds. Built once, kept in the cache and loaded like any other model.

It takes the real code path of FLUX.1 through diffusers on any machine, offline. Its pictures say nothing about any
real model, so targets that use it call themselves untrained.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kreabench.backends import mini_noisy_recipe, mini_recipe, mini_redux_recipe
from kreabench.core.cache import cache_folder
from kreabench.core.errors import EnvironmentProblem, Problem
from kreabench.core.ids import stable_hash
from kreabench.core.registry import suggest

PREFIX = "builtin:"
PIPELINES = ("mini", "mini-noisy")
"""Whole text-to-image pipelines: what a target may have as its model."""
REDUX_MODELS = ("mini-redux",)
"""What a target may have as its `options.redux_model`."""
_FORMAT = 1
_MANIFEST = "manifest.json"


def is_builtin(model: str) -> bool:
    """Whether `model` names one that kreabench builds itself, known or not."""
    return model.startswith(PREFIX)


def builtin_problem(model: str, among: Sequence[str] = PIPELINES) -> Problem | None:
    """What is wrong with the name of a built-in `model`, if anything."""
    if model.removeprefix(PREFIX) in among:
        return None
    return Problem(key="model", found=repr(model), expected=suggest(model, (PREFIX + name for name in among)))


def builtin_revision(model: str) -> str:
    """Identity of the weights of a built-in `model`."""
    return str(_recipe(model.removeprefix(PREFIX)).REVISION)


def resolve_model(model: str, *, environ: Mapping[str, str] | None = None) -> str:
    """The folder of a built-in model, built now if need be; any other `model` (Hub id, folder) as it is.

    Raises EnvironmentProblem for an unknown built-in and for a cache that cannot be written.
    """
    if not is_builtin(model):
        return model
    problem = builtin_problem(model, (*PIPELINES, *REDUX_MODELS))
    if problem is not None:
        raise EnvironmentProblem([problem])
    name, cache = model.removeprefix(PREFIX), cache_folder(os.environ if environ is None else environ)
    return str(mini_folder(cache, name=name, build=_recipe(name).build))


def _recipe(name: str) -> Any:
    return {"mini-noisy": mini_noisy_recipe, "mini-redux": mini_redux_recipe}.get(name, mini_recipe)


def mini_folder(cache: Path, *, name: str = "mini", build: Callable[[Path], None] = mini_recipe.build) -> Path:
    """The miniature's folder under `cache`: whole, checked against its manifest, rebuilt if it was damaged.

    Safe with several builders at once. Raises EnvironmentProblem when `cache` cannot be written.
    """
    recipe = _recipe(name)
    folder = cache / f"{'mini-flux' if name == 'mini' else name}-{_digest(recipe.REVISION)}"
    try:
        if is_intact(folder):
            return folder
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(cache / f"{folder.name}.lock"):
            if not is_intact(folder):  # another process may have built it while this one waited
                _rebuild(folder, build, recipe.REVISION)
    except OSError as error:
        raise EnvironmentProblem(
            [
                Problem(
                    key="KREABENCH_CACHE",
                    found=f"{cache}: {error.strerror or error}",
                    expected="a folder that can be written to, with 10 MB free",
                )
            ]
        ) from error
    return folder


def is_intact(folder: Path) -> bool:
    """Whether every file that `folder`'s manifest lists is there, byte for byte."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_bytes())
        files = manifest["files"]
        return bool(files) and all(_sha256(folder / name) == digest for name, digest in files.items())
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _digest(revision: str) -> str:
    """Of the recipe and of the libraries that write its files: another version may write another format."""
    versions = [version(name) for name in ("diffusers", "transformers")]
    return stable_hash([_FORMAT, revision, versions])


def _rebuild(folder: Path, build: Callable[[Path], None], revision: str) -> None:
    """Build beside `folder` and swap it in. The caller holds the lock."""
    for stale in folder.parent.glob(f"{folder.name}.tmp-*"):  # of builders that were killed
        shutil.rmtree(stale)
    scratch = Path(tempfile.mkdtemp(prefix=f"{folder.name}.tmp-", dir=folder.parent))
    try:
        fresh = scratch / "fresh"
        fresh.mkdir()
        build(fresh)
        names = sorted(path.relative_to(fresh).as_posix() for path in fresh.rglob("*") if path.is_file())
        manifest = {"recipe": revision, "files": {name: _sha256(fresh / name) for name in names}}
        (fresh / _MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        if folder.exists():
            folder.rename(scratch / "damaged")
        fresh.rename(folder)
    finally:
        shutil.rmtree(scratch)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`; the kernel drops it with its holder."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
