"""Plots of the page, used in a real browser: clicked, walked with the keyboard, filtered, printed, attacked."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kreabench.analysis.break_even import OwnGpu, break_even
from kreabench.analysis.estimates import Estimate
from kreabench.report.explorer.data import (
    BreakEvenData,
    FrontData,
    HostedData,
    KneeData,
    OwnData,
    ReportData,
    SettingData,
    StageData,
)
from kreabench.report.html_page import render_html
from kreabench.report.page import Page, Section
from tests.browser_support import Watched
from tests.test_report_data import data_of, evidence_of

pytestmark = pytest.mark.browser

ATTACK = '<b>bold</b><a href="javascript:alert(1)">link</a>&lt;i&gt; %{x}'
PARTS = {
    "trade-off": "scatter",
    "across": "heat",
    "steps": "lines",
    "pictures": "pictures",
    "time": "time",
    "own-or-api": "break_even",
}
OWN = {"seconds_per_image": 3.0, "seconds_low": 2.9, "seconds_high": 3.1, "load_s": 120.0, "joule_per_image": 2100.0}


def save(data: ReportData, folder: Path) -> Path:
    """A page of all parts drawn from `data`, and nothing else."""
    page = Page(
        kind="report",
        title="demo",
        subtitle="",
        notices=(),
        facts=(),
        sections=tuple(Section(id=id_, title=id_, part=part) for id_, part in PARTS.items()),
        files=("samples.csv",),
        explorer=data,
        held={},
    )
    folder.mkdir(exist_ok=True)
    index = folder / "index.html"
    index.write_text(render_html(page), encoding="utf-8")
    return index


def _measured(one: SettingData) -> SettingData:
    """With steps, memory by stage and a floor, as a run on a GPU has them."""
    if one.axes["target"] == "mini_fal":
        return one
    stages = tuple(replace(s, allocated_bytes=2**28, reserved_bytes=2**29) for s in one.stages)
    return replace(one, steps_s=(0.02,) * int(one.axes["steps"] or 0), floor_s=0.01, stages=stages)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ReportData:
    """A run on two targets, with what no CPU measures."""
    folder = tmp_path_factory.mktemp("plots")
    report = data_of(evidence_of(folder / "run", accelerations=("none", "high"), sizes=((128, 128),), seeds=(0,)))
    settings = tuple(map(_measured, report.settings))
    local = next(s for s in settings if s.axes["target"] != "mini_fal")
    hosted = next(s for s in settings if s.axes["target"] == "mini_fal")
    metric = next(q.name for q in report.quantities if q.kind != "cost" and q.better != "neither")
    chance = {s.id: 0.25 for s in settings}
    return replace(
        report,
        settings=settings,
        fronts=(FrontData(x="latency_s", y=metric, on=(local.id,), chance=chance | {local.id: 1.0}),),
        knees=(KneeData(quantity=metric, axes=local.axes, setting=local.id, steps=2, note="in 90 % of resamples"),),
        break_even=BreakEvenData(
            own=(OwnData(setting=local.id, usd_per_hour=2.4, **OWN),),
            hosted=(HostedData(setting=hosted.id, usd_per_image=0.025, source="price list of 2026-11-01"),),
            notes=(),
        ),
    )


@pytest.fixture(scope="module")
def index(data: ReportData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(data, tmp_path_factory.mktemp("page"))


FIRST_POINT = """() => {
  const box = document.querySelector("#trade-off .plot-box");
  const trace = box.data.find(({ customdata }) => customdata?.some(Boolean));
  const frame = box.getBoundingClientRect();
  const { xaxis, yaxis } = box._fullLayout;
  return { x: frame.x + xaxis._offset + xaxis.d2p(trace.x[0]), y: frame.y + yaxis._offset + yaxis.d2p(trace.y[0]) };
}"""


class Plots(Watched):
    """A page with all its plots drawn."""

    def show(self, section: str) -> Any:
        part = self.page.locator(f"#{section}")
        part.scroll_into_view_if_needed()
        self.page.wait_for_function(
            """id => {
              const plots = [...document.querySelectorAll(`#${id} .plot:not([hidden])`)];
              const missing = plots.find(plot => !plot.querySelector("svg"));
              missing?.scrollIntoView();
              return !missing;
            }""",
            arg=section,
        )
        part.scroll_into_view_if_needed()
        return part

    def choice(self, name: str) -> str:
        fragment = self.page.evaluate("location.hash")
        return str(
            self.page.evaluate("([text, name]) => new URLSearchParams(text.slice(2)).get(name)", [fragment, name])
        )

    def first_point(self) -> dict[str, float]:
        """Where the first point of the scatter is on the screen."""
        return dict(self.page.evaluate(FIRST_POINT))

    def traces(self, section: str) -> list[dict[str, Any]]:
        script = "id => document.querySelector(`#${id} .plot-box`).data.map(({name, x, y, customdata}) => "
        return list(self.page.evaluate(script + "({name: name ?? '', x, y, customdata}))", section))


@pytest.fixture(scope="module")
def shared(browser: Any, index: Path) -> Iterator[Plots]:
    page = Plots(browser, index)
    yield page
    page.context.close()


NOTHING_CHOSEN = """() => new Promise(done => {
  if (!location.hash) return done();
  addEventListener("hashchange", () => requestAnimationFrame(done), { once: true });
  location.hash = "";
})"""


@pytest.fixture
def plots(shared: Plots) -> Iterator[Plots]:
    """One page for all tests, at whose beginning nothing is chosen."""
    shared.page.evaluate(NOTHING_CHOSEN)
    yield shared
    assert shared.complaints == []


def test_a_click_on_a_point_opens_that_setting(plots: Plots, data: ReportData) -> None:
    plots.show("trade-off")
    point = plots.first_point()
    plots.page.mouse.move(point["x"], point["y"])
    plots.page.mouse.click(point["x"], point["y"])
    assert plots.choice("open") in {setting.id for setting in data.settings}
    plots.page.wait_for_function("() => document.querySelector('#pictures').getBoundingClientRect().top < innerHeight")


def test_points_are_walked_and_opened_with_the_keyboard(plots: Plots, data: ReportData) -> None:
    part = plots.show("trade-off")
    part.locator(".plot-stage").focus()
    keys = plots.page.keyboard
    keys.press("Home")
    fastest = min(
        (s for s in data.settings if "latency_s" in s.values), key=lambda setting: setting.values["latency_s"].value
    )
    spoken = part.locator("[role=status]")
    assert fastest.label in spoken.inner_text()
    assert part.locator(".plot-ring").is_visible()
    keys.press("ArrowRight")
    assert "2 of" in spoken.inner_text()
    keys.press("ArrowLeft")
    keys.press("Enter")
    assert plots.choice("open") == fastest.id
    part.locator(".plot-stage").focus()
    keys.press("End")
    keys.press("Escape")
    assert not part.locator(".plot-ring").is_visible()


def test_axes_stand_in_the_address_and_come_back_from_it(
    browser: Any, plots: Plots, index: Path, data: ReportData
) -> None:
    metric = [q for q in data.quantities if q.kind != "cost"][1]
    plots.show("trade-off")
    plots.page.get_by_label("Metric, upward").select_option(metric.name)
    plots.page.get_by_label("Logarithmic cost").check()
    fragment = plots.page.evaluate("location.hash")
    second = Plots(browser, index, fragment=fragment)
    second.show("trade-off")
    assert second.page.get_by_label("Metric, upward").input_value() == metric.name
    assert second.page.get_by_label("Logarithmic cost").is_checked()
    layout = second.page.evaluate(
        "(({xaxis, yaxis}) => [xaxis.type, yaxis.title.text])(document.querySelector('.plot-box').layout)"
    )
    assert layout[0] == "log"
    assert layout[1].startswith(metric.label)
    second.context.close()


def test_the_front_follows_the_filter_and_says_whose_chance_it_shows(plots: Plots) -> None:
    part = plots.show("trade-off")
    before = part.locator(".caption").inner_text()
    plots.page.evaluate("location.hash = '#/f.target=\"mini_fal\"'")
    plots.page.wait_for_function("old => document.querySelector('#trade-off .caption').innerText !== old", arg=before)
    assert "among all settings" in part.locator(".caption").inner_text()
    traces = plots.traces("trade-off")
    assert all("mini_local" not in trace["name"] for trace in traces)
    front = next(trace for trace in traces if trace["name"] == "front")
    ups = [up for trace in traces if any(trace.get("customdata") or ()) for up in trace["y"] if up is not None]
    assert max(front["y"]) == max(ups)


def test_the_numbers_of_a_plot_are_a_table_that_follows_the_filter(plots: Plots, data: ReportData) -> None:
    part = plots.show("trade-off")
    part.locator("summary").click()
    rows = part.locator("tbody tr")
    rows.first.wait_for()
    assert rows.count() == len(data.settings)
    assert part.locator("tbody th[scope=row]").first.inner_text().startswith(data.settings[0].label)
    plots.page.evaluate("location.hash = '#/f.target=\"mini_fal\"'")
    plots.page.wait_for_function(
        "count => document.querySelectorAll('#trade-off tbody tr').length === count", arg=len(data.settings) // 2
    )


def test_cells_of_the_map_are_the_numbers_of_the_report(plots: Plots, data: ReportData) -> None:
    part = plots.show("across")
    part.get_by_label("Rows").select_option("steps")
    part.get_by_label("Columns").select_option("acceleration")
    part.locator("table.heat").wait_for()
    reference = next(s for s in data.settings if s.reference == s.id)
    fixed = {name: reference.axes[name] for name in ("target", "size")}
    accelerations = sorted({str(setting.axes["acceleration"]) for setting in data.settings})
    plots.page.wait_for_function(
        """names => {
          const texts = (which) => {
            return [...document.querySelectorAll(`#across ${which}`)].map((one) => one.innerText.trim());
          };
          const heads = texts("thead th").filter((text) => names.includes(text));
          const steps = texts("tbody th").filter((text) => /^[0-9]+$/.test(text));
          return heads.length === names.length && steps.length === 3;
        }""",
        arg=accelerations,
    )
    heads = part.locator("thead th").all_inner_texts()
    seen = 0
    for row in part.locator("tbody tr").all():
        steps = int(row.locator("th").inner_text())
        for head, cell in zip(heads, row.locator("td").all(), strict=True):
            wanted = fixed | {"steps": steps, "acceleration": head.strip()}
            setting = next(s for s in data.settings if wanted.items() <= s.axes.items())
            number = float(cell.locator("strong").inner_text().removesuffix(" s").replace(",", ""))
            assert number == pytest.approx(setting.values["latency_s"].value, rel=6e-3)
            assert ("reference" in cell.inner_text()) == (setting.reference == setting.id)
            seen += 1
    assert seen == 6


CONTRASTS = """() => [...document.querySelectorAll(".heat-cell")].map((cell) => {
  const style = getComputedStyle(cell);
  const light = (text) => {
    const [r, g, b] = text.match(/[0-9.]+/g).map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [one, two] = [light(style.color), light(style.backgroundColor)];
  return (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
})"""


def test_cells_of_the_map_can_be_read(plots: Plots) -> None:
    plots.show("across").locator(".heat-cell").first.wait_for()
    contrasts = plots.page.evaluate(CONTRASTS)
    assert len(contrasts) > 3
    assert min(contrasts) >= 4.5


def test_a_cell_without_a_setting_says_why(plots: Plots) -> None:
    part = plots.show("across")
    plots.page.evaluate("""location.hash = '#/hx=steps&hy=acceleration&find=high'""")
    part.get_by_text("hidden by a filter").first.wait_for()


def test_knees_are_marked_and_said(plots: Plots, data: ReportData) -> None:
    part = plots.show("steps")
    assert "knee at 2 steps, in 90 % of resamples" in part.locator(".notes").inner_text()
    ring = next(trace for trace in plots.traces("steps") if trace["name"] == "knee")
    assert ring["x"] == [2]


def test_time_shows_stages_steps_and_memory(plots: Plots, data: ReportData) -> None:
    part = plots.show("time")
    names = {trace["name"] for trace in plots.traces("time")}
    assert {"denoise", "queue", "median, whole", "physical floor"} <= names
    for title in ("Each step", "Memory of each stage"):
        part.get_by_role("heading", name=title).scroll_into_view_if_needed()
    plots.page.wait_for_function("() => document.querySelectorAll('#time .plot svg.main-svg').length >= 6")
    part.get_by_label("Order").select_option("fast")
    ordered = sorted(data.settings, key=lambda setting: setting.values["latency_s"].value)
    plots.page.wait_for_function(
        "id => document.querySelector('#time .plot-box').data"
        ".find(({name}) => name === 'median, whole').customdata[0] === id",
        arg=ordered[0].id,
    )


def test_without_a_gpu_there_is_no_memory_by_stage(browser: Any, data: ReportData, tmp_path: Path) -> None:
    stages = (StageData(name="denoise", mean_s=0.1, allocated_bytes=None, reserved_bytes=None),)
    page = Plots(
        browser,
        save(
            replace(data, settings=tuple(replace(s, stages=stages, steps_s=()) for s in data.settings)),
            tmp_path / "page",
        ),
    )
    part = page.show("time")
    for text in ("No memory by stage: there was no GPU.", "No step was timed on its own"):
        part.get_by_text(text).wait_for()
    page.context.close()


BREAK_EVENS = [
    {"hour": 2.4, "use": 100, "loads": 1, "kwh": 0, "api": 0.025, "mode": "all_day"},
    {"hour": 2.4, "use": 100, "loads": 1, "kwh": 0, "api": 0.025, "mode": "rented_while_used"},
    {"hour": 1.1, "use": 35, "loads": 4, "kwh": 0.4, "api": 0.012, "mode": "rented_while_used"},
    {"hour": 9.0, "use": 50, "loads": 0, "kwh": 0.3, "api": 0.004, "mode": "all_day"},
    {"hour": 9.0, "use": 50, "loads": 2, "kwh": 0.3, "api": 0.004, "mode": "rented_while_used"},
    {"hour": 2.4, "use": 100, "loads": 2, "kwh": 0, "api": 0.00203, "mode": "rented_while_used"},
]


def test_the_page_breaks_even_where_the_library_does(plots: Plots) -> None:
    plots.show("own-or-api")
    answer = plots.page.locator(".be-answer")
    for case in BREAK_EVENS:
        before = answer.get_attribute("data-images")
        plots.page.evaluate("at => { location.hash = at; }", "#/" + "&".join(f"be.{n}={v}" for n, v in case.items()))
        plots.page.wait_for_function("old => document.querySelector('.be-answer').dataset.images !== old", arg=before)
        _breaks_even_there(answer, case)


def _breaks_even_there(answer: Any, case: dict[str, Any]) -> None:
    said = answer.get_attribute("data-images") or ""
    images, low, high, capacity = (
        math.inf if part == "Infinity" else None if part == "null" else float(part) for part in said.split()
    )
    gpu = OwnGpu(
        usd_per_hour=case["hour"],
        seconds_per_image=3.0,
        utilisation=case["use"] / 100,
        load_s=120.0,
        loads_per_day=case["loads"],
        joule_per_image=2100.0,
        usd_per_kwh=case["kwh"],
    )
    found = break_even(gpu, case["api"], case["mode"], Estimate(value=3.0, low=2.9, high=3.1, n=8))
    assert capacity == pytest.approx(found.capacity)
    if found.images_per_day is None:
        assert images is None
        assert found.reason in answer.inner_text()
    else:
        assert (images, low, high) == pytest.approx(
            (found.images_per_day.value, *(found.images_per_day.interval or ()))
        )


def test_a_slider_changes_the_answer_and_then_the_address(plots: Plots) -> None:
    part = plots.show("own-or-api")
    slider = part.get_by_label("GPU, $ an hour, slider")
    before = part.locator(".be-answer").inner_text()
    slider.focus()
    for _ in range(10):
        plots.page.keyboard.press("ArrowRight")
    assert part.locator(".be-answer").inner_text() != before
    assert slider.get_attribute("aria-valuetext") == "2.9 dollars an hour"
    assert plots.choice("be.hour") == "2.9"
    assert part.get_by_label("GPU, $ an hour", exact=True).input_value() == "2.9"


def test_without_a_service_or_a_price_the_page_asks(browser: Any, data: ReportData, tmp_path: Path) -> None:
    page = Plots(browser, save(replace(data, break_even=BreakEvenData(own=(), hosted=(), notes=())), tmp_path / "page"))
    part = page.show("own-or-api")
    answer = part.locator(".be-answer")
    answer.get_by_text("Say what an hour of the GPU costs").wait_for()
    for label, value in (("GPU, $ an hour", "2.4"), ("Seconds an image", "3"), ("API, $ an image", "0.025")):
        part.get_by_label(label, exact=True).fill(value)
        part.get_by_label(label, exact=True).blur()
    part.locator(".plot svg").first.wait_for()
    assert "At 1,000 images a day" in answer.inner_text()
    assert page.complaints == []
    page.context.close()


def _attacked(data: ReportData) -> ReportData:
    """Every name that a plot shows is markup."""
    text = json.dumps(ATTACK)[1:-1]
    raw = msgspec.json.encode(data).decode().replace('"mini_local', f'"{text} mini_local')
    raw = raw.replace('"denoise"', f'"{text} denoise"').replace('"label":"Latency"', f'"label":"{text}"')
    return msgspec.json.decode(raw, type=ReportData)


def test_hostile_names_are_text_in_plots_also_on_hovering(browser: Any, data: ReportData, tmp_path: Path) -> None:
    """Narrow pages are attacked in test_page_plot_states.py."""
    page = Plots(browser, save(_attacked(data), tmp_path / "page"))
    for section in PARTS:
        page.show(section)
    assert page.page.evaluate("document.querySelectorAll('main svg a, main b, main a[href^=javascript]').length") == 0
    shown = page.page.evaluate("document.querySelector('#trade-off .plot-box .legend').textContent")
    assert "<b>bold</b>" in shown
    page.page.locator("#trade-off .plot-stage").focus()
    page.page.keyboard.press("Home")
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 1280
    page.show("trade-off")
    point = page.first_point()
    page.page.mouse.move(point["x"] - 3, point["y"])
    page.page.mouse.move(point["x"], point["y"])
    page.page.locator("#trade-off .hovertext").first.wait_for()
    label = page.page.locator("#trade-off .hoverlayer")
    assert "<b>bold</b>" in label.evaluate("label => label.textContent")
    assert label.locator("a").count() == 0
    assert page.complaints == []
    page.context.close()


def test_paper_has_every_plot_white_and_as_wide_as_the_sheet(browser: Any, index: Path) -> None:
    page = Plots(browser, index, scheme="dark")
    page.page.emulate_media(media="print")
    page.page.wait_for_function("() => document.querySelectorAll('.plot-box')[5]?._fullLayout?.width === 700")
    boxes = "[...document.querySelectorAll('.plot-box')]"
    drawn = f"{boxes}.map(box => [box._fullLayout?.width, box._fullLayout?.paper_bgcolor])"
    # The page hears of it at its next frame.
    page.page.wait_for_function(f"() => {drawn}.filter(([width]) => width === 700).length === 6")
    assert page.page.evaluate(drawn) == [[700, "#ffffff"]] * 6
    page.page.emulate_media(media="screen")
    page.page.wait_for_function("() => document.querySelector('.plot-box')._fullLayout.width > 700")
    (width, ground), *_ = page.page.evaluate(drawn)
    assert width <= 1280
    assert ground != "#ffffff"
    page.page.emulate_media(color_scheme="light")
    page.page.wait_for_function("() => document.querySelector('.plot-box')._fullLayout.paper_bgcolor === '#ffffff'")
    assert page.complaints == []
    page.context.close()


def test_a_plot_can_be_saved_as_a_picture(plots: Plots) -> None:
    part = plots.show("trade-off")
    part.locator(".plot-box").hover()
    with plots.page.expect_download() as started:
        part.get_by_role("button", name="Download as PNG").click()
    assert started.value.suggested_filename.endswith(".png")
    assert Path(started.value.path()).read_bytes().startswith(b"\x89PNG")


def test_settings_that_do_not_differ_get_a_sentence(browser: Any, data: ReportData, tmp_path: Path) -> None:
    axes = tuple(replace(axis, values=axis.values[:1]) for axis in data.axes)
    page = Plots(browser, save(replace(data, axes=axes, settings=data.settings[:1], knees=()), tmp_path / "page"))
    assert "a map takes two axes" in page.show("across").inner_text()
    assert "no line over steps" in page.show("steps").inner_text()
    assert page.complaints == []
    page.context.close()
