"""The script of a page that is explored: plotly.js from its package, and our own, in the order of `FILES`."""

from __future__ import annotations

import functools
import importlib.util
import re
from pathlib import Path

APP = Path(__file__).with_name("app")

FILES = (
    *("core.js", "dom.js", "format.js", "theme.js", "contents.js", "filters.js", "near.js"),
    *("plot_look.js", "plot_keys.js", "plots.js", "plot_words.js", "plot_ranges.js", "holding.js"),
    *("scatter.js", "heat.js", "lines.js", "time_bars.js", "time.js"),
    *("own_gpu.js", "break_even_inputs.js", "break_even_drawn.js", "break_even.js"),
    *("gallery.js", "grid_axes.js", "grid.js", "viewer.js", "viewer_stage.js", "viewer_facts.js"),
    *("worst.js", "votes.js", "tables.js", "start.js"),
)
"""They share one scope; `start.js` is last."""

STYLES = ("filters.css", "plots.css", "heat.css", "break_even.css", "grid.css", "viewer.css", "tables.css")
"""Of the same parts, after the style of every page."""


@functools.cache
def app_script() -> str:
    """Our script, strict, in a scope of its own."""
    body = "\n".join((APP / name).read_text(encoding="utf-8") for name in FILES)
    return f'(() => {{\n"use strict";\n{body}\n}})();'


@functools.cache
def early_script() -> str:
    """What runs before the page is painted."""
    return (APP / "early.js").read_text(encoding="utf-8")


@functools.cache
def app_style() -> str:
    """The style of what the script draws."""
    return "\n".join((APP / name).read_text(encoding="utf-8") for name in STYLES)


@functools.cache
def plotly_script() -> str:
    """plotly.js as its package has it; a page holds it inside, so that it asks nobody for it."""
    spec = importlib.util.find_spec("plotly")  # not imported, which would take a second
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("plotly, which kreabench depends on, is not installed")
    return Path(spec.origin).with_name("package_data").joinpath("plotly.min.js").read_text(encoding="utf-8")


@functools.cache
def style_ids() -> tuple[str, ...]:
    """Ids of the style sheets that plotly.js brings for its maps, and adds where the page has no such element.

    The page has, empty: it draws no map, and its content-security policy admits no style sheet but its own.
    """
    return tuple(re.findall(r'getElementById\("([0-9a-f]{64})"\)', plotly_script()))
