"""Scores by category of prompt: what is averaged, what is counted, and where the report shows it."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kreabench.analysis.categories import by_category
from kreabench.core.specs import MetricSpec
from kreabench.report import quality
from kreabench.report.build import build_document
from kreabench.report.html_page import render_html
from kreabench.report.markdown_page import render_markdown
from kreabench.report.quality import categories_table
from kreabench.report.report_page import report_page
from kreabench.report.tables import categories_csv
from kreabench.report.write import render
from kreabench.rundir.table import read_table
from tests.report_runs import make_run
from tests.support import make_setting, make_target

SLOW, FAST = make_setting(steps=8), make_setting(steps=2)
METRIC = MetricSpec(name="noise", kind="clip_iqa", options={})


def row(setting: Any, category: str | None, prompt: str, score: float | None, **changes: Any) -> dict[str, Any]:
    return {
        "setting_id": setting.id,
        "category": category,
        "prompt_id": prompt,
        "status": "ok",
        "image_index": 0,
        "score_noise": np.nan if score is None else score,
        "score_noise_status": "not_applicable" if score is None else "ok",
        "score_noise_untrained": False,
        **changes,
    }


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(rows).astype({"image_index": "Int64"})


def test_each_category_and_setting_has_its_mean_over_prompts() -> None:
    random = np.random.default_rng(0)
    scores = random.normal(10, 3, (2, 2, 4, 3))  # category × setting × prompt × picture
    rows = [
        row(setting, category, f"{category}-{p}", scores[c, s, p, k], image_index=k)
        for c, category in enumerate(("hands", "food"))
        for s, setting in enumerate((SLOW, FAST))
        for p in range(4)
        for k in range(3)
    ]

    found = by_category(frame(*rows), (FAST, SLOW), (METRIC,))

    assert [(one.category, one.setting) for one in found] == [
        ("hands", FAST),
        ("hands", SLOW),
        ("food", FAST),
        ("food", SLOW),
    ]
    for one in found:
        prompts = scores[("hands", "food").index(str(one.category)), int(one.setting is FAST)].mean(axis=1)
        (mean,) = one.means
        assert mean.mean is not None
        low, high = stats.t.interval(0.95, 3, prompts.mean(), stats.sem(prompts))
        assert mean.mean.value == pytest.approx(prompts.mean())
        assert mean.mean.low == pytest.approx(low)
        assert mean.mean.high == pytest.approx(high)
        assert (one.prompts, one.images, mean.scored, mean.mean.n) == (4, 12, 12, 4)


def test_prompts_without_a_category_are_a_group_of_their_own() -> None:
    found = by_category(frame(row(SLOW, "food", "a", 1.0), row(SLOW, None, "b", 2.0)), (SLOW,), (METRIC,))

    assert [(one.category, one.means[0].mean.value) for one in found if one.means[0].mean] == [("food", 1), (None, 2)]


@pytest.mark.parametrize("categories", [("food", "food"), (None, None)])
def test_one_category_is_no_breakdown(categories: tuple[str | None, str | None]) -> None:
    rows = [row(SLOW, category, f"{n}", 1.0) for n, category in enumerate(categories)]

    assert by_category(frame(*rows), (SLOW,), (METRIC,)) == ()


def test_missing_scores_are_counted_not_averaged() -> None:
    failed = row(SLOW, "food", "c", None, status="failed", image_index=None)
    found = by_category(
        frame(row(SLOW, "food", "a", 4.0), row(SLOW, "food", "b", None), failed, row(SLOW, "hands", "d", None)),
        (SLOW, FAST),
        (METRIC,),
    )

    assert [(one.category, one.prompts, one.images, one.means[0].scored) for one in found] == [
        ("food", 2, 2, 1),
        ("hands", 1, 1, 0),
    ]
    assert found[1].means[0].mean is None


def test_a_metric_that_never_ran_has_no_mean() -> None:
    other = MetricSpec(name="other", kind="saturation", options={})
    table = frame(row(SLOW, "food", "a", 1.0), row(SLOW, "hands", "b", 1.0))

    assert [one.means[0].mean for one in by_category(table, (SLOW,), (other, METRIC))] == [None, None]
    assert by_category(table, (SLOW,), (other,)) == ()


def categorised(path: Path) -> tuple[Any, Any, pd.DataFrame]:
    run, plan = make_run(path, targets=(make_target(name="mini_local"),), accelerations=("none",), sizes=((128, 128),))
    table = read_table(run)
    names = {"prompt-0": "=people & skin", "prompt-1": "food", "prompt-2": "food", "prompt-3": None}
    return run, plan, table.assign(category=table["prompt_id"].map(names))


def test_the_report_has_a_row_a_category_and_setting(tmp_path: Path) -> None:
    run, plan, table = categorised(tmp_path / "run")

    document = build_document(run, plan, table)
    files = dict(render(document))

    shown = dict(document.measurements)["By category"]
    assert [row.cells[0].text for row in shown.rows] == ["=people & skin"] * 3 + ["food"] * 3 + ["—"] * 3
    assert [column.title for column in shown.columns] == ["Category", "Setting", "Prompts", "clip", "psnr", "ssim"]
    assert shown.columns[4].unit == "dB · ↑\u00a0better"
    own = [row for row in shown.rows if "reference" in row.cells[1].detail]
    assert len(own) == 3  # categories
    assert {(row.cells[4].absent, row.cells[4].detail) for row in own} == {(True, "the reference")}
    assert [row.cells[2].text for row in shown.rows][::3] == ["1", "2", "1"]
    rows = list(csv.DictReader(io.StringIO(files["categories.csv"].decode())))
    assert len(rows) == 3 * 3 * 3
    assert rows[0]["category"] == "'=people & skin"
    assert (rows[9]["category"], rows[9]["prompts"], rows[9]["images"], rows[9]["scored"]) == ("food", "2", "4", "4")
    assert "By category" in files["index.html"].decode()
    assert "people &amp; skin" in files["index.html"].decode()
    assert "By category" in files["report.md"].decode()


def test_a_report_of_one_category_does_without(tmp_path: Path) -> None:
    run, plan, table = categorised(tmp_path / "run")

    document = build_document(run, plan, table.assign(category="objects"))

    assert "By category" not in dict(document.measurements)
    assert "categories.csv" not in dict(render(document))


def test_a_long_table_says_what_it_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "MAX_ROWS", 2)
    rows = [row(SLOW, f"category {n}", f"prompt-{n}", 1.0) for n in range(5)]

    shown = categories_table(by_category(frame(*rows), (SLOW,), (METRIC,)))

    assert shown is not None
    assert len(shown.rows) == 2
    assert shown.notes == ("3 more rows are in categories.csv.",)


def test_one_prompt_a_category_is_said_once() -> None:
    shown = categories_table(
        by_category(frame(row(SLOW, "food", "a", 1.0), row(SLOW, "hands", "b", 2.0)), (SLOW,), (METRIC,))
    )

    assert shown is not None
    assert "one prompt a category, so no intervals" in shown.caption
    assert [column.title for column in shown.columns] == ["Category", "Setting", "noise"]
    assert [cell.detail for one in shown.rows for cell in one.cells[2:]] == ["", ""]


def test_metrics_without_a_better_side_are_in_the_file_alone(tmp_path: Path) -> None:
    look = MetricSpec(name="colours", kind="colourfulness", options={})
    rows = [row(SLOW, name, name, 1.0, score_colours=2.0, score_colours_status="ok") for name in ("food", "hands")]
    found = by_category(frame(*rows), (SLOW,), (look, METRIC))

    shown = categories_table(found)

    assert shown is not None
    assert [column.title for column in shown.columns] == ["Category", "Setting", "noise"]
    assert "colours" in categories_csv(found)
    assert categories_table(by_category(frame(*rows), (SLOW,), (look,))) is None


def test_a_long_table_is_closed_on_the_page_and_left_out_of_markdown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, plan, table = categorised(tmp_path / "run")
    document = build_document(run, plan, table)
    assert "rows</summary>" not in render_html(report_page(document))
    assert "| food |" in render_markdown(report_page(document))

    monkeypatch.setattr("kreabench.report.parts.LONG_TABLE", 8)
    page, text = render_html(report_page(document)), render_markdown(report_page(document))

    assert page.count("<details><summary>9 rows</summary>") == page.count("rows</summary>") == 1
    assert "The page, index.html, has its 9 rows." in text
    assert "| food |" not in text


def test_other_long_tables_are_closed_in_markdown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, plan, table = categorised(tmp_path / "run")
    monkeypatch.setattr("kreabench.report.parts.LONG_TABLE", 1)

    text = render_markdown(report_page(build_document(run, plan, table)))

    assert "<details><summary>2 rows</summary>\n\n| Setting |" in text
    assert "</details>\n\n" in text
