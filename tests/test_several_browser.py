"""A report of several runs in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kreabench.report.options import ReportOptions
from kreabench.report.write import write_reports
from tests.browser_support import Watched
from tests.report_runs import HOSTILE
from tests.test_several import told, worse

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of two runs with hostile names and prompts, the second of which is worse."""
    folder = tmp_path_factory.mktemp("several")
    prompts = (*HOSTILE, *(f"a red bicycle beside {number} green bottles" for number in range(6)))
    runs = [
        told(folder / "one", HOSTILE[0], prompts=prompts),
        told(folder / "two", HOSTILE[1], prompts=prompts, change=worse),
    ]
    return write_reports(runs, folder / "report", ReportOptions())


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_page_of_two_runs_is_quiet_fits_and_says_what_got_worse(
    browser: Any, index: Path, width: int, scheme: str
) -> None:
    watched = Watched(browser, index, width, scheme)
    page = watched.page
    assert watched.complaints == []
    assert [url for url in watched.requests if not url.startswith("data:")] == [index.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.get_by_text("worse in clip").first.is_visible()
    page.get_by_role("link", name="B against A", exact=True).click()
    assert page.locator("#against-b").is_visible()
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(element => element.id)")
    assert len(ids) == len(set(ids))
    watched.context.close()
