"""The frame of a page that is explored: filters, sorted tables, theme, places, the address, and paper."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from kreabench.analysis.estimates import Estimate
from kreabench.report import format as numbers
from kreabench.report.app_script import APP
from tests.browser_support import Visited, Watched, explored
from tests.report_runs import PROMPTS, make_run

pytestmark = pytest.mark.browser

LOW = 500
"""Height of the window: plots, which are not what is looked at here, are drawn when they come near."""
ROWS = "#settings table tbody tr"
VISIBLE = f"[...document.querySelectorAll('{ROWS}')].filter(row => !row.hidden)"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of 36 settings: two targets, three accelerations, three numbers of steps, two sizes."""
    folder = tmp_path_factory.mktemp("shell")
    run, plan = make_run(folder / "run", prompts=PROMPTS[:2])
    return explored(run, plan, folder / "report")


@pytest.fixture(scope="module")
def visit(browser: Any, index: Path) -> Iterator[Visited]:
    """The page, opened once; its choices stand in its address, so each test can begin anew."""
    page = Visited(browser, index, height=LOW)
    yield page
    page.close()


@pytest.fixture
def opened(visit: Visited) -> Iterator[Any]:
    """Shows the page at a fragment, width and scheme; at the end nothing must have complained."""
    yield visit.at
    assert visit.complaints == []


def count(page: Any) -> int:
    """Rows of settings that are seen."""
    return int(page.evaluate(f"{VISIBLE}.length"))


def cells(page: Any, number: int) -> list[str]:
    """First lines of a column of settings, from 1, as they stand."""
    found = page.evaluate(
        f"{VISIBLE}.map(row => row.cells[{number - 1}].querySelector('bdi, .absent > span').textContent)"
    )
    return [str(text) for text in found]


def head(page: Any, title: str) -> Any:
    """The button in the head of a column of settings."""
    return page.locator("#settings thead th").filter(has_text=title).get_by_role("button")


def column(page: Any, title: str) -> int:
    """Its number, from 1."""
    return int(head(page, title).evaluate("button => button.closest('th').cellIndex")) + 1


def test_a_filter_is_counted_kept_in_the_address_and_reset(opened: Any) -> None:
    page = opened()
    assert count(page) == 36
    page.locator("summary", has_text="Filter").click()
    steps = page.get_by_role("group", name="Steps", exact=True)
    steps.get_by_role("checkbox", name="8").uncheck()
    assert page.locator(".count").inner_text() == "24 of 36 settings"
    assert count(page) == 24
    page.get_by_role("button", name="Only regular").click()
    assert page.locator(".count").inner_text() == "8 of 36 settings"
    assert set(cells(page, 2)) == {"regular"}
    page.reload()
    assert count(page) == 8
    steps = page.get_by_role("group", name="Steps", exact=True, include_hidden=True)
    assert not steps.locator("input").nth(2).is_checked()
    page.locator("summary", has_text="Filter").click()
    page.get_by_role("button", name="Reset filters").first.click()
    assert count(page) == 36
    assert page.evaluate("location.hash") == ""


def test_the_list_of_contents_fits_and_follows_where_it_does_not(opened: Any) -> None:
    page = opened()
    names = page.locator(".contents a").all_inner_texts()
    assert len(names) >= 10
    fits = "() => { const list = document.querySelector('.contents'); return list.scrollWidth <= list.clientWidth; }"
    assert page.evaluate(fits)
    assert page.locator(".contents.cut").count() == 0
    narrow = opened(width=390)
    assert not narrow.evaluate(fits)
    narrow.locator(".contents.cut").wait_for()
    narrow.locator("#environment").scroll_into_view_if_needed()
    narrow.wait_for_function("() => document.querySelector('.contents').scrollLeft > 100")


def test_how_sure_the_answer_is_stands_beside_it_and_what_it_rests_on_is_closed(opened: Any) -> None:
    page = opened()
    card = page.locator(".verdict")
    assert card.locator(".answer").count() == 1
    assert len(card.locator(".sureness").inner_text()) > 40
    assumed = card.locator("li").first
    assert not assumed.is_visible()
    card.get_by_text("What this rests on").click()
    assert assumed.inner_text().startswith("Objective: ")


def test_words_filter_by_the_labels_of_settings(opened: Any) -> None:
    page = opened()
    page.locator("summary", has_text="Filter").click()
    page.get_by_label("Words in the setting").fill("FAL high 192")
    assert set(cells(page, 1)) == {"mini_fal"}
    assert count(page) == 3


