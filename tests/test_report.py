"""Reports: every renderer against hostile text, every state a run can be in, and what is written where."""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import PIL.Image
import pytest
from rich.console import Console

from kreabench.cli.run_table import print_settings
from kreabench.core.errors import RunDirectoryError, StorageError
from kreabench.core.planned import Plan, SkippedSetting
from kreabench.core.records import Cost, FailureRecord
from kreabench.core.redaction import redact
from kreabench.report.build import build_document
from kreabench.report.build import document_of as evidence_document
from kreabench.report.csv_text import guard
from kreabench.report.document import Document
from kreabench.report.drawing.figures import draw
from kreabench.report.drawing.sheet import draw_sheet
from kreabench.report.drawing.style import DARK, LIGHT, STAGES, UNEXPLAINED, drawable, keys
from kreabench.report.figure_data import Scatter
from kreabench.report.format import ABSENT
from kreabench.report.html_page import TEMPLATES, render_html
from kreabench.report.markdown_page import escape, render_markdown
from kreabench.report.parts import Cell, Fact, Table
from kreabench.report.pictures import build_pictures
from kreabench.report.report_page import report_page
from kreabench.report.tables import samples_csv, settings_csv, shifts_csv
from kreabench.report.text import shorten, visible
from kreabench.report.write import write_report
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.table import read_table, rebuild_table
from tests.hostile_pages import FILES, decided_files
from tests.report_runs import HOSTILE, KEY, PROMPTS, TWO_TARGETS, make_run
from tests.support import make_failure, make_target, make_timings
from tests.test_report_data import data_of, evidence_of

SMALL: dict[str, Any] = {"accelerations": ("none", "high"), "steps": (2,), "sizes": ((128, 128),)}
LOCAL: dict[str, Any] = SMALL | {"targets": TWO_TARGETS[:1], "steps": (2, 4)}
BANNER = "untrained weights, emulated service: numbers show the tool, not the model"


def document_of(path: Path, **options: Any) -> Document:
    """The document of a run made with `options`."""
    run, plan = make_run(path, **options)
    return build_document(run, plan, read_table(run))


def column(table: Table, title: str) -> list[Cell]:
    """The cells of one column."""
    index = [head.title for head in table.columns].index(title)
    return [row.cells[index] for row in table.rows]


RENDERERS: dict[str, Callable[[RunDirectory, Document], str]] = {
    "html": lambda run, document: render_html(report_page(document)),
    "markdown": lambda run, document: render_markdown(report_page(document)),
    "settings.csv": lambda run, document: settings_csv(document.summaries),
    "shifts.csv": lambda run, document: shifts_csv(document.shifts),
    "samples.csv": lambda run, document: samples_csv(read_table(run)),
}


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """A run whose texts all attack, its document, its written report, and what each renderer makes of it."""

    run: RunDirectory
    plan: Plan
    document: Document
    report: Path
    rendered: dict[str, str]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Hostile:
    """Made once."""
    folder = tmp_path_factory.mktemp("hostile")
    skipped = SkippedSetting(
        target="mini_fal",
        acceleration="none",
        steps=99,
        guidance=4.5,
        size="128x128",
        num_images=1,
        output_format="png",
        reason=HOSTILE[0],
    )
    run, plan = make_run(folder / "run", prompts=HOSTILE, failing=["prompt-1"], skipped=[skipped], **SMALL)
    experiment = replace(run.info.experiment, name=HOSTILE[0], description=HOSTILE[2])
    run = RunDirectory(run.path, replace(run.info, experiment=experiment))
    write_report(run, plan, folder / "report")
    document = build_document(run, plan, read_table(run))
    rendered = {name: render(run, document) for name, render in RENDERERS.items()}
    rendered |= decided_files(run, plan, folder)
    rendered["report.md"] = (folder / "report" / "report.md").read_text(encoding="utf-8")
    return Hostile(run=run, plan=plan, document=document, report=folder / "report", rendered=rendered)


