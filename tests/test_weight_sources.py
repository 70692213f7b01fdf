"""A source of weights is one line of text, read strictly."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kreabench.metrics.weight_sources import (
    HubWeights,
    LocalWeights,
    UrlWeights,
    check_source,
    is_pinned,
    parse_source,
)
from tests.weights_support import COMMIT, DIGEST, need

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
        ("https://example.org/a%00b.pt", "printable name"),
        ("https://example.org:x/x.pt", "https address"),
        ("https://example.org/x.html", "ending in .safetensors"),
        ("https://example.org/x.pt#", "64 hexadecimal"),
        ("https://example.org/x.pt#sha256=abc", "64 hexadecimal"),
        (f"https://example.org/x.pt#md5={DIGEST}", "64 hexadecimal"),
        ("random", "untrained: true"),
    ],
)
def test_what_is_no_source_is_refused_in_words(source: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        check_source(source, untrained=False)
    assert "me:secret" not in str(caught.value)


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
