"""What a file of conf/prompts/ offers, for `kreabench list prompts`: without Hydra and pydantic, nothing is fetched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from kreabench.config.prompt_files import BadPromptFile, read_rows
from kreabench.config.prompt_rows import checked
from kreabench.core.shapes import sample_scenes


def summary_of(config_file: Path, folders: Sequence[Path]) -> str:
    """How many prompts of which categories, or where they come from, or why that cannot be said.

    `folders`: where the prompt file is looked for, after the current one.
    """
    try:
        config = yaml.safe_load(config_file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        return f"unreadable: {' '.join(str(error).split())}"
    if not isinstance(config, dict):
        return "unreadable: no mapping"
    hub, grammar = config.get("hub"), config.get("grammar")
    if isinstance(hub, dict):
        return f"{hub.get('dataset')} at the Hub" + ("" if hub.get("revision") else ", revision to be given")
    if isinstance(grammar, dict):
        return _of_grammar(grammar)
    return _of_file(str(config.get("file")), folders)


def _of_grammar(grammar: dict[str, Any]) -> str:
    count, seed = grammar.get("count"), grammar.get("seed", 0)
    if not isinstance(count, int):
        return f"made by the grammar {grammar.get('name')}"
    try:
        return _counted(scene.category for scene in sample_scenes(count, seed))
    except ValueError as error:
        return f"none: {error}"


def _of_file(name: str, folders: Sequence[Path]) -> str:
    path = next((folder / name for folder in (Path.cwd(), *folders) if (folder / name).is_file()), None)
    if path is None:
        return f"{name}: no such file"
    try:
        return _counted(checked(row, path).prompt.category for row in read_rows(path))
    except BadPromptFile as error:
        return f"unreadable: {error}"


def _counted(categories: Iterable[str | None]) -> str:
    counts = Counter(categories)
    total = f"{counts.total()} prompts"
    named = {category: count for category, count in counts.items() if category is not None}
    if not named:
        return total
    if len(named) > 1 and len(set(counts.values())) == 1:
        return f"{total}, {max(named.values())} in each of {', '.join(named)}"
    return f"{total}: {', '.join(f'{category} {count}' for category, count in named.items())}"
