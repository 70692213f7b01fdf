"""Dataclasses with the words below their fields, the method, and the columns of tables, as Markdown."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
from collections.abc import Iterable, Iterator

from kreabench.core import errors as errors_module
from kreabench.library.frames import SCORE_KEYS, SCORE_PARTS
from kreabench.report.dictionary import described
from kreabench.report.dictionary_rows import COMMON, OF_FILE, Meaning
from kreabench.report.method import METHOD, WAITING_METHOD
from kreabench.report.votes import METHOD as VOTES_METHOD


def method() -> str:
    """The sentences of the report's own method section."""
    return "\n".join(f"- {sentence}" for sentence in (*METHOD, WAITING_METHOD))


def votes_method() -> str:
    """The sentences of the report on votes."""
    return "\n".join(f"- {sentence}" for sentence in VOTES_METHOD)


def errors() -> str:
    """The tree of errors."""
    return f"```text\n{inspect.getdoc(errors_module)}\n```"


def records() -> str:
    """What journals, scores and votes hold."""
    return _classes("kreabench.core.records", "kreabench.core.score_records", "kreabench.core.vote_records")


def specs() -> str:
    """What is asked, as run.json holds it."""
    return _classes("kreabench.core.specs")


def report_json() -> str:
    """Every part of report.json."""
    return _classes("kreabench.report.explorer.data")


def columns() -> str:
    """Every column of the tables, with type, unit and meaning."""
    names = (*SCORE_KEYS, "metric", *SCORE_PARTS)
    scores = [Meaning(one.column, one.type, one.unit, one.meaning) for one in described("scores", names, ())]
    own = {name: rows[len(COMMON) :] if rows[: len(COMMON)] == COMMON else rows for name, rows in OF_FILE.items()}
    parts = [f"## {name}\n\n{_columns(scores if name == 'scores' else rows)}" for name, rows in own.items()]
    return "\n\n".join([*parts, f"## In several of them\n\n{_columns(COMMON)}"])


def _columns(rows: Iterable[Meaning]) -> str:
    heads = "| column | type | unit | meaning |\n| :--- | :--- | :--- | :--- |"
    lines = [
        f"| `{_readable(row.column)}` | {row.type} | {row.unit.format(metric='of the metric')} | {row.meaning} |"
        for row in rows
    ]
    return "\n".join([heads, *lines])


def _readable(pattern: str) -> str:
    """A pattern of the data dictionary as a name with `{name}` in it; an estimate has three more columns."""
    return re.sub(r"\(\?P<name>[^)]*\)", "{name}", pattern.replace("(?P<part>_low|_high|_n)?", ""))


def _classes(*modules: str) -> str:
    return "\n\n".join(section for module in modules for section in _sections(module))


def _sections(module_name: str) -> Iterator[str]:
    module = importlib.import_module(module_name)
    for node in ast.parse(inspect.getsource(module)).body:
        found = getattr(module, node.name) if isinstance(node, ast.ClassDef) else None
        if isinstance(node, ast.ClassDef) and dataclasses.is_dataclass(found) and not node.name.startswith("_"):
            doc = ast.get_docstring(node) or ""
            yield f"## {node.name}\n\n{_words(doc)}\n\n{_fields(node)}"


def _fields(node: ast.ClassDef) -> str:
    rows = [f"| `{name}` | `{kind}` | {_words(text)} |" for name, kind, text in _documented(node.body)]
    return "\n".join(["| field | type | |", "| :--- | :--- | :--- |", *rows])


def _documented(body: list[ast.stmt]) -> Iterator[tuple[str, str, str]]:
    for statement, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            value = following.value if isinstance(following, ast.Expr) else None
            text = value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""
            yield statement.target.id, ast.unparse(statement.annotation), text


def _words(text: str) -> str:
    """One paragraph a paragraph, fit for Markdown and a table's cell."""
    paragraphs: Iterable[str] = re.split(r"\n\s*\n", text.strip())
    return " <br>".join(" ".join(part.split()) for part in paragraphs).replace("[", "\\[")
