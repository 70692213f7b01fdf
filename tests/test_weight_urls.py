"""Weights at an address: https alone, whole or not at all, and only with the content that was promised."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from kreabench.metrics import weight_urls
from kreabench.metrics.weight_errors import FetchRefused
from kreabench.metrics.weight_sources import (
    UrlWeights,
    parse_source,
)
from tests.hf_support import Reply, Seen, Server, certificate
from tests.weights_support import CONTENT, DIGEST, SHA256, fetched, need, refusal


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("KREABENCH_CACHE", str(tmp_path / "cache"))
    for name in ("HF_HUB_OFFLINE", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    service = Server(lambda seen: Reply(body=CONTENT), tls=certificate(tmp_path, monkeypatch))
    yield service
    service.stop()


def answering(server: Server, replies: Mapping[str, Reply]) -> None:
    def answer(seen: Seen) -> Reply:
        return replies[seen.path]

    server.answer = answer


def cached(server: Server) -> list[str]:
    """Names of what lies in the cache."""
    return sorted(file.name for file in Path(os.environ["KREABENCH_CACHE"]).rglob("*") if file.is_file())


def test_a_pinned_address_is_fetched_once_and_found_without_network(server: Server) -> None:
    source = f"{server.url}/a%2Bb.pt#sha256={SHA256}"
    assert "doctor --fetch metrics" in refusal(lambda: need(source).locate(os.environ))
    assert server.seen == []

    said = fetched(source)
    fetched(source)
    located = need(source).locate(os.environ)

    assert (located.path.name, located.path.read_bytes(), located.sha256) == ("a+b.pt", CONTENT, SHA256)
    assert len(server.seen) == 1
    assert not any("not pinned" in line for line in said)


def test_other_content_than_promised_is_not_kept(server: Server) -> None:
    text = refusal(lambda: fetched(f"{server.url}/x.pt#sha256={DIGEST}"))

    assert f"SHA-256 {SHA256} instead of {DIGEST}" in text
    assert cached(server) == []


def test_the_first_content_is_trusted_and_other_content_refused_later(server: Server) -> None:
    source = f"{server.url}/x.pt"
    said = fetched(source)
    assert f"not pinned; to pin what is here now: {source}#sha256={SHA256}" in said[-1]
    path = need(source).locate(os.environ).path
    path.unlink()
    answering(server, {"/x.pt": Reply(body=b"other")})

    text = refusal(lambda: fetched(source))
    assert f"instead of {SHA256}" in text
    assert "delete" in text
    assert cached(server) == ["x.pt.sha256"]

    path.with_name("x.pt.sha256").unlink()
    fetched(source)
    assert need(source).locate(os.environ).path.read_bytes() == b"other"


def test_a_file_that_changed_in_the_cache_is_fetched_again(server: Server) -> None:
    source = f"{server.url}/x.pt"
    fetched(source)
    need(source).locate(os.environ).path.write_bytes(b"changed")
    assert f"instead of {SHA256}" in refusal(lambda: need(source).locate(os.environ))

    fetched(source)

    assert need(source).locate(os.environ).sha256 == SHA256


def test_redirects_are_followed_to_https_alone(server: Server) -> None:
    plain = server.url.replace("https:", "http:")
    answering(
        server,
        {
            "/x.pt": Reply(status=302, headers={"location": "/moved?signature=secret"}),
            "/moved?signature=secret": Reply(body=CONTENT),
            "/down.pt": Reply(status=302, headers={"location": f"{plain}/moved?signature=secret"}),
            "/round.pt": Reply(status=302, headers={"location": "/round.pt"}),
            "/wrong.pt": Reply(status=302, headers={"location": "https://[/x.pt"}),
        },
    )

    fetched(f"{server.url}/x.pt")
    assert need(f"{server.url}/x.pt").locate(os.environ).sha256 == SHA256
    text = refusal(lambda: fetched(f"{server.url}/down.pt"))
    assert "Only https" in text
    assert "secret" not in text
    assert "leads to no address" in refusal(lambda: fetched(f"{server.url}/wrong.pt"))
    assert "more than 5 times" in refusal(lambda: fetched(f"{server.url}/round.pt"))


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(status=404), "not there (HTTP 404)"),
        (Reply(status=403), "login"),
        (Reply(status=500), "Try again later"),
        (Reply(body=CONTENT, fault="truncate"), "RemoteProtocolError"),
        (Reply(fault="reset"), "Check the network"),
        (Reply(body=CONTENT, headers={"content-encoding": "gzip"}), "unasked"),
    ],
)
def test_a_download_that_fails_leaves_nothing(server: Server, reply: Reply, words: str) -> None:
    server.answer = lambda seen: reply

    assert words in refusal(lambda: fetched(f"{server.url}/x.pt"))
    assert cached(server) == []


@pytest.mark.parametrize("told", [True, False])
def test_a_file_larger_than_weights_are_is_not_fetched(
    server: Server, monkeypatch: pytest.MonkeyPatch, told: bool
) -> None:
    source = parse_source(f"{server.url}/x.pt")
    assert isinstance(source, UrlWeights)
    if not told:
        monkeypatch.setattr(weight_urls._Download, "_announced", lambda self, response, path: None)

    with pytest.raises(FetchRefused, match="bytes") as caught:
        weight_urls.fetch(source, os.environ, print, max_bytes=len(CONTENT) - 1)

    assert "path instead" in caught.value.remedy
    assert cached(server) == []


def test_a_full_disk_is_said_before_anything_is_written(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10))

    text = refusal(lambda: fetched(f"{server.url}/x.pt"))

    assert "7,000 bytes, and 10 free" in text
    assert "KREABENCH_CACHE" in text


def test_a_cache_folder_that_cannot_be_made_is_said(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a file").write_bytes(b"")
    monkeypatch.setenv("KREABENCH_CACHE", str(tmp_path / "a file"))

    assert "KREABENCH_CACHE" in refusal(lambda: fetched(f"{server.url}/x.pt"))


def test_a_server_without_a_known_certificate_is_not_trusted(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")

    assert "ConnectError" in refusal(lambda: fetched(f"{server.url}/x.pt"))
