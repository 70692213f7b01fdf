"""Pages in a real browser: what they say, what they ask for. The fixture `browser` is in conftest.py."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

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


class Watched:
    """A page and everything that it said or asked for."""

    def __init__(self, browser: Any, index: Path, width: int = 1280, scheme: str = "light", fragment: str = "") -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(index.as_uri() + fragment)
        self.page.wait_for_load_state("load")
