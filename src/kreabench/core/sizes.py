"""Picture sizes as people write them: a preset name or WIDTHxHEIGHT."""

from __future__ import annotations

import re

from kreabench.core.specs import PRESET_SIZES

_WIDTH_HEIGHT = re.compile(r"([1-9][0-9]{0,4})[x×]([1-9][0-9]{0,4})")

SIZE_FORMS = f"one of {', '.join(PRESET_SIZES)}, or WIDTHxHEIGHT in pixels such as 1024x768"


def parse_size(text: str) -> tuple[int, int]:
    """Width and height in pixels. Raises ValueError saying which forms are accepted."""
    if text in PRESET_SIZES:
        return PRESET_SIZES[text]
    match = _WIDTH_HEIGHT.fullmatch(text)
    if match is None:
        raise ValueError(SIZE_FORMS)
    return int(match[1]), int(match[2])


def preset_name(width: int, height: int) -> str | None:
    """The preset of exactly that size, if there is one."""
    for name, size in PRESET_SIZES.items():
        if size == (width, height):
            return name
    return None
