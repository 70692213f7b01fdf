"""Prompt files: JSONL, CSV or plain text. Never read through OmegaConf, so that nothing in them is interpolated.

Input pictures are named beside a prompt (`image`) by their path from the prompt file's own folder, and lie in it or
below: a prompt file from elsewhere cannot pull other files of this machine into a run. A picture may also stand there
as a data URI, or by its https address, which is fetched now and kept like a file.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kreabench.backends.input_images import MAX_BYTES, BadInputImage, describe_input
from kreabench.config.model import PromptsConfig
from kreabench.config.picture_sources import (
    DATA_URI_NAME,
    BadSource,
    Fetch,
    decode_data_uri,
    fetch_picture,
    is_address,
    is_data_uri,
)
from kreabench.core.errors import ConfigError, Problem
from kreabench.core.specs import InputImage, Prompt

MAX_PROMPT_CHARACTERS = 20_000
MAX_IMAGES_PER_PROMPT = 8
_TEXTS = {"id", "prompt", "category", "look_for"}
_FIELDS = _TEXTS | {"image"}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Read:
    """One line of a prompt file; its pictures have not been looked at."""

    prompt: Prompt
    where: str
    images: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptSet:
    """The chosen prompts, and where their input pictures are now."""

    prompts: tuple[Prompt, ...]
    files: Mapping[str, Path | bytes]
    """SHA-256 of an input picture → its file, or its content where that is in no file."""


def load_prompt_set(config: PromptsConfig, roots: list[Path], fetch: Fetch = fetch_picture) -> PromptSet:
    """The chosen prompts, in file order, with their pictures checked. Raises ConfigError naming file and line.

    `fetch` reads a picture that is named by its https address.
    """
    path = _find(config.file, roots)
    lines = list(_read(path))
    if not lines:
        raise _error(path.name, "no prompts", "at least one")
    repeated = [id_ for id_, count in Counter(line.prompt.id for line in lines).items() if count > 1]
    if repeated:
        raise _error(path.name, f"the id {repeated[0]!r} more than once", "each id once")
    if config.ids is not None:
        by_id = {line.prompt.id: line for line in lines}
        unknown = [id_ for id_ in config.ids if id_ not in by_id]
        if unknown:
            raise ConfigError(
                [Problem(key="prompts.ids", found=repr(unknown[0]), expected=f"ids that {path.name} holds")]
            )
        lines = [by_id[id_] for id_ in dict.fromkeys(config.ids)]
    reader = _PictureReader(path, fetch)
    prompts = tuple(replace(line.prompt, images=reader.images(line)) for line in lines[: config.limit])
    return PromptSet(prompts=prompts, files=reader.files)


def _find(name: str, roots: list[Path]) -> Path:
    path = expanded("prompts.file", name)
    candidates = [path] if path.is_absolute() else [root / path for root in roots]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise _error(
        name,
        "no such file",
        "a .jsonl, .csv or .txt file, relative to the current folder or to conf/prompts",
        key="prompts.file",
    )


def expanded(key: str, path: str) -> Path:
    """`path` with its `~`, the configured value of `key`. Raises ConfigError where there is no such home."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError([Problem(key=key, found=repr(path), expected="a user who has a home folder")]) from error


def _error(where: str, found: str, expected: str, key: str | None = None, remedy: str = "") -> ConfigError:
    said = f"{where}: {found}" if key else found
    return ConfigError([Problem(key=key or f"prompts.file={where}", found=said, expected=expected, remedy=remedy)])


def _read(path: Path) -> Iterator[_Read]:
    readers = {".jsonl": _jsonl, ".csv": _csv, ".txt": _text}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise _error(path.name, f"the ending {path.suffix!r}", "one of " + ", ".join(readers))
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise _error(path.name, f"a byte that is not UTF-8 at offset {error.start}", "a UTF-8 text file") from error
    except OSError as error:
        raise _error(path.name, f"unreadable ({error.strerror})", "a readable file") from error
    for number, fields in reader(path.name, content):
        yield _line(path, number, fields)


