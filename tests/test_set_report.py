"""What is said of sets of pictures: a warning where diversity collapsed, and only there; their table, file and page."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from kreabench.analysis.sets import find_collapses
from kreabench.cli.run_show import print_run
from kreabench.core.per_prompt import MOST_PROMPTS, from_details, to_details
from kreabench.core.planned import Plan, Setting
from kreabench.core.score_records import SetScoreRecord
from kreabench.core.specs import MetricSpec
from kreabench.metrics.distances import effective_number
from kreabench.report.build import build_document
from kreabench.report.document import Document
from kreabench.report.sets import set_scores_csv, set_value
from kreabench.report.write import render, write_report
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.table import read_table
from tests.report_runs import HOSTILE, KEY, TWO_TARGETS, make_run
from tests.support import make_setting

REFERENCE = make_setting(steps=28)
FASTER = make_setting(steps=8, reference_id=REFERENCE.id)
VENDI = MetricSpec(name="vendi", kind="vendi", options={}, per="set")
KID = MetricSpec(name="kid", kind="kid", options={}, per="set")


def record(setting: Setting | str = FASTER, metric: str = "vendi", **changes: Any) -> SetScoreRecord:
    base = SetScoreRecord(
        setting_id=setting if isinstance(setting, str) else setting.id,
        metric=metric,
        identity="0123456789abcdef",
        status="ok",
        value=2.5,
        members="00",
        pictures=48,
    )
    return replace(base, **changes)


def vendi(values: dict[str, tuple[float, int]], setting: Setting | str = FASTER, **changes: Any) -> SetScoreRecord:
    mean = float(np.mean([value for value, _ in values.values()]))
    return record(setting, value=mean, details=to_details(values), **changes)


def drawn(seed: int, prompts: int = 12, seeds: int = 4, spread: float = 1.0) -> dict[str, tuple[float, int]]:
    """Vendi scores of pictures made up of what the prompt asks for and, times `spread`, what the seed adds."""
    random = np.random.default_rng(seed)
    asked = np.random.default_rng(99).normal(size=(prompts, 64))
    return {
        f"p{number}": (effective_number(asked[number] + spread * random.normal(size=(seeds, 64))), seeds)
        for number in range(prompts)
    }


def test_values_of_prompts_come_back_as_they_went_and_are_bounded() -> None:
    values = {f"value of {number:05}": (1.5 + number, 4) for number in range(MOST_PROMPTS + 3)}

    back = from_details({"prompts": 3.0, **to_details(values)})

    assert list(back.items()) == list(values.items())[:MOST_PROMPTS]


def test_a_setting_whose_seeds_look_alike_is_warned_of() -> None:
    scores = [vendi(drawn(1), REFERENCE), vendi(drawn(2, spread=0.4))]

    (found,) = find_collapses(scores, [REFERENCE, FASTER], [VENDI])

    assert (found.setting_id, found.metric, found.difference.n) == (FASTER.id, "vendi", 12)
    assert found.vendi < found.reference_vendi
    assert found.difference.high is not None
    assert found.difference.high < 0
    assert "more alike than the reference's: diversity collapsed from" in found.text
    assert "of 4 pictures a prompt" in found.text


def test_equal_diversity_raises_false_alarms_in_at_most_5_of_100_runs() -> None:
    alarms = 0
    others = [replace(FASTER, id=f"other-{number}") for number in range(3)]
    for run in range(250):
        scores = [vendi(drawn(10 * run), REFERENCE)]
        scores += [vendi(drawn(10 * run + n + 1), other) for n, other in enumerate(others)]
        alarms += bool(find_collapses(scores, [REFERENCE, *others], [VENDI]))

    assert alarms / 250 <= 0.05


def test_without_the_least_loss_the_test_alone_keeps_its_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kreabench.analysis.sets.LEAST_LOSS", 0.0)
    others = [replace(FASTER, id=f"other-{number}") for number in range(3)]
    alarms = 0
    for run in range(250):
        scores = [vendi(drawn(10 * run), REFERENCE)]
        scores += [vendi(drawn(10 * run + n + 1), other) for n, other in enumerate(others)]
        alarms += bool(find_collapses(scores, [REFERENCE, *others], [VENDI]))

    assert 0 < alarms / 250 <= 0.05  # corrected for three settings; 0 would say that it never fires


def test_a_clear_collapse_is_found_in_nearly_every_run() -> None:
    found = 0
    for run in range(100):
        scores = [vendi(drawn(2 * run), REFERENCE), vendi(drawn(2 * run + 1, spread=0.4))]
        found += bool(find_collapses(scores, [REFERENCE, FASTER], [VENDI]))

    assert found >= 95


def test_a_loss_that_is_sure_but_small_is_no_collapse() -> None:
    values = {f"p{number}": (3.0 + 0.01 * number, 4) for number in range(20)}
    slightly = {prompt: (value - 0.1, number) for prompt, (value, number) in values.items()}

    assert find_collapses([vendi(values, REFERENCE), vendi(slightly)], [REFERENCE, FASTER], [VENDI]) == ()


def test_total_collapse_of_a_reference_that_hardly_varies_is_seen() -> None:
    values = {f"p{number}": (1.08 + 0.002 * number, 4) for number in range(10)}
    nothing = dict.fromkeys(values, (1.0, 4))

    (found,) = find_collapses([vendi(values, REFERENCE), vendi(nothing)], [REFERENCE, FASTER], [VENDI])

    assert found.loss == pytest.approx(1.0)


@pytest.mark.parametrize(
    "score",
    [
        vendi(dict.fromkeys(("a", "b", "c", "d"), (1.0, 4))),
        vendi({f"p{number}": (1.0, 3) for number in range(12)}),
        vendi({f"q{number}": (1.0, 4) for number in range(12)}),
        vendi(drawn(2, spread=0.01), untrained=True),
        record(status="not_applicable", value=None, reason="one seed"),
        vendi(drawn(2, spread=0.01), REFERENCE),
    ],
    ids=["few prompts", "fewer pictures a prompt", "other prompts", "untrained", "no value", "the reference itself"],
)
def test_what_cannot_be_compared_is_not_warned_of(score: SetScoreRecord) -> None:
    assert find_collapses([vendi(drawn(1), REFERENCE), score], [REFERENCE, FASTER], [VENDI]) == ()


def test_a_setting_without_a_scored_reference_is_not_warned_of() -> None:
    alone = replace(FASTER, reference_id=None)

    assert find_collapses([vendi(drawn(2, spread=0.01))], [FASTER, alone], [VENDI]) == ()


# --- the report


def run_with(path: Path, *scores: SetScoreRecord) -> tuple[RunDirectory, Plan, Document]:
    trained = replace(TWO_TARGETS[0], untrained=False)
    run, plan = make_run(
        path,
        targets=(trained,),
        accelerations=("none",),
        steps=(2, 4),
        sizes=((64, 64),),
        prompts=("x",),
        seeds=(0,),
        scores=False,
        metrics=(KID, VENDI),
    )
    reference = next(setting for setting in plan.settings if setting.id == setting.reference_id)
    other = next(setting for setting in plan.settings if setting.id != setting.reference_id)
    ids = {REFERENCE.id: reference.id, FASTER.id: other.id}
    with run.score_writer() as writer:
        writer.append_set_scores([replace(one, setting_id=ids.get(one.setting_id, one.setting_id)) for one in scores])
    return run, plan, build_document(run, plan, read_table(run))


def cells(document: Document) -> dict[tuple[bool, str], tuple[Any, ...]]:
    """Whether it is the reference, and the metric → the row's further cells."""
    (table,) = [table for title, table in document.measurements if title == "Sets of pictures"]
    return {(row.mark == "reference", row.cells[1].text): row.cells[2:] for row in table.rows}


