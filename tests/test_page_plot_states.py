"""Plots of the page in every state of a report, at every address, and with names that attack."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kreabench.report.explorer.data import BreakEvenData, ReportData, SettingData, ValueData
from tests.test_page_plots import PARTS, Plots, save
from tests.test_report_data import data_of, evidence_of

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ReportData:
    """A run of 36 settings: two targets, three accelerations, three numbers of steps, two sizes."""
    folder = tmp_path_factory.mktemp("states")
    return data_of(evidence_of(folder / "run"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> ReportData:
    """A run of 8 settings."""
    folder = tmp_path_factory.mktemp("states")
    return data_of(evidence_of(folder / "run", accelerations=("none", "regular"), steps=(2, 4), sizes=((128, 128),)))


def metric_of(data: ReportData) -> str:
    """The one that the scatter and the lines show first."""
    there = {name for one in data.settings for name in one.values}
    return next(q.name for q in data.quantities if q.kind != "cost" and q.better != "neither" and q.name in there)


def between(data: ReportData, low: float, high: float) -> ReportData:
    """With values from 2.3 to 2.45 and one interval for all."""
    name = metric_of(data)
    count = len(data.settings)
    scale = next(q.scale for q in data.quantities if q.name == name)
    values = [scale * (2.3 + 0.15 * at / count) for at in range(count)]
    settings = (
        replace(
            one, values=one.values | {name: ValueData(value=value, low=low * scale, high=high * scale, n=4, remark="")}
        )
        for one, value in zip(data.settings, values, strict=True)
    )
    return replace(data, settings=tuple(settings))


def up(page: Plots, section: str) -> tuple[float, float]:
    """Ends of the upward axis."""
    script = "id => document.querySelector(`#${id} .plot-box`)._fullLayout.yaxis.range"
    low, high = page.page.evaluate(script, section)
    return float(low), float(high)


def opened(
    browser: Any,
    data: ReportData,
    folder: Path,
    fragment: str = "",
    width: int = 1280,
    sections: Iterable[str] = PARTS,
) -> Plots:
    """The page with these parts come near, and drawn."""
    page = Plots(browser, save(data, folder / "page"), width, "light", fragment)
    for section in sections:
        page.show(section)
    return page


def closed(page: Plots) -> None:
    """Nothing broke and nothing complained."""
    assert page.page.locator(".broken").all_inner_texts() == []
    assert page.complaints == []
    page.context.close()


INTERVALS = ("trade-off", "steps")
"""Parts whose points have them."""


def test_long_intervals_do_not_press_the_points_flat(browser: Any, small: ReportData, tmp_path: Path) -> None:
    page = opened(browser, between(small, 0.0, 9.8), tmp_path, sections=INTERVALS)
    for section in INTERVALS:
        page.show(section)  # the choice of the section before is followed by what is near alone
        page.page.wait_for_function(
            "id => document.querySelector(`#${id} .plot-box`)._fullLayout.yaxis.range[1] < 3", arg=section
        )
        low, high = up(page, section)
        assert 1.9 < low < 2.3 < 2.36 < high < 2.9, "the points fill the plot"
        part = page.page.locator(f"#{section}")
        assert "Intervals reach beyond the plot" in part.locator(".caption").inner_text()
        page.page.evaluate(f"document.getElementById('{section}').scrollIntoView()")
        part.get_by_label("95 % intervals").select_option("full")
        page.page.wait_for_function(
            "id => document.querySelector(`#${id} .plot-box`)._fullLayout.yaxis.range[1] > 9.7", arg=section
        )
        assert "beyond the plot" not in part.locator(".caption").inner_text()
        part.get_by_label("95 % intervals").select_option("")
        page.page.wait_for_function(
            "id => document.querySelector(`#${id} .plot-box`)._fullLayout.yaxis.range[1] < 3", arg=section
        )
    closed(page)


def test_intervals_that_fit_are_whole(browser: Any, small: ReportData, tmp_path: Path) -> None:
    page = opened(browser, between(small, 2.29, 2.46), tmp_path, sections=INTERVALS)
    for section in INTERVALS:
        low, high = up(page, section)
        assert low <= 2.29 < 2.46 <= high
        assert "beyond the plot" not in page.page.locator(f"#{section} .caption").inner_text()
    closed(page)


def test_few_lines_are_drawn_until_more_are_wanted(browser: Any, made: ReportData, tmp_path: Path) -> None:
    page = opened(browser, made, tmp_path, sections=("steps",))
    part = page.show("steps")

    def lines() -> list[str]:
        return [trace["name"] for trace in page.traces("steps") if any(trace.get("customdata") or ())]

    assert lines() == ["none", "regular", "high"]
    assert part.locator(".caption").inner_text().startswith("At target mini_local, size 128×128.")
    part.get_by_label("Target, held at").select_option("")
    page.page.wait_for_function("() => document.querySelectorAll('#steps .legend .traces').length === 6")
    assert len(lines()) == 6
    page.page.evaluate("location.hash = '#/f.target=\"mini_fal\"'")
    page.page.wait_for_function(
        "() => document.querySelector('#steps .caption').innerText.startsWith('At target mini_fal')"
    )
    assert lines() == ["none", "regular", "high"], "what a filter leaves is drawn"
    page.show("across").locator(".heat-cell").first.wait_for()
    closed(page)


FRAGMENTS = (
    "#/x=__proto__&y=constructor&f.steps=[{}]&s.settings=<script>&hx=toString&hy=__proto__&hq=hasOwnProperty&lq=%00",
    "#/f.steps=1e999,null,{}&f.acceleration=%22%3Cb%3E%22&find=%F0%9F%98%80%E2%80%AE&bars=__proto__&lf.size=%7B&hf.size=[",
    "#/be.hour=1e308&be.images=1e308&be.use=0&be.loads=1e9&be.api=-1&be.mode=__proto__&be.own=x&be.hosted=y&to=x&tm=x",
    "#/be.hour=NaN&be.images=0x10&be.seconds=1e-320&be.kwh=Infinity&open=__proto__&at=%23%22%5D&xlog=yes&y=",
    "#" + "a" * 20_000,
    "#/%",
)


def test_an_address_may_say_anything(browser: Any, small: ReportData, tmp_path: Path) -> None:
    """Where the page opens, and where a reader goes on from there."""
    page = opened(browser, small, tmp_path, FRAGMENTS[0])
    for fragment in FRAGMENTS[1:]:
        _stands(page)
        page.page.evaluate(
            "at => new Promise(done => { addEventListener('hashchange', () => requestAnimationFrame(done),"
            " {once: true}); location.hash = at; })",
            fragment,
        )
        for section in PARTS:
            page.show(section)
    _stands(page)
    closed(page)


def _stands(page: Plots) -> None:
    assert page.page.locator(".broken").count() == 0
    assert page.page.locator("#across table.heat").count() == 1
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 1280


def bare(one: SettingData) -> SettingData:
    """Where nothing was measured."""
    return replace(one, values={}, absent={}, stages=(), steps_s=(), floor_s=None)


def without(data: ReportData, *kinds: str) -> ReportData:
    names = {q.name for q in data.quantities if q.kind in kinds}
    settings = (
        replace(
            s, values={n: v for n, v in s.values.items() if n not in names}, absent=dict.fromkeys(names, "not there")
        )
        for s in data.settings
    )
    return replace(data, settings=tuple(settings), fronts=(), knees=())


EMPTY = BreakEvenData(own=(), hosted=(), notes=())


def state(data: ReportData, name: str) -> ReportData:
    """A report of which something is missing."""
    if name == "one setting":
        axes = tuple(replace(axis, values=axis.values[:1]) for axis in data.axes)
        return replace(data, axes=axes, settings=data.settings[:1], fronts=(), knees=(), break_even=EMPTY)
    if name == "nothing scored":
        return without(data, "quality", "fidelity", "look")
    if name == "no cost":
        return without(data, "cost")
    settings = tuple(map(bare, data.settings))
    return replace(data, settings=settings, quantities=(), fronts=(), knees=(), break_even=EMPTY)


@pytest.mark.parametrize("name", ["one setting", "nothing scored", "no cost", "all failed"])
def test_every_part_says_what_is_missing(browser: Any, small: ReportData, tmp_path: Path, name: str) -> None:
    page = opened(browser, state(small, name), tmp_path, width=390)
    for section in PARTS:
        assert len(page.page.locator(f"#{section} .part").inner_text().strip()) > 10, section
    if name == "all failed":
        assert "No cost was measured" in page.page.locator("#trade-off").inner_text()
        assert "Nothing was measured yet." in page.page.locator("#across").inner_text()
        assert "No request was timed" in page.page.locator("#time").inner_text()
    closed(page)


ATTACKS = (
    '<a href="javascript:alert(1)">x</a><b>b</b>%{x}%{customdata}<br><extra></extra>'
    + "\u202e\u2066reversed\u200f שלום עולם"
    + "W" * 10_000,
    "__proto__",
)


@pytest.mark.parametrize("text", ATTACKS, ids=["markup, directions and length", "proto"])
def test_names_of_axes_stages_and_quantities_are_text(
    browser: Any, small: ReportData, tmp_path: Path, text: str
) -> None:
    quoted = json.dumps(text)[1:-1]
    raw = msgspec.json.encode(small).decode()
    metric = metric_of(small)
    for old in ("regular", "mini_fal", "denoise", metric, "128×128"):
        raw = raw.replace(f'"{old}"', f'"{quoted}{old}"')
    page = opened(browser, msgspec.json.decode(raw, type=ReportData), tmp_path, width=390)
    counted = "document.querySelectorAll('main svg a, main b:not(bdi), main a[href^=javascript], main extra').length"
    assert page.page.evaluate(counted) == 0
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 390
    closed(page)


def test_the_legend_of_the_map_tells_which_end_is_better(browser: Any, small: ReportData, tmp_path: Path) -> None:
    page = opened(browser, small, tmp_path, sections=("across",))
    part = page.show("across")
    there = {name for one in small.settings for name in one.values}
    seen = set()
    for quantity in small.quantities:
        if quantity.name not in there or quantity.better in seen:
            continue
        seen.add(quantity.better)
        part.get_by_label("Quantity").select_option(quantity.name)
        page.page.wait_for_function(
            "label => document.querySelector('#across .caption').innerText.startsWith(label)", arg=quantity.label
        )
        numbers = "[...document.querySelectorAll('.heat-cell')].map(c => [parseFloat(c.innerText), c.style.color])"
        cells = page.page.evaluate(numbers)
        legend = part.locator(".heat-legend").inner_text()
        words = {"lower": ("best", "worst"), "higher": ("best", "worst"), "neither": ("highest", "lowest")}
        assert [word in legend for word in words[quantity.better]] == [True, True]
        darkest = (min if quantity.better == "lower" else max)(number for number, _ in cells)
        assert dict(cells)[darkest] == "rgb(255, 255, 255)", "white on the dark end"
    assert seen >= {"lower", "higher"}
    closed(page)


def test_what_limits_a_value_stands_beside_it(browser: Any, small: ReportData, tmp_path: Path) -> None:
    name, limit = metric_of(small), "4 identical to the reference, not in the mean"
    told = [
        replace(one, values={**one.values, name: replace(one.values[name], remark=limit)}) for one in small.settings
    ]
    fragment = f"#/y={name}&hq={name}"
    page = opened(browser, replace(small, settings=tuple(told)), tmp_path, fragment, sections=("trade-off", "across"))
    assert limit in page.page.locator("#across .heat-cell").first.inner_text()
    page.page.locator("#trade-off").get_by_text("Numbers of this plot").click()
    assert limit in (page.page.locator("#trade-off table").first.text_content() or "")
    closed(page)
