"""Pictures decoded together: once each, whoever looks at them, and no more at a time than memory allows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kreabench.core.errors import RunDirectoryError
from kreabench.core.records import ImageRecord
from kreabench.metrics.base import ScoreItem
from kreabench.pairing import Picture
from kreabench.rundir.pictures import read_picture

if TYPE_CHECKING:
    from PIL.Image import Image

CHUNK_IMAGES = 16
CHUNK_PIXELS = 16 * 1024 * 1024
"""Pictures decoded, scored and journalled together: what an interrupt may cost, and how much memory they may take
(4 bytes a pixel, and as much again for references)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A picture and who is to look at it."""

    picture: Picture
    metrics: frozenset[str] = frozenset()
    """Names of metrics of pictures that lack their score."""
    sets: frozenset[str] = frozenset()
    """Names of metrics of sets that lack what they make of it."""

    @property
    def steps(self) -> int:
        return len(self.metrics) + len(self.sets)


def chunks(tasks: Iterable[Task]) -> Iterator[list[Task]]:
    """Lists of tasks in the same order, at most CHUNK_IMAGES long and of CHUNK_PIXELS, but at least one."""
    chunk: list[Task] = []
    pixels = 0
    for task in tasks:
        size = task.picture.image.width * task.picture.image.height
        if chunk and (len(chunk) == CHUNK_IMAGES or pixels + size > CHUNK_PIXELS):
            yield chunk
            chunk, pixels = [], 0
        chunk.append(task)
        pixels += size
    if chunk:
        yield chunk


class Decoder:
    """Pictures of one chunk, and of the one before where this one needs them too: those with one reference share it."""

    def __init__(self, run_path: Path) -> None:
        self._run_path = run_path
        self._decoded: dict[str, Image | str] = {}

    def begin(self, chunk: Sequence[Task]) -> None:
        """Forget what the chunk cannot need."""
        pictures = [task.picture for task in chunk]
        paths = {image.path for picture in pictures for image in (picture.image, picture.reference) if image}
        self._decoded = {path: image for path, image in self._decoded.items() if path in paths}

    def item(self, picture: Picture, *, with_reference: bool) -> ScoreItem | str:
        """What a metric is to look at, or why that cannot be read."""
        image = self._read(picture.image)
        if isinstance(image, str):
            return image
        paired = picture.reference if with_reference else None
        reference = self._read(paired) if paired is not None else None
        if isinstance(reference, str):
            return f"the reference: {reference}"
        return ScoreItem(
            image=image,
            prompt=picture.prompt,
            reference=reference,
            sha256=picture.image.sha256,
            reference_sha256=paired.sha256 if paired else "",
            path=self._run_path / picture.image.path,
            reference_path=self._run_path / paired.path if paired else None,
            format=picture.image.format,
            reference_format=paired.format if paired else "png",
            prompt_id=picture.prompt_id,
            seed=picture.seed,
            look_for=picture.look_for,
            questions=picture.questions,
        )

    def _read(self, image: ImageRecord) -> Image | str:
        """The picture as RGB, or why it cannot be read."""
        if image.path not in self._decoded:
            try:
                self._decoded[image.path] = read_picture(self._run_path, image)
            except RunDirectoryError as error:
                self._decoded[image.path] = " ".join(f"{error.message}. {error.remedy}".split())
        return self._decoded[image.path]
