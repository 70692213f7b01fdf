"""What makes two plans differ, in words: for the message that refuses to mix them in one run directory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from kreabench.core.specs import ExperimentSpec, Prompt
from kreabench.plan_build import build_plan


def describe_difference(old: ExperimentSpec, new: ExperimentSpec) -> tuple[str, ...]:
    """What makes two plans differ, in words, for the message that refuses to mix them."""
    lines: list[str] = []
    old_plan, new_plan = build_plan(old), build_plan(new)
    lines += _set_difference(
        "setting", {s.id: s.label for s in old_plan.settings}, {s.id: s.label for s in new_plan.settings}
    )
    lines += _set_difference(
        "prompt", {_prompt_key(p): p.id for p in old.prompts}, {_prompt_key(p): p.id for p in new.prompts}
    )
    for name in ("seeds", "repeats", "passes", "warmup", "order_seed", "reference"):
        lines += _changes(name, getattr(old, name), getattr(new, name))
    lines += _changes("load", old.traffic, new.traffic)
    return tuple(lines) or ("the order of settings or prompts",)


def _prompt_key(prompt: Prompt) -> str:
    return "\0".join((prompt.id, prompt.text, *(image.sha256 for image in prompt.images)))


def _changes(name: str, before: Any, after: Any) -> Iterator[str]:
    """A line for each value that differs, of a spec for each of its fields."""
    if before == after:
        return
    if is_dataclass(before) and is_dataclass(after):
        for field in fields(before):
            yield from _changes(f"{name}.{field.name}", getattr(before, field.name), getattr(after, field.name))
    else:
        yield f"{name}: was {_plain(before)}, now {_plain(after)}"


def _plain(value: Any) -> str:
    if value is None or is_dataclass(value):
        return "off" if value is None else "on"
    return str(list(value)) if isinstance(value, tuple) else str(value)


def _set_difference(noun: str, old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    lines = []
    for sign, ids, names in (("no longer asked", old.keys() - new.keys(), old), ("new", new.keys() - old.keys(), new)):
        if ids:
            shown = sorted(names[i] for i in ids)
            more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
            lines.append(f"{len(shown)} {noun}{'s' if len(shown) > 1 else ''} {sign}: {'; '.join(shown[:3])}{more}")
    return lines
