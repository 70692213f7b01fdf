"""Several runs in one report: each against the first, and all of them in every table and file."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kreabench.__main__ import main
from kreabench.core.errors import ConfigError
from kreabench.report.document import Document
from kreabench.report.evidence import Evidence, gather
from kreabench.report.explorer.encode import encode
from kreabench.report.explorer.quantities import quantities_of
from kreabench.report.explorer.settings import settings_of
from kreabench.report.explorer.sources import sources_of
from kreabench.report.markdown_page import render_markdown
from kreabench.report.options import ReportOptions
from kreabench.report.parts import Table
from kreabench.report.report_page import report_page
from kreabench.report.several.comparison import compare_runs
from kreabench.report.several.document import several_document
from kreabench.report.several.names import check_runs, folder_name, names_of
from kreabench.report.several.tables import stacked
from kreabench.report.write import Told, write_reports
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.table import read_table
from tests.report_runs import HOSTILE, TWO_TARGETS, make_run
from tests.support import make_target
from tests.test_report_data import data_of as report_data

pytestmark = pytest.mark.usefixtures("undrawn")
MANY = tuple(f"a red bicycle beside {number} green bottles" for number in range(8))
SMALL: dict[str, Any] = {
    "targets": TWO_TARGETS[:1],
    "accelerations": ("none", "high"),
    "steps": (4,),
    "sizes": ((128, 128),),
    "prompts": MANY,
}


def told(
    path: Path, name: str = "", change: Callable[[pd.DataFrame], pd.DataFrame] | None = None, **options: Any
) -> Told:
    """A run made with `options`, under another name, its samples changed."""
    run, plan = make_run(path, **{**SMALL, **options})
    experiment = replace(run.info.experiment, name=name or path.name)
    table = read_table(run)
    return Told(
        run=RunDirectory(run.path, replace(run.info, experiment=experiment)),
        plan=plan,
        table=change(table) if change else table,
    )


def worse(table: pd.DataFrame) -> pd.DataFrame:
    """Other pictures, which fit their prompts worse by about 3."""
    noise = np.random.default_rng(0).normal(3, 0.3, len(table))
    return table.assign(score_clip=table["score_clip"] - noise, image_sha256=table["image_sha256"] + "0")


def evidence_of(*runs: Told) -> list[Evidence]:
    return [gather(one.run, one.plan, one.table) for one in runs]


def column(table: Table, title: str) -> list[str]:
    index = [head.title for head in table.columns].index(title)
    return [row.cells[index].text for row in table.rows]


def data_of(*runs: Told) -> dict[str, Any]:
    """What report.json says of `runs`."""
    found: dict[str, Any] = json.loads(encode(report_data(*evidence_of(*runs))))
    return found


def sections(document: Document) -> dict[str, str]:
    """Id → all its words."""
    return {one.id: " ".join((one.title, one.text, *one.sentences)) for one in document.comparisons}


def test_a_loss_is_said_first_and_told_as_data(tmp_path: Path) -> None:
    before, after = told(tmp_path / "before"), told(tmp_path / "after", change=worse)
    write_reports((before, after), tmp_path / "report", ReportOptions())
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    document = several_document(evidence_of(before, after))
    sentence = document.verdict.sentence
    assert sentence.startswith("B (after) against A (before): worse in clip (2 of 2 settings, largest -")
    assert "no loss was established in psnr and ssim" in sentence or "nothing was tested in psnr" in sentence
    ids = {setting["id"]: setting for setting in report["settings"]}
    assert len(document.verdict.regressions) == 2
    for loss in document.verdict.regressions:
        assert (ids[loss.setting]["run"], ids[loss.against]["run"]) == ("b", "a")
        assert ids[loss.setting]["counterpart"] == loss.against
        assert loss.quantity == "clip"
    assert document.title == "B (after) against A (before)"
    text = (tmp_path / "report" / "report.md").read_text()
    assert text.index("worse in clip") < text.index("## Runs") < text.index("## B (after) against A (before)")


def test_more_mishaps_than_the_first_run_are_told_as_data_with_a_test(tmp_path: Path) -> None:
    def failing(table: pd.DataFrame) -> pd.DataFrame:
        lost = (table["acceleration"] == "high") & (table["prompt_id"] < "prompt-4")
        return table.assign(status=table["status"].where(~lost, "failed"))

    before, after = told(tmp_path / "before"), told(tmp_path / "after", change=failing)
    forth, back = (several_document(evidence_of(*runs)).verdict for runs in ((before, after), (after, before)))
    (high,) = [one.id for one in after.plan.settings if one.acceleration == "high"]
    (loss,) = [one for one in forth.regressions if one.quantity == "failure_rate"]
    assert (loss.setting, loss.against) == (f"b/{high}", f"a/{high}")
    p = (
        stats.fisher_exact([[8, 8], [0, 16]], alternative="greater").pvalue * 4
    )  # Holm: 2 settings, 2 kinds; nothing was looked at for flags
    assert loss.sentence.endswith(f"has more failed requests than A: 8 of 16 against 0 of 16 (p = {p:.2g} after Holm).")
    assert "more failed requests (8 of 16 against 0 of 16 at high)" in forth.sentence
    assert forth.state == "none"
    assert (back.state, back.regressions) == ("undecided", ()), "the base failed, not the candidate"
    assert "more failed" not in back.sentence


def test_the_verdict_says_what_all_pairs_differ_in_and_how_fast_they_are(tmp_path: Path) -> None:
    fewer = told(tmp_path / "fewer", steps=(2,), targets=(replace(TWO_TARGETS[0], name="next_local"),))
    times = np.random.default_rng(1).normal(2, 0.02, 32)
    twice = told(tmp_path / "twice", change=lambda table: table.assign(end_to_end_s=times * table["end_to_end_s"]))
    base = told(tmp_path / "base")
    changed, same = (several_document(evidence_of(base, one)).verdict.sentence for one in (fewer, twice))
    who = "B (fewer) against A (base), next_local instead of mini_local, 2 steps instead of 4 steps: "
    assert changed.startswith(who)
    assert same.startswith("B (twice) against A (base): ")
    assert re.search(r"; latency ×(1\.9\d|2\.0\d) to ×(1\.9\d|2\.\d\d) of A's\.$", same), same
    alone = [told(tmp_path / name, accelerations=("none",)) for name in ("c", "d")]
    said = several_document(evidence_of(*alone)).verdict.sentence
    assert said.endswith("; latency ×1.00 [1.00 – 1.00] of A's.")


def test_memory_of_all_runs_has_one_unit(tmp_path: Path) -> None:
    big = told(tmp_path / "big", change=lambda table: table.assign(peak_rss_bytes=3 * 2**30))
    document = several_document(evidence_of(told(tmp_path / "small"), big))
    (head,) = [one for one in document.settings.columns if one.title == "Peak memory"]
    assert head.unit.startswith("GiB")
    assert column(document.settings, "Peak memory") == ["0.629", "0.629", "3.00", "3.00"]


def test_two_equal_runs_are_not_told_apart_by_chance(tmp_path: Path) -> None:
    document = several_document(evidence_of(told(tmp_path / "one"), told(tmp_path / "two")))
    assert document.verdict.regressions == ()
    assert "worse" not in document.verdict.sentence
    assert "all 32 pairs of pictures are equal files; nothing was tested" in document.verdict.sentence


def test_every_further_run_is_compared_with_the_first(tmp_path: Path) -> None:
    runs = [told(tmp_path / name) for name in ("one", "two", "three")]
    document = several_document(evidence_of(*runs))
    assert [one.id for one in document.comparisons] == ["runs", "against-b", "against-c"]
    assert column(document.comparisons[0].tables[0][1], "Run") == ["A", "B", "C"]
    for letter, name in (("B", "two"), ("C", "three")):
        assert f"{letter} ({name}) against A (one): all 32 pairs" in document.verdict.sentence


def test_tables_say_whose_row_it_is(tmp_path: Path) -> None:
    before, after = told(tmp_path / "before", failing=["prompt-1"]), told(tmp_path / "after")
    changed = replace(after.run.info, versions={**after.run.info.versions, "torch": "2.16.0"})
    after = replace(after, run=RunDirectory(after.run.path, changed))
    document = several_document(evidence_of(before, after))
    assert column(document.settings, "Run") == ["A", "A", "B", "B"]
    assert [row.mark for row in document.settings.rows] == ["reference", "", "reference", ""]
    ids = [f"{run}/{setting.id}" for run, one in (("a", before), ("b", after)) for setting in one.plan.settings]
    assert [row.setting for row in document.settings.rows] == ids, "by which the page's filters hide them"
    assert document.failures is not None
    assert column(document.failures, "Run") == ["A"]
    assert [row.cells[0].text for row in document.environment.rows if row.mark == "differs"] == ["torch"]
    assert document.targets.columns[0].title == "Target", "equal targets stand once"
    assert any(one.text.startswith("A (before): 4 of 32 samples failed") for one in document.notices)


def test_what_all_say_is_said_once_and_counts_are_of_each(tmp_path: Path) -> None:
    document = several_document(evidence_of(*(told(tmp_path / name, failing=["prompt-1"]) for name in ("one", "two"))))
    texts = [one.text for one in document.notices]
    assert texts.count("untrained weights: numbers show the tool, not the model") == 1
    assert any(text.startswith("Each run: 4 of 32 samples failed") for text in texts)


def test_headline_figures_count_failures_and_pairs_of_pictures(tmp_path: Path) -> None:
    before, after = told(tmp_path / "before"), told(tmp_path / "after", failing=["prompt-1"])
    facts = {one.label: (one.value, one.detail) for one in several_document(evidence_of(before, after)).facts}
    assert facts["Samples"] == ("60", "and 4 failed")
    assert facts["Pairs, B and A"] == ("28", "of pictures, in 2 pairs of settings")


def test_columns_of_two_units_stay_apart(tmp_path: Path) -> None:
    names = names_of([told(tmp_path / name).run for name in ("one", "two")])
    documents = several_document(evidence_of(told(tmp_path / "three"), told(tmp_path / "four"))).runs
    first = documents[0][1].settings
    heads = tuple(replace(head, unit="GiB") if head.title == "Peak memory" else head for head in first.columns)
    table = stacked(names, [first, replace(first, columns=heads)])
    assert table is not None
    units = [head.unit for head in table.columns if head.title == "Peak memory"]
    assert len(units) == 2
    place = [head.unit for head in table.columns].index("GiB")
    assert [row.cells[place].absent for row in table.rows] == [True, True, False, False]


def test_files_have_the_run_of_every_row_and_its_own_numbers(tmp_path: Path) -> None:
    before, after = told(tmp_path / "before", seeds=(0,)), told(tmp_path / "after", change=worse)
    write_reports((before, after), tmp_path / "both", ReportOptions())
    write_reports((after,), tmp_path / "alone", ReportOptions())
    for name in ("samples.csv", "settings.csv", "shifts.csv"):
        with (tmp_path / "both" / name).open(newline="") as both, (tmp_path / "alone" / name).open(newline="") as alone:
            rows, own = list(csv.DictReader(both)), list(csv.DictReader(alone))
        assert {row["run"] for row in rows} == {"a", "b"}, name
        assert [{key: row[key] for key in own[0]} for row in rows if row["run"] == "b"] == own, name


def test_the_data_of_settings_names_runs_references_and_counterparts(tmp_path: Path) -> None:
    report = data_of(told(tmp_path / "one"), told(tmp_path / "two", steps=(4, 8)))
    assert [(run["id"], run["name"]) for run in report["runs"]] == [("a", "one"), ("b", "two")]
    assert (report["axes"][0]["name"], report["axes"][0]["values"]) == ("run", ["A (one)", "B (two)"])
    for setting in report["settings"]:
        assert setting["reference"].startswith(f"{setting['run']}/")
        assert setting["label"].startswith(f"{setting['run'].upper()}: ")
        equal = setting["run"] == "b" and setting["axes"]["steps"] == 4
        assert (setting["counterpart"] is not None) == equal


def test_one_run_has_neither_letters_nor_counterparts(tmp_path: Path) -> None:
    report = data_of(told(tmp_path / "one"))
    assert "run" not in {axis["name"] for axis in report["axes"]}
    assert all(one["counterpart"] is None and one["label"].startswith("mini_local") for one in report["settings"])


def test_names_tell_runs_apart_without_a_path(tmp_path: Path) -> None:
    first, second, third = (told(tmp_path / name, "demo") for name in ("one", "two", "three"))
    later = replace(third.run.info, created_utc="2027-01-02T03:04:05Z")
    third = replace(third, run=RunDirectory(third.run.path, later))
    names = [one.name for one in names_of([first.run, second.run, third.run])]
    assert names[0].endswith("in one")
    assert names[1].endswith("in two")
    assert names[2] == "demo, 2027-01-02 03:04 UTC"
    write_reports((first, second, third), tmp_path / "report", ReportOptions())
    for file in (tmp_path / "report").rglob("*.*"):
        if file.suffix in {".csv", ".md", ".json", ".html"}:
            assert str(tmp_path) not in file.read_text(), file.name


def test_other_words_under_one_id_are_refused_and_both_shown(tmp_path: Path) -> None:
    other = told(tmp_path / "two", prompts=(*MANY[:7], "something else"))
    report = data_of(told(tmp_path / "one"), other)
    document = several_document(evidence_of(told(tmp_path / "three"), other))
    assert "not comparable: prompts: 1 of 8" in sections(document)["against-b"]
    assert "not compared" in document.verdict.sentence
    assert column(document.settings, "Run") == ["A", "A", "B", "B"]
    (prompt,) = [one for one in report["prompts"] if one["id"] == "prompt-7"]
    assert prompt["text"] == f"{MANY[7]} / B: something else"


def test_other_prompts_alone_are_no_pairs(tmp_path: Path) -> None:
    one, two = told(tmp_path / "one", seeds=(0,)), told(tmp_path / "two", seeds=(7,))
    document = several_document(evidence_of(one, two))
    assert "no pair in common" in sections(document)["against-b"]


def test_two_devices_are_compared_and_it_is_said(tmp_path: Path) -> None:
    one, two = evidence_of(told(tmp_path / "one"), told(tmp_path / "two", change=worse))
    two = replace(two, side=replace(two.side, facts={**two.side.facts, "device": "cuda (H100)"}))
    (versus,) = compare_runs([one, two], names_of([one.run, two.run]))
    assert versus.comparison is not None
    assert versus.limits[0].startswith("Drawn on two devices, cpu against cuda (H100)")


def test_a_metric_of_other_weights_is_left_out_and_said(tmp_path: Path) -> None:
    one, two = evidence_of(told(tmp_path / "one"), told(tmp_path / "two", change=worse))
    two = replace(two, side=replace(two.side, identities={**two.side.identities, "clip": "another"}))
    (versus,) = compare_runs([one, two], names_of([one.run, two.run]))
    assert versus.comparison is not None
    assert [metric.spec.name for metric in versus.comparison.settings[0].metrics] == ["psnr", "ssim"]
    assert versus.limits[0].startswith("Not compared, metric clip: ")


def test_another_reference_leaves_fidelity_out(tmp_path: Path) -> None:
    one, two = evidence_of(told(tmp_path / "one"), told(tmp_path / "two", change=worse))
    two = replace(two, side=replace(two.side, facts={**two.side.facts, "reference": "none, 50 steps"}))
    (versus,) = compare_runs([one, two], names_of([one.run, two.run]))
    assert versus.comparison is not None
    assert [metric.spec.name for metric in versus.comparison.settings[0].metrics] == ["clip"]


STATES: dict[str, tuple[dict[str, Any], str]] = {
    "unfinished": ({"done": 0.5}, "B (two): Not finished: 16 of 32 requests have not run yet."),
    "nothing drawn": ({"done": 0.0}, "B (two): Not finished: 32 of 32 requests have not run yet."),
    "all failed": ({"failing": [f"prompt-{n}" for n in range(8)]}, "Every sample that ran has failed"),
    "no pictures": ({"pictures": False}, "not on this disk"),
    "no scores": ({"scores": False}, "No pair of pictures has scores: quality is not compared"),
    "other metrics": ({"metrics": ()}, "Not compared, metrics of the base alone: clip, psnr, ssim."),
    "other targets": (
        {"targets": (make_target(name="other_local", model="builtin:mini-flux", untrained=True),)},
        "other_local",
    ),
    "fewer prompts": ({"prompts": MANY[:3]}, "all 12 pairs of pictures are equal files"),
    "hostile prompts": ({"prompts": HOSTILE}, "not comparable: prompts"),
}


@pytest.mark.parametrize("state", STATES)
def test_a_run_in_any_state_is_reported(tmp_path: Path, state: str) -> None:
    options, words = STATES[state]
    evidences = evidence_of(told(tmp_path / "one"), told(tmp_path / "two", **options))
    sources = sources_of(evidences)
    assert {setting.run for setting in settings_of(sources, quantities_of(sources))} == {"a", "b"}
    text = render_markdown(report_page(several_document(evidences))).replace("\\", "")
    assert words in text
    assert "nan" not in text.lower().split()


def test_a_run_of_an_older_version_is_reported_and_said(tmp_path: Path) -> None:
    old = told(tmp_path / "old")
    file = old.run.path / "run.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "schema_version": 2}))
    old = replace(old, run=RunDirectory.open(old.run.path))
    document = several_document(evidence_of(told(tmp_path / "new"), old))
    assert any("written in an older form (version 2" in one.text for one in document.notices)
    assert document.comparisons[1].tables


def test_at_most_26_runs_each_once(tmp_path: Path) -> None:
    check_runs([tmp_path / str(number) for number in range(26)])
    with pytest.raises(ConfigError, match="27 runs; expected at most 26"):
        check_runs([tmp_path / str(number) for number in range(27)])
    with pytest.raises(ConfigError, match="more than once; expected every run once"):
        check_runs([tmp_path / "one", tmp_path / "two", tmp_path / "." / "one"])


def test_the_same_run_twice_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, _ = make_run(tmp_path / "one", **SMALL)
    with pytest.raises(SystemExit) as exit_:
        main(["report", str(run.path), str(run.path), "--out", str(tmp_path / "report")])
    assert exit_.value.code == 2
    assert "more than once" in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


def test_the_folder_of_many_runs_has_a_short_name() -> None:
    assert folder_name(["before", "after"]) == "before-after"
    assert folder_name(["demo", "demo"]) == "demo"
    assert folder_name([f"run{number}" for number in range(5)]) == "run0-run1-run2-and-2-more"


def test_grids_put_equal_settings_of_the_runs_side_by_side(tmp_path: Path) -> None:
    document = several_document(evidence_of(told(tmp_path / "one"), told(tmp_path / "two", prompts=MANY[:2])))
    (grid,) = document.pictures.grids
    assert [head.title for head in grid.columns] == ["A: none", "B: none", "A: high", "B: high"]
    assert all(cell.state == "shown" for cell in grid.rows[0].cells)
    assert [cell.state for cell in grid.rows[2].cells] == ["shown", "missing", "shown", "missing"]


def test_figures_show_all_runs_and_the_metrics_they_share(tmp_path: Path) -> None:
    only = make_run(tmp_path / "made", **SMALL)[0].info.experiment.metrics[:1]
    document = several_document(evidence_of(told(tmp_path / "one"), told(tmp_path / "two", metrics=only)))
    figure = next(one for one in document.figures if one.name == "cost-quality")
    panels = [panel for row in figure.data.rows for panel in row]  # type: ignore[union-attr]
    assert [panel.y_label for panel in panels] == ["clip (100 × cosine)"]
    assert {point.marker for point in panels[0].points} == {"A: mini_local", "B: mini_local"}