def _jsonl(name: str, content: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line, object_pairs_hook=_each_key_once)
        except (ValueError, RecursionError) as error:  # JSONDecodeError, or nested or long beyond Python's limits
            reason = getattr(error, "msg", error)
            raise _error(
                f"{name} line {number}", f"no JSON ({reason})", 'e.g. {"id": "cat", "prompt": "A cat"}'
            ) from error
        if not isinstance(fields, dict):
            raise _error(f"{name} line {number}", type(fields).__name__, "a JSON object")
        yield number, fields


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Raises ValueError for a key given twice, of which Python would drop the first."""
    repeated = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if repeated:
        raise ValueError(f"{repeated[0]!r} twice in one object")
    return dict(pairs)


def _csv(name: str, content: str) -> Iterator[tuple[int, dict[str, Any]]]:
    # Not splitlines(): it also splits at form feeds and U+2028, which a prompt may hold.
    reader = csv.DictReader(io.StringIO(content, newline=""), strict=True)
    if "prompt" not in (reader.fieldnames or ()):
        raise _error(f"{name} line 1", f"columns {reader.fieldnames}", "a header with at least the column `prompt`")
    repeated = [column for column, count in Counter(reader.fieldnames or ()).items() if count > 1]
    if repeated:
        raise _error(f"{name} line 1", f"the column {repeated[0]!r} more than once", "each column once")
    try:
        for row in reader:
            if None in row:
                raise _error(f"{name} line {reader.line_num}", "more cells than columns", "quotes around commas")
            yield reader.line_num, {key: value for key, value in row.items() if value not in (None, "")}
    except csv.Error as error:
        raise _error(f"{name} line {reader.line_num}", f"no CSV ({error})", "cells in closed double quotes") from error


def _text(name: str, content: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(content.split("\n"), start=1):
        if line.strip():
            yield number, {"prompt": line.strip()}


def _line(path: Path, number: int, fields: dict[str, Any]) -> _Read:
    where = f"{path.name} line {number}"
    unknown = sorted(fields.keys() - _FIELDS)
    if unknown and path.suffix != ".csv":
        raise _error(where, f"the field {unknown[0]!r}", f"fields {', '.join(sorted(_FIELDS))}")
    for key in _TEXTS & fields.keys():
        if not isinstance(fields[key], str):
            raise _error(where, f"{key} of type {type(fields[key]).__name__}", "text")
        lone = next((character for character in fields[key] if "\ud800" <= character <= "\udfff"), None)
        if lone is not None:
            raise _error(where, f"half a character (U+{ord(lone):04X}) in {key}", "whole Unicode characters")
    images = _image_names(where, fields.get("image", []))
    text = fields.get("prompt", "").strip()
    if not text and not images:  # redux needs no words
        raise _error(where, "an empty prompt", "a prompt")
    if len(text) > MAX_PROMPT_CHARACTERS:
        raise _error(where, f"{len(text)} characters", f"at most {MAX_PROMPT_CHARACTERS}")
    prompt = Prompt(
        id=fields.get("id") or f"{path.stem}-{number:04d}",
        text=text,
        category=fields.get("category"),
        look_for=fields.get("look_for"),
    )
    return _Read(prompt=prompt, where=where, images=images)


def _image_names(where: str, value: Any) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise _error(where, f"image {_short(value)}", "a path, data URI or https address, or a list of these")
    if len(names) > MAX_IMAGES_PER_PROMPT:
        raise _error(where, f"{len(names)} images", f"at most {MAX_IMAGES_PER_PROMPT}")
    return tuple(names)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


class _PictureReader:
    """Reads the pictures of a prompt file, each address once."""

    def __init__(self, path: Path, fetch: Fetch) -> None:
        self.files: dict[str, Path | bytes] = {}
        """SHA-256 → file or content, of all that was read."""
        self._path = path
        self._fetch = fetch
        self._fetched: dict[str, bytes] = {}

    def images(self, line: _Read) -> tuple[InputImage, ...]:
        """The pictures of one prompt, checked. Raises ConfigError."""
        return tuple(self._image(line.where, name) for name in line.images)

    def _image(self, where: str, name: str) -> InputImage:
        shown = DATA_URI_NAME if is_data_uri(name) else name
        where = f"{where}, image {_short(shown)}"
        try:
            source = self._source(where, name)
            content = source if isinstance(source, bytes) else _content(source)
            image = describe_input(shown, content)
        except BadSource as error:
            raise _error(where, error.found, error.expected, remedy=error.remedy) from error
        except BadInputImage as error:
            raise _error(where, error.found, error.expected) from error
        except OSError as error:
            raise _error(where, f"unreadable ({error.strerror})", "a readable file") from error
        self.files[image.sha256] = source
        return replace(image, url=name) if is_address(name) else image

    def _source(self, where: str, name: str) -> Path | bytes:
        if is_data_uri(name):
            return decode_data_uri(name)
        if not is_address(name):
            return _image_file(self._path, where, name)
        if name not in self._fetched:
            self._fetched[name] = self._fetch(name)
        return self._fetched[name]


def _image_file(path: Path, where: str, name: str) -> Path:
    folder = path.parent.resolve()
    try:
        file = (folder / name).resolve()
        inside, there = file.is_relative_to(folder), file.is_file()
    except (OSError, ValueError):  # ValueError: a null character in the name
        inside = there = False
    if Path(name).is_absolute() or (there and not inside):
        expected = f"a path from the folder of {path.name} to a picture in it or below"
        raise _error(where, "a file elsewhere", expected)
    if not there or not inside:
        raise _error(where, "no such file", f"a picture, by its path from {folder}")
    return file


def _content(file: Path) -> bytes:
    """Never more than one byte above the limit, which is then refused by its size."""
    with file.open("rb") as stream:
        return stream.read(MAX_BYTES + 1)