def test_when_nothing_is_left_the_page_says_so_and_leads_back(opened: Any) -> None:
    page = opened()
    page.locator("summary", has_text="Filter").click()
    page.get_by_role("button", name="Target: none").click()
    nothing = page.get_by_text("No setting passes the filters.")
    assert nothing.is_visible()
    assert count(page) == 0
    page.keyboard.press("Escape")
    assert not page.get_by_label("Words in the setting").is_visible()
    page.locator(".nothing").get_by_role("button", name="Reset filters").click()
    assert not nothing.is_visible()
    assert count(page) == 36


HOSTILE_FRAGMENTS = (
    "#/f.steps=2,%22<script>%22,null,99",
    "#/f.steps=2&f.__proto__=1&constructor=2&s.settings-table-1=toString&at=<img src=x>",
    "#/f.steps=2&s.settings-table-1=999&at=" + "W" * 10000,
    "#/f.steps=2&f.size=%22%E2%80%AE%22&y=%00",
    "#/f.steps=2&f.target={&f.acceleration=[[[&x=" + quote("</script><script>document.title='pwned'</script>"),
)


def test_an_address_that_says_what_is_not_there_is_not_heard(opened: Any) -> None:
    def check(page: Any) -> None:
        assert count(page) == 12, "what it says of steps is heard"
        assert page.evaluate("document.documentElement.dataset.ready") == "yes"
        assert page.title() == "demo: kreabench report"
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280

    for fragment in HOSTILE_FRAGMENTS:
        page = opened(fragment)
        check(page)
    page.reload()
    check(page)


def test_a_table_is_sorted_by_its_numbers_and_restored(opened: Any) -> None:
    page = opened()
    before = cells(page, 1), cells(page, column(page, "Latency"))
    latency = column(page, "Latency")
    head(page, "Latency").focus()
    page.keyboard.press("Enter")
    ascending = [float(text) for text in cells(page, latency)]
    assert ascending == sorted(ascending)
    assert page.locator("#settings th[aria-sort]").get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Enter")
    assert [float(text) for text in cells(page, latency)] == sorted(ascending, reverse=True)
    assert page.locator("#settings th[aria-sort]").get_attribute("aria-sort") == "descending"
    sorted_cells = cells(page, latency)
    page.reload()
    assert cells(page, latency) == sorted_cells
    head(page, "Latency").focus()
    page.keyboard.press("Enter")
    assert (cells(page, 1), cells(page, latency)) == before
    assert page.locator("#settings th[aria-sort]").count() == 0
    assert page.evaluate("location.hash") == ""


def test_what_is_absent_stands_last_whichever_way(opened: Any) -> None:
    page = opened()
    memory = column(page, "Peak memory")
    for _ in range(2):
        head(page, "Peak memory").click()
        texts = cells(page, memory)
        assert texts[-18:] == ["—"] * 18
        assert "—" not in texts[:18]


def test_places_keep_the_filters_and_take_the_focus(opened: Any) -> None:
    page = opened("#/f.steps=2")
    page.get_by_role("navigation", name="Contents").get_by_role("link", name="Settings", exact=True).click()
    assert page.evaluate("document.activeElement.id") == "settings"
    assert page.evaluate("location.hash") == "#/f.steps=2&at=settings"
    top = page.evaluate("document.getElementById('settings').getBoundingClientRect().top")
    assert -60 < top < 120
    for fragment in ("#settings", "#/f.steps=2&at=settings"):
        page = opened(fragment)
        page.reload()
        assert page.evaluate("scrollY") > 500
        assert count(page) == (12 if "steps" in fragment else 36)
    page.evaluate("location.hash = '#/f.steps=2,4&at=method'")
    page.wait_for_function("document.activeElement.id === 'method'")
    assert count(page) == 24
    page.go_back()
    page.wait_for_function("document.activeElement.id === 'settings'")
    assert count(page) == 12


def test_choices_make_no_history(opened: Any) -> None:
    page = opened()
    length = page.evaluate("history.length")
    head(page, "Latency").click()
    page.get_by_role("navigation", name="Contents").get_by_role("link", name="Method", exact=True).click()
    assert page.evaluate("history.length") == length


def test_the_theme_goes_round_is_remembered_and_told(opened: Any) -> None:
    page = opened()
    ground = "getComputedStyle(document.body).backgroundColor"
    page.evaluate("document.addEventListener('themechange', () => { window.told = (window.told ?? 0) + 1; })")
    button = page.get_by_role("button", name="Theme")
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    button.click()
    assert button.inner_text().endswith("light")
    button.click()
    assert page.evaluate(ground) == "rgb(21, 25, 30)"
    assert page.evaluate("window.told") == 2
    page.reload()
    assert page.evaluate(ground) == "rgb(21, 25, 30)"
    button.click()
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    page.evaluate("localStorage.clear()")


