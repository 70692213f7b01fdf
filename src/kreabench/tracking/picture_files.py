"""Pictures that go along with a setting: of the same prompts and seeds for every setting, to be compared."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from kreabench.core.errors import RunDirectoryError
from kreabench.core.ids import slug
from kreabench.core.planned import Plan, Request
from kreabench.core.records import ImageRecord, SampleRecord
from kreabench.report.text import message
from kreabench.rundir.pictures import read_picture

FOLDER = "pictures"

Unit = tuple[str, int, int]
"""Prompt, seed, repeat; of a request with several pictures the first is taken."""


def chosen_units(plan: Plan, most: int) -> tuple[Unit, ...]:
    """The first `most` of the plan: the first seed of every prompt before the second of any."""
    units = {_unit(request): None for group in plan.groups for request in group.requests}
    prompts = list(dict.fromkeys(unit[0] for unit in units))
    seeds = sorted({unit[1] for unit in units})
    ordered = sorted(units, key=lambda unit: (unit[2], seeds.index(unit[1]), prompts.index(unit[0])))
    return tuple(ordered[:most])


def picture_files(
    run_path: Path,
    units: Sequence[Unit],
    requests: Sequence[Request],
    samples: Mapping[str, SampleRecord],
    left_out: list[str],
) -> Iterator[tuple[str, bytes]]:
    """Name and content of the pictures of one setting, whose `requests` these are.

    Each is written anew as PNG: its pixels are the delivered ones, what else its file said is left behind. One that a
    safety checker flagged, or that cannot be read, is left out, and `left_out` gets the reason.
    """
    by_unit = {_unit(request): request for request in requests}
    for unit in units:
        request = by_unit.get(unit)
        sample = samples.get(request.id) if request is not None else None
        for image in sample.images[:1] if sample is not None else ():
            name = f"{FOLDER}/{slug(unit[0])}-s{unit[1]}-r{unit[2]}-{slug(image.sha256, length=12)}.png"
            content = _png(run_path, image, left_out)
            if content is not None:
                yield name, content


def _unit(request: Request) -> Unit:
    return (request.prompt_id, request.seed, request.repeat)


def _png(run_path: Path, image: ImageRecord, left_out: list[str]) -> bytes | None:
    if image.nsfw:
        left_out.append("flagged by a safety checker")
        return None
    try:
        picture = read_picture(run_path, image)
    except RunDirectoryError as error:
        left_out.append(message(error.message))
        return None
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
