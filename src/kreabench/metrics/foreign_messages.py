"""The messages of a foreign metric: what is asked, and what an answer is worth. `FOREIGN.md` is their description."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kreabench.core.errors import one_line
from kreabench.metrics.base import Score, ScoreItem, failed
from kreabench.metrics.foreign_process import ForeignFault

if TYPE_CHECKING:
    from PIL.Image import Image

PROTOCOL = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_NOTES = 8
_MOST_DETAILS = 64
_MOST_CHARACTERS = 300


def identity_of(hello: Mapping[str, Any]) -> dict[str, Any]:
    """All that the program says of itself. Raises ForeignFault for what is no hello of this protocol."""
    if hello.get("type") != "hello":
        raise ForeignFault(f"its first message is no hello: {_shortened(dict(hello))}")
    if hello.get("protocol") != PROTOCOL or isinstance(hello.get("protocol"), bool):
        raise ForeignFault(f"it speaks protocol {_shortened(hello.get('protocol'))}, and this is {PROTOCOL}")
    for key in ("name", "version"):
        if not isinstance(hello.get(key), str) or not hello[key].strip():
            raise ForeignFault(f"its hello has no {key}")
    digest = hello.get("weights_sha256")
    if digest is not None and not (isinstance(digest, str) and _SHA256.fullmatch(digest)):
        raise ForeignFault(f"its hello has weights_sha256 {_shortened(digest)}, and not 64 hexadecimal digits")
    if not isinstance(hello.get("untrained", False), bool):
        raise ForeignFault(f"its hello has untrained {_shortened(hello['untrained'])}, and not true or false")
    identity = {key: value for key, value in hello.items() if key != "type"}
    try:
        json.dumps(identity, allow_nan=False)
    except ValueError:
        raise ForeignFault("its hello holds a number that is not finite") from None
    return identity


def request_for(item: ScoreItem, number: int, folder: str, *, needs_reference: bool) -> dict[str, Any] | Score:
    """What the program is told of a picture; the outcome where there is nothing to ask.

    A picture without a file is written into `folder`.
    """
    if needs_reference and item.reference is None:
        return Score(status="not_applicable", value=None, reason="there is no picture of the reference setting")
    try:
        image = _file(item.path, item.image, Path(folder, f"{number}.png"))
        reference = None
        if needs_reference and item.reference is not None:
            reference = _file(item.reference_path, item.reference, Path(folder, f"{number}-reference.png"))
    except Exception as error:  # one bad picture must not cost the others their score
        return failed(one_line(error))
    return {"id": number, "image": image, "prompt": item.prompt, "reference": reference}


def _file(path: Path | None, image: Image, spare: Path) -> str:
    if path is not None:
        return str(path.absolute())
    if not all(image.size):
        raise ValueError(f"the picture has {image.width}×{image.height} pixels")
    image.save(spare, "PNG", compress_level=1)
    return str(spare)


def score_of(answer: Mapping[str, Any], range_: tuple[float | None, float | None]) -> Score:
    """The score of one picture; what is no sound answer is a failure that says so."""
    if answer.get("error"):
        return failed(f"the program says: {_text(str(answer['error']))}")
    value = _number(answer.get("value"))
    if value is None:
        return failed(f"the program gave the value {_shortened(answer.get('value'))}, and no finite number")
    low, high = range_
    if (low is not None and value < low) or (high is not None and value > high):
        return failed(f"the program gave the value {value:g}, outside options.range {low} to {high}")
    details = answer.get("details") or {}
    notes = answer.get("notes") or []
    if not isinstance(details, dict) or any(_number(part) is None for part in details.values()):
        return failed(f"the program gave details {_shortened(details)}, and not names with finite numbers")
    if not isinstance(notes, list):
        return failed(f"the program gave notes {_shortened(notes)}, and not a list")
    return Score(
        status="ok",
        value=value,
        truncated=answer.get("truncated") is True,
        notes=tuple(_text(str(note)) for note in notes[:_MOST_NOTES]),
        details={_text(name): float(part) for name, part in list(details.items())[:_MOST_DETAILS]},
    )


def _number(value: Any) -> float | None:
    """None for what is no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _text(text: str) -> str:
    """On one line, not too long, in valid Unicode."""
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"


def _shortened(value: Any) -> str:
    return _text(repr(value)[: 4 * _MOST_CHARACTERS])[:120]