SCORES = (
    record(metric="kid", value=0.01234, reference_pictures=47, left_out=2, details={"standard_error": 0.0006}),
    record(REFERENCE, "kid", status="not_applicable", value=None, reason="this is the reference"),
    vendi(drawn(1), REFERENCE),
    vendi(drawn(2, spread=0.4), notes=("a note",)),
)


def test_the_table_has_a_line_for_each_setting_and_metric(tmp_path: Path) -> None:
    _, _, document = run_with(tmp_path / "run", *SCORES)
    found = cells(document)

    assert len(found) == 4
    value, pictures, reference, remark = found[False, "kid"]
    assert (value.text, value.detail) == ("0.0123", "± 0.0006")
    assert (pictures.text, pictures.detail, reference.text) == ("48", "2 left out", "47")
    absent = found[True, "kid"]
    assert (absent[0].absent, absent[0].detail, absent[3].text) == (True, "not applicable", "this is the reference")
    *_, remark = found[False, "vendi"]
    assert remark.text.startswith("a note; 12 prompts of 4 pictures; the least of a prompt is ") is False
    assert "a note" in remark.text


def test_what_is_not_scored_yet_says_so(tmp_path: Path) -> None:
    _, _, document = run_with(tmp_path / "run")

    assert {row[0].detail for row in cells(document).values()} == {"not scored yet"}
    assert "set_scores.csv" not in dict(render(document))