@pytest.mark.parametrize("name", [*RENDERERS, "report.md", *FILES])
def test_no_renderer_lets_a_path_a_name_or_a_key_out(name: str, hostile: Hostile) -> None:
    text = re.sub(r"base64,[A-Za-z0-9+/=]+", "", hostile.rendered[name])
    for secret in ("/home/", "somebody", "~/", KEY, KEY[:20], str(hostile.run.path)):
        assert secret not in text


@pytest.mark.parametrize("name", [*RENDERERS, "report.md", *FILES])
def test_no_renderer_prints_what_is_absent_as_a_number(name: str, hostile: Hostile) -> None:
    assert not re.search(r"(?i)(?<![a-z])(nan|none|null|inf|<na>)(?![a-z])", _values(name, hostile.rendered[name]))


def _values(name: str, text: str) -> str:
    """The text without the acceleration that is called none, and without differences of which none is shown."""
    if name in PAGES:
        text = re.sub(
            r"base64,[A-Za-z0-9+/=]+|<style>.*?</style>|Content-Security-Policy[^>]*|display:none", "", text, flags=re.S
        )
    return re.sub(r"\bnone(,|<| \||\b)|None shown", "", text)


PAGES = ("html", *(name for name in FILES if name.endswith(".html")))
MARKDOWN = ("markdown", "report.md", *(name for name in FILES if name.endswith(".md")))
TABLES = ("samples.csv", "settings.csv", *(name for name in FILES if name.endswith(".csv")))


