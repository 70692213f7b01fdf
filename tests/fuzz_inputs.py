"""What a fuzzer feeds: good files damaged byte by byte, and good JSON with one value that nobody expects."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

HOSTILE_TEXTS = (
    "",
    "\x00",
    "\ud800",
    "../../../../etc/passwd",
    "/etc/passwd",
    "images/../../outside.png",
    "<script>alert(1)</script>",
    "${oc.env:FAL_KEY}",
    "x" * 10_000,
    "\u202e\u0007\x1b[2J",
    "9" * 400,
    "NaN",
)
HOSTILE_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    2**31,
    2**63,
    2**64,
    -(2**70),
    0.0,
    -1.5,
    5e-324,
    1.7e308,
    [],
    {},
    [[[[]]]],
    {"": {}},
    *HOSTILE_TEXTS,
)
_JUNK = (
    b"",
    b"\x00",
    b"\xff",
    b"\n",
    b"{",
    b'"',
    b"\\u",
    b"1e999",
    b"\xed\xa0\x80",
    b"&a *a",
    b"!!python/object",
    b"[" * 3000,
)


def values() -> st.SearchStrategy[Any]:
    """One value that may stand anywhere."""
    # Copied, as lists among them are changed later.
    return (
        st.sampled_from(HOSTILE_VALUES).map(copy.deepcopy)
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text(max_size=20)
    )


@st.composite
def damaged_bytes(draw: st.DrawFn, whole: Sequence[bytes]) -> bytes:
    """One of `whole`, of which parts are flipped, cut out, doubled or replaced."""
    content = bytearray(draw(st.sampled_from(whole)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(content)))
        length = draw(st.sampled_from((0, 1, 2, 8, 64, 100_000)))
        kind = draw(st.sampled_from(("cut", "junk", "double", "flip")))
        if kind == "cut":
            del content[at : at + length]
        elif kind == "junk":
            content[at : at + length] = draw(st.sampled_from(_JUNK) | st.binary(max_size=8))
        elif kind == "double":
            content[at:at] = content[at : at + min(length, 1000)]
        elif at < len(content):
            content[at] ^= 1 << draw(st.integers(0, 7))
    return bytes(content)


@st.composite
def odd_json(draw: st.DrawFn, whole: Sequence[Any]) -> Any:
    """One of `whole`, in which a few values, somewhere, are replaced, removed or added."""
    content = copy.deepcopy(draw(st.sampled_from(whole)))
    for _ in range(draw(st.integers(0, 3))):
        content = _odd(draw, content)
    return content


def _odd(draw: st.DrawFn, value: Any) -> Any:
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 9)) == 0:
        alike = [other for other in HOSTILE_VALUES if type(other) is type(value)]
        # Of the same type it gets past the reader, to whoever reckons with it.
        stays_alike: bool = draw(st.booleans())
        return draw(st.sampled_from(alike).map(copy.deepcopy)) if alike and stays_alike else draw(values())
    key: Any = draw(st.sampled_from(sorted(value))) if isinstance(value, dict) else draw(st.integers(0, len(value) - 1))
    kind = draw(st.sampled_from(("go down", "go down", "go down", "remove", "add")))
    if kind == "remove":
        del value[key]
    elif kind == "add" and isinstance(value, dict):
        value[draw(st.sampled_from(HOSTILE_TEXTS))] = draw(values())
    else:
        value[key] = _odd(draw, value[key])
    return value
