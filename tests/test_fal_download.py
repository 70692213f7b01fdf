"""Pictures are fetched only from where they should come from, and only so much, for so long."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from kreabench.backends.fal_download import Downloader, DownloadRules, PictureRefused
from kreabench.core.errors import GenerationError
from tests.fal_support import PUBLIC_ADDRESS

PNG = {"content-type": "image/png"}
URL = "https://v3.fal.media/files/0.png"

Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def _rules(**changes: Any) -> DownloadRules:
    values: dict[str, Any] = {"hosts": ("fal.media",), "loopback": False, "max_bytes": 1000, "timeout_s": 5.0}
    return DownloadRules(**(values | changes))


class _Ticking:
    def __init__(self, step: float = 0.0) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def _response(content: bytes = b"picture", status_code: int = 200, **headers: str) -> httpx.Response:
    named = PNG | {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status_code, headers=named, stream=httpx.ByteStream(content))


def _downloader(
    handler: Handler,
    *,
    addresses: Mapping[str, list[str]] | None = None,
    clock: Callable[[], float] | None = None,
    **rules: Any,
) -> tuple[Downloader, list[str]]:
    asked: list[str] = []

    def record(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return handler(request)

    downloader = Downloader(
        _rules(**rules),
        client=httpx.Client(transport=httpx.MockTransport(record)),
        clock=clock or _Ticking(),
        resolve=lambda host: (addresses or {}).get(host, [PUBLIC_ADDRESS]),
    )
    return downloader, asked


def _refused(downloader: Downloader, url: str, words: str) -> GenerationError:
    with pytest.raises(GenerationError) as raised:
        downloader.fetch(url)
    assert words in raised.value.message
    assert raised.value.stage == "download"
    assert raised.value.transient is raised.value.fetch_again
    assert raised.value.remedy
    return raised.value


@pytest.mark.parametrize(
    "url", [URL, "https://fal.media/x.png", "https://FAL.media:443/x.png", "https://a.b.fal.media./x"]
)
def test_allowed_hosts_and_their_subdomains_are_fetched(url: str) -> None:
    downloader, asked = _downloader(lambda _: _response(b"picture"))
    assert downloader.fetch(url) == b"picture"
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://v3.fal.media/0.png", "http, not https"),
        ("ftp://v3.fal.media/0.png", "ftp, not https"),
        ("file:///etc/passwd", "file, not https"),
        ("data:image/png;base64,AAAA", "data, not https"),
        ("/files/0.png", "no URL, not https"),
        ("https://evil.example/0.png", "'evil.example' is not allowed"),
        ("https://fal.media.evil.example/0.png", "is not allowed"),
        ("https://notfal.media/0.png", "is not allowed"),
        ("https://fal.media@evil.example/0.png", "'evil.example' is not allowed"),
        ("https://fal.media%2f@evil.example/0.png", "is not allowed"),
        ("https://127.0.0.1/0.png", "is not allowed"),
        ("https://[::1]/0.png", "is not allowed"),
        ("https://2130706433/0.png", "is not allowed"),
        ("https://v3.fal.media:8443/0.png", "port 8443"),
    ],
)
def test_other_addresses_are_refused_before_anything_is_sent(url: str, words: str) -> None:
    downloader, asked = _downloader(lambda _: _response())
    _refused(downloader, url, words)
    assert asked == []


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "::ffff:169.254.169.254",
        "64:ff9b::10.0.0.1",
        "2002:7f00:1::",
    ],
)
def test_a_name_that_leads_inside_is_refused(address: str) -> None:
    downloader, asked = _downloader(lambda _: _response(), addresses={"v3.fal.media": [PUBLIC_ADDRESS, address]})
    _refused(downloader, URL, "no public address")
    assert asked == []


def test_a_private_address_on_the_allow_list_is_still_refused() -> None:
    downloader, asked = _downloader(
        lambda _: _response(), hosts=("169.254.169.254",), addresses={"169.254.169.254": ["169.254.169.254"]}
    )
    _refused(downloader, "https://169.254.169.254/latest", "no public address")
    assert asked == []


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("http://v3.fal.media/1.png", "http, not https"),
        ("https://evil.example/1.png", "is not allowed"),
        ("https://inside.fal.media/1.png", "no public address"),
        ("https://127.0.0.1/1.png", "is not allowed"),
    ],
)
def test_every_redirect_is_checked(location: str, words: str) -> None:
    downloader, asked = _downloader(
        lambda _: _response(status_code=302, location=location), addresses={"inside.fal.media": ["10.1.2.3"]}
    )
    _refused(downloader, URL, words)
    assert asked == [URL]


def test_allowed_redirects_are_followed_but_not_for_ever() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/once":
            return _response(status_code=307, location="https://cdn.fal.media/there.png")
        if request.url.path == "/there.png":
            return _response(b"there")
        return _response(status_code=302, location="/again")

    downloader, asked = _downloader(handler)
    assert downloader.fetch("https://v3.fal.media/once") == b"there"
    asked.clear()
    _refused(downloader, URL, "more than 3 redirects")
    assert len(asked) == 4


def test_an_announced_length_beyond_the_limit_is_refused_unread() -> None:
    class Unread(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            raise AssertionError("the body was read")

    downloader, _ = _downloader(
        lambda _: httpx.Response(200, headers=PNG | {"content-length": "1001"}, stream=Unread())
    )
    error = _refused(downloader, URL, "1001 bytes, more than 1000")
    assert error.type == "bad_image"


def test_more_bytes_than_the_limit_are_refused_without_an_announcement() -> None:
    downloader, _ = _downloader(lambda _: _response(b"x" * 1001))
    assert _refused(downloader, URL, "more than 1000 bytes").type == "bad_image"
    downloader, _ = _downloader(lambda _: _response(b"x" * 1000))
    assert len(downloader.fetch(URL)) == 1000


def test_a_trickle_ends_at_the_time_limit() -> None:
    class Trickle(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield b"x"

    downloader, _ = _downloader(lambda _: httpx.Response(200, headers=PNG, stream=Trickle()), clock=_Ticking(step=0.5))
    assert _refused(downloader, URL, "not there after 5 s").type == "timeout"


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (_response(content_type="text/html"), "content type is 'text/html'"),
        (_response(content_type="image/svg+xml"), "image/svg+xml"),
        (_response(content_encoding="gzip"), "content encoding 'gzip'"),
    ],
)
def test_what_is_no_picture_is_refused(response: httpx.Response, words: str) -> None:
    downloader, _ = _downloader(lambda _: response)
    _refused(downloader, URL, words)


@pytest.mark.parametrize("code", [204, 304, 403, 404, 410, 429, 500, 503])
def test_an_answer_that_is_no_picture_is_told_with_its_status(code: int) -> None:
    downloader, _ = _downloader(lambda _: _response(status_code=code))
    with pytest.raises(PictureRefused) as raised:
        downloader.fetch(URL)
    assert raised.value.answer.status_code == code


def test_names_are_looked_up_once_and_only_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[str] = []

    def resolve(host: str) -> list[str]:
        looked_up.append(host)
        return [PUBLIC_ADDRESS]

    client = httpx.Client(transport=httpx.MockTransport(lambda _: _response()))
    for _ in range(2):
        downloader = Downloader(_rules(), client=client, clock=_Ticking(), resolve=resolve)
        downloader.fetch(URL)
        downloader.fetch(URL)
        monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    assert looked_up == ["v3.fal.media"]


# over real connections


@contextmanager
def _server(folder: Path, monkeypatch: pytest.MonkeyPatch, reply: bytes) -> Iterator[int]:
    """Answers every https connection on the loopback with `reply`, then hangs up."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            # Clients that refuse what they see hang up; that is their right.
            with plain, suppress(OSError), context.wrap_socket(plain, server_side=True) as secure:
                secure.recv(65_536)
                secure.sendall(reply)
                secure.unwrap()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_a_loopback_service_is_reached_when_the_target_is_emulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 7\r\n\r\npicture"
    with _server(tmp_path, monkeypatch, reply) as port, httpx.Client() as client:
        downloader = Downloader(_rules(loopback=True), client=client, clock=_Ticking())
        assert downloader.fetch(f"https://127.0.0.1:{port}/0.png") == b"picture"


