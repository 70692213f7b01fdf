"""What the service delivers: the parts of its result that are used, and what in it is not as asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from fal_client.client import Completed

from kreabench.backends.base import GeneratedImage
from kreabench.backends.fal_errors import Failures
from kreabench.backends.service_values import seed_of
from kreabench.core.errors import GenerationError
from kreabench.core.planned import Setting

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
    seed = seed_of(result.seed)
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


def _bad(message: str, remedy: str = _BILLED) -> GenerationError:
    return GenerationError(message, type="bad_image", stage="result", remedy=remedy)
