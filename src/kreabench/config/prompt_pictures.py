"""The input pictures that a prompt file names: by a path in its folder or below, as a data URI, or by https address."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from kreabench.backends.input_images import MAX_BYTES, BadInputImage, describe_input
from kreabench.config.picture_sources import (
    DATA_URI_NAME,
    BadSource,
    Fetch,
    decode_data_uri,
    is_address,
    is_data_uri,
)
from kreabench.config.prompt_files import BadPromptFile
from kreabench.config.prompt_rows import PromptRow, short
from kreabench.core.specs import InputImage


class PictureReader:
    """Reads the pictures of a prompt file, each address once."""

    def __init__(self, path: Path, fetch: Fetch) -> None:
        self.files: dict[str, Path | bytes] = {}
        """SHA-256 → file or content, of all that was read."""
        self._path = path
        self._fetch = fetch
        self._fetched: dict[str, bytes] = {}

    def images(self, row: PromptRow) -> tuple[InputImage, ...]:
        """The pictures of one prompt, checked. Raises BadPromptFile."""
        return tuple(self._image(row.where, name) for name in row.images)

    def _image(self, where: str, name: str) -> InputImage:
        shown = DATA_URI_NAME if is_data_uri(name) else name
        where = f"{where}, image {short(shown)}"
        try:
            source = self._source(where, name)
            content = source if isinstance(source, bytes) else _content(source)
            image = describe_input(shown, content)
        except BadSource as error:
            raise BadPromptFile(where, error.found, error.expected, remedy=error.remedy) from error
        except BadInputImage as error:
            raise BadPromptFile(where, error.found, error.expected) from error
        except OSError as error:
            raise BadPromptFile(where, f"unreadable ({error.strerror})", "a readable file") from error
        self.files[image.sha256] = source
        return replace(image, url=name) if is_address(name) else image

    def _source(self, where: str, name: str) -> Path | bytes:
        if is_data_uri(name):
            return decode_data_uri(name)
        if not is_address(name):
            return _image_file(self._path, where, name)
        if name not in self._fetched:
            self._fetched[name] = self._fetch(name)
        return self._fetched[name]


def _image_file(path: Path, where: str, name: str) -> Path:
    folder = path.parent.resolve()
    try:
        file = (folder / name).resolve()
        inside, there = file.is_relative_to(folder), file.is_file()
    except (OSError, ValueError):  # ValueError: a null character in the name
        inside = there = False
    if Path(name).is_absolute() or (there and not inside):
        expected = f"a path from the folder of {path.name} to a picture in it or below"
        raise BadPromptFile(where, "a file elsewhere", expected)
    if not there or not inside:
        raise BadPromptFile(where, "no such file", f"a picture, by its path from {folder}")
    return file


def _content(file: Path) -> bytes:
    """Never more than one byte above the limit, which is then refused by its size."""
    with file.open("rb") as stream:
        return stream.read(MAX_BYTES + 1)
