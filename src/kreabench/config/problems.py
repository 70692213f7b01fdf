"""pydantic's findings in our words: one problem a key, with what was found and what is accepted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, Tag, ValidationError

from kreabench.core.errors import Problem
from kreabench.core.registry import suggest

_UNKNOWN = frozenset({"extra_forbidden", "unexpected_keyword_argument"})
_OPENING = re.compile(r"(?:Input should be|Value error,|(?:Value|List|Tuple|Dictionary|String) should have) ")
"""How pydantic's sentences begin."""


def problems_of(
    error: ValidationError, prefix: str, accepted: Sequence[str] | None = None, *, root: type[BaseModel]
) -> list[Problem]:
    """pydantic's findings in our words. Values of an unknown key, of `key_env` and of URLs may be secrets: they are not
    said.

    `root` is the model that was validated.
    """
    problems: dict[str, Problem] = {}
    for item in error.errors(include_url=False):
        parts = _key_parts(item["loc"], is_unknown=item["type"] in _UNKNOWN)
        key = ".".join([*([prefix] if prefix else []), *parts])
        if item["type"] in _UNKNOWN:
            names = _fields_at(item["loc"], root) if accepted is None else accepted
            problem = Problem(key=key, found="an unknown key", expected=suggest(parts[-1], names))
        elif item["type"] in {"missing", "missing_keyword_only_argument"}:
            problem = Problem(key=key, found="nothing", expected="a value")
        elif parts[-1:] == ["key_env"]:  # people put the key itself there
            problem = Problem(
                key=key, found="no name of a variable", expected="the name of the variable that holds it, e.g. FAL_KEY"
            )
        elif parts[-1:] == ["pictures_url"]:
            problem = Problem(key=key, found="something else", expected=_lower_first(item["msg"]))
        else:
            problem = Problem(key=key, found=shown(item["input"]), expected=_lower_first(item["msg"]))
        known = problems.get(key)
        # A union reports one finding per member: one line a key, all accepted forms in it.
        if known is not None and known.found == problem.found and problem.expected not in known.expected:
            problem = Problem(key=key, found=known.found, expected=f"{known.expected}; or {problem.expected}")
        problems[key] = problem
    return list(problems.values())


def _key_parts(location: tuple[int | str, ...], *, is_unknown: bool) -> list[str]:
    """The parts of a key as it was written. An unknown one is the user's own word, whatever it looks like."""
    last = location[-1:] if is_unknown else ()
    named = [part for part in location[: len(location) - len(last)] if not _is_union_tag(part)]
    return [_printable(str(part)) for part in (*named, *last)]


def _printable(part: str) -> str:
    """Keys of a file can hold anything, also what would rule a terminal."""
    return part if part.isprintable() and len(part) <= 80 else shown(part)


def _is_union_tag(part: int | str) -> bool:
    """pydantic names union members in the location: `literal['default']`, `constrained-int`, `list[str]`, `str`."""
    return isinstance(part, str) and (
        "[" in part or part in {"str", "int", "float", "none", "constrained-int", "constrained-float"}
    )


def _fields_at(location: tuple[int | str, ...], root: type[BaseModel]) -> list[str]:
    model: Any = root
    for part, tag in pairwise(location):
        if _is_union_tag(part):
            continue
        model = _descend(model, part, str(tag))
        if model is None:
            return []
    return sorted(model.model_fields)


def _descend(model: Any, part: int | str, tag: str) -> Any:
    """The model behind one part of a location: a field's model, or the value type of a dict or list of models.

    `tag` is the next part, which tells the members of a union apart where these have tags.
    """
    fields = getattr(model, "model_fields", None)
    if isinstance(part, str) and fields is not None and part in fields:
        annotation = fields[part].annotation
        models = [arg for arg in (annotation, *getattr(annotation, "__args__", ())) if hasattr(arg, "model_fields")]
        tagged = [arg for arg in models if Tag(tag) in getattr(arg, "__metadata__", ())]
        return next(iter(tagged or models), None)
    return model  # an index, or the name of an entry: the value model was already chosen


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _lower_first(text: str) -> str:
    """What pydantic says of a value, to stand behind `expected`."""
    text = _OPENING.sub("", text, count=1).replace("String should match pattern ", "a text of the pattern ")
    text = re.sub(r" after validation, not \d+$", "", text)
    return text[:1].lower() + text[1:]
