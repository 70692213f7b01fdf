"""What the service delivers: the parts of its result that are used, and what in it is not as asked."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from fal_client.client import Completed

from kreabench.backends.base import GeneratedImage
from kreabench.backends.fal_errors import Failures
from kreabench.core.errors import GenerationError
from kreabench.core.planned import Setting

_SEEDS = 2**64
"""So many the table of samples can hold; any other number is no seed that could be asked for again."""
_MOST_TIMINGS = 50
_BILLED = "The request has been billed; see the service's dashboard."


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One picture, as announced."""

    url: str
    width: Any = None
    height: Any = None
    content_type: Any = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """The part of the endpoint's output that is used."""

    images: list[Picture]
    seed: Any = None
    has_nsfw_concepts: Any = None
    timings: Any = None
    prompt: Any = None


def read_result(raw: Any, completed: Completed, setting: Setting, failures: Failures) -> Result:
    """The result in `raw`. Raises GenerationError, type `bad_image`, where it is none or has too few or too many
    pictures."""
    if completed.error is not None:
        remedy = "The service reports a failure and yet delivers a result; neither is believed."
        raise _bad(failures.scrub(f"{completed.error} ({completed.error_type})"), remedy)
    try:
        result = msgspec.convert(raw, Result)
    except msgspec.ValidationError as error:
        raise _bad(failures.scrub(f"the result was not understood: {error}")) from None
    if len(result.images) != setting.num_images:
        raise _bad(f"asked for {setting.num_images} pictures, the result names {len(result.images)}")
    return result


def pictures_of(result: Result, contents: Sequence[bytes], *, checked: bool | None) -> tuple[GeneratedImage, ...]:
    """The delivered pictures; `checked` as of `fal_arguments.safety_checked`."""
    flags = result.has_nsfw_concepts
    known = checked is not False and isinstance(flags, list) and len(flags) == len(contents)
    is_number = isinstance(result.seed, int) and not isinstance(result.seed, bool)
    seed = result.seed if is_number and 0 <= result.seed < _SEEDS else None
    return tuple(
        GeneratedImage(
            content=content,
            # The service tells one seed; how it derives those of further pictures is not documented.
            seed=seed if index == 0 else None,
            nsfw=flags[index] if known and isinstance(flags[index], bool) else None,
        )
        for index, content in enumerate(contents)
    )


def announced_otherwise(result: Result, setting: Setting) -> tuple[str, ...]:
    """What the service says of its pictures that is not what was asked for, in words."""
    notes = []
    wanted = f"image/{setting.output_format}"
    for index, picture in enumerate(result.images):
        size = (picture.width, picture.height)
        if None not in size and size != (setting.width, setting.height):
            text = f"{str(size[0])[:20]}×{str(size[1])[:20]}"
            notes.append(f"picture {index} is announced as {text}, asked for {setting.width}×{setting.height}")
        if picture.content_type is not None and picture.content_type != wanted:
            notes.append(f"picture {index} is announced as {str(picture.content_type)[:40]}, asked for {wanted}")
    return tuple(notes)


def timings_of(result: Result) -> dict[str, float]:
    """The service's own account of the seconds, without what can be none."""
    if not isinstance(result.timings, Mapping):
        return {}
    parts = itertools.islice(result.timings.items(), _MOST_TIMINGS)
    # JSON may name half a character, which no record can hold.
    numbers = {str(name)[:60].encode("utf-8", "replace").decode(): number(value) for name, value in parts}
    return {name: value for name, value in numbers.items() if value is not None}


def number(value: Any) -> float | None:
    """An amount (seconds, billed units) that may come as text; None where there is none that can be true."""
    if isinstance(value, bool):
        return None
    try:
        amount = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return amount if math.isfinite(amount) and amount >= 0 else None


def _bad(message: str, remedy: str = _BILLED) -> GenerationError:
    return GenerationError(message, type="bad_image", stage="result", remedy=remedy)
