"""Delivered pictures: checked, named and stored, before their line is written to the journal."""

from __future__ import annotations

import hashlib
import io
import threading
import warnings
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from kreabench.backends.base import GeneratedImage
from kreabench.core.errors import GenerationError
from kreabench.core.ids import slug
from kreabench.core.picture_files import is_whole
from kreabench.core.planned import Request, Setting
from kreabench.core.records import ImageRecord
from kreabench.rundir.degenerate import degenerate_kind
from kreabench.rundir.files import make_folders, storage_remedy, write_file

if TYPE_CHECKING:
    from PIL.Image import Image

STAGE = "store"
_ONE_AT_A_TIME = threading.Lock()
"""Decoding disturbs the clocks of requests under way, and filters of warnings are the whole process's."""
_ACCEPTED = ("PNG", "JPEG", "WEBP")
_FORMATS = {"PNG": "png", "JPEG": "jpeg", "MPO": "jpeg", "WEBP": "webp"}
"""Pillow's name → ours. MPO is a JPEG with further pictures behind it (a gain map, say)."""
_SUFFIXES = {"png": "png", "jpeg": "jpg", "webp": "webp"}


def store_image(run_path: Path, setting: Setting, request: Request, index: int, image: GeneratedImage) -> ImageRecord:
    """Check picture `index` of `request` and write it, durably, into the run directory at `run_path`.

    The bytes are kept as they came. A file left behind by a crash under the same name is replaced.

    Raises GenerationError, stage `store`: `bad_image` for anything but one whole PNG, JPEG or WebP, `wrong_size`
    for a picture of another size than the setting's, `storage` when the disk refuses it.
    """
    with _ONE_AT_A_TIME:
        format_, degenerate = _inspect(image.content, setting)
    relative = _relative_path(setting, request, index, format_)
    path = run_path / relative
    try:
        try:
            write_file(path, image.content)
        except FileNotFoundError:  # the first picture of a setting
            make_folders(path.parent)
            write_file(path, image.content)
    except OSError as error:
        raise GenerationError(
            f"cannot write {path}: {error.strerror or error}",
            type="storage",
            stage=STAGE,
            remedy=storage_remedy(error),
            transient=True,
        ) from error
    return ImageRecord(
        index=index,
        path=str(relative),
        sha256=hashlib.sha256(image.content).hexdigest(),
        size_bytes=len(image.content),
        width=setting.width,
        height=setting.height,
        format=format_,
        seed=image.seed,
        nsfw=image.nsfw,
        degenerate="nan" if image.nan else degenerate,  # a number that is none is drawn as black
    )


def _relative_path(setting: Setting, request: Request, index: int, format_: str) -> PurePosixPath:
    """Where the picture lives. Names from outside pass through `slug`; the hashes keep the path unique."""
    steps = "" if setting.steps is None else f"-{setting.steps}steps"
    folder = (
        f"{slug(setting.target)}-{slug(setting.acceleration)}{steps}"
        f"-{setting.width}x{setting.height}-{slug(setting.id, length=8)}"
    )
    name = (
        f"{slug(request.prompt_id)}-s{request.seed}-r{request.repeat}"
        f"-{slug(request.id, length=8)}-{index}.{_SUFFIXES[format_]}"
    )
    return PurePosixPath("images", folder, name)


def _inspect(content: bytes, setting: Setting) -> tuple[str, str | None]:
    """The format of `content` and its degenerate flag. Raises GenerationError."""
    import PIL.Image

    try:
        with warnings.catch_warnings():
            # The header alone is read here; Pillow only warns about a moderate decompression bomb.
            warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
            picture = PIL.Image.open(io.BytesIO(content), formats=_ACCEPTED)
        with picture:
            _check_size(picture, setting)  # before any pixel is decoded
            picture.load()
            format_ = _FORMATS[picture.format or ""]
            _check_end(content, format_)
            return format_, degenerate_kind(picture)
    except GenerationError:
        raise
    except PIL.UnidentifiedImageError as error:  # its text names an address in memory
        raise _bad_image("no known picture format", content) from error
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise _bad_image(f"{type(error).__name__}: {error}", content) from error


def _check_size(picture: Image, setting: Setting) -> None:
    if picture.size != (setting.width, setting.height):
        found = f"{picture.width}×{picture.height}"
        raise GenerationError(
            f"expected a picture of {setting.width}×{setting.height} pixels, found {found}",
            type="wrong_size",
            stage=STAGE,
            remedy="Leave this size out of axes.size, or correct the target's limits: it does not draw this size.",
        )


def _check_end(content: bytes, format_: str) -> None:
    """Decoders forgive a missing end of the file; a cut download must not pass for the picture that was made."""
    if not is_whole(content, format_):
        raise _bad_image("the end of the file is missing", content)


def _bad_image(reason: str, content: bytes) -> GenerationError:
    return GenerationError(
        f"expected one whole PNG, JPEG or WebP picture, found {len(content)} bytes that are none: {reason}",
        type="bad_image",
        stage=STAGE,
        remedy="Run the request again; if it stays so, the target does not deliver pictures that can be measured.",
    )
