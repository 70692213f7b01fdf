"""The page in a real browser: it opens from a file, runs only what is ours, asks nobody, fits a phone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kreabench.report.app_script import app_script, early_script, plotly_script
from kreabench.report.build import build_document
from kreabench.report.html_page import render_html
from kreabench.report.report_page import report_page
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.table import read_table
from tests.browser_support import Visited, Watched, explored
from tests.report_runs import HOSTILE, make_run

pytestmark = pytest.mark.browser

BANNER = "untrained weights, emulated service: numbers show the tool, not the model"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of a run whose texts all attack; beside it plain.html, the same page without a script."""
    folder = tmp_path_factory.mktemp("page")
    run, plan = make_run(
        folder / "run",
        prompts=HOSTILE,
        failing=["prompt-1"],
        accelerations=("none", "high"),
        steps=(2,),
        sizes=((128, 128),),
    )
    experiment = replace(run.info.experiment, name=HOSTILE[0], description=HOSTILE[3])
    run = RunDirectory(run.path, replace(run.info, experiment=experiment))
    index = explored(run, plan, folder / "report")
    page = report_page(build_document(run, plan, read_table(run)))
    (index.parent / "plain.html").write_text(render_html(page), encoding="utf-8")
    return index


@pytest.fixture(scope="module")
def plain(index: Path) -> Path:
    """The page without a script."""
    return index.with_name("plain.html")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_page_is_quiet_whole_and_fits(browser: Any, index: Path, width: int, scheme: str) -> None:
    watched = Watched(browser, index, width, scheme)
    page = watched.page
    assert watched.complaints == []
    assert [url for url in watched.requests if not url.startswith("data:")] == [index.as_uri()]
    assert page.evaluate("document.documentElement.dataset.ready") == "yes"
    assert page.locator(".broken").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    broken = "[...document.images].filter(image => image.complete && image.naturalWidth === 0).length"
    assert page.evaluate(broken) == 0
    check_the_banner(page)
    watched.close()


def check_the_banner(page: Any) -> None:
    """It is seen first."""
    banner = page.get_by_text(BANNER, exact=True)
    assert banner.count() == 1
    assert banner.is_visible()


def test_a_page_without_a_script_is_quiet_whole_and_fits(browser: Any, plain: Path) -> None:
    for width in (1280, 390):
        watched = Watched(browser, plain, width)
        page = watched.page
        assert watched.complaints == []
        assert [url for url in watched.requests if not url.startswith("data:")] == [plain.as_uri()]
        assert page.evaluate("document.scripts.length") == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("document.images.length") > 8
        assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        assert page.title() == f"{HOSTILE[0]}: kreabench report"
        watched.context.close()


def test_hostile_text_neither_runs_nor_hides_the_page(watched: Visited) -> None:
    page = watched.page
    page.locator("#trade-off").scroll_into_view_if_needed()
    page.locator(".plot-box .xtick text").first.wait_for()
    run = page.evaluate("[...document.scripts].filter(one => one.type !== 'application/json').map(one => one.text)")
    assert run == [early_script(), plotly_script(), app_script()]
    assert page.title() == f"{HOSTILE[0]}: kreabench report"
    assert page.get_by_text(HOSTILE[0], exact=True).first.is_visible()
    assert page.evaluate("getComputedStyle(document.body).display") == "block"


def test_figures_follow_width_and_scheme(browser: Any, plain: Path) -> None:
    sources = set()
    watched = Watched(browser, plain)
    for width in (1280, 390):
        for scheme in ("light", "dark"):
            watched.page.set_viewport_size({"width": width, "height": 900})
            watched.page.emulate_media(color_scheme=scheme)
            watched.page.reload()
            sources.add(watched.page.evaluate("document.querySelector('.chart img').currentSrc"))
    watched.close()
    assert len(sources) == 4


def test_the_head_of_the_settings_stays_while_rows_scroll(watched: Visited) -> None:
    box = watched.at(width=390).locator("#settings .scroll.tall")
    box.evaluate("box => { box.style.maxHeight = '160px'; box.scrollTop = 150; }")
    assert box.evaluate("box => box.scrollTop") > 0
    head_top = "box => box.querySelector('th').getBoundingClientRect().top - box.getBoundingClientRect().top"
    assert 0 <= box.evaluate(head_top) <= 2


def test_every_table_and_picture_has_a_name_for_screen_readers(watched: Visited) -> None:
    page = watched.page
    assert page.evaluate("[...document.images].filter(image => !image.alt.trim()).length") == 0
    named = "region => document.getElementById(region.getAttribute('aria-labelledby')) !== null"
    assert page.evaluate(f"[...document.querySelectorAll('.scroll')].every({named})")
    assert page.evaluate("document.querySelectorAll('h1').length") == 1
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(element => element.id)")
    assert len(ids) == len(set(ids))


def test_print_is_light_and_shows_all_rows(watched: Visited) -> None:
    watched.at(width=718, scheme="dark")
    watched.page.emulate_media(media="print")
    assert watched.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    boxes = watched.page.locator(".scroll.tall").all()
    assert len(boxes) > 1
    for box in boxes:
        assert box.evaluate("box => box.scrollHeight - box.clientHeight") <= 1


@pytest.fixture(scope="module")
def with_categories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page whose table of categories is long enough to be closed."""
    folder = tmp_path_factory.mktemp("categories")
    run, plan = make_run(folder / "run", accelerations=("none",), steps=(2, 4), sizes=((128, 128),), seeds=(0,))
    table = read_table(run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kreabench.report.parts.LONG_TABLE", 3)
        return explored(run, plan, folder / "report", table.assign(category=table["prompt_id"]))


def test_a_closed_table_opens_on_a_click_and_is_printed_open(browser: Any, with_categories: Path) -> None:
    watched = Watched(browser, with_categories, 1280, "light")
    page = watched.page
    closed = page.locator("details").filter(has_text="prompt-0")
    summary, table = closed.locator("summary"), closed.locator("table")
    assert summary.count() == 1
    assert not table.is_visible()
    page.emulate_media(media="print")
    assert table.is_visible()
    assert table.bounding_box()["height"] > 100
    page.emulate_media(media="screen")
    assert not table.is_visible()
    summary.focus()
    page.keyboard.press("Enter")
    assert table.is_visible()
    assert watched.complaints == []
    watched.context.close()


def test_the_name_of_a_setting_stays_while_its_measurements_scroll(browser: Any, with_categories: Path) -> None:
    watched = Watched(browser, with_categories, 390, "light")
    box = watched.page.locator("#measurements .scroll:visible").first
    box.evaluate("box => { box.style.width = '200px'; box.scrollLeft = 60; }")
    assert box.evaluate("box => box.scrollLeft") > 0
    left = "box => box.querySelector('tbody th').getBoundingClientRect().left - box.getBoundingClientRect().left"
    assert 0 <= box.evaluate(left) <= 2
    watched.context.close()
