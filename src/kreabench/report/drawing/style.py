"""The look of every figure: colours, fonts, sizes.

Colours: Paul Tol's bright, light and muted schemes, distinguishable with the common kinds of colour blindness
(https://personal.sron.nl/~pault/).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import matplotlib as mpl
from matplotlib.font_manager import FontProperties, get_font
from matplotlib.font_manager import findfont as find_font

STYLE = Path(__file__).with_name("kreabench.mplstyle")
FONT = "DejaVu Sans"
"""matplotlib ships it, so figures look the same everywhere."""

SERIES = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377", "#BBBBBB")
STAGES = (
    *("#77AADD", "#EE8866", "#BBCC33", "#EEDD88", "#99DDFF", "#FFAABB", "#44BB99", "#AAAA00"),
    *("#332288", "#882255", "#117733", "#661100"),
)
"""Light, then four of the muted scheme: a local and a hosted target in one figure have eleven stages between them."""

UNEXPLAINED = "#BBBBBB"
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

LABEL_CHARACTERS = 48
"""Longer names are cut in figures; tables have them whole."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Theme:
    """The colours that differ between light and dark; no two are equal, so one theme can be turned into the other."""

    background: str
    ink: str
    muted: str
    grid: str


LIGHT = Theme(background="#ffffff", ink="#1c2127", muted="#535c66", grid="#e4e7eb")
DARK = Theme(background="#15191e", ink="#e8ebee", muted="#a5afba", grid="#2b323a")


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How a figure is laid out on a screen."""

    width: float
    """Inches, of 72 points."""
    panels: int
    """Plots beside each other, at most."""
    legend: int
    """Entries of the legend in a line."""


WIDE = Layout(width=10.6, panels=3, legend=7)
NARROW = Layout(width=3.7, panels=1, legend=2)


@contextmanager
def style() -> Iterator[None]:
    """Figures made, drawn and saved inside look like ours, whatever the user's own matplotlibrc says."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rc_file(STYLE, use_default_template=False)
        yield


def dark(svg: bytes) -> bytes:
    """The dark twin of a drawing that was made in the light theme."""
    for field in fields(Theme):
        svg = svg.replace(getattr(LIGHT, field.name).encode(), getattr(DARK, field.name).encode())
    return svg


def drawable(text: str) -> str:
    """`text` fit for a label: characters that the font lacks become question marks, and the end is cut."""
    known = _characters()
    shown = "".join(char if ord(char) in known else "?" for char in text)
    return shown if len(shown) <= LABEL_CHARACTERS else f"{shown[: LABEL_CHARACTERS - 1]}…"


def keys(names: Iterable[str], values: Sequence[str]) -> dict[str, str]:
    """Name → colour or marker, in order of appearance; values repeat when there are more names."""
    return {name: values[number % len(values)] for number, name in enumerate(dict.fromkeys(names))}


@functools.cache
def _characters() -> frozenset[int]:
    return frozenset(get_font(find_font(FontProperties(family=FONT))).get_charmap())
