"""What a row of a prompt file must be: every text checked, none of it interpreted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kreabench.config.prompt_files import BadPromptFile, Row
from kreabench.core.specs import Prompt

MAX_PROMPT_CHARACTERS = 20_000
MAX_NAME_CHARACTERS = 200
"""Of an id or a category: they are labels of tables and figures."""
MAX_IMAGES_PER_PROMPT = 8
MAX_QUESTIONS = 10
MAX_QUESTION_CHARACTERS = 500
TABLES = frozenset({".csv", ".tsv", ".parquet"})
"""Endings of files with columns, which may have more of them than are ours."""
_TEXTS = ("id", "prompt", "category", "look_for")
FIELDS = frozenset({*_TEXTS, "questions", "image"})


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptRow:
    """A checked row; its pictures have not been looked at."""

    prompt: Prompt
    where: str
    images: tuple[str, ...]


def checked(row: Row, path: Path) -> PromptRow:
    """The prompt of a row of our own fields. Raises BadPromptFile."""
    where = row.where
    fields = _of_table(row, path) if path.suffix.lower() in TABLES else _of_object(row)
    for key in _TEXTS:
        if key in fields:
            _check_text(where, key, fields[key])
    for key in ("id", "category"):
        if len(fields.get(key, "")) > MAX_NAME_CHARACTERS:
            raise BadPromptFile(where, f"{key} of {len(fields[key])} characters", f"at most {MAX_NAME_CHARACTERS}")
    images = _image_names(where, fields.get("image", []))
    text = fields.get("prompt", "").strip()
    if not text and not images:  # redux needs no words
        raise BadPromptFile(where, "an empty prompt", "a prompt")
    if len(text) > MAX_PROMPT_CHARACTERS:
        raise BadPromptFile(where, f"{len(text)} characters", f"at most {MAX_PROMPT_CHARACTERS}")
    prompt = Prompt(
        id=fields.get("id") or f"{path.stem}-{row.number:04d}",
        text=text,
        category=fields.get("category"),
        look_for=fields.get("look_for"),
        questions=_questions(where, fields.get("questions", [])),
    )
    return PromptRow(prompt=prompt, where=where, images=images)


def _of_table(row: Row, path: Path) -> dict[str, Any]:
    """Empty cells are nothing; questions in a cell of text are separated by semicolons."""
    if "prompt" not in row.fields:
        expected = "a header with at least the column `prompt`"
        raise BadPromptFile(row.where, f"columns {list(row.fields)}", expected)
    fields = {key: value for key, value in row.fields.items() if value not in (None, "")}
    if path.suffix.lower() != ".parquet" and "questions" in fields:
        fields["questions"] = [part for part in fields["questions"].split(";") if part.strip()]
    return fields


def _of_object(row: Row) -> dict[str, Any]:
    unknown = sorted(row.fields.keys() - FIELDS)
    if unknown:
        raise BadPromptFile(row.where, f"the field {unknown[0]!r}", f"fields {', '.join(sorted(FIELDS))}")
    return row.fields


def short(value: Any) -> str:
    """`value` in a message, which a data URI of megabytes must not fill."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _check_text(where: str, key: str, value: Any) -> None:
    if not isinstance(value, str):
        raise BadPromptFile(where, f"{key} of type {type(value).__name__}", "text")
    lone = next((character for character in value if "\ud800" <= character <= "\udfff"), None)
    if lone is not None:
        raise BadPromptFile(where, f"half a character (U+{ord(lone):04X}) in {key}", "whole Unicode characters")


def _questions(where: str, value: Any) -> tuple[str, ...]:
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list):
        raise BadPromptFile(where, f"questions of type {type(value).__name__}", "a question or a list of questions")
    questions = []
    for question in given:
        _check_text(where, "questions", question)
        questions.append(question.strip())
        if not questions[-1]:
            raise BadPromptFile(where, "an empty question", "a question")
        if len(questions[-1]) > MAX_QUESTION_CHARACTERS:
            expected = f"at most {MAX_QUESTION_CHARACTERS}"
            raise BadPromptFile(where, f"a question of {len(questions[-1])} characters", expected)
    if len(questions) > MAX_QUESTIONS:
        raise BadPromptFile(where, f"{len(questions)} questions", f"at most {MAX_QUESTIONS}")
    if len(set(questions)) < len(questions):
        raise BadPromptFile(where, "a question twice", "each question once")
    return tuple(questions)


def _image_names(where: str, value: Any) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise BadPromptFile(where, f"image {short(value)}", "a path, data URI or https address, or a list of these")
    if len(names) > MAX_IMAGES_PER_PROMPT:
        raise BadPromptFile(where, f"{len(names)} images", f"at most {MAX_IMAGES_PER_PROMPT}")
    return tuple(names)
