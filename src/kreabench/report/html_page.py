"""index.html: the whole report in one file, without a script, without a request to anywhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from kreabench.report.document import Document, Figure
from kreabench.report.drawing.figures import draw
from kreabench.report.drawing.style import NARROW, WIDE, dark

TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True, kw_only=True, slots=True)
class FigureImages:
    """One figure as data URIs, for wide and narrow screens, light and dark."""

    wide: str
    wide_dark: str
    narrow: str
    narrow_dark: str


def render_html(document: Document) -> str:
    """The page. All text of the document is escaped; the content-security policy admits our style sheet alone."""
    return render_template("report.html.j2", document, [(figure, figure_images(figure)) for figure in document.figures])


def render_template(name: str, document: object, figures: Sequence[tuple[Figure, FigureImages]] = ()) -> str:
    """A template of this folder with our style sheet; it gets `document` and `figures`, and escapes their text."""
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
    return environment.get_template(name).render(
        document=document,
        figures=figures,
        style=Markup(style),  # noqa: S704 - our own file, no value is interpolated
        policy=content_policy(style),
    )


def content_policy(style: str) -> str:
    """Nothing may load or run but data: pictures and the one style sheet, known by its hash."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def data_uri(content: bytes, media_type: str) -> str:
    """`content` as an address that holds it."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def figure_images(figure: Figure) -> FigureImages:
    """The four drawings of a figure."""
    wide = draw(figure, format="svg", layout=WIDE)
    narrow = draw(figure, format="svg", layout=NARROW)
    addresses = [data_uri(svg, "image/svg+xml") for svg in (wide, dark(wide), narrow, dark(narrow))]
    return FigureImages(wide=addresses[0], wide_dark=addresses[1], narrow=addresses[2], narrow_dark=addresses[3])
