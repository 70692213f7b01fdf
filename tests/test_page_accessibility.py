"""Every kind of page against WCAG 2.2 AA, as axe-core finds it in a real browser, light and dark, wide and narrow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser_support import Visited, Watched, explored
from tests.hostile_pages import decided_files
from tests.report_runs import HOSTILE, PROMPTS, make_run

pytestmark = pytest.mark.browser

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
VIEWS = [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report, and what is decided of its run; its texts attack."""
    folder = tmp_path_factory.mktemp("pages")
    prompts = (*PROMPTS[:2], *HOSTILE[:2])
    small: dict[str, Any] = {"accelerations": ("none", "high"), "steps": (2, 4), "sizes": ((128, 128),)}
    run, plan = make_run(folder / "run", prompts=prompts, failing=["prompt-2"], **small)
    explored(run, plan, folder / "report")
    decided_files(run, plan, folder)
    return folder


@pytest.fixture(scope="module")
def visit(browser: Any, pages: Path) -> Iterator[Visited]:
    """The report, opened once; its choices stand in its address, so each test can begin anew."""
    page = Visited(browser, pages / "report" / "index.html")
    yield page
    page.close()


@pytest.fixture
def report(visit: Visited) -> Iterator[Visited]:
    yield visit
    assert visit.complaints == []


def violations(page: Any) -> list[str]:
    """What axe-core finds: rule, and where."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": TAGS}, "resultTypes": ["violations"]})
    return [
        f"{one['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
        for one in found.response["violations"]
        for node in one["nodes"]
    ]


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_the_report_has_no_violation(report: Visited, width: int, scheme: str) -> None:
    page = report.at("", width, scheme)
    assert violations(page) == []


@pytest.mark.parametrize(("width", "scheme"), [VIEWS[0], VIEWS[3]])
def test_open_filters_that_leave_nothing_have_no_violation(report: Visited, width: int, scheme: str) -> None:
    page = report.at("", width, scheme)
    page.locator("summary", has_text="Filter").click()
    page.get_by_role("button", name="Target: none").click()
    assert violations(page) == []


WALK = """() => {
  const { activeElement: at } = document;
  const { outlineStyle, outlineWidth } = getComputedStyle(at);
  return [at.className, at.id, at.tagName, outlineStyle !== "none" && parseFloat(outlineWidth) > 0];
}"""


def test_the_keyboard_reaches_everything_and_shows_where_it_is(report: Visited) -> None:
    page = report.at()
    page.reload()  # the focus begins before everything
    keys = page.keyboard
    keys.press("Tab")
    assert page.evaluate(WALK)[0] == "skip"
    keys.press("Enter")
    assert page.evaluate(WALK)[1] == "main"
    walked: list[list[Any]] = []
    while not walked or walked[-1][0] != "sort":
        keys.press("Tab")
        walked.append(page.evaluate(WALK))
        assert len(walked) < 150, "the tables are not reached"
    assert [one for one in walked if not one[3]] == [], "focus is seen"
    assert "plot-stage" in {one[0] for one in walked}
    keys.press("Enter")
    sorted_heads = page.evaluate("document.activeElement.closest('th').getAttribute('aria-sort')")
    assert sorted_heads in {"ascending", "descending"}


PALE = """() => [...document.querySelectorAll(".heat-cell")].map((cell) => {
  const { color, backgroundColor } = getComputedStyle(cell);
  return color !== backgroundColor && backgroundColor === cell.style.backgroundColor;
})"""
INK = """() => {
  const box = document.querySelector("#trade-off .plot-box");
  const { fill } = getComputedStyle(box.querySelector(".xtick text"));
  return fill !== getComputedStyle(box.querySelector(".main-svg")).backgroundColor;
}"""


def test_forced_colours_and_less_motion_leave_the_page_whole(report: Visited) -> None:
    page = report.at()
    page.emulate_media(forced_colors="active", reduced_motion="reduce")
    for section, drawn in (("trade-off", ".plot-box .xtick text"), ("across", ".heat-cell")):
        page.locator(f"#{section}").scroll_into_view_if_needed()
        page.locator(f"#{section} {drawn}").first.wait_for()
    assert set(page.evaluate(PALE)) == {True}, "colours of the map are its numbers"
    assert page.evaluate(INK)


def test_a_page_at_twice_its_size_scrolls_in_one_direction(report: Visited) -> None:
    """WCAG 1.4.10: at 200 % a window of 1280 pixels has 640."""
    page = report.at(width=640)
    assert page.evaluate("document.documentElement.scrollWidth") <= 640


@pytest.mark.parametrize("name", ["comparison", "recommend", "history"])
def test_other_pages_have_no_violation(browser: Any, pages: Path, name: str) -> None:
    watched = Watched(browser, pages / name / "index.html")
    for width, scheme in (VIEWS[0], VIEWS[3]):
        watched.page.set_viewport_size({"width": width, "height": 900})
        watched.page.emulate_media(color_scheme=scheme)
        assert violations(watched.page) == []
        assert watched.page.evaluate("document.documentElement.scrollWidth") <= width
    assert watched.complaints == []
    watched.context.close()