def test_the_keyboard_reaches_the_report_past_the_bar(opened: Any) -> None:
    page = opened()
    page.reload()  # the focus begins before everything
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_headings_and_landmarks_are_in_order(opened: Any) -> None:
    page = opened()
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map(one => Number(one.tagName[1]))")
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    for landmark in ("banner", "main", "contentinfo"):
        assert page.get_by_role(landmark).count() == 1


def test_a_part_that_breaks_says_so_in_its_place(browser: Any, index: Path, tmp_path: Path) -> None:
    text = index.read_text(encoding="utf-8")
    assert '"worst":[{' in text
    broken = tmp_path / "broken.html"
    broken.write_text(text.replace('"worst":[{', '"worst":[null,{', 1), encoding="utf-8")
    watched = Watched(browser, broken, height=LOW)
    assert watched.page.get_by_text("This part could not be drawn").first.is_visible()
    assert watched.page.locator(".broken").count() == 1
    assert count(watched.page) == 36
    assert watched.page.evaluate("document.documentElement.dataset.ready") == "yes"
    watched.context.close()


def test_numbers_are_formatted_as_in_the_tables(opened: Any) -> None:
    generator = random.Random(7)
    values = [generator.uniform(-1, 1) * 10 ** generator.randint(-9, 12) for _ in range(200)]
    values += [0.0, 0.5, 1.5, 2.5, 0.125, 0.0625, 1.005, 2.675, 0.9996, 999.5, 1000.0, 99995.0, 1e-5, -0.0, 1e22, -0.4]
    page = opened()
    page.evaluate(
        (APP / "format.js").read_text(encoding="utf-8") + ";Object.assign(window, {significant, usd, estimate});"
    )
    drawn = page.evaluate(
        "values => values.map(value => [significant(value), usd(value), significant(value, 2)])", values
    )
    assert drawn == [[numbers.significant(v), numbers.usd(v), numbers.significant(v, 2)] for v in values]
    spans = [sorted((value, value + abs(other) / 3, value - abs(other) / 7)) for value, other in pairwise(values)]
    drawn = page.evaluate("spans => spans.map(([low, value, high]) => estimate({value, low, high}))", spans)
    expected = [numbers.estimate(Estimate(value=value, low=low, high=high, n=9)) for low, value, high in spans]
    assert [tuple(one) for one in drawn] == expected


def test_paper_has_every_row_and_cuts_nothing(opened: Any) -> None:
    page = opened("#/f.steps=2,4&s.settings-table-1=7")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 703, "height": 1000})
    assert page.evaluate("document.documentElement.scrollWidth") <= 703
    assert page.get_by_text("Filtered to steps 2, 4: 24 of 36 settings are shown.").is_visible()
    assert not page.locator(".bar").is_visible()
    page.emulate_media(media="null")
    pages = page.pdf(format="A4", prefer_css_page_size=True).count(b"/Type /Page\n")
    assert pages > 3


def many_settings(index: Path, folder: Path, times: int) -> Path:
    """The page with all its settings so many times over."""
    html = index.read_text(encoding="utf-8")
    row = re.compile(r'(<tr[^>]* data-setting=")([^"]+)(".*?</tr>)', re.DOTALL)
    html = row.sub(lambda found: "".join(f"{found[1]}{found[2]}-{n}{found[3]}" for n in range(times)), html)
    start = html.index('id="report-data">') + len('id="report-data">')
    end = html.index("</script>", start)
    data = json.loads(html[start:end])
    data["settings"] = [one | {"id": f"{one['id']}-{n}"} for one in data["settings"] for n in range(times)]
    page = folder / "many.html"
    page.write_text(html[:start] + json.dumps(data).replace("<", "\\u003c") + html[end:], encoding="utf-8")
    return page


def test_two_hundred_settings_are_filtered_at_once(browser: Any, index: Path, tmp_path: Path) -> None:
    watched = Watched(browser, many_settings(index, tmp_path, 6), height=LOW)
    page = watched.page
    assert page.evaluate(f"{VISIBLE}.length") == 216
    page.locator("summary", has_text="Filter").click()
    took = page.evaluate(
        """() => {
          const box = document.querySelector('.filter-rows input');
          const began = performance.now();
          box.click();
          document.body.getBoundingClientRect();
          return performance.now() - began;
        }"""
    )
    assert page.locator(".count").inner_text() == "108 of 216 settings"
    assert took <= 200
    assert watched.complaints == []
    watched.context.close()


def test_the_page_holds_its_data_whatever_is_in_it(index: Path) -> None:
    """A prompt that ends a script, or begins a comment, stays inside the JSON."""
    from kreabench.report.explorer.encode import for_page

    text = json.dumps({"a": "</script><!-- <script> \u2028 ]]>"}).encode()
    assert "<" not in for_page(text)
    assert json.loads(for_page(text)) == json.loads(text)
