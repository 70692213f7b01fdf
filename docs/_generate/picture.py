"""`make picture`: the picture that README opens with, out of the demo's report: its top, and cost against quality.

Needs playwright and a Chromium on PATH, as the tests of the page do.
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, ViewportSize, sync_playwright

REPORT = Path(__file__).resolve().parents[2] / "reports" / "demo"
WINDOW: ViewportSize = {"width": 1280, "height": 900}
VIEW = "#/y=drawn_accuracy"
GAP = 24
"""Pixels between the two parts."""


def take(report: Path) -> Image.Image:
    """Down to the first warning, which brands the numbers, and the scatter plot below it."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        sys.exit("no Chromium on PATH: install Debian's chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport=WINDOW, color_scheme="light", reduced_motion="reduce")
        page.goto((report / "index.html").as_uri() + VIEW)
        page.locator("#trade-off").scroll_into_view_if_needed()
        page.wait_for_selector("#trade-off .main-svg .points path", state="attached")
        page.evaluate("scrollTo(0, 0)")
        parts = [_cut(page, "html", "main .notice:visible"), _cut(page, "#trade-off", "#trade-off .js-plotly-plot")]
        browser.close()
    whole = Image.new("RGB", (WINDOW["width"], sum(part.height for part in parts) + GAP), "white")
    whole.paste(parts[0], (0, 0))
    whole.paste(parts[1], (0, parts[0].height + GAP))
    return whole


def _cut(page: Page, first: str, last: str) -> Image.Image:
    """From the top of `first` to the end of `last`, over the whole width."""
    top, bottom = (
        page.locator(css).first.evaluate(f"one => one.getBoundingClientRect().{edge} + scrollY")
        for css, edge in ((first, "top"), (last, "bottom"))
    )
    clip = {"x": 0, "y": top, "width": WINDOW["width"], "height": bottom - top}
    return Image.open(io.BytesIO(page.screenshot(full_page=True, clip=clip)))  # type: ignore[arg-type]


if __name__ == "__main__":
    folder = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else REPORT
    take(folder).save(folder / "page.png", optimize=True)
    sys.stdout.write(f"{folder / 'page.png'}\n")
