"""Prompts of a published set: files of a Hub data set at a pinned commit, fetched once and then read from the cache.

Its text comes from strangers: it is checked like any prompt file's, names no pictures, and is never interpreted.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from kreabench.config.model import HubPromptsConfig
from kreabench.config.prompt_files import ENDINGS, BadPromptFile, Row, read_rows
from kreabench.config.prompt_rows import PromptRow, checked
from kreabench.core.errors import ConfigError, Problem, chain_of
from kreabench.core.reach import unreachable

MAX_DOWNLOAD_BYTES = 2**30
"""Of one file; Parquet may hold pictures beside the prompts."""
_DATASET = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SIGNATURE = re.compile(r"\?[^\s'\"]+")
"""Of an address that the Hub leads to: who has it can read the file for some time."""
_NO_SUFFIX = Path("row")
"""Rows of a data set are mapped to our fields here, whatever the format they came in."""


def hub_prompts(config: HubPromptsConfig) -> list[PromptRow]:
    """All prompts of the set, in the order of its files. Raises ConfigError with what is wrong and what to do.

    Fetches what the Hub's cache does not hold, with the account of this machine where it is logged in; with
    HF_HUB_OFFLINE only the cache is read.
    """
    revision = _check(config)
    rows: list[PromptRow] = []
    with _no_progress_bars():
        paths = [_fetched(config.dataset, revision, file) for file in config.file]
    for file, path in zip(config.file, paths, strict=True):
        try:
            rows += _rows(config, file, path)
        except BadPromptFile as error:
            key = "prompts.hub.column" if error.found.startswith("no column") else f"prompts.hub.file={error.where}"
            found = f"{error.where}: {error.found}" if key == "prompts.hub.column" else error.found
            raise _error(key, found, error.expected, error.remedy) from error
    return rows


def _check(config: HubPromptsConfig) -> str:
    """The commit. Raises ConfigError with every part that is not as it must be."""
    problems = []
    if not _DATASET.fullmatch(config.dataset) or ".." in config.dataset:
        expected = "the id of a Hub data set, e.g. nateraw/parti-prompts"
        problems.append(Problem(key="prompts.hub.dataset", found=repr(config.dataset), expected=expected))
    if config.revision is None or not _COMMIT.fullmatch(config.revision):
        problems.append(
            Problem(
                key="prompts.hub.revision",
                found="nothing" if config.revision is None else repr(config.revision),
                expected="a commit of the data set in full, 40 hexadecimal digits: branches and tags move",
                remedy=_newest(config.dataset),
            )
        )
    for file in config.file:
        parts = file.split("/")
        if "\\" in file or any(part in {"", ".", ".."} for part in parts) or Path(file).suffix.lower() not in ENDINGS:
            expected = f"the path of a file in the data set, which ends with {', '.join(ENDINGS)}"
            problems.append(Problem(key="prompts.hub.file", found=repr(file), expected=expected))
    if problems:
        raise ConfigError(problems)
    return str(config.revision)


def _rows(config: HubPromptsConfig, file: str, path: Path) -> Iterator[PromptRow]:
    columns = [name for name in (config.column, config.category_column, config.id_column) if name is not None]
    stem = PurePosixPath(file).stem
    for number, row in enumerate(read_rows(path, columns=list(dict.fromkeys(columns)), name=file), start=1):
        fields: dict[str, Any] = {"prompt": row.fields[config.column], "id": f"{stem}-{number:04d}"}
        if fields["prompt"] is None:
            raise BadPromptFile(row.where, "an empty prompt", "a prompt")
        if config.category_column is not None:
            fields["category"] = _label(row.fields[config.category_column])
        elif len(config.file) > 1:
            fields["category"] = stem
        if config.id_column is not None:
            fields["id"] = _label(row.fields[config.id_column])
            if not fields["id"]:
                raise BadPromptFile(row.where, f"no id in the column {config.id_column!r}", "an id in each row")
        known = {key: value for key, value in fields.items() if value is not None}
        yield checked(Row(number=number, where=row.where, fields=known), _NO_SUFFIX)


def _label(value: Any) -> Any:
    """Ids and categories are often numbers in tables; None for a cell without content."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None if value == "" else value


