"""Pictures in prompt files that are no files: data URIs and https addresses."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from kreabench.backends import fal_download
from kreabench.config.model import PromptsConfig
from kreabench.config.picture_sources import BadSource, check_address, decode_data_uri, fetch_picture
from kreabench.config.prompts import PromptSet, load_prompt_set
from kreabench.core.errors import ConfigError
from kreabench.rundir.inputs import store_inputs
from tests.support import encode_image, make_experiment, picture

PNG = encode_image(picture())
URL = "https://pictures.example.com/a.png?size=large"


def data_uri(content: bytes = PNG, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def read(folder: Path, *images: Any, fetch: Any = None) -> PromptSet:
    lines = (json.dumps({"id": f"p{n}", "prompt": "x", "image": image}) for n, image in enumerate(images))
    (folder / "set.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return load_prompt_set(PromptsConfig(file="set.jsonl"), [folder], fetch or refuse)


def refuse(url: str) -> bytes:
    raise AssertionError("nothing is to be fetched")


def problem(folder: Path, image: Any, fetch: Any = None) -> str:
    with pytest.raises(ConfigError) as caught:
        read(folder, image, fetch=fetch)
    (found,) = caught.value.problems
    assert "set.jsonl line 1" in found.key
    return str(found)


@pytest.mark.parametrize("kind", ["image/png", "image/jpeg", "IMAGE/WEBP"])
def test_a_data_uri_is_the_picture_itself(tmp_path: Path, kind: str) -> None:
    """What it says of its kind is not believed: the content is looked at."""
    found = read(tmp_path, data_uri(kind=kind))
    (image,) = found.prompts[0].images
    assert (image.name, image.format, image.url) == ("data URI", "png", None)
    assert found.files == {image.sha256: PNG}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data:text/html;base64,PGI+", "another kind of data URI"),
        ("data:image/png,abc", "another kind of data URI"),
        ("data:image/png;base64,####", "no base64"),
        (f"data:image/png;base64,{base64.b64encode(b'no picture').decode()}", "a whole PNG"),
        (data_uri(PNG[:-20]), "truncated"),
    ],
)
def test_a_bad_data_uri_is_refused_without_being_repeated(tmp_path: Path, text: str, words: str) -> None:
    said = problem(tmp_path, text)
    assert words in said
    assert "image 'data URI'" in said
    assert len(said) < 400


def test_an_address_is_fetched_once_and_kept(tmp_path: Path) -> None:
    asked = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        return PNG

    found = read(tmp_path, URL, [URL, data_uri()], fetch=fetch)
    assert asked == [URL]
    first, second = (prompt.images for prompt in found.prompts)
    assert (first[0].name, first[0].url, second[1].url) == (URL, URL, None)
    assert first[0].sha256 == second[1].sha256
    store_inputs(tmp_path / "run", make_experiment(prompts=found.prompts), found.files)
    assert (tmp_path / "run" / "inputs" / first[0].file_name).read_bytes() == PNG


def test_what_was_fetched_is_checked_like_a_file(tmp_path: Path) -> None:
    assert "a whole PNG, JPEG or WebP picture" in problem(tmp_path, URL, lambda _: b"<html>")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://pictures.example.com/a.png", "an https address"),
        ("file:///etc/passwd", "an https address"),
        ("ftp://pictures.example.com/a.png", "an https address"),
        ("https:///a.png", "an https address"),
        ("https://[::1/a.png", "no address"),
        ("https://user:secret@pictures.example.com/a.png", "user or password"),
        (f"https://pictures.example.com/{'a' * 2000}", "characters"),
    ],
)
def test_only_plain_https_addresses(url: str, words: str) -> None:
    with pytest.raises(BadSource, match=words) as caught:
        check_address(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "10.0.0.7", "169.254.169.254", "[64:ff9b::a00:1]", "localhost"])
def test_no_private_address_is_asked(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setattr("urllib.request.getproxies", dict)
    with pytest.raises(BadSource, match="no public address"):
        fetch_picture(f"https://{host}/a.png")


class Web:
    """Answers in place of the network; every name is at a public address."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answers: dict[str, httpx.Response]) -> None:
        self.asked: list[str] = []
        original = fal_download.Downloader

        def handle(request: httpx.Request) -> httpx.Response:
            self.asked.append(str(request.url))
            return answers[str(request.url)]

        def downloader(rules: Any, **options: Any) -> fal_download.Downloader:
            return original(
                rules, **options, resolve=lambda _: ["93.184.216.34"], transport=httpx.MockTransport(handle)
            )

        monkeypatch.setattr(fal_download, "Downloader", downloader)


def answer(content: bytes = PNG) -> httpx.Response:
    return httpx.Response(200, stream=httpx.ByteStream(content), headers={"content-type": "image/png"})


def test_a_picture_comes_from_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    web = Web(monkeypatch, {URL: answer()})
    assert fetch_picture(URL) == PNG
    assert web.asked == [URL]


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (httpx.Response(302, headers={"location": "https://elsewhere.example.org/a.png"}), "not allowed"),
        (httpx.Response(302, headers={"location": "http://pictures.example.com/b.png"}), "not https"),
        (httpx.Response(404), "HTTP 404"),
        (httpx.Response(200, content=b"<p>", headers={"content-type": "text/html"}), "content type"),
    ],
)
def test_what_is_no_picture_is_one_clear_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, response: httpx.Response, words: str
) -> None:
    Web(monkeypatch, {URL: response})
    said = problem(tmp_path, URL, fetch_picture)
    assert words in said
    assert "Download it, and name the file instead." in said
    assert "download_hosts" not in said


def test_no_answer_is_one_clear_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any, url: str) -> bytes:
        raise httpx.ConnectError("no route")

    monkeypatch.setattr(fal_download.Downloader, "fetch", broken)
    assert "no answer (ConnectError: no route)" in problem(tmp_path, URL, fetch_picture)


def test_decoding_is_exact() -> None:
    assert decode_data_uri(data_uri(b"\x00\xff")) == b"\x00\xff"
