"""Weights at an address: https alone, whole or not at all, and only with the content that was promised.

Where no SHA-256 is configured, that of the first download is kept beside the file, and other content is refused later.
"""

from __future__ import annotations

import errno
import hashlib
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from kreabench.metrics.needs import Located, Say
from kreabench.metrics.weight_errors import FetchRefused, WeightsDamaged, WeightsMissing
from kreabench.metrics.weight_hashes import file_sha256, weights_folder, write_atomically
from kreabench.metrics.weight_sources import UrlWeights

if TYPE_CHECKING:
    import httpx

MAX_BYTES = 20_000_000_000
"""No weights of a metric here have more than some 4 GB."""
TIMEOUT_S = 60.0
"""Of each step: connecting, or the next piece of the file."""

_MAX_REDIRECTS = 5
_REDIRECTS = {301, 302, 303, 307, 308}
_SAID_EVERY_S = 5.0
_CHUNK_BYTES = 2**20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_BY_HAND = "Or fetch the file where the network is and name its path instead"


def file_of(source: UrlWeights, environ: Mapping[str, str]) -> Path:
    """Where the file lies, or would."""
    folder = hashlib.sha256(source.address.encode()).hexdigest()[:16]
    return weights_folder(environ) / folder / source.file_name


def locate(source: UrlWeights, environ: Mapping[str, str]) -> Located:
    """What was fetched before, hashed. Raises WeightsMissing, OSError; sends nothing."""
    path = file_of(source, environ)
    if not path.is_file():
        raise WeightsMissing(f"{source}, not in {path.parent}")
    digest = file_sha256(path, environ)
    expected = source.sha256 or _first_sha256(path)
    if expected is not None and digest != expected:
        raise WeightsDamaged(f"{path} with SHA-256 {digest} instead of {expected}")
    return Located(path=path, sha256=digest)


def _kept(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _first_sha256(path: Path) -> str | None:
    """The SHA-256 of the first download. Raises WeightsDamaged, OSError."""
    kept = _kept(path)
    if not kept.is_file():
        return None
    digest = kept.read_text(encoding="ascii", errors="replace").strip()
    if not _SHA256.fullmatch(digest):
        raise WeightsDamaged(f"a damaged {kept}")
    return digest


def fetch(source: UrlWeights, environ: Mapping[str, str], say: Say, *, max_bytes: int = MAX_BYTES) -> None:
    """Into the cache folder, under its name only once its content is right. Raises FetchRefused."""
    import httpx
    import pooch

    path = file_of(source, environ)
    download = _Download(source=source, say=say, max_bytes=max_bytes)
    try:
        first = None if source.sha256 else _first_sha256(path)
        expected = source.sha256 or first
        path.parent.mkdir(parents=True, exist_ok=True)
        pooch.get_logger().setLevel("WARNING")
        pooch.retrieve(
            url=source.address,
            known_hash=f"sha256:{expected}" if expected else None,
            fname=path.name,
            path=path.parent,
            downloader=download,
        )
        if download.sha256:  # else another process has just fetched it
            write_atomically(_kept(path), f"{download.sha256}\n")
    except WeightsDamaged as error:
        raise FetchRefused(str(error), "Delete that file to trust what the address gives now") from error
    except ValueError as error:
        if not download.sha256:  # nothing came that could be compared
            raise FetchRefused(f"{source.address}, which leads to no address", _BY_HAND) from error
        found = f"{source.address} with SHA-256 {download.sha256} instead of {expected}"
        raise FetchRefused(found, _mismatch_remedy(path, trusted=first is not None)) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        found = f"{source.address}: {type(error).__name__} {' '.join(str(error).split())[:200]}".strip()
        raise FetchRefused(found, f"Check the network and proxy, then try again. {_BY_HAND}") from error
    except OSError as error:
        raise FetchRefused(f"{path.parent}: {error.strerror or error}", _disk_remedy(error)) from error


def _mismatch_remedy(path: Path, *, trusted: bool) -> str:
    if trusted:
        return f"The address gave other content before. Where the new one is right, delete {_kept(path)}"
    return "The download was deleted. Find out which is right: the address or the hash"


def _disk_remedy(error: OSError) -> str:
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return "Free space, or point KREABENCH_CACHE at another disk"
    return "Make the folder writable, or point KREABENCH_CACHE at another"


@dataclass(kw_only=True)
class _Download:
    """What pooch calls to write an address' content into a temporary file."""

    source: UrlWeights
    say: Say
    max_bytes: int
    sha256: str = field(default="", init=False)
    """Of what was written."""

    def __call__(self, url: str, output_file: str, pooch: Any, check_only: bool = False) -> None:
        import httpx

        with httpx.Client(timeout=TIMEOUT_S, follow_redirects=False) as client:
            address = url
            for _ in range(_MAX_REDIRECTS + 1):
                if not address.startswith("https://"):
                    raise FetchRefused(
                        f"{url}, which leads to {address.partition('?')[0][:200]}",
                        "Only https is followed. " + _BY_HAND,
                    )
                with client.stream("GET", address, headers={"Accept-Encoding": "identity"}) as response:
                    if response.status_code not in _REDIRECTS:
                        self._write(response, Path(output_file))
                        return
                    address = urljoin(address, response.headers.get("location", ""))
        raise FetchRefused(f"{url}, which leads on more than {_MAX_REDIRECTS} times", _BY_HAND)

    def _write(self, response: httpx.Response, path: Path) -> None:
        total = self._announced(response, path)
        digest, written, said = hashlib.sha256(), 0, time.monotonic()
        with path.open("wb") as file:
            for chunk in response.iter_bytes(_CHUNK_BYTES):
                written += len(chunk)
                if written > self.max_bytes:
                    raise self._too_large(f"more than {self.max_bytes:,}")
                file.write(chunk)
                digest.update(chunk)
                if time.monotonic() - said >= _SAID_EVERY_S:
                    said = time.monotonic()
                    of = f" of {total / 1e6:.0f}" if total else ""
                    self.say(f"{self.source.file_name}: {written / 1e6:.0f}{of} MB")
        self.sha256 = digest.hexdigest()

    def _announced(self, response: httpx.Response, path: Path) -> int | None:
        """The length in bytes, where it is told. Raises FetchRefused for what need not be read."""
        status = response.status_code
        if status in {401, 403}:
            raise FetchRefused(
                f"{self.source.address}, refused with HTTP {status}", f"It may ask for a login. {_BY_HAND}"
            )
        if status in {404, 410}:
            raise FetchRefused(f"{self.source.address}, not there (HTTP {status})", "Correct the address")
        if status != 200:
            raise FetchRefused(f"{self.source.address}, answered with HTTP {status}", f"Try again later. {_BY_HAND}")
        encoding = response.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise FetchRefused(f"{self.source.address}, sent as {encoding[:30]!r} unasked", _BY_HAND)
        length = response.headers.get("content-length", "")
        if not length.isdigit():
            return None
        if int(length) > self.max_bytes:
            raise self._too_large(f"{int(length):,}")
        free = shutil.disk_usage(path.parent).free
        if int(length) > free:
            raise FetchRefused(
                f"{self.source.address} with {int(length):,} bytes, and {free:,} free in {path.parent}",
                "Free space, or point KREABENCH_CACHE at another disk",
            )
        return int(length)

    def _too_large(self, size: str) -> FetchRefused:
        return FetchRefused(
            f"{self.source.address} with {size} bytes",
            f"No weights of more than {self.max_bytes:,} are fetched. {_BY_HAND}",
        )
