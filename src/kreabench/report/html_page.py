"""index.html: a whole page in one file, without a script, without a request to anywhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from kreabench.report.drawing.figures import Drawn, draw_all
from kreabench.report.drawing.style import dark
from kreabench.report.page import Page

TEMPLATES = Path(__file__).with_name("templates")


def render_html(page: Page, drawn: Mapping[str, Drawn] | None = None) -> str:
    """The page. All its text is escaped; the content-security policy admits our style sheet alone.

    `drawn`: the figures by name, where they were drawn already.
    """
    drawn = {figure.name: draw_all(figure) for figure in page.figures} if drawn is None else drawn
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["jpeg_uri"] = lambda content: data_uri(content, "image/jpeg")
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    return environment.get_template("page.html.j2").render(
        page=page,
        images={name: _images(one) for name, one in drawn.items()},
        style=Markup(style),  # noqa: S704 - our own file, no value is interpolated
        policy=_content_policy(style),
    )


def _content_policy(style: str) -> str:
    """Nothing may load or run but data: pictures and the one style sheet, known by its hash."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def data_uri(content: bytes, media_type: str) -> str:
    """`content` as an address that holds it."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def _images(drawn: Drawn) -> dict[str, str]:
    """One figure as addresses, for wide and narrow screens, light and dark."""
    drawings = {
        "wide": drawn.wide,
        "wide_dark": dark(drawn.wide),
        "narrow": drawn.narrow,
        "narrow_dark": dark(drawn.narrow),
    }
    return {name: data_uri(svg, "image/svg+xml") for name, svg in drawings.items()}
