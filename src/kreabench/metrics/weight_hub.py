"""Weights of the Hugging Face Hub, in the cache that its own tools use ($HF_HOME), checked against their hashes."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from kreabench.core.reach import unreachable
from kreabench.metrics.needs import Located, Say
from kreabench.metrics.weight_errors import FetchRefused, WeightsDamaged, WeightsMissing
from kreabench.metrics.weight_hashes import DESCRIPTIONS, MODEL_FILES, file_sha256, files_sha256, model_files
from kreabench.metrics.weight_sources import HubWeights

HUB = "https://huggingface.co"
_OTHER_LAYOUT = "open_clip_"
"""Beginning of files that repeat a model's weights in another library's layout."""
_IGNORED = ["*/*", f"{_OTHER_LAYOUT}*"]
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS}
_BY_HAND = "Or fetch it where the network is and name its path instead"


def cache_dir(environ: Mapping[str, str]) -> Path:
    """The Hub's cache, by the variables of its own library."""
    if environ.get("HF_HUB_CACHE"):
        return _expanded(environ["HF_HUB_CACHE"])
    if environ.get("HF_HOME"):
        return _expanded(environ["HF_HOME"]) / "hub"
    base = environ.get("XDG_CACHE_HOME")
    return (_expanded(base) if base else Path.home() / ".cache") / "huggingface" / "hub"


def _expanded(path: str) -> Path:
    return Path(os.path.expandvars(path)).expanduser()


def locate(source: HubWeights, environ: Mapping[str, str], *, tensors: bool = True) -> Located:
    """What is in the cache, hashed; of a folder without `tensors` its descriptions alone.

    Raises WeightsMissing, OSError; sends nothing.
    """
    if source.file is not None:
        path, commit = _cached(source, source.file, environ)
        return Located(path=path, sha256=_checked_sha256(path, environ), commit=commit)
    folder = _snapshot(source, environ, tensors=tensors)
    files = model_files(folder, _suffixes(tensors), ignore=_OTHER_LAYOUT)
    if tensors:
        _check_tensors(source, folder, {file.name for file in files})
    for file in files:
        _checked_sha256(file, environ)
    return Located(path=folder, sha256=files_sha256(files, environ), commit=folder.name)


def _suffixes(tensors: bool) -> tuple[str, ...]:
    return MODEL_FILES if tensors else DESCRIPTIONS


def _patterns(tensors: bool) -> list[str]:
    return [f"*{suffix}" for suffix in _suffixes(tensors)]


def _cached(source: HubWeights, file: str, environ: Mapping[str, str]) -> tuple[Path, str]:
    """A file of the repository and the commit it is of."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(source.repo, file, cache_dir=cache_dir(environ), revision=source.revision)
    if not isinstance(found, str):
        raise WeightsMissing(f"{source}, not in the Hub's cache {cache_dir(environ)}")
    path = Path(found)
    return path, path.parents[file.count("/")].name


def _snapshot(source: HubWeights, environ: Mapping[str, str], *, tensors: bool) -> Path:
    """The folder in the cache. Raises WeightsMissing where there is none, or a file the library knows of is missing."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import IncompleteSnapshotError, LocalEntryNotFoundError

    try:
        folder: str = snapshot_download(
            source.repo,
            revision=source.revision,
            cache_dir=cache_dir(environ),
            allow_patterns=_patterns(tensors),
            ignore_patterns=_IGNORED,
            local_files_only=True,
        )
    except LocalEntryNotFoundError as error:
        how = "only in part" if isinstance(error, IncompleteSnapshotError) else "not"
        raise WeightsMissing(f"{source}, {how} in the Hub's cache {cache_dir(environ)}") from error
    return Path(folder)


def _check_tensors(source: HubWeights, folder: Path, names: set[str]) -> None:
    """Raises WeightsMissing where only some files were wanted by who fetched them."""
    if not any(name.endswith(".safetensors") for name in names):
        raise WeightsMissing(f"{source}, without .safetensors in {folder}")
    missing = sorted(_shards(folder) - names)
    if missing:
        raise WeightsMissing(f"{source}, without {missing[0]} in {folder}")


def _shards(folder: Path) -> set[str]:
    """Files that the index of divided weights names."""
    named: set[str] = set()
    for index in folder.glob("*.safetensors.index.json"):
        if index.name.startswith(_OTHER_LAYOUT):
            continue
        try:
            named |= set(json.loads(index.read_bytes())["weight_map"].values())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise WeightsDamaged(f"a damaged {index}") from error
    return named