class Elements(HTMLParser):
    """Names and attributes of all elements, and the text that people read."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("name", PAGES)
def test_html_holds_hostile_text_as_text_alone(name: str, hostile: Hostile) -> None:
    page = Elements()
    page.feed(hostile.rendered[name])
    tags = {tag for tag, _ in page.found}
    assert tags.isdisjoint({"script", "iframe", "object", "embed", "form", "base"})
    assert [tag for tag, _ in page.found].count("style") == 1
    handlers = [name for _, attributes in page.found for name in attributes if name.startswith("on") or name == "style"]
    assert handlers == []
    assert HOSTILE[0][:40] in page.text, "the text itself must be readable"


@pytest.mark.parametrize("name", PAGES)
def test_html_names_nothing_outside_itself(name: str, hostile: Hostile) -> None:
    page = Elements()
    page.feed(hostile.rendered[name])
    addresses = [value or "" for _, a in page.found for name, value in a.items() if name in {"src", "srcset", "href"}]
    assert addresses
    assert {address[:5] for address in addresses if not address.startswith("#")} == {"data:"}


@pytest.mark.parametrize("name", [*PAGES, *MARKDOWN])
def test_no_page_has_a_bidi_control_that_could_reorder_it(name: str, hostile: Hostile) -> None:
    page = hostile.rendered[name]
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", page)
    assert "⟨U+202E⟩reversed" in page or name not in {"html", "recommend/index.html", "recommend/recommend.md"}


def test_long_prompts_are_cut_and_say_so(hostile: Hostile) -> None:
    prompts = [row.prompt for grid in hostile.document.pictures.grids for row in grid.rows]
    assert max(map(len, prompts)) < 400
    assert any("more characters)" in prompt for prompt in prompts)


@pytest.mark.parametrize("name", MARKDOWN)
def test_markdown_tables_keep_their_columns_and_hold_no_markup(name: str, hostile: Hostile) -> None:
    text = re.sub(r"^(`{3,})sh\n.*?^\1$", "", hostile.rendered[name], flags=re.M | re.S)
    assert "```" not in text.replace("\\`", "")
    assert "<script" not in text
    assert "<style" not in text
    assert not re.search(r"(?<!\\)\]\(javascript", text)
    lines = text.splitlines()
    rules = [number for number, line in enumerate(lines) if line.startswith("|:")]
    assert len(rules) >= (5 if name == "markdown" else 2)
    for rule in rules:
        columns = lines[rule].count("|")
        rows = [lines[rule - 1], *_while_table(lines[rule + 1 :])]
        assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {columns}


def _while_table(lines: list[str]) -> list[str]:
    end = next((number for number, line in enumerate(lines) if not line.startswith("|")), len(lines))
    return lines[:end]


def test_markdown_names_only_figures_that_were_written(hostile: Hostile) -> None:
    report = hostile.report
    named = re.findall(r"\]\((figures/[^)]+)\)", (report / "report.md").read_text(encoding="utf-8"))
    assert "figures/cost-quality.png" in named
    assert sorted(named) == sorted(f"figures/{path.name}" for path in (report / "figures").glob("*.png"))
    for name in named:
        with PIL.Image.open(report / name, formats=("PNG",)) as picture:
            picture.load()
            assert min(picture.size) > 200


@pytest.mark.parametrize("name", TABLES)
def test_csv_cells_are_no_formulas_and_rows_stay_whole(name: str, hostile: Hostile) -> None:
    parsed = list(csv.DictReader(io.StringIO(hostile.rendered[name]), strict=True))
    rows = {"samples.csv": len(read_table(hostile.run)), "settings.csv": len(hostile.document.summaries)}
    assert len(parsed) == rows.get(name, len(parsed))
    assert parsed or name == "history/steps.csv"
    assert not [row for row in parsed if None in row or None in row.values()], "a row has more or fewer cells"
    cells = [value for row in parsed for value in row.values()]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@", "\t", "\r"))]
    assert not [cell for cell in cells if cell.startswith("-") and not re.fullmatch(r"-[\d.e-]+", cell)]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\n=1", "＝1"])
def test_formulas_get_an_apostrophe(text: str) -> None:
    assert guard(text) == f"'{text}"


def test_a_carriage_return_begins_no_row(tmp_path: Path) -> None:
    run, _ = make_run(tmp_path / "run", prompts=("a\r=1+1",), **LOCAL)
    table = read_table(run)
    # As most readers do, any line end counts outside of quotes.
    parsed = list(csv.DictReader(io.StringIO(samples_csv(table), newline=None), strict=True))
    assert [row["prompt"] for row in parsed] == ["a\n=1+1"] * len(table)


def test_csv_numbers_are_unrounded_and_absent_ones_empty(tmp_path: Path) -> None:
    run, plan = make_run(tmp_path / "run", done=0.5, **LOCAL)
    table = read_table(run)
    samples = pd.read_csv(io.StringIO(samples_csv(table)))
    assert samples["end_to_end_s"].tolist() == table["end_to_end_s"].tolist()
    settings = pd.read_csv(io.StringIO(settings_csv(build_document(run, plan, table).summaries)))
    assert settings["setting_id"].tolist() == [setting.id for setting in plan.settings]
    assert settings["latency_median_s"].notna().all()
    assert settings["latency_p99_s"].isna().all()


def test_the_notice_stands_first_and_word_for_word(hostile: Hostile) -> None:
    document = hostile.document
    assert (document.notices[0].level, document.notices[0].text) == ("warning", BANNER)
    assert BANNER in hostile.rendered["html"]
    assert BANNER in hostile.rendered["markdown"]


def test_every_row_of_a_table_says_that_its_numbers_are_not_real(hostile: Hostile, tmp_path: Path) -> None:
    for name in ("samples.csv", "settings.csv"):
        rows = list(csv.DictReader(io.StringIO((hostile.report / name).read_text(encoding="utf-8"))))
        assert rows
        assert {row["notice"] for row in rows} == {BANNER}
    real = document_of(tmp_path / "run", **LOCAL | {"targets": (make_target(name="krea_local", untrained=False),)})
    assert "notice" not in settings_csv(real.summaries, real.brand)


def test_a_sheet_of_pictures_that_is_passed_on_alone_is_branded(hostile: Hostile) -> None:
    grid = hostile.document.pictures.grids[0]
    assert grid.brand == BANNER
    branded, bare = (
        PIL.Image.open(io.BytesIO(draw_sheet(one))).convert("L") for one in (grid, replace(grid, brand=""))
    )
    foot = branded.crop((0, bare.height - 8, branded.width, branded.height))
    assert branded.height > bare.height
    assert np.asarray(foot).min() < 128, "something is written there"


def test_spent_dollars_are_all_that_were_spent(tmp_path: Path) -> None:
    """A request that failed, was billed and was drawn by a later resume has cost twice."""
    run, plan = make_run(tmp_path / "run", **SMALL)
    delivered = next(sample for sample in run.samples().values() if sample.hosted)
    failed = replace(
        delivered, status="failed", images=(), error=make_failure(type="storage", stage="store", transient=True)
    )
    unknown = replace(failed, cost=Cost(usd=None, basis="none"))
    before = spent_of(build_document(run, plan, read_table(run)))
    with run.writer() as writer:
        for record in (failed, unknown, delivered):
            writer.append(record)
    after = spent_of(build_document(run, plan, read_table(run)))
    assert "failures" not in before.detail
    assert "failures $0.0250" in after.detail
    assert "1 request of unknown cost besides, $0.0250 by the price list" in after.detail
    assert float(after.value.strip("$")) == pytest.approx(float(before.value.strip("$")) + 0.05, abs=0.005)


def test_what_a_later_session_fetched_has_a_known_cost(tmp_path: Path) -> None:
    """Workers that died with requests in hand: nothing is unknown any more once these were fetched."""
    run, plan = make_run(tmp_path / "run", **SMALL)
    delivered = next(sample for sample in run.samples().values() if sample.hosted)
    crashed = FailureRecord(
        group_id=next(group.id for group in plan.groups if group.target.hosted),
        setting_id=delivered.setting_id,
        request_id=delivered.request_id,
        attempt=1,
        started_utc=delivered.started_utc,
        error=make_failure(type="crashed", stage="generate", transient=True, fetch_again=True),
        cost=Cost(usd=None, basis="none"),
    )
    with run.writer() as writer:
        writer.append(crashed)
    assert "1 request of unknown cost besides" in spent_of(build_document(run, plan, read_table(run))).detail
    with run.writer() as writer:
        writer.append(delivered)
    assert "unknown" not in spent_of(build_document(run, plan, read_table(run))).detail


def test_small_amounts_keep_three_digits(tmp_path: Path) -> None:
    run, plan = make_run(tmp_path / "run", **SMALL)
    sample = next(sample for sample in run.samples().values() if sample.hosted)
    other = next(one for one in run.samples().values() if one.hosted and one.request_id != sample.request_id)
    cheap = Cost(usd=0.00002, basis="price_list")
    with run.writer() as writer:
        writer.append(replace(sample, status="failed", images=(), cost=cheap, error=make_failure()))
        writer.append(replace(other, timings=make_timings(resolution_s=0.0234567)))
    rebuild_table(run, plan)
    document = build_document(run, plan, read_table(run))
    assert "Failed samples cost $0.0000200, which is not in the dollars an image." in document.settings.notes
    (latency,) = (figure for figure in document.figures if figure.name == "latency")
    assert "to within 0.0235 s" in latency.caption


def spent_of(document: Document) -> Fact:
    """The headline figure."""
    return next(fact for fact in document.facts if fact.label == "Spent")


def test_no_two_stages_of_a_figure_share_a_colour() -> None:
    """A local and a hosted target beside each other: a reader tells stages apart by nothing else."""
    hosted = ("submit", "queue", "inference", "queue_and_inference", "result", "download")
    names = ("encode_text", "prepare", "denoise", "decode", "postprocess", *hosted)
    colours = [*keys(names, STAGES).values(), UNEXPLAINED]
    assert len(set(colours)) == len(colours)


def test_a_crowded_scatter_stays_small_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    crowded = {"targets": TWO_TARGETS[:1], "steps": range(1, 152), "prompts": ("x",), "seeds": (0,), "pictures": False}
    document = document_of(tmp_path / "run", **LOCAL | crowded | {"accelerations": ("none",), "sizes": ((128, 128),)})
    figure = next(figure for figure in document.figures if figure.name == "cost-quality")
    assert "Plots of more than 150 settings show neither numbers nor whiskers." in figure.caption
    assert len(draw(figure, format="svg")) < 2_000_000


def test_untrained_metrics_are_branded_where_their_numbers_are(hostile: Hostile) -> None:
    heads = {head.title: head.brand for head in hostile.document.settings.columns}
    assert (heads["clip"], heads["psnr"], heads["ssim"]) == ("untrained weights", "", "")
    scatter = next(figure for figure in hostile.document.figures if figure.name == "cost-quality")
    assert scatter.brand == BANNER, "a figure that is passed on alone says so too"
    assert isinstance(scatter.data, Scatter)
    brands = {panel.y_label: panel.brand for row in scatter.data.rows for panel in row}
    assert brands == {"clip (100 × cosine)": "untrained weights", "psnr (dB)": "", "ssim": ""}
    cells = [cell for grid in hostile.document.pictures.grids for row in grid.rows for cell in row.cells]
    assert all(score.endswith("†") for cell in cells for score in cell.scores if score.startswith("clip"))
    assert any("† scored with untrained weights" in note for note in hostile.document.pictures.notes)


def test_a_real_target_has_no_notice(tmp_path: Path) -> None:
    document = document_of(tmp_path / "run", **LOCAL | {"targets": (make_target(name="krea_local", untrained=False),)})
    assert not [notice for notice in document.notices if "numbers show the tool" in notice.text]


def test_settings_say_units_intervals_and_why_a_number_is_absent(tmp_path: Path) -> None:
    document = document_of(tmp_path / "run", **SMALL)
    table = document.settings
    heads = {head.title: head.unit for head in table.columns}
    assert heads["Latency"] == "median s a request"
    assert heads["Cost"] == "$ an image"
    assert heads["Peak memory"] == "MiB, resident"
    assert heads["psnr"] == "dB · ↑\u00a0better"
    assert all(re.fullmatch(r"[\d.]+ – [\d.]+", cell.detail) for cell in column(table, "Latency"))
    assert [cell.detail for cell in column(table, "Peak memory")] == ["", "", "hosted", "hosted"]
    assert [cell.detail for cell in column(table, "Cost")] == ["device hour", "device hour", "billed", "billed"]
    assert [row.mark for row in table.rows] == ["reference", "", "reference", ""]
    reference = column(table, "psnr")[0]
    assert (reference.text, reference.absent, reference.detail) == ("—", True, "the reference")


def test_too_few_timings_give_a_median_without_an_interval(tmp_path: Path) -> None:
    document = document_of(tmp_path / "run", **LOCAL | {"seeds": (0,)})
    cells = column(document.settings, "Latency")
    assert {cell.detail for cell in cells} == {"n = 4, no interval"}
    assert any("6 timings" in note for note in document.settings.notes)


def test_a_half_finished_run_without_scores_and_pictures_says_so(tmp_path: Path) -> None:
    document = document_of(tmp_path / "run", done=0.4, scores=False, pictures=False, **LOCAL)
    said = " ".join(notice.text for notice in document.notices)
    assert "Not finished: 19 of 32 requests have not run yet." in said
    assert "There are no scores yet" in said
    assert {cell.detail for cell in column(document.settings, "psnr")} == {"not scored yet"}
    cells = [cell for grid in document.pictures.grids for row in grid.rows for cell in row.cells]
    assert {cell.state for cell in cells} == {"missing", "pending"}
    assert any("not on this disk" in note for note in document.pictures.notes)
    assert "needs two settings with a timing and a score" in document.figures_note
    assert "There is no picture to show." in render_markdown(report_page(document))


def test_a_run_where_everything_failed_says_why(tmp_path: Path) -> None:
    document = document_of(tmp_path / "run", failing=[f"prompt-{n}" for n in range(4)], **LOCAL)
    assert any("Every sample that ran has failed" in notice.text for notice in document.notices)
    assert document.figures == ()
    assert "no sample is fit for timing" in document.figures_note
    assert {(cell.text, cell.detail) for cell in column(document.settings, "Latency")} == {("—", "all failed")}
    assert document.failures is not None
    (failure,) = document.failures.rows
    texts = [cell.text for cell in failure.cells]
    assert texts[0] == "32", "equal failures are one row with their number"
    assert "Look at …/log" in texts[5], "the remedy is there"
    states = {cell.state for grid in document.pictures.grids for row in grid.rows for cell in row.cells}
    assert states == {"failed"}
    assert "crashed: " in render_html(report_page(document))


def test_a_run_that_has_not_begun_is_a_report_too(tmp_path: Path) -> None:
    document = document_of(tmp_path / "run", done=0.0, **LOCAL)
    assert {(cell.text, cell.detail) for cell in column(document.settings, "clip")} == {("—", "not run yet")}
    assert "not run yet" in render_html(report_page(document))
    assert document.failures is None


def test_a_run_of_one_sample_has_its_numbers_and_no_interval(tmp_path: Path) -> None:
    one: dict[str, Any] = {"steps": (4,), "accelerations": ("none",), "prompts": PROMPTS[:1], "seeds": (0,)}
    document = document_of(tmp_path / "run", **LOCAL | one)
    (latency,), (clip,) = column(document.settings, "Latency"), column(document.settings, "clip")
    assert (latency.detail, clip.detail) == ("n = 1, no interval", "1 prompt, no interval")
    assert float(latency.text) > 0
    (picture,) = (cell for grid in document.pictures.grids for row in grid.rows for cell in row.cells)
    assert picture.state == "shown"
    assert picture.alt == "none, 4 steps, prompt prompt-0"


def test_thumbnails_are_small_and_damaged_or_foreign_files_are_named(tmp_path: Path) -> None:
    run, plan = make_run(tmp_path / "run", **LOCAL)
    table = read_table(run)
    first, second = table.loc[(table["prompt_id"] == "prompt-0") & (table["seed"] == 0), "image_path"].tolist()[:2]
    (run.path / first).write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    outside = tmp_path / "outside.png"
    shutil.copy(run.path / second, outside)
    table.loc[table["image_path"] == second, "image_path"] = "../outside.png"
    cells = [c for g in build_document(run, plan, table).pictures.grids for row in g.rows for c in row.cells]
    unreadable = [cell.text for cell in cells if cell.state == "unreadable"]
    assert sorted(unreadable) == [
        "it cannot be decoded (UnidentifiedImageError)",
        "its path leads out of the run directory",
    ]
    shown = [cell for cell in cells if cell.thumbnail is not None]
    assert len(shown) == len(cells) - 2
    assert all(max(cell.size) <= 160 and len(cell.thumbnail or b"") < 20_000 for cell in shown)


def test_a_large_run_shows_what_fits_and_says_what_it_left_out(tmp_path: Path) -> None:
    run, plan = make_run(tmp_path / "run", **LOCAL)
    told = run.path, run.info.experiment, plan, read_table(run)
    pictures = build_pictures(*told, most=9)
    (grid,) = pictures.grids
    assert (len(grid.rows), len(grid.columns)) == (2, 4)
    assert "The first 2 of 4 prompts are shown, to keep the page small." in pictures.notes
    pictures = build_pictures(*told, most=3)
    assert "The first 3 of 4 settings are shown, to keep the page small." in pictures.notes


def test_degenerate_pictures_are_flagged(tmp_path: Path) -> None:
    run, plan = make_run(tmp_path / "run", **LOCAL)
    table = read_table(run)
    table.loc[table["seed"] == 0, "degenerate"] = "black"
    document = build_document(run, plan, table)
    assert {cell.flag for grid in document.pictures.grids for row in grid.rows for cell in row.cells} == {"black"}
    (note,) = (note for note in document.settings.notes if note.startswith("Delivered pictures that are none: "))
    assert note.endswith(" all black; quality metrics leave them out.")
    rows = list(csv.DictReader(io.StringIO(settings_csv(document.summaries))))
    assert {(row["degenerate"], row["degenerate_kinds"]) for row in rows} == {("4", "black (4)")}


def test_writing_replaces_its_own_files_and_leaves_others_alone(tmp_path: Path) -> None:
    run, plan = make_run(tmp_path / "run", failing=[f"prompt-{n}" for n in range(4)], **LOCAL)
    out = tmp_path / "reports" / "demo"
    (out / "figures").mkdir(parents=True)
    for name in ("notes.txt", "index.html", "figures/mine.png"):
        (out / name).write_text("mine", encoding="utf-8")
    index = write_report(run, plan, out)
    assert index == out / "index.html"
    assert index.read_text(encoding="utf-8") != "mine"
    assert (out / "notes.txt").read_text(encoding="utf-8") == "mine"
    assert (out / "figures/mine.png").read_text(encoding="utf-8") == "mine"
    assert sorted(path.name for path in out.iterdir()) == [
        "data_dictionary.csv",
        "figures",
        "index.html",
        "notes.txt",
        "report.json",
        "report.md",
        "samples.csv",
        "samples.parquet",
        "settings.csv",
        "settings.parquet",
    ]


def test_the_same_run_gives_the_same_report(hostile: Hostile, tmp_path: Path) -> None:
    again = write_report(hostile.run, hostile.plan, tmp_path / "again")
    for path in again.parent.rglob("*.*"):
        assert path.read_bytes() == (hostile.report / path.relative_to(again.parent)).read_bytes(), path.name


def test_the_summary_for_a_pull_request_begins_with_the_best_settings(tmp_path: Path) -> None:
    evidence = evidence_of(tmp_path / "run")
    text = render_markdown(report_page(evidence_document(evidence), data_of(evidence), {}))
    assert len(text.encode()) < 60_000
    best, *_ = text.split("## Best settings\n\n")[1].split("\n\n## ")
    lines = best.splitlines()
    assert lines[0].startswith("12 of 36 settings, sorted by latency")
    rows = [line for line in lines if line.startswith("| mini")]
    assert len(rows) == 12
    assert sum("reference*" in row for row in rows) == 4, "the references of both targets and sizes are there"
    latencies = [float(row.split(" | ")[1].split("<br>")[0]) for row in rows]
    assert latencies == sorted(latencies)
    assert "<details><summary>36 rows</summary>" in text
    assert not re.search(r"^## .*\n+(?=## |\Z)", text, re.M), "no heading has nothing below it"


def test_a_report_cannot_be_written_over_a_file(tmp_path: Path) -> None:
    run, plan = make_run(tmp_path / "run", done=0.0, **LOCAL)
    (tmp_path / "taken").write_text("mine", encoding="utf-8")
    with pytest.raises(StorageError, match="taken"):
        write_report(run, plan, tmp_path / "taken")
    assert (tmp_path / "taken").read_text(encoding="utf-8") == "mine"


def test_a_run_without_its_table_is_refused_with_the_remedy(tmp_path: Path) -> None:
    run, plan = make_run(tmp_path / "run", done=0.0, **LOCAL)
    (run.path / "samples.parquet").unlink()
    with pytest.raises(RunDirectoryError, match="kreabench score"):
        write_report(run, plan, tmp_path / "report")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cannot write /home/alice/runs/x.png: full", "cannot write …/x.png: full"),
        ("in /home/alice", "in …"),
        ("No such file:/Users/alice/m", "No such file:…/m"),
        ("~/.cache/hf/weights", "…/weights"),
        (r"C:\Users\alice\x.txt", "…/x.txt"),
        (
            "https://fal.ai/models/fal-ai/flux and fal-ai/flux/krea",
            "https://fal.ai/models/fal-ai/flux and fal-ai/flux/krea",
        ),
        ("images/a/b.png, 16/9 and </td></table>", "images/a/b.png, 16/9 and </td></table>"),
        (f"key {KEY}.", "key [removed]."),
        ("Authorization: Key abcdef0123456789", "Authorization: Key [removed]"),
        ("hf_abcdefghijklmnopqrst", "[removed]"),
    ],
)
def test_messages_lose_paths_and_keys_and_nothing_else(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_text_is_made_visible_and_cut_honestly() -> None:
    assert visible("a\n\n b\x00c\u202ed") == "a b⟨U+0000⟩c⟨U+202E⟩d"
    assert visible("\u0627\u0644\u200f \u200d") == "\u0627\u0644\u200f \u200d", "letters and joiners of a script stay"
    assert shorten("x" * 1500, 10) == "xxxxxxxxxx… (1,490 more characters)"
    assert drawable("é日한") == "é??"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a | b", r"a \| b"),
        ("<b>&", "&lt;b&gt;&amp;"),
        ("**x** `y` $z$", r"\*\*x\*\* \`y\` \$z\$"),
        ("# not a heading\nnext", r"\# not a heading next"),
        ("1. not a list", r"1\. not a list"),
        ("0.25", "0.25"),
        ("[a](b)", r"\[a\](b)"),
    ],
)
def test_markdown_escapes_what_would_be_markup(text: str, expected: str) -> None:
    assert escape(text) == expected


def test_colours_have_the_contrast_that_wcag_aa_asks_for() -> None:
    css = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root[^{]*\{([^}]*--ground[^}]*)\}", css)
    light, *darks = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in blocks)
    assert darks == [darks[0]] * 2, "dark as the system has it, and as the reader chose it, are the same"
    themes = (light, darks[0])
    for theme in themes:
        for ground in ("ground", "panel", "mark-ground"):
            for ink in ("ink", "muted", "accent", "warn-ink"):
                assert contrast(theme[ink], theme[ground]) >= 4.5, (ink, ground)
        assert contrast(theme["warn-ink"], theme["warn-ground"]) >= 4.5
        assert contrast(theme["ink"], theme["info-ground"]) >= 4.5
    for drawing in (LIGHT, DARK):
        assert contrast(drawing.ink, drawing.background) >= 4.5
        assert contrast(drawing.muted, drawing.background) >= 4.5


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours (WCAG 2.2, relative luminance)."""

    def luminance(colour: str) -> float:
        channels = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
        linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
        return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_an_endpoint_without_steps_and_several_in_flight_beside_one_with_steps(tmp_path: Path) -> None:
    """Nothing sorts, draws or prints a number that is not there."""
    bare = replace(
        TWO_TARGETS[1],
        name="bare",
        limits=replace(TWO_TARGETS[1].limits, steps=None, guidance=None),
        defaults=replace(TWO_TARGETS[1].defaults, steps=None, guidance=None),
        accelerations=(),
    )
    skipped = SkippedSetting(
        target="bare",
        acceleration="none",
        steps=None,
        guidance=None,
        size="7x7",
        num_images=1,
        output_format="png",
        reason="bare takes sides that are multiples of 16 px",
    )
    run, plan = make_run(
        tmp_path / "run",
        **LOCAL
        | {"targets": (TWO_TARGETS[0], bare), "concurrency": (1, 8), "prompts": ("x",)}
        | {"skipped": [skipped, replace(skipped, concurrency=8)]},
    )
    table = read_table(run)
    document = build_document(run, plan, table)
    titles = [column.title for column in document.settings.columns]
    rows = [row for row in document.settings.rows if row.cells[0].text == "bare"]
    assert {row.cells[titles.index("Steps")].text for row in rows} == {ABSENT}
    assert {row.cells[titles.index("Guidance")].text for row in rows} == {ABSENT}
    assert {row.cells[titles.index("In flight")].text for row in rows} == {"1", "8"}
    assert document.skipped is not None
    names = [column.title for column in document.skipped.columns]
    assert [row.cells[names.index("In flight")].text for row in document.skipped.rows] == ["1", "8"]
    index = write_report(run, plan, tmp_path / "report")
    page = index.read_text(encoding="utf-8")
    assert "8 in flight" in page
    settings = pd.read_csv(tmp_path / "report" / "settings.csv")
    assert settings[settings["target"] == "bare"]["steps"].isna().all()
    assert set(settings["concurrency"]) == {1, 8}
    assert table[table["target"] == "bare"]["steps"].isna().all()
    out = io.StringIO()
    print_settings(Console(file=out, width=200), run, plan, table)
    assert "bare" in out.getvalue()
