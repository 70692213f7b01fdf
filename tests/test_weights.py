"""Weights are found without network, fetched whole or not at all, and only with the content that was promised."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import string
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kreabench.core.errors import EnvironmentProblem
from kreabench.metrics import weight_hashes, weight_urls
from kreabench.metrics.needs import Need
from kreabench.metrics.weight_errors import FetchRefused
from kreabench.metrics.weight_hashes import file_sha256, files_sha256, model_files
from kreabench.metrics.weight_sources import (
    HubWeights,
    LocalWeights,
    UrlWeights,
    check_source,
    is_pinned,
    parse_source,
)
from kreabench.metrics.weights import WeightsNeed
from tests.hf_support import Reply, Seen, Server, certificate
from tests.hub_service import HubService, use_hub

COMMIT = "0123456789abcdef0123456789abcdef01234567"
DIGEST = "ab" * 32
CONTENT = b"weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def need(source: object) -> WeightsNeed:
    return WeightsNeed(name="weights of a model", source=str(source))


def refusal(action: Callable[[], object]) -> str:
    """Found and remedy of the one problem that `action` raises."""
    with pytest.raises(EnvironmentProblem) as caught:
        action()
    (problem,) = caught.value.problems
    assert problem.key == "options.weights"
    assert problem.expected.startswith("the weights of a model")
    return f"{problem.found}. {problem.remedy}"


# Sources


_WORD = st.text(string.ascii_letters + string.digits, min_size=1, max_size=12)
_PART = st.lists(_WORD, min_size=1, max_size=3).map("_.-".join)
_FILE = st.builds(
    lambda parts, suffix: "/".join(parts) + suffix,
    st.lists(st.text(string.ascii_letters + "0123456789+_ @=", min_size=1, max_size=9), min_size=1, max_size=3),
    st.sampled_from([".pt", ".safetensors", ".bin"]),
)
_HUB = st.builds(
    HubWeights,
    repo=st.builds("{}/{}".format, _PART, _PART),
    file=st.none() | _FILE,
    revision=st.sampled_from(["main", "v1.0", "refs/pr/3", COMMIT]),
)
_URL = st.builds(
    UrlWeights,
    address=st.builds("https://{}.org:{}/{}.pth?a={}".format, _WORD, st.integers(1, 65535), _WORD, _WORD),
    sha256=st.none() | st.text("0123456789abcdef", min_size=64, max_size=64),
)
_LOCAL = st.builds(LocalWeights, path=st.builds("./{}".format, _FILE))


@settings(deadline=None)
@given(_HUB | _URL | _LOCAL)
def test_a_source_is_read_as_it_is_written(source: HubWeights | UrlWeights | LocalWeights) -> None:
    assert parse_source(str(source)) == source


@settings(deadline=None)
@given(st.text(max_size=60) | st.builds("hub:{}".format, st.text(max_size=40)) | st.builds("https://{}".format, _PART))
def test_any_text_is_a_source_that_reads_the_same_again_or_refused_in_words(text: str) -> None:
    try:
        source = parse_source(text)
    except ValueError:
        with pytest.raises(ValueError, match=r"^weights "):
            check_source(text, untrained=False)
    else:
        assert parse_source(str(source)) == source


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("", "hub:OWNER/NAME"),
        (" ", "hub:OWNER/NAME"),
        ("a\nb", "hub:OWNER/NAME"),
        ("hub:owner/name", "lack @REVISION"),
        ("hub:owner/name@", "commit, branch or tag"),
        ("hub:owner@main", "hub:OWNER/NAME"),
        ("hub:../name@main", "hub:OWNER/NAME"),
        ("hub:owner/name/../../x.pt@main", "file inside the repository"),
        ("hub:owner/name//x.pt@main", "file inside the repository"),
        ("hub:owner/name/x.pt@../main", "commit, branch or tag"),
        ("hub:owner/name/x.exe@main", "ending in .safetensors"),
        ("HUB:owner/name@main", "hub:OWNER/NAME"),
        ("http://example.org/x.pt", "must begin with https://"),
        ("ftp://example.org/x.pt", "hub:OWNER/NAME"),
        ("file:///etc/passwd", "hub:OWNER/NAME"),
        ("https:///x.pt", "with a host"),
        ("https://me:secret@example.org/x.pt", "without a password"),
        ("https://[/x.pt", "https address"),
        ("https://example.org:x/x.pt", "https address"),
        ("https://example.org/x.html", "ending in .safetensors"),
        ("https://example.org/x.pt#", "64 hexadecimal"),
        ("https://example.org/x.pt#sha256=abc", "64 hexadecimal"),
        (f"https://example.org/x.pt#md5={DIGEST}", "64 hexadecimal"),
        ("random", "untrained: true"),
    ],
)
def test_what_is_no_source_is_refused_in_words(source: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_source(source, untrained=False)


def test_random_weights_are_a_source_where_every_score_is_branded() -> None:
    check_source("random", untrained=True)

    assert need("random").problem({}) is None


@pytest.mark.parametrize(
    ("source", "pinned"),
    [
        (f"hub:owner/name@{COMMIT}", True),
        ("hub:owner/name@main", False),
        (f"https://example.org/x.pt#sha256={DIGEST.upper()}", True),
        ("https://example.org/x.pt", False),
        ("weights.pt", True),
    ],
)
def test_only_commits_and_hashes_pin(source: str, pinned: bool) -> None:
    assert is_pinned(source) is pinned


# Files and folders of this machine


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"KREABENCH_CACHE": str(tmp_path / "cache"), "HF_HOME": str(tmp_path / "huggingface")}


def _model_folder(path: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


MODEL = {"config.json": b"{}", "model.safetensors": CONTENT, "README.md": b"read me", "pytorch_model.bin": b"pickle"}


def test_a_local_file_is_its_hash(tmp_path: Path, environ: dict[str, str]) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(CONTENT)

    located = need(path).locate(environ)

    assert (located.path, located.sha256, located.commit) == (path, SHA256, None)
    assert not need(path).fetchable


def test_a_folder_is_known_by_what_is_loaded_of_it(tmp_path: Path, environ: dict[str, str]) -> None:
    one = need(_model_folder(tmp_path / "one", MODEL)).locate(environ).sha256
    moved = need(_model_folder(tmp_path / "two", MODEL | {"README.md": b"other"})).locate(environ).sha256
    other = need(_model_folder(tmp_path / "three", MODEL | {"config.json": b"{ }"})).locate(environ).sha256

    assert one == moved != other


@pytest.mark.parametrize(
    ("name", "words"),
    [("none.pt", "no such file or folder"), ("x.zip", "another kind"), ("folder", "without .safetensors")],
)
def test_what_is_not_there_or_no_weights_is_said(
    tmp_path: Path, environ: dict[str, str], name: str, words: str
) -> None:
    (tmp_path / "x.zip").write_bytes(b"x")
    _model_folder(tmp_path / "folder", {"config.json": b"{}", "pytorch_model.bin": b"pickle"})
    one = need(tmp_path / name)

    assert words in refusal(lambda: one.locate(environ))
    problem = one.problem(environ)
    assert problem is not None
    assert words in problem.found


# Remembered hashes


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file large and old enough for its hash to be remembered."""
    monkeypatch.setattr(weight_hashes, "_REMEMBERED_BYTES", 100)
    path = tmp_path / "large.pt"
    path.write_bytes(CONTENT)
    os.utime(path, (1_000_000_000, 1_000_000_000))
    return path


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read to be hashed."""
    read: list[Path] = []
    computed = weight_hashes._computed

    def counting(path: Path) -> str:
        read.append(path)
        return computed(path)

    monkeypatch.setattr(weight_hashes, "_computed", counting)
    return read


def test_a_large_file_is_hashed_once(large: Path, hashed: list[Path], environ: dict[str, str]) -> None:
    link = large.with_name("link.pt")
    link.symlink_to(large)

    assert {file_sha256(path, environ) for path in (large, link, large)} == {SHA256}
    assert hashed == [large]


@pytest.mark.parametrize("change", ["content", "time", "replaced"])
def test_a_changed_file_is_hashed_again(large: Path, hashed: list[Path], environ: dict[str, str], change: str) -> None:
    file_sha256(large, environ)
    before = large.stat()
    if change == "replaced":  # the same size and time, as a copy that keeps times has
        other = large.with_name("other")
        other.write_bytes(CONTENT[::-1])
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        other.replace(large)
    elif change == "content":
        large.write_bytes(CONTENT[::-1] + b"!")
        os.utime(large, ns=(before.st_atime_ns, before.st_mtime_ns))
    else:
        os.utime(large, ns=(before.st_atime_ns, before.st_mtime_ns + 1))

    assert file_sha256(large, environ) == hashlib.sha256(large.read_bytes()).hexdigest()
    assert len(hashed) == 2


def test_a_file_changed_just_now_is_not_remembered(large: Path, hashed: list[Path], environ: dict[str, str]) -> None:
    """It could change again within one tick of the disk's clock."""
    os.utime(large)
    file_sha256(large, environ)
    file_sha256(large, environ)

    assert len(hashed) == 2


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"x": 1}', b'{"x": [1, 2, 3]}', b"\xff"])
def test_a_damaged_table_of_hashes_costs_time_alone(large: Path, environ: dict[str, str], damage: bytes) -> None:
    file_sha256(large, environ)
    table = Path(environ["KREABENCH_CACHE"]) / "weights" / "hashes.json"
    assert list(json.loads(table.read_bytes())) == [str(large)]
    table.write_bytes(damage)

    assert file_sha256(large, environ) == SHA256
    assert list(json.loads(table.read_bytes())) == [str(large)]