def _fetched(dataset: str, revision: str, file: str) -> Path:
    """The file in the Hub's cache, fetched where it was not there. Raises ConfigError."""
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache

    where: dict[str, Any] = {"repo_id": dataset, "filename": file, "repo_type": "dataset", "revision": revision}
    try:
        cached = isinstance(try_to_load_from_cache(**where), str)
        reason = None if cached or constants.HF_HUB_OFFLINE else unreachable(constants.ENDPOINT)
        if reason is not None:
            raise ConnectionError(reason)
        size = hf_hub_download(**where, dry_run=True).file_size
        if size is None or size <= MAX_DOWNLOAD_BYTES:
            return Path(hf_hub_download(**where))
    except Exception as error:
        if not _is_hubs(error):
            raise
        raise _explained(error, dataset, revision, file) from error
    raise _error("prompts.hub.file", f"{file} of {size:,} bytes", f"at most {MAX_DOWNLOAD_BYTES:,}")


def _is_hubs(error: Exception) -> bool:
    """Whether the Hub, its client or the way to it failed."""
    # By module, because the Hub's client has changed its HTTP library and may do so again.
    library = type(error).__module__.partition(".")[0]
    # RuntimeError: what the Hub's storage client (hf_xet) raises.
    return isinstance(error, OSError | ValueError | RuntimeError) or library in {"huggingface_hub", "httpx", "httpx2"}


_REFUSALS = {
    "GatedRepoError": (
        "prompts.hub.dataset",
        "{dataset}, which is gated",
        "a data set that this machine's account may read",
        "Ask for access at {page}, then log in with `hf auth login`.",
    ),
    "RepositoryNotFoundError": (
        "prompts.hub.dataset",
        "{dataset}, which the Hub does not show",
        "a data set that this machine's account can see",
        "Correct it; for a private one, log in with `hf auth login`.",
    ),
    "RevisionNotFoundError": (
        "prompts.hub.revision",
        "{revision}, which {dataset} does not have",
        "a commit of it",
        "{newest}",
    ),
    "RemoteEntryNotFoundError": (
        "prompts.hub.file",
        "{file}, which {dataset} does not have at that commit",
        "a file of it",
        "{page}/tree/{revision} lists them.",
    ),
    "OfflineModeIsEnabled": (
        "prompts.hub",
        "{file} of {dataset}, which is not in the Hub's cache, and HF_HUB_OFFLINE is set",
        "a file in the cache",
        "Unset HF_HUB_OFFLINE, or fetch it where there is a network: {fetch}.",
    ),
}
"""The Hub client's error, the telling first → key, found, expected and remedy."""
_NO_ANSWER = (
    "prompts.hub",
    "{file} of {dataset}, which is not in the Hub's cache and did not come from the Hub ({reason})",
    "an answer of the Hub",
    "Try again later, or fetch it by hand: {fetch}.",
)


def _explained(error: Exception, dataset: str, revision: str, file: str) -> ConfigError:
    """`error` of the Hub's client, told apart by what a person has to do about it."""
    causes = list(chain_of(error))
    names = {type_.__name__ for cause in causes for type_ in type(cause).__mro__}
    said = next((said for name, said in _REFUSALS.items() if name in names), _NO_ANSWER)
    words = {
        "dataset": dataset,
        "revision": revision,
        "file": file,
        "page": f"https://huggingface.co/datasets/{dataset}",
        "newest": _newest(dataset),
        "fetch": f"`hf download --repo-type dataset --revision {revision} {dataset} {shlex.quote(file)}`",
        "reason": _SIGNATURE.sub("?…", " ".join(str(causes[-1]).split()))[:200] or type(causes[-1]).__name__,
    }
    key, found, expected, remedy = (part.format(**words) for part in said)
    return _error(key, found, expected, remedy)


def _newest(dataset: str) -> str:
    return f"`git ls-remote https://huggingface.co/datasets/{dataset} HEAD` says the newest."


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Only the driver draws."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    before = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not before:
            enable_progress_bars()


def _error(key: str, found: str, expected: str, remedy: str = "") -> ConfigError:
    return ConfigError([Problem(key=key, found=found, expected=expected, remedy=remedy)])
