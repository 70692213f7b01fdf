"""Where a run lies on shared storage: `s3://BUCKET/PATH`, `gs://BUCKET/PATH` or `file:///FOLDER`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from kreabench.core.errors import ConfigError, Problem
from kreabench.core.ids import slug, stable_hash

_ALIASES = {"gcs": "gs", "s3a": "s3"}
SCHEMES = ("s3", "gs", "file", "memory")
"""`memory` lasts as long as the process: for programs that try things out."""

EXPECTED = "a URL such as s3://BUCKET/runs/demo, gs://BUCKET/runs/demo or file:///mnt/share/runs/demo"
_URL = re.compile(r"(?s)([A-Za-z][A-Za-z0-9+.-]*)://(.*)")
_SELECTION = re.compile(r"reference|[a-z_]+=.*", re.S)


@dataclass(frozen=True, kw_only=True, slots=True)
class Location:
    """A folder on a store."""

    scheme: str
    """One of SCHEMES."""
    path: str
    """Of `file` an absolute folder; else bucket and key, without slashes at the ends."""

    @property
    def bucket(self) -> str:
        """Empty for `file`."""
        return "" if self.scheme == "file" else self.path.partition("/")[0]

    @property
    def name(self) -> str:
        """A folder's name for a copy of the run, made of the last part of the URL."""
        return slug(PurePosixPath(self.path).name)

    @property
    def id(self) -> str:
        """Tells this URL from all others, in a folder's name."""
        return stable_hash([self.scheme, self.path])

    def __str__(self) -> str:
        return f"{self.scheme}://{self.path}"


def is_url(text: str) -> bool:
    """Whether `text` is meant as a URL: no path of a run begins so."""
    return _URL.match(text) is not None


def split_selection(text: str) -> tuple[str, str]:
    """`URL:SELECTION` → the URL and the selection, which is empty where there is none."""
    scheme, _, rest = text.partition("://")
    path, colon, selection = rest.rpartition(":")
    if colon and _SELECTION.fullmatch(selection):
        return f"{scheme}://{path}", selection
    return text, ""


def parse_url(text: str) -> Location:
    """Raises ConfigError for anything else, and where a secret stands in it, which is not repeated."""
    match = _URL.fullmatch(text)
    if match is None:
        raise _problem(repr(text), EXPECTED, "A folder of this machine is named by file:// and its absolute path.")
    scheme = _ALIASES.get(match[1].lower(), match[1].lower())
    rest = match[2]
    bucket = rest.partition("/")[0]
    # A key may hold slashes, so what it is part of does not end at the first one.
    if "@" in bucket or (scheme != "file" and ("@" in rest or ":" in bucket or "?" in rest or "#" in rest)):
        expected = "a URL without user name, key, password or signature"
        found = f"one of @, :, ? and # where a {scheme}:// URL has a bucket and a path"
        raise _problem(found, expected, "Keys are taken from the environment.")
    if scheme not in SCHEMES:
        raise _problem(repr(f"{scheme}://…"), EXPECTED)
    if scheme == "file":
        return _folder(rest, text)
    parts = rest.rstrip("/").split("/")
    if len(parts) < 2 or not _are_plain(parts):
        raise _problem(repr(text), EXPECTED, "It names a bucket and a path in it; no part is empty, . or ..")
    return Location(scheme=scheme, path="/".join(parts))


def _folder(rest: str, text: str) -> Location:
    rest = rest.removeprefix("localhost")
    parts = rest.strip("/").split("/")
    if not rest.startswith("/") or not _are_plain(parts):
        raise _problem(repr(text), "file:// and an absolute path, such as file:///mnt/share/runs/demo")
    return Location(scheme="file", path="/" + "/".join(parts))


def _are_plain(parts: list[str]) -> bool:
    return all(
        part not in ("", ".", "..") and "::" not in part and part.isprintable() and not set(part) & set("?#*\\")
        for part in parts
    )


def _problem(found: str, expected: str, remedy: str = "") -> ConfigError:
    return ConfigError([Problem(key="URL", found=found, expected=expected, remedy=remedy)])
