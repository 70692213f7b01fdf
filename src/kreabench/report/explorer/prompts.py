"""The prompts of a report."""

from __future__ import annotations

from collections.abc import Sequence

from kreabench.report.explorer.data import PromptData
from kreabench.report.explorer.sources import Source
from kreabench.report.text import shorten, visible

PROMPT_CHARACTERS = 280
"""Shown of a prompt; the whole text is in samples.csv."""


def prompt_key(prompt_id: str) -> str:
    """What a prompt is called in a report: ids come from a file of anybody's."""
    return visible(prompt_id)


def prompts_of(sources: Sequence[Source]) -> tuple[PromptData, ...]:
    """Of all runs, each id once."""
    found: dict[str, PromptData] = {}
    for source in sources:
        for prompt in source.evidence.experiment.prompts:
            text = shorten(visible(prompt.text), PROMPT_CHARACTERS)
            category = visible(prompt.category or "")
            found.setdefault(prompt.id, PromptData(id=prompt_key(prompt.id), text=text, category=category))
    return tuple(found.values())
