"""Prompts: from a file, a published set on the Hub or a grammar, and which of them are used.

Files are never read through OmegaConf, so that nothing in them is interpolated. Input pictures are named beside a
prompt (`image`) by their path from the prompt file's own folder, and lie in it or below: a prompt file from elsewhere
cannot pull other files of this machine into a run. A picture may also stand there as a data URI, or by its https
address, which is fetched now and kept like a file; prompts of a published set have none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from kreabench.config.hub_prompts import hub_prompts
from kreabench.config.model import GrammarPromptsConfig, PromptsConfig
from kreabench.config.picture_sources import Fetch, fetch_picture
from kreabench.config.prompt_files import ENDINGS, BadPromptFile, read_rows
from kreabench.config.prompt_pictures import PictureReader
from kreabench.config.prompt_rows import PromptRow, checked
from kreabench.core.errors import ConfigError, Problem
from kreabench.core.registry import suggest
from kreabench.core.shapes import sample_scenes
from kreabench.core.specs import Prompt

SOURCES = ("file", "hub", "grammar")


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptSet:
    """The chosen prompts, and where their input pictures are now."""

    prompts: tuple[Prompt, ...]
    files: Mapping[str, Path | bytes]
    """SHA-256 of an input picture → its file, or its content where that is in no file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    """All prompts of a source, before any is chosen."""

    name: str
    """For messages."""
    key: str
    """Of the configuration."""
    rows: list[PromptRow]
    pictures: PictureReader | None = None


def load_prompt_set(config: PromptsConfig, roots: list[Path], fetch: Fetch = fetch_picture) -> PromptSet:
    """The chosen prompts, in the source's order, with their pictures checked. Raises ConfigError naming file and line.

    `fetch` reads a picture that is named by its https address. Of the rules of choice `ids` (which also gives the
    order) is applied first, then `categories`, `per_category`, `limit`.
    """
    source = _source(config, roots, fetch)
    if not source.rows:
        raise _problem(source.key, source.name, "no prompts", "at least one")
    repeated = [id_ for id_, count in Counter(row.prompt.id for row in source.rows).items() if count > 1]
    if repeated:
        raise _problem(source.key, source.name, f"the id {repeated[0]!r} more than once", "each id once")
    rows = _chosen(config, source)
    reader = source.pictures
    if reader is None:
        return PromptSet(prompts=tuple(row.prompt for row in rows), files={})
    try:
        prompts = tuple(replace(row.prompt, images=reader.images(row)) for row in rows)
    except BadPromptFile as error:
        raise _bad_file(error) from error
    return PromptSet(prompts=prompts, files=reader.files)


def _source(config: PromptsConfig, roots: list[Path], fetch: Fetch) -> _Source:
    given = [name for name in SOURCES if getattr(config, name) is not None]
    if len(given) != 1:
        # A file is what is mostly given on top of a chosen set.
        remedy = f"Set all but one to null, e.g. prompts.{given[-1]}=null." if given else ""
        raise ConfigError(
            [
                Problem(
                    key="prompts",
                    found=" and ".join(given) or "no source",
                    expected=f"exactly one of {', '.join(SOURCES)}",
                    remedy=remedy,
                )
            ]
        )
    if config.hub is not None:
        rows = hub_prompts(config.hub)
        return _Source(name=config.hub.dataset, key="prompts.hub", rows=rows)
    if config.grammar is not None:
        return _Source(name=config.grammar.name, key="prompts.grammar", rows=_made(config.grammar))
    path = _find(config.file or "", roots)
    try:
        rows = [checked(row, path) for row in read_rows(path)]
    except BadPromptFile as error:
        raise _bad_file(error) from error
    return _Source(name=path.name, key=f"prompts.file={path.name}", rows=rows, pictures=PictureReader(path, fetch))


def _made(grammar: GrammarPromptsConfig) -> list[PromptRow]:
    return [
        PromptRow(
            prompt=Prompt(
                id=scene.id,
                text=scene.text,
                category=scene.category,
                look_for=scene.look_for,
                questions=scene.questions,
            ),
            where=f"scene {scene.id}",
            images=(),
        )
        for scene in sample_scenes(grammar.count, grammar.seed)
    ]


def _chosen(config: PromptsConfig, source: _Source) -> list[PromptRow]:
    rows = source.rows
    if config.ids is not None:
        by_id = {row.prompt.id: row for row in rows}
        unknown = [id_ for id_ in config.ids if id_ not in by_id]
        if unknown:
            raise _problem("prompts.ids", "", repr(unknown[0]), f"ids that {source.name} holds")
        rows = [by_id[id_] for id_ in dict.fromkeys(config.ids)]
    if config.categories is not None:
        accepted = {row.prompt.category for row in source.rows if row.prompt.category is not None}
        for category in config.categories:
            if category not in accepted:
                raise _problem("prompts.categories", "", repr(category), suggest(category, accepted))
        rows = [row for row in rows if row.prompt.category in config.categories]
        if not rows:
            raise _problem("prompts.categories", "", repr(config.categories), "a category of one of prompts.ids")
    if config.per_category is not None:
        rows = _first_of_each_category(rows, config.per_category)
    return rows[: config.limit]


def _first_of_each_category(rows: list[PromptRow], count: int) -> list[PromptRow]:
    """In the order they come; those of no category are one of their own."""
    seen: Counter[str | None] = Counter()
    kept = []
    for row in rows:
        seen[row.prompt.category] += 1
        if seen[row.prompt.category] <= count:
            kept.append(row)
    return kept


def _find(name: str, roots: list[Path]) -> Path:
    path = expanded("prompts.file", name)
    candidates = [path] if path.is_absolute() else [root / path for root in roots]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    kinds = f"a {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]} file"
    raise _problem(
        "prompts.file", "", f"{name}: no such file", f"{kinds}, relative to the current folder or to conf/prompts"
    )


def expanded(key: str, path: str) -> Path:
    """`path` with its `~`, the configured value of `key`. Raises ConfigError where there is no such home."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError([Problem(key=key, found=repr(path), expected="a user who has a home folder")]) from error


def _bad_file(error: BadPromptFile) -> ConfigError:
    return ConfigError(
        [Problem(key=f"prompts.file={error.where}", found=error.found, expected=error.expected, remedy=error.remedy)]
    )


def _problem(key: str, where: str, found: str, expected: str) -> ConfigError:
    return ConfigError([Problem(key=key, found=f"{where}: {found}" if where else found, expected=expected)])
