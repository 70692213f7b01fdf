"""Input pictures that are no file: a data URI in the prompt file, or an https address, fetched when that is read."""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from kreabench.backends.input_images import MAX_BYTES

DATA_URI_NAME = "data URI"
"""Stands for the whole of it in messages and reports."""

MAX_URL_CHARACTERS = 2_000
_TIMEOUT_S = 60.0
_DATA_URI = re.compile(r"data:image/(?:png|jpe?g|webp);base64,", re.IGNORECASE)

Fetch = Callable[[str], bytes]


class BadSource(ValueError):
    """Nothing was read; the message says what was found and what is accepted."""

    def __init__(self, found: str, expected: str, remedy: str = "") -> None:
        super().__init__(f"found {found}; expected {expected}")
        self.found = found
        self.expected = expected
        self.remedy = remedy


def is_data_uri(name: str) -> bool:
    """Whether a prompt file's `image` is the picture itself."""
    return name[:5].lower() == "data:"


def is_address(name: str) -> bool:
    """Whether a prompt file's `image` is an address; of which only https is accepted."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", name) is not None


def decode_data_uri(text: str) -> bytes:
    """The bytes of `data:image/…;base64,…`. Raises BadSource, without repeating the text."""
    head = _DATA_URI.match(text)
    if head is None:
        raise BadSource("another kind of data URI", "data:image/png;base64,… (or jpeg, webp)")
    if len(text) > MAX_BYTES * 4 // 3 + 100:
        raise BadSource(f"{len(text):,} characters", f"a picture of at most {MAX_BYTES:,} bytes")
    try:
        return base64.b64decode(text[head.end() :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadSource(f"no base64 ({error})", "base64 without line breaks") from error


def fetch_picture(url: str) -> bytes:
    """The picture at an https address, from its own host alone and no private one.

    Raises BadSource where the address is refused or nothing came.
    """
    import httpx

    from kreabench.backends.fal_download import Downloader, DownloadRules
    from kreabench.core.errors import GenerationError

    check_address(url)
    expected = "a picture that can be fetched"
    remedy = "Download it, and name the file instead."
    try:
        host = httpx.URL(url).raw_host.decode("ascii").lower().rstrip(".")
        rules = DownloadRules(hosts=(host,), loopback=False, max_bytes=MAX_BYTES, timeout_s=_TIMEOUT_S)
        downloader = Downloader(rules, clock=time.monotonic)
        try:
            return downloader.fetch(url)
        finally:
            downloader.close()
    except GenerationError as error:
        # Its own remedy is about the options of a service.
        raise BadSource(error.message, expected, remedy) from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
        raise BadSource(f"no answer ({type(error).__name__}: {error})", expected, remedy) from error


def check_address(url: str) -> None:
    """Raises BadSource for all but plain https, never repeating a password."""
    if len(url) > MAX_URL_CHARACTERS:
        raise BadSource(f"an address of {len(url):,} characters", f"at most {MAX_URL_CHARACTERS:,}")
    try:
        parts = urlsplit(url)
        host, has_login = parts.hostname, parts.username is not None or parts.password is not None
    except ValueError as error:
        raise BadSource(f"no address ({error})", "an https address") from error
    if parts.scheme.lower() != "https" or not host:
        raise BadSource(f"an address of {parts.scheme or 'no scheme'}", "an https address")
    if has_login:
        raise BadSource("an address with a user or password", "a public https address")
