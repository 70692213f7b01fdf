"""The runs of a history: which ones, with which setting and prompts, and whether two say anything about each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import pandas as pd

from kreabench.core.errors import ConfigError, Problem
from kreabench.core.specs import MetricSpec
from kreabench.decisions.comparability import KEYS, version_differences
from kreabench.decisions.selection import REFERENCE, split_name
from kreabench.decisions.sides import Side, chosen, open_side
from kreabench.metrics.table import row_of

_FACTS = tuple(key.name for key in KEYS)


def open_runs(names: Sequence[str], *, setting: str | None, by: Literal["date", "order"]) -> tuple[Side, ...]:
    """The runs and baseline files of a history, each with one setting: the chosen one, or else its reference.

    Raises ConfigError for fewer than two, one that is named twice, and where not one setting is left.
    """
    if len(names) < 2:
        raise ConfigError([Problem(key="RUN", found=f"{len(names)}", expected="at least two runs or baseline files")])
    paths = [split_name(name)[0].resolve() for name in names]
    twice = [name for number, name in enumerate(names) if paths[number] in paths[:number]]
    if twice:
        raise ConfigError([Problem(key="RUN", found=f"{twice[0]} twice", expected="every run once")])
    sides = [_of_one_setting(open_side(name), setting) for name in names]
    return tuple(sorted(sides, key=lambda side: side.created_utc) if by == "date" else sides)


def _of_one_setting(side: Side, setting: str | None) -> Side:
    if setting:
        side = chosen(side, setting)
    elif len(side.settings) > 1:
        side = chosen(side, REFERENCE)
    if len(side.settings) != 1:
        found = "; ".join(one.label for one in side.settings[:4])
        remedy = "Name one with --setting, such as acceleration=high,steps=8."
        raise ConfigError([Problem(key=side.name, found=found, expected="one setting to follow", remedy=remedy)])
    return side


def differing(before: Side, after: Side) -> tuple[str, ...]:
    """Versions, models, device, reference and setting that are not the same."""
    found = [
        f"{one.name} {one.base or 'absent'} → {one.candidate or 'absent'}" for one in version_differences(before, after)
    ]
    found += [
        f"{name} {before.facts[name]} → {after.facts[name]}" for name in _FACTS if differs_in(before, after, name)
    ]
    labels = [side.settings[0].label for side in (before, after)]
    return tuple(found + ([f"setting {labels[0]} → {labels[1]}"] if labels[0] != labels[1] else []))


def shared_prompts(sides: Sequence[Side]) -> frozenset[str]:
    """Prompts of all sides that ask for the same picture everywhere."""
    first, *others = [set(side.prompts.items()) for side in sides]
    shared = frozenset(id_ for id_, _ in first.intersection(*others))
    if not shared:
        found = "no prompt that all of them ask for with the same words"
        expected = "runs of one prompt file"
        raise ConfigError([Problem(key="RUN", found=found, expected=expected, remedy=_gain(sides, 0))])
    return shared


def _gain(sides: Sequence[Side], shared: int) -> str:
    """Which single run costs the others most of their prompts."""
    if len(sides) < 3:
        return ""
    without = {}
    for number, side in enumerate(sides):
        first, *others = [set(other.prompts.items()) for at, other in enumerate(sides) if at != number]
        without[side.name] = len(first.intersection(*others))
    name = max(without, key=lambda one: without[one])
    return f"Without {name} they share {without[name]}." if without[name] > shared else ""


def with_prompts(side: Side, prompts: frozenset[str]) -> Side:
    """`side` with nothing but these prompts."""
    return replace(
        side,
        table=side.table[side.table["prompt_id"].isin(list(prompts))],
        prompts={id_: text for id_, text in side.prompts.items() if id_ in prompts},
    )


def incomparable(before: Side, after: Side, spec: MetricSpec | None) -> list[str]:
    """What makes a quantity of two runs incomparable; `spec` is None for costs."""
    found = []
    if differs_in(before, after, "device"):
        found.append(f"another device: {before.facts['device']} → {after.facts['device']}")
    if spec is None:
        return found
    row = row_of(spec)
    if row and row.needs_reference and differs_in(before, after, "reference"):
        found.append(f"another reference: {before.facts['reference']} → {after.facts['reference']}")
    here, there = before.identities.get(spec.name), after.identities.get(spec.name)
    if here and there and here != there:
        found.append(f"{spec.name} was made with other weights or options")
    return found


def differs_in(before: Side, after: Side, name: str) -> bool:
    """Whether both sides know the fact `name` of comparability, and not the same."""
    return name in before.facts and name in after.facts and before.facts[name] != after.facts[name]


def share_a_request(before: Side, after: Side) -> bool:
    """Whether some prompt, seed and repeat was drawn in both, so that they can be compared in pairs."""
    keys = ["prompt_id", "seed", "repeat"]
    here, there = (pd.MultiIndex.from_frame(side.table[keys]) for side in (before, after))
    return bool(here.isin(there).any())


def notices_of(sides: Sequence[Side], prompts: frozenset[str]) -> Iterator[str]:
    """What limits the whole history, gravest first; `prompts` are those that count."""
    most = max(len(side.prompts) for side in sides)
    if len(prompts) < most:
        gain = _gain(sides, len(prompts))
        text = f"Only the {len(prompts)} prompts count that every run asks for with the same words, of up to {most}."
        yield f"{text} {gain}".strip()
    unfinished = [side.name for side in sides if side.unfinished]
    if unfinished:
        others = f" and {len(unfinished) - 1} more" if len(unfinished) > 1 else ""
        yield f"Not finished: {unfinished[0]}{others}."
    labels = {side.settings[0].label for side in sides}
    if len(labels) > 1:
        yield f"The runs do not all follow the same setting: {'; '.join(sorted(labels)[:4])}."
