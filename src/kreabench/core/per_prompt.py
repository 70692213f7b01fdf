"""How a set's score carries a value of each prompt in its `details`, for who writes it and who reads it."""

from __future__ import annotations

from collections.abc import Mapping

MOST_PROMPTS = 2000
"""Prompts whose values are kept: of more, the first by id, so that every setting keeps the same ones."""

_VALUE = "value of "
_PICTURES = "pictures of "


def to_details(values: Mapping[str, tuple[float, int]]) -> dict[str, float]:
    """Named numbers that hold each prompt's value and number of pictures."""
    details: dict[str, float] = {}
    for prompt_id in sorted(values)[:MOST_PROMPTS]:
        value, pictures = values[prompt_id]
        details |= {_VALUE + prompt_id: value, _PICTURES + prompt_id: float(pictures)}
    return details


def from_details(details: Mapping[str, float]) -> dict[str, tuple[float, int]]:
    """What `to_details` was given, prompt by prompt; empty where it was not used."""
    return {
        name.removeprefix(_VALUE): (value, int(details[_PICTURES + name.removeprefix(_VALUE)]))
        for name, value in details.items()
        if name.startswith(_VALUE) and _PICTURES + name.removeprefix(_VALUE) in details
    }


def is_of_prompt(name: str) -> bool:
    """Whether a detail of that name is one prompt's, and not the whole set's."""
    return name.startswith((_VALUE, _PICTURES))
