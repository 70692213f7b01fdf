"""Input pictures as they go to the service: by its own rules nothing is scaled there that we could not repeat."""

from __future__ import annotations

import base64
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kreabench.backends.encoding import encode_picture
from kreabench.backends.fal_arguments import CHECK
from kreabench.backends.input_images import fit_to_size, read_input
from kreabench.core.errors import GenerationError
from kreabench.core.planned import Request, Setting
from kreabench.core.specs import InputImage, TargetSpec

CONTENT_TYPE = "image/png"
PLACEHOLDER = "https://to-be-uploaded/"
"""Stands for an address that only the upload will bring, while the arguments are checked."""

_KEPT = 64
"""Prepared pictures in memory at once."""

Way = Literal["upload", "data_uri", "url"]
_Key = tuple[str, int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedPicture:
    """One input picture, ready to be sent."""

    address: str
    """What goes into the request's body; PLACEHOLDER where it must be uploaded first."""
    content: bytes
    """A whole PNG, to be uploaded; empty where nothing is uploaded."""
    file_name: str


class InputPictures:
    """Prepares input pictures outside all timings and keeps them, as many requests start from the same ones."""

    def __init__(self, target: TargetSpec, *, way: Way, folder: Path | None, clock: Callable[[], float]) -> None:
        self._way = way
        self._folder = folder
        self._clock = clock
        # Where the endpoint takes no size, the size of its picture is that of the one it starts from.
        self._scaled = target.task == "image-to-image" and "image_size" not in target.inputs
        self._used = target.task != "text-to-image"
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Key, PreparedPicture] = OrderedDict()

    def prepare(self, setting: Setting, request: Request) -> tuple[tuple[PreparedPicture, ...], float]:
        """The request's pictures, and the seconds that this took. Raises GenerationError (stage `check`)."""
        if not self._used or not request.images:
            return (), 0.0
        begun = self._clock()
        pictures = tuple(self._prepared(setting, image) for image in request.images)
        return pictures, self._clock() - begun

    def _prepared(self, setting: Setting, image: InputImage) -> PreparedPicture:
        if self._way == "url":
            return self._by_address(setting, image)
        key = (image.sha256, *((setting.width, setting.height) if self._scaled else (0, 0)))
        with self._lock:
            picture = self._kept.get(key)
            if picture is None:
                picture = self._kept[key] = self._encoded(setting, image)
                if len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
        return picture

    def _encoded(self, setting: Setting, image: InputImage) -> PreparedPicture:
        if self._folder is None:
            raise _refused(f"the run has no folder with the input picture {image.name}")
        try:
            picture = read_input(self._folder, image)
        except GenerationError as error:
            raise GenerationError(error.message, type=error.type, stage=CHECK, remedy=error.remedy) from error
        if self._scaled:
            picture = fit_to_size(picture, setting.width, setting.height)
        content = encode_picture(picture, "png")
        name = f"{image.sha256[:16]}.png"
        if self._way == "data_uri":
            text = base64.b64encode(content).decode("ascii")
            return PreparedPicture(address=f"data:{CONTENT_TYPE};base64,{text}", content=b"", file_name=name)
        return PreparedPicture(address=PLACEHOLDER + name, content=content, file_name=name)

    def _by_address(self, setting: Setting, image: InputImage) -> PreparedPicture:
        if image.url is None:
            raise _refused(f"the input picture {image.name} has no https address")
        if self._scaled and (image.width, image.height) != (setting.width, setting.height):
            raise _refused(
                f"the picture at the address of {image.name} has {image.width}×{image.height} pixels, "
                f"the setting asks for {setting.width}×{setting.height}"
            )
        return PreparedPicture(address=image.url, content=b"", file_name=image.file_name)


def _refused(message: str) -> GenerationError:
    remedy = "Set options.input_images to `upload`; nothing was sent."
    return GenerationError(message, type="invalid_request", stage=CHECK, remedy=remedy)
