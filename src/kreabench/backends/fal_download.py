"""Fetching delivered pictures from addresses that the service names: https, allowed hosts, public, bounded."""

from __future__ import annotations

import ipaddress
import socket
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import httpx

from kreabench.backends.fal_errors import Answer
from kreabench.backends.fal_failures import DOWNLOAD, FETCHED_LATER
from kreabench.core.errors import GenerationError

_MAX_REDIRECTS = 3
_REDIRECTS = {301, 302, 303, 307, 308}
_UNCOMPRESSED = {"Accept-Encoding": "identity"}
"""A small answer cannot grow, and a picture gains nothing."""
_LOOPBACK_NAMES = ("127.0.0.1", "localhost")
_CONTENT_TYPES = {"image/png", "image/jpeg", "image/webp", "application/octet-stream", "binary/octet-stream"}
"""The last two are what storage services say of files they know nothing about; the content is checked when stored."""

_REFUSED = "The picture was not fetched. If the address is right, allow its host in options.download_hosts."
_TOO_LARGE = "Raise options.max_download_bytes if such a size is right."

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""A translator stands behind it, and the IPv4 address at its end may be a private one (RFC 6052)."""

Resolve = Callable[[str], Iterable[str]]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, kw_only=True, slots=True)
class DownloadRules:
    """What may be fetched."""

    hosts: tuple[str, ...]
    """These and their subdomains."""
    loopback: bool
    """The service is emulated on this machine: its loopback addresses are allowed, no other private one."""
    max_bytes: int
    timeout_s: float
    """Of one picture, redirects included; a read that hangs may add once more as much."""
    own_origin: str | None = None
    """Scheme, host and port of the service itself where a person has named it: fetched from too, wherever it is."""


def resolve_host(host: str) -> list[str]:
    """All addresses of `host`. Raises httpx.ConnectError when there is none."""
    try:
        return [str(entry[4][0]) for entry in socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)]
    except OSError as error:
        raise httpx.ConnectError(f"{host}: {error}") from error


class PictureRefused(Exception):
    """The server that holds the picture answered with an HTTP status that is no success."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status_code)
        self.answer = answer


class Downloader:
    """Fetches pictures over the connections of `client`, for any number of threads."""

    def __init__(
        self,
        rules: DownloadRules,
        *,
        client: httpx.Client,
        clock: Callable[[], float],
        resolve: Resolve = resolve_host,
    ) -> None:
        self._rules = rules
        self._client = client
        self._clock = clock
        self._resolve = resolve
        self._resolved: set[str] = set()

    def fetch(self, address: str) -> bytes:
        """The whole file at `address`.

        Raises GenerationError (stage `download`) for what the rules refuse, PictureRefused for HTTP errors,
        httpx.HTTPError for faults of the connection, among them a file that ends before its announced length.
        """
        deadline = self._clock() + self._rules.timeout_s
        url = httpx.URL(address)
        for _ in range(_MAX_REDIRECTS + 1):
            self._check_url(url)
            with self._client.stream(
                "GET", url, headers=_UNCOMPRESSED, timeout=self._rules.timeout_s, follow_redirects=False
            ) as response:
                self._check_peer(response, url)
                if response.status_code not in _REDIRECTS:
                    return self._read(response, deadline)
                url = url.join(response.headers.get("location", ""))
        raise _error(f"more than {_MAX_REDIRECTS} redirects", type="network")

    def _check_url(self, url: httpx.URL) -> None:
        """Before anything is sent, also at each redirect."""
        if self._is_own(url):
            return
        host = url.raw_host.decode("ascii").lower().rstrip(".")
        if url.scheme != "https":
            raise _error(f"the picture's address is {url.scheme or 'no URL'}, not https", type="network")
        if not self._rules.loopback and url.port not in {None, 443}:
            raise _error(f"the picture's address has port {url.port}, not 443", type="network")
        if not self._is_allowed_name(host):
            raise _error(f"the picture's host {host[:100]!r} is not allowed", type="network")
        if host in self._resolved or _goes_through_proxy(host):
            return
        for address in self._resolve(host):
            self._check_address(address, host)
        self._resolved.add(host)

    def _is_own(self, url: httpx.URL) -> bool:
        own = self._rules.own_origin
        return own is not None and url.copy_with(raw_path=b"/", fragment=None) == httpx.URL(own)

    def _is_allowed_name(self, host: str) -> bool:
        if self._rules.loopback and host in _LOOPBACK_NAMES:
            return True
        return any(host == allowed or host.endswith(f".{allowed}") for allowed in self._rules.hosts)

    def _check_address(self, text: str, host: str) -> None:
        address = _innermost(ipaddress.ip_address(text.partition("%")[0]))
        if address.is_loopback and self._rules.loopback:
            return
        if not address.is_global or address.is_multicast:
            raise _error(f"the picture's host {host[:100]!r} is at {address}, no public address", type="network")

    def _check_peer(self, response: httpx.Response, url: httpx.URL) -> None:
        """The address that really answered: names can change their meaning between look-up and connection."""
        stream = response.extensions.get("network_stream")
        if stream is None or self._is_own(url) or _goes_through_proxy(url.host):
            return
        try:
            server = stream.get_extra_info("server_addr")
        except OSError as error:  # the connection broke behind the answer's head
            raise httpx.ReadError(str(error), request=response.request) from error
        self._check_address(str(server[0]), url.host)

    def _read(self, response: httpx.Response, deadline: float) -> bytes:
        _check_headers(response)
        limit = self._rules.max_bytes
        announced = response.headers.get("content-length", "")
        if announced.isdigit() and int(announced) > limit:
            raise _error(f"the picture has {announced} bytes, more than {limit}", type="bad_image", remedy=_TOO_LARGE)
        content = bytearray()
        for chunk in response.iter_raw():
            content += chunk
            if len(content) > limit:
                raise _error(f"the picture has more than {limit} bytes", type="bad_image", remedy=_TOO_LARGE)
            if self._clock() > deadline:
                raise _too_slow(self._rules.timeout_s)
        return bytes(content)


def _check_headers(response: httpx.Response) -> None:
    if response.status_code != 200:
        answer = Answer(
            status_code=response.status_code, headers=response.headers, body=None, text="the picture was not given"
        )
        raise PictureRefused(answer)
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in _CONTENT_TYPES:
        raise _error(f"the picture's content type is {media_type[:60]!r}", type="bad_image")
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise _error(f"the picture came with content encoding {encoding[:30]!r}, unasked", type="bad_image")


def _innermost(address: Address) -> Address:
    """The IPv4 address that an IPv6 one leads to, mapped or by way of a translator; any other as it is."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _goes_through_proxy(host: str) -> bool:
    """Whether httpx sends requests to `host` to a proxy, which then looks the name up itself."""
    proxies = urllib.request.getproxies()
    return ("https" in proxies or "all" in proxies) and not urllib.request.proxy_bypass(host)


def _too_slow(timeout_s: float) -> GenerationError:
    return GenerationError(
        f"the picture was not there after {timeout_s:g} s",
        type="timeout",
        stage=DOWNLOAD,
        transient=True,
        fetch_again=True,
        remedy=f"{FETCHED_LATER} Raise options.request_timeout_s if the connection is slow.",
    )


def _error(message: str, *, type: str, remedy: str = _REFUSED) -> GenerationError:
    return GenerationError(message, type=type, stage=DOWNLOAD, remedy=remedy)