def test_a_name_that_changes_its_meaning_after_the_look_up_is_noticed() -> None:
    class Stream:
        def get_extra_info(self, name: str) -> Any:
            return {"server_addr": ("10.1.2.3", 443)}[name]

    def handler(_: httpx.Request) -> httpx.Response:
        response = _response()
        response.extensions["network_stream"] = Stream()
        return response

    downloader, _ = _downloader(handler)
    _refused(downloader, URL, "10.1.2.3, no public address")


def test_a_connection_that_broke_before_anybody_could_see_where_it_led() -> None:
    class Stream:
        def get_extra_info(self, name: str) -> Any:
            raise OSError(107, "Transport endpoint is not connected")

    def handler(_: httpx.Request) -> httpx.Response:
        response = _response()
        response.extensions["network_stream"] = Stream()
        return response

    downloader, _ = _downloader(handler)
    with pytest.raises(httpx.ReadError, match="not connected"):
        downloader.fetch(URL)


def test_a_file_that_ends_before_its_announced_length_is_a_fault_of_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 100\r\n\r\npicture"
    with _server(tmp_path, monkeypatch, reply) as port, httpx.Client() as client:
        downloader = Downloader(_rules(loopback=True), client=client, clock=_Ticking())
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
            downloader.fetch(f"https://127.0.0.1:{port}/0.png")


def test_a_name_without_an_address_is_a_fault_of_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_name(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_name)
    client = httpx.Client(transport=httpx.MockTransport(lambda _: _response()))
    downloader = Downloader(_rules(), client=client, clock=_Ticking())
    with pytest.raises(httpx.ConnectError, match="Name or service not known"):
        downloader.fetch(URL)
