"""Files that the emulated service holds: uploads here, and the addresses under which it serves anything."""

from __future__ import annotations

import base64
import binascii
import io
import secrets
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes, urlsplit

from kreabench.emulator.validation import Invalid, Wanted, finding

MAX_UPLOAD_BYTES = 64 * 2**20
KEPT_UPLOAD_BYTES = 256 * 2**20
MAX_PICTURE_PIXELS = 50_000_000

_DOWNLOAD_FAILED = "Failed to download the file. Please check if the URL is accessible and try again."
_LOAD_FAILED = "Failed to load the image. Please ensure the image file is not corrupted and is in a supported format."


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredFile:
    """Some bytes and what they are said to be."""

    content: bytes
    content_type: str


@dataclass(frozen=True, kw_only=True, slots=True)
class InputPicture:
    """A picture of the request, decoded once to see that it is one."""

    content: bytes
    width: int
    height: int


class Uploads:
    """What clients uploaded, oldest first out; bounded in memory."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.token = secrets.token_urlsafe(24)
        """What the token route gives out and the upload routes accept."""
        self._files: OrderedDict[tuple[str, str], StoredFile] = OrderedDict()

    def reserve(self, name: str | None) -> tuple[str, str]:
        """A place for a file to come: its folder and its name."""
        plain = (name or "upload.bin").replace("\\", "/").rsplit("/", 1)[-1]
        clean = "".join(char if char.isascii() and (char.isalnum() or char in "._-") else "_" for char in plain)
        return f"upload-{uuid.uuid4().hex}", clean.strip(".") or "upload.bin"

    def url(self, place: tuple[str, str]) -> str:
        """The public address of a place."""
        return f"{self.base_url}/files/{place[0]}/{place[1]}"

    def put(self, place: tuple[str, str], file: StoredFile) -> None:
        """Keep `file`; the oldest ones make room for it."""
        self._files[place] = file
        while len(self._files) > 1 and sum(len(kept.content) for kept in self._files.values()) > KEPT_UPLOAD_BYTES:
            self._files.popitem(last=False)

    def get(self, folder: str, name: str) -> StoredFile | None:
        """The file at that place, if it is still kept."""
        return self._files.get((folder, name))


class PictureReader:
    """Reads the input pictures of a request: data URIs and own addresses. Never opens a connection."""

    def __init__(self, base_url: str) -> None:
        self._origin = _origin(base_url)
        self.lookup: Callable[[str, str], StoredFile | None] = lambda _folder, _name: None
        """Finds own files by folder and name; set by the service once it is whole."""

    def read(self, wanted: Wanted) -> tuple[InputPicture, ...]:
        """Every input picture, decoded. Raises Invalid with fal's own kinds of findings."""
        found, findings = [], []
        for loc, url in wanted.picture_urls:
            shown = url if len(url) <= 200 else f"{url[:200]}..."
            content = self._content(url)
            picture = None if content is None else _decode(content)
            if content is None:
                findings.append(finding(loc, "file_download_error", _DOWNLOAD_FAILED, shown))
            elif picture is None:
                findings.append(finding(loc, "image_load_error", _LOAD_FAILED, shown))
            else:
                found.append(picture)
        if findings:
            raise Invalid(findings)
        return tuple(found)

    def _content(self, url: str) -> bytes | None:
        if url.startswith("data:"):
            return _data_uri(url)
        try:
            parts = urlsplit(url).path.split("/")
            own = _origin(url) == self._origin
        except ValueError:
            return None
        if not own or len(parts) != 4 or parts[1] != "files":
            return None
        file = self.lookup(parts[2], parts[3])
        return None if file is None else file.content


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme.lower(), parts.netloc.lower()


def _data_uri(url: str) -> bytes | None:
    head, comma, data = url.removeprefix("data:").partition(",")
    if not comma:
        return None
    try:
        if head.endswith(";base64"):
            return base64.b64decode(unquote_to_bytes(data), validate=True)
        return unquote_to_bytes(data)
    except (binascii.Error, ValueError):
        return None


def _decode(content: bytes) -> InputPicture | None:
    """None for what is no whole picture, or one too large to be decoded."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as picture:
            width, height = picture.size
            if width * height > MAX_PICTURE_PIXELS:
                return None
            picture.load()
    except Exception:  # Pillow raises many kinds on damaged files; each of them means the same here
        return None
    return InputPicture(content=content, width=width, height=height)