def _checked_sha256(path: Path, environ: Mapping[str, str]) -> str:
    """The cache keeps large files under their SHA-256, so damage shows. Raises WeightsDamaged."""
    digest = file_sha256(path, environ)
    promised = path.resolve().name
    if _SHA256.fullmatch(promised) and promised != digest:
        raise WeightsDamaged(f"a damaged {path}: SHA-256 {digest} instead of {promised}")
    return digest


def fetch(source: HubWeights, environ: Mapping[str, str], say: Say, *, tensors: bool = True) -> None:
    """Into the Hub's cache. Raises FetchRefused. Never fetches pickles unless one is named."""
    from huggingface_hub import hf_hub_download, snapshot_download

    damaged = _is_damaged(source, environ, tensors)
    token, endpoint = environ.get("HF_TOKEN") or None, environ.get("HF_ENDPOINT") or None
    where = endpoint or HUB
    say(f"{source} from {where}")
    reason = unreachable(where)
    if reason is not None:
        raise FetchRefused(f"{source}: {reason}", f"Check the network, proxy and HF_ENDPOINT. {_BY_HAND}")
    try:
        if source.file is not None:
            hf_hub_download(
                source.repo,
                source.file,
                revision=source.revision,
                cache_dir=cache_dir(environ),
                endpoint=endpoint,
                token=token,
                force_download=damaged,
            )
            return
        folder = snapshot_download(
            source.repo,
            revision=source.revision,
            cache_dir=cache_dir(environ),
            endpoint=endpoint,
            token=token,
            allow_patterns=_patterns(tensors),
            ignore_patterns=_IGNORED,
            force_download=damaged,
        )
    except Exception as error:  # answers, connection, disk, a changed size: the library raises many kinds
        raise _refused(source, error) from error
    if tensors and not model_files(Path(folder), (".safetensors",), ignore=_OTHER_LAYOUT):
        raise FetchRefused(
            f"{source}, which has no .safetensors", "Choose a revision that has, or name one file of tensors in it"
        )


def _is_damaged(source: HubWeights, environ: Mapping[str, str], tensors: bool) -> bool:
    """Whether all files are here, but not as they should be: the library would take them as they are."""
    try:
        locate(source, environ, tensors=tensors)
    except (WeightsDamaged, OSError):
        return True
    except WeightsMissing:
        return False
    return False


def _refused(source: HubWeights, raised: Exception) -> FetchRefused:
    """The refusal in few words: the library's own may hold signed addresses."""
    from huggingface_hub import errors

    # The library says that nothing is in the cache either, and keeps the answer as the cause.
    fell_back = isinstance(raised, errors.LocalEntryNotFoundError) and raised.__cause__ is not None
    error = raised.__cause__ if fell_back else raised
    page = f"{HUB}/{source.repo}"
    if isinstance(error, errors.GatedRepoError):
        login = "log in with `hf auth login` or set HF_TOKEN"
        return FetchRefused(f"{source}, which is gated", f"Accept its licence on {page}, then {login}")
    if isinstance(error, errors.RevisionNotFoundError):
        return FetchRefused(f"{source}, whose revision is not there", f"See the commits on {page}/commits/main")
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return FetchRefused(f"{source}, whose file is not there at that revision", f"See {page}/tree/main")
    if isinstance(error, errors.HfHubHTTPError):
        return _refused_by_status(source, page, error.response.status_code)
    if isinstance(error, OSError) and error.errno in _DISK:
        return FetchRefused(f"{source}: {error.strerror}", "Make room there, or point HF_HOME at another disk")
    return FetchRefused(f"{source}: {type(error).__name__}", f"Check the network, proxy and HF_ENDPOINT. {_BY_HAND}")


def _refused_by_status(source: HubWeights, page: str, status: int) -> FetchRefused:
    if status not in {401, 403, 404}:  # a repository that is not there is 401 to those who are not logged in
        return FetchRefused(f"{source}: the Hub answered HTTP {status}", f"Try again later. {_BY_HAND}")
    return FetchRefused(
        f"{source}, which is not there or not for everyone (HTTP {status})",
        f"Check {page}; where it is private or gated, log in with `hf auth login` or set HF_TOKEN",
    )