def test_many_that_remember_at_once_leave_a_whole_table(large: Path, environ: dict[str, str]) -> None:
    copies = [large.with_name(f"{number}.pt") for number in range(8)]
    for copy in copies:
        shutil.copy2(large, copy)

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(lambda path: file_sha256(path, environ), copies * 10)) == {SHA256}

    folder = Path(environ["KREABENCH_CACHE"]) / "weights"
    entries = json.loads((folder / "hashes.json").read_bytes())
    assert {entry[-1] for entry in entries.values()} == {SHA256}
    assert [file.name for file in folder.iterdir()] == ["hashes.json"]


def test_a_cache_that_cannot_be_written_costs_time_alone(large: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "a file"
    blocked.write_bytes(b"")

    assert file_sha256(large, {"KREABENCH_CACHE": str(blocked)}) == SHA256


# The Hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubService]:
    service = HubService()
    monkeypatch.setenv("KREABENCH_CACHE", str(tmp_path / "cache"))
    with use_hub(service, monkeypatch, tmp_path):
        yield service
    service.stop()


def fetched(source: object) -> list[str]:
    said: list[str] = []
    need(source).fetch(os.environ, said.append)
    return said


def test_a_file_of_the_hub_is_fetched_once_and_found_without_network(hub: HubService) -> None:
    commit = hub.put("owner/name", {"x.pt": CONTENT})
    source = f"hub:owner/name/x.pt@{commit}"
    assert "doctor --fetch metrics" in refusal(lambda: need(source).locate(os.environ))
    assert hub.requests == []

    said = fetched(source)
    asked = len(hub.requests)
    fetched(source)
    located = need(source).locate(os.environ)

    assert (located.path.read_bytes(), located.sha256, located.commit) == (CONTENT, SHA256, commit)
    assert any(SHA256 in line for line in said)
    assert not any("not pinned" in line for line in said)
    assert len(hub.requests) == asked


def test_a_branch_is_said_to_be_not_pinned_and_how_to_pin_what_it_meant(hub: HubService) -> None:
    commit = hub.put("owner/name", {"x.pt": CONTENT})

    said = fetched("hub:owner/name/x.pt@main")

    assert need("hub:owner/name/x.pt@main").locate(os.environ).commit == commit
    assert f"hub:owner/name/x.pt@{commit}" in said[-1]
    assert "not pinned" in said[-1]


def test_a_model_folder_is_tensors_and_descriptions_and_never_pickles(hub: HubService) -> None:
    extra = {"open_clip_model.safetensors": b"again", "onnx/config.json": b"{}", "tokenizer.json": b"{}"}
    commit = hub.put("owner/name", MODEL | extra)
    source = f"hub:owner/name@{commit}"

    assert need(source).problem(os.environ) is not None
    assert hub.requests == []

    fetched(source)
    asked = len(hub.requests)
    located = need(source).locate(os.environ)

    assert len(hub.requests) == asked
    assert {file.name for file in located.path.iterdir()} == {"config.json", "model.safetensors", "tokenizer.json"}
    assert located.sha256 == files_sha256(model_files(located.path), os.environ)
    assert located.commit == commit


def test_a_processor_is_fetched_without_the_gigabytes_beside_it(hub: HubService, tmp_path: Path) -> None:
    hub.put("owner/name", MODEL | {"tokenizer.json": b"{}"})
    processor = replace(need("hub:owner/name@main"), tensors=False)
    assert processor.problem(os.environ) is not None

    processor.fetch(os.environ, print)
    located = processor.locate(os.environ)

    assert {file.name for file in located.path.iterdir()} == {"config.json", "tokenizer.json"}
    assert need("hub:owner/name@main").problem(os.environ) is not None
    _model_folder(tmp_path / "copy", {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors": b"x"})
    assert replace(need(tmp_path / "copy"), tensors=False).locate(os.environ).sha256 == located.sha256
    (tmp_path / "empty").mkdir()
    assert replace(need(tmp_path / "empty"), tensors=False).problem(os.environ) is not None


def test_the_hash_of_a_folder_does_not_depend_on_what_other_tools_fetched(hub: HubService) -> None:
    from huggingface_hub import hf_hub_download

    commit = hub.put("owner/name", MODEL | {"open_clip_config.json": b"{}"})
    fetched(f"hub:owner/name@{commit}")
    before = need(f"hub:owner/name@{commit}").locate(os.environ).sha256
    for name in ("README.md", "pytorch_model.bin", "open_clip_config.json"):
        hf_hub_download("owner/name", name, revision=commit)

    assert need(f"hub:owner/name@{commit}").locate(os.environ).sha256 == before


def test_a_folder_of_which_only_a_part_is_here_is_missing(hub: HubService) -> None:
    from huggingface_hub import hf_hub_download

    index = json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}).encode()
    commit = hub.put(
        "owner/name",
        {"config.json": b"{}", "m.safetensors.index.json": index, "one.safetensors": b"1", "two.safetensors": b"2"},
    )
    source = f"hub:owner/name@{commit}"
    for name, words in {
        "config.json": "without .safetensors",
        "one.safetensors": "",
        "m.safetensors.index.json": "without two.safetensors",
    }.items():
        hf_hub_download("owner/name", name, revision=commit)
        assert not words or words in refusal(lambda: need(source).locate(os.environ))

    fetched(source)

    assert need(source).problem(os.environ) is None


def test_a_repository_of_pickles_alone_is_refused(hub: HubService) -> None:
    hub.put("owner/name", {"config.json": b"{}", "pytorch_model.bin": b"pickle"})

    assert "no .safetensors" in refusal(lambda: fetched("hub:owner/name@main"))
    assert hub.sent("pytorch_model.bin") == 0


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("hub:owner/other/x.pt@main", "hf auth login"),
        ("hub:owner/gated/x.pt@main", "Accept its licence on https://huggingface.co/owner/gated"),
        ("hub:owner/gated@main", "Accept its licence on https://huggingface.co/owner/gated"),
        ("hub:owner/name/y.pt@main", "file is not there"),
        ("hub:owner/name/x.pt@v2", "revision is not there"),
        ("hub:owner/name@v2", "revision is not there"),
    ],
)
def test_each_refusal_of_the_hub_has_its_remedy(hub: HubService, source: str, words: str) -> None:
    hub.put("owner/name", {"x.pt": CONTENT})
    hub.put("owner/gated", {"x.pt": CONTENT}, gated=True)

    assert words in refusal(lambda: fetched(source))