def test_a_collapse_is_among_the_notices_and_on_the_terminal(tmp_path: Path) -> None:
    run, plan, document = run_with(tmp_path / "run", *SCORES)

    (notice,) = [notice.text for notice in document.notices if "diversity collapsed" in notice.text]
    assert notice.startswith(next(s.label for s in plan.settings if s.id != s.reference_id))

    out = Console(file=io.StringIO(), width=200)
    print_run(out, run, plan)
    text = out.file.getvalue()  # type: ignore[attr-defined]
    assert "0.0123 ± 0.0006" in text
    assert "diversity collapsed" in text


def test_random_weights_brand_the_value_and_the_report(tmp_path: Path) -> None:
    _, _, document = run_with(tmp_path / "run", record(metric="kid", value=0.5, untrained=True, reference_pictures=4))

    assert cells(document)[False, "kid"][0].remark == "untrained weights"
    assert any("Scored with untrained weights: kid." in notice.text for notice in document.notices)


def test_scores_of_metrics_that_are_no_longer_asked_for_are_left_out(tmp_path: Path) -> None:
    _, _, document = run_with(tmp_path / "run", record(metric="fid"), record("another plan's", "kid"))

    assert document.set_scores == ()


def test_every_format_has_the_table_and_nothing_hostile_gets_through(tmp_path: Path) -> None:
    hostile = f"{HOSTILE[0]} /home/somebody/runs/x.png {KEY}"
    bad = record(metric="kid", status="failed", value=None, reason=hostile, notes=("=1+1",))
    run, plan, _ = run_with(tmp_path / "run", bad, *SCORES[2:])
    write_report(run, plan, tmp_path / "out")

    for name in ("index.html", "report.md", "set_scores.csv"):
        text = (tmp_path / "out" / name).read_text(encoding="utf-8")
        assert "vendi" in text
        assert KEY not in text
        assert "/home/somebody" not in text
    assert "<script>document" not in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "Sets of pictures" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


def test_the_file_holds_unrounded_values_and_no_prompt_by_prompt_details() -> None:
    text = set_scores_csv([vendi(drawn(1), notes=("=1+1",)), SCORES[0]], {FASTER.id: FASTER.label}, "made up")

    first, second = csv.DictReader(io.StringIO(text))
    assert float(first["value"]) == vendi(drawn(1)).value
    assert (first["notes"], first["notice"], first["setting"]) == ("'=1+1", "made up", FASTER.label)
    assert (second["reference_pictures"], second["left_out"], second["standard_error"]) == ("47", "2", "0.0006")
    assert not any("value of" in name for name in first)


def test_a_value_near_0_is_shown_in_the_decimals_of_its_error() -> None:
    assert set_value(record(value=-0.00002, details={"standard_error": 0.0011})) == ("-0.00002", "0.00110")
    assert set_value(record(value=12.3456)) == ("12.3", "")
