"""What can be said about a model's files without loading them: whether they are there, and which they are."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kreabench.backends.mini import REDUX_MODELS, builtin_problem, is_builtin
from kreabench.core.errors import Problem
from kreabench.core.paths import at_home
from kreabench.core.specs import TargetSpec

INDEX = "model_index.json"
TRANSFORMER_CLASS = "FluxTransformer2DModel"
MAX_HASHED_BYTES = 256 * 2**20
"""Weights up to this size are hashed at every load (about 0.2 s); larger ones are known by their Hub commit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kind:
    """How a kind of pipeline is told by its index."""

    part: str
    cls: str
    """Class of that part."""
    words: str
    parts: frozenset[str] | None = None
    """What is needed of it; None for all that the index lists."""


_PIPELINE = _Kind(part="transformer", cls=TRANSFORMER_CLASS, words="a FLUX.1 pipeline")
_REDUX = _Kind(
    part="image_embedder",
    cls="ReduxImageEncoder",
    words="a Redux prior",
    parts=frozenset({"image_encoder", "image_embedder", "feature_extractor"}),
)

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)


def is_hub_id(model: str) -> bool:
    """Whether `model` is to be fetched from the Hugging Face Hub: `owner/name`, and no folder of that name here."""
    return _HUB_ID.fullmatch(model) is not None and not Path(model).is_dir()


def model_problem(target: TargetSpec) -> Problem | None:
    """Why the target's model cannot be loaded here, as far as can be seen without loading; None where it may."""
    key = f"target.{target.name}.model"
    if is_builtin(target.model):
        problem = builtin_problem(target.model)
        return None if problem is None else replace(problem, key=key)
    if is_hub_id(target.model):
        return _hub_problem(key, target.model, target.revision, _PIPELINE)
    folder = at_home(target.model)
    if not folder.is_dir():
        return Problem(
            key=key,
            found=f"{target.model}, which is not there",
            expected=f"a folder with a {INDEX}, an id of the Hugging Face Hub (owner/name) or builtin:mini",
        )
    return pipeline_problem(key, target.model, folder, "Download or save the pipeline anew.")


def pipeline_problem(key: str, model: str, folder: Path, remedy: str) -> Problem | None:
    """What `folder` lacks of a whole FLUX pipeline, judged by names alone; None where nothing is missing."""
    return _folder_problem(key, model, folder, remedy, _PIPELINE)


def redux_problem(key: str, model: str, revision: str | None) -> Problem | None:
    """Why the Redux `model` cannot be loaded here, as far as can be seen without loading; None where it may."""
    if is_builtin(model):
        problem = builtin_problem(model, REDUX_MODELS)
        return None if problem is None else replace(problem, key=key)
    if is_hub_id(model):
        return _hub_problem(key, model, revision, _REDUX)
    folder = at_home(model)
    if folder.is_dir():
        return redux_folder_problem(key, model, folder, "Download or save it anew.")
    expected = f"a folder with a {INDEX}, an id of the Hugging Face Hub (owner/name) or builtin:mini-redux"
    return Problem(key=key, found=f"{model}, which is not there", expected=expected)


def redux_folder_problem(key: str, model: str, folder: Path, remedy: str) -> Problem | None:
    """What `folder` lacks of a Redux prior, whose text encoders are not looked at: they are the pipeline's."""
    return _folder_problem(key, model, folder, remedy, _REDUX)


def _folder_problem(key: str, model: str, folder: Path, remedy: str, kind: _Kind) -> Problem | None:
    file = folder / INDEX
    if not file.is_file():
        return Problem(
            key=key,
            found=f"{model}, which has no {INDEX}",
            expected="a folder as diffusers' save_pretrained writes it, not a single checkpoint",
            remedy=remedy,
        )
    index = _read_index(file)
    if index is None:
        return Problem(key=key, found=f"a damaged {INDEX} in {model}", expected="a JSON object", remedy=remedy)
    parts = {name: value for name, value in index.items() if not name.startswith("_") and _is_part(value)}
    found = parts.get(kind.part, ["", f"no {kind.part}"])[1]
    if found != kind.cls or not isinstance(index.get("_class_name"), str):
        return Problem(
            key=key,
            found=f"{model}, a pipeline with {found}",
            expected=f"{kind.words} of diffusers, whose {kind.part} is {kind.cls}",
        )
    needed = parts if kind.parts is None else parts.keys() & kind.parts
    missing = sorted(name for name in needed if not (folder / name).is_dir())
    if missing:
        found = f"{model} without {', '.join(missing)}"
        return Problem(key=key, found=found, expected=f"every part that its {INDEX} lists", remedy=remedy)
    return None


def file_sha256(file: Path) -> str | None:
    """Hash of one file's content; None where it exceeds MAX_HASHED_BYTES."""
    if file.stat().st_size > MAX_HASHED_BYTES:
        return None
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def weights_sha256(folder: Path) -> str | None:
    """One hash over names and contents of all weights in `folder`; None where they exceed MAX_HASHED_BYTES."""
    files = sorted(folder.rglob("*.safetensors"))
    if not files or sum(file.stat().st_size for file in files) > MAX_HASHED_BYTES:
        return None
    total = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        total.update(f"{file.relative_to(folder).as_posix()} {content}\n".encode())
    return total.hexdigest()


def download_remedy(model: str, revision: str | None) -> str:
    """How to get a model of the Hub onto this machine."""
    at = f" --revision {revision}" if revision else ""
    return (
        f"Where the model is gated, accept its licence on https://huggingface.co/{model} and log in with "
        f"`hf auth login`; then fetch it with `hf download {model}{at}`."
    )


def _hub_problem(key: str, model: str, revision: str | None, kind: _Kind) -> Problem | None:
    """Only what is decided without the network: an offline machine has just what its cache holds."""
    from huggingface_hub import constants, try_to_load_from_cache

    if not constants.HF_HUB_OFFLINE:
        return None
    remedy = f"{download_remedy(model, revision)} To fetch it during the run, unset HF_HUB_OFFLINE."
    index = try_to_load_from_cache(model, INDEX, revision=revision)
    if not isinstance(index, str):
        which = f"{model} at revision {revision}" if revision else model
        return Problem(
            key=key,
            found=f"{which}, which is not in the local Hub cache while HF_HUB_OFFLINE is set",
            expected="a model that is on this machine, or access to the Hub",
            remedy=remedy,
        )
    return _folder_problem(key, model, Path(index).parent, remedy, kind)


def _read_index(file: Path) -> dict[str, Any] | None:
    try:
        index = json.loads(file.read_bytes())
    except ValueError:
        return None
    return index if isinstance(index, dict) else None


def _is_part(value: Any) -> bool:
    """A part is [library, class]; an absent optional one is [null, null]."""
    return isinstance(value, list) and len(value) == 2 and all(isinstance(item, str) for item in value)
