"""Pages in a real browser: what they say, what they ask for. The fixture `browser` is in conftest.py."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kreabench.core.planned import Plan
from kreabench.report import files
from kreabench.report.drawing.figures import Drawn
from kreabench.report.options import ReportOptions
from kreabench.report.write import write_report
from kreabench.rundir.directory import RunDirectory

SWITCHED_OFF = (
    # Pages of the browser's own address bar, which it draws anew for every context: 0.5 s of processor time each.
    "WebUIOmniboxPopup",
    "WebUIOmniboxAimPopup",
    "WebUIOmniboxFullPopup",
    # Playwright's own list is replaced by ours: of it, what would ask the network or change addresses.
    "AimEnabled",
    "HttpsUpgrades",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PreconnectToSearch",
)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    f"--disable-features={','.join(SWITCHED_OFF)}",
]
"""What Playwright does not say by itself."""


def find_chromium() -> str:
    """Path of the system's Chromium. Without one the tests are skipped, except in CI, where they fail."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for found in map(shutil.which, names) if found), None)
    if path is None:
        reason = f"no browser: none of {', '.join(names)} is on PATH; install Debian's chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def explored(run: RunDirectory, plan: Plan, out: Path, table: Any = None, options: ReportOptions | None = None) -> Path:
    """A report for a browser that runs scripts; what that does not show, figures drawn beforehand, is left empty."""
    empty = Drawn(png=b"", wide=b'<svg xmlns="http://www.w3.org/2000/svg"/>', narrow=b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "draw_figures", lambda page: {figure.name: empty for figure in page.figures})
        patch.setattr(files, "draw_sheet", lambda grid: b"")
        return write_report(run, plan, out, table, options)


_free: list[Any] = []
"""Tabs of this process's Chromium that nobody uses. A page in a new one costs three times as much processor time, as
a new process compiles the plotting library anew."""


class Watched:
    """A page and everything that it said or asked for."""

    def __init__(
        self,
        browser: Any,
        index: Path,
        width: int = 1280,
        scheme: str = "light",
        fragment: str = "",
        height: int = 900,
    ) -> None:
        self.height = height
        self.page = _free.pop() if _free else browser.new_context().new_page()
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.emulate_media(media="null", color_scheme=scheme, forced_colors="null", reduced_motion="null")
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._heard: dict[str, Callable[[Any], None]] = {
            "console": lambda message: self.complaints.append(f"{message.type}: {message.text}"),
            "pageerror": lambda error: self.complaints.append(str(error)),
            "dialog": lambda dialog: self.complaints.append(f"dialog: {dialog.message}"),
            "request": lambda request: self.requests.append(request.url),
        }
        for event, hear in self._heard.items():
            self.page.on(event, hear)
        self.page.goto(index.as_uri() + fragment)
        self.page.wait_for_load_state("load")

    @property
    def context(self) -> Watched:
        """What is closed at the end of a test."""
        return self

    def close(self) -> None:
        """Leaves the tab as a new one is. Where a test failed it is not called, and the tab is not used again."""
        for event, hear in self._heard.items():
            self.page.remove_listener(event, hear)
        self.page.evaluate("localStorage.clear(); sessionStorage.clear()")
        self.page.goto("about:blank")
        self.page.context.new_cdp_session(self.page).send("Page.resetNavigationHistory")
        _free.append(self.page)


GO = """fragment => new Promise((done) => {
  const before = location.hash;
  location.hash = fragment;
  if (location.hash === before) done();
  else addEventListener("hashchange", () => done(), { once: true });
})"""
CLOSE = """() => {
  document.activeElement.blur();
  for (const one of document.querySelectorAll("dialog[open]")) one.close();
  for (const one of document.querySelectorAll(".bar details[open]")) one.open = false;
}"""


class Visited(Watched):
    """A page that several tests look at in turn: what a reader chose stands in its address alone."""

    def at(self, fragment: str = "", width: int = 1280, scheme: str = "light") -> Any:
        """The page as if it were opened anew at `fragment`."""
        self.page.emulate_media(media="null", color_scheme=scheme, forced_colors="null", reduced_motion="null")
        self.page.set_viewport_size({"width": width, "height": self.height})
        self.page.evaluate(CLOSE)
        self.page.evaluate(GO, "")
        self.page.evaluate("scrollTo(0, 0)")
        if fragment:
            self.page.evaluate(GO, fragment)
        return self.page
