"""index.html: a whole page in one file, without a request to anywhere. Only what is explored has a script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from kreabench.report.app_script import app_script, app_style, early_script, plotly_script, style_ids
from kreabench.report.code_text import code_parts
from kreabench.report.drawing.figures import Drawn, draw_all
from kreabench.report.drawing.style import dark
from kreabench.report.explorer.data import ReportData
from kreabench.report.explorer.encode import for_page
from kreabench.report.page import Page
from kreabench.report.thumbnails import SMALL_PX

_MEDIA_TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
TEMPLATES = Path(__file__).with_name("templates")


def render_html(page: Page, drawn: Mapping[str, Drawn] | None = None) -> str:
    """The page. All its text is escaped; the content-security policy admits our own style and scripts alone.

    `drawn`: the figures by name, where they were drawn already.
    """
    drawn = draw_figures(page) if drawn is None else drawn
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    style += "" if page.explorer is None else app_style()
    scripts = {} if page.explorer is None else _scripts()
    template = environment().get_template("page.html.j2")
    return template.render(
        page=page,
        images={name: _images(one) for name, one in drawn.items()},
        style=Markup(style),  # noqa: S704 - our own file, no value is interpolated
        scripts={name: Markup(text) for name, text in scripts.items()},  # noqa: S704 - as above
        style_ids=style_ids() if scripts else (),
        data=() if page.explorer is None else _data(page.explorer, page.held),
        policy=_content_policy(style, tuple(scripts.values())),
    )


def _scripts() -> dict[str, str]:
    """Of a page that is explored. plotly.js is text there, which the app makes a script before the first plot."""
    return {"early": early_script(), "plotly": plotly_script(), "app": app_script()}


def environment() -> Environment:
    """Of our templates: every value is escaped, and one that is missing is an error."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.globals["SMALL_PX"] = SMALL_PX
    made.filters["code_parts"] = code_parts
    made.filters["jpeg_uri"] = lambda content: data_uri(content, "image/jpeg")
    return made


def draw_figures(page: Page) -> dict[str, Drawn]:
    """Every figure of the page, by name."""
    return {figure.name: draw_all(figure, narrow=page.explorer is None) for figure in page.figures}


def _data(explorer: ReportData, held: Mapping[str, bytes]) -> tuple[tuple[str, Markup], ...]:
    """Id and content of the elements that hold what the script reads."""
    pictures = {name: data_uri(content, _MEDIA_TYPES[Path(name).suffix]) for name, content in held.items()}
    return (
        ("report-data", Markup(for_page(msgspec.json.encode(explorer)))),  # noqa: S704 - JSON without a `<`
        ("report-pictures", Markup(for_page(msgspec.json.encode(pictures)))),  # noqa: S704 - as above
    )


def _content_policy(style: str, scripts: Sequence[str]) -> str:
    """Nothing may load or run but pictures and what is known by its hash: the style sheet, and the page's scripts.

    plotly.js makes an empty `<style>`, and sets style attributes, which can fetch nothing here; pictures may lie beside
    the page.
    """
    if not scripts:
        return f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; base-uri 'none'; form-action 'none'"
    hashes = " ".join(f"'{_hash(script)}'" for script in scripts)
    return (
        f"default-src 'none'; img-src data: 'self' file:; script-src {hashes}; "
        f"style-src-elem '{_hash(style)}' '{_hash('')}'; style-src-attr 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def data_uri(content: bytes, media_type: str) -> str:
    """`content` as an address that holds it."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def _images(drawn: Drawn) -> dict[str, str]:
    """One figure as addresses, for wide and narrow screens, light and dark."""
    drawings = {"wide": drawn.wide, "wide_dark": dark(drawn.wide)}
    if drawn.narrow:
        drawings |= {"narrow": drawn.narrow, "narrow_dark": dark(drawn.narrow)}
    return {name: data_uri(svg, "image/svg+xml") for name, svg in drawings.items()}