def test_a_token_is_used_and_never_shown(hub: HubService, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.put("owner/gated", {"x.pt": CONTENT}, gated=True)
    monkeypatch.setenv("HF_TOKEN", "hf_verysecret")

    said = fetched("hub:owner/gated/x.pt@main")
    text = refusal(lambda: fetched("hub:owner/other/x.pt@main"))

    assert "Bearer hf_verysecret" in hub.tokens
    assert "verysecret" not in "".join(said) + text


def test_a_damaged_cache_is_seen_and_fetched_again(hub: HubService) -> None:
    commit = hub.put("owner/name", {"x.pt": CONTENT})
    source = f"hub:owner/name/x.pt@{commit}"
    fetched(source)
    need(source).locate(os.environ).path.resolve().write_bytes(CONTENT[::-1])
    assert f"instead of {SHA256}" in refusal(lambda: need(source).locate(os.environ))

    fetched(source)

    assert need(source).locate(os.environ).sha256 == SHA256


def test_content_that_is_not_what_the_hub_promised_is_refused(hub: HubService) -> None:
    hub.put("owner/name", {"x.pt": CONTENT})
    hub.corrupt.add("x.pt")

    assert f"instead of {SHA256}" in refusal(lambda: fetched("hub:owner/name/x.pt@main"))


def test_a_download_from_the_hub_that_ends_half_way_leaves_nothing_to_be_found(
    hub: HubService, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.put("owner/name", {"x.pt": CONTENT})
    hub.truncate.add("x.pt")
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the library tries again each second

    assert "Check the network" in refusal(lambda: fetched("hub:owner/name/x.pt@main"))
    assert need("hub:owner/name/x.pt@main").problem(os.environ) is not None


def test_no_hub_at_all_is_said(hub: HubService, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.broken = True
    assert "HTTP 500" in refusal(lambda: fetched("hub:owner/name@main"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert "Check the network" in refusal(lambda: fetched("hub:owner/name@main"))


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "KREABENCH_OFFLINE"])
@pytest.mark.parametrize("source", ["hub:owner/name/x.pt@main", "https://127.0.0.1:1/x.pt"])
def test_nothing_is_sent_where_that_is_forbidden(
    hub: HubService, monkeypatch: pytest.MonkeyPatch, variable: str, source: str
) -> None:
    monkeypatch.setenv(variable, "1")

    assert f"Unset {variable}" in refusal(lambda: fetched(source))
    assert variable in refusal(lambda: need(source).locate(os.environ))
    assert hub.requests == []


# Addresses


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
        },
    )

    fetched(f"{server.url}/x.pt")
    assert need(f"{server.url}/x.pt").locate(os.environ).sha256 == SHA256
    text = refusal(lambda: fetched(f"{server.url}/down.pt"))
    assert "Only https" in text
    assert "secret" not in text
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


def test_weights_are_a_need() -> None:
    one: Need = need("hub:owner/name@main")

    assert one.fetchable
    assert one.name == "weights of a model"
    assert not replace(need("x.pt"), source="hub:wrong").fetchable
    assert "@REVISION" in refusal(lambda: need("hub:owner/wrong").locate({}))
