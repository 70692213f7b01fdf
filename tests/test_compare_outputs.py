"""`kreabench compare` as its users meet it: a terminal, a page, tables and JSON, made of runs on disk."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from kreabench.analysis.estimates import Estimate
from kreabench.cli.comparison_table import print_comparison
from kreabench.cli.main import main
from kreabench.core.planned import Plan
from kreabench.decisions.compare import compare_sides, compare_with_reference
from kreabench.decisions.comparison import Comparison, Fidelity, FidelityComparison
from kreabench.decisions.opening import open_two, open_with_references
from kreabench.report.comparison.csv_files import comparison_csv, prompts_csv
from kreabench.report.comparison.json_file import comparison_json
from kreabench.report.comparison.page import build_comparison
from kreabench.report.files import write_one
from kreabench.report.html_page import render_html
from kreabench.report.markdown_page import render_markdown
from kreabench.rundir.directory import RunDirectory
from tests.compare_support import CLIP, COLOUR, LPIPS, make_side
from tests.report_runs import HOSTILE, TWO_TARGETS, make_run
from tests.support import make_setting

SMALL: dict[str, Any] = {
    "targets": TWO_TARGETS[:1],
    "accelerations": ("none", "high"),
    "steps": (2, 4),
    "sizes": ((128, 128),),
}
Call = Callable[..., "tuple[int, str, str]"]


@dataclass(frozen=True)
class Runs:
    """Two runs: all prompts, and hostile ones of which one failed."""

    whole: Path
    hostile: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Runs, dict[Path, Plan]]:
    """The runs, and their plans, which no planner made."""
    folder = tmp_path_factory.mktemp("runs")
    runs = Runs(whole=folder / "whole", hostile=folder / "hostile")
    plans = {runs.whole: make_run(runs.whole, **SMALL)[1]}
    plans[runs.hostile] = make_run(runs.hostile, prompts=HOSTILE, failing=("prompt-3",), **SMALL)[1]
    return runs, plans


@pytest.fixture
def runs(made: tuple[Runs, dict[Path, Plan]], monkeypatch: pytest.MonkeyPatch) -> Runs:
    def plan_of(run: RunDirectory) -> Plan:
        return made[1].get(run.path) or made[1][made[0].whole]

    monkeypatch.setattr("kreabench.decisions.sides.plan_of", plan_of)
    return made[0]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """`kreabench compare` in an empty folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main(["compare", *map(str, arguments)])
        return int(str(caught.value.code)), *capfd.readouterr()

    return run


def printed(comparison: Comparison, *, width: int = 80, everything: bool = False) -> str:
    buffer = io.StringIO()
    print_comparison(Console(file=buffer, width=width), comparison, worst=3, everything=everything)
    return buffer.getvalue()


def every_output(comparison: Comparison) -> dict[str, str]:
    document = build_comparison(comparison, worst=3)
    return {
        "terminal": printed(comparison, everything=True),
        "html": render_html(document),
        "markdown": render_markdown(document),
        "csv": comparison_csv(comparison),
        "prompts": prompts_csv(comparison),
        "json": comparison_json(comparison, worst=3),
    }


def test_a_run_against_its_references(runs: Runs, call: Call, tmp_path: Path) -> None:
    code, out, error = call(runs.whole, "--out", "page", "--json", "deep/numbers.json")
    assert (code, error) == (0, "")
    assert "3 settings, each against none, 4 steps" in out
    assert {path.name for path in (tmp_path / "page").iterdir()} == {
        "index.html",
        "comparison.md",
        "comparison.csv",
        "prompts.csv",
    }
    found = json.loads((tmp_path / "deep/numbers.json").read_text())
    assert (found["kind"], found["schema_version"], len(found["settings"])) == ("comparison", 1, 3)
    clip = found["settings"][0]["metrics"][0]
    assert (clip["unit"], clip["n_prompts"], clip["difference"]["n"]) == ("100 × cosine", 4, 4)
    assert clip["difference"]["low"] < clip["difference"]["value"] < clip["difference"]["high"]
    rows = list(csv.DictReader(io.StringIO((tmp_path / "page/comparison.csv").read_text())))
    row = next(row for row in rows if row["name"] == "clip" and row["candidate_setting_id"])
    assert float(row["value"]) == clip["difference"]["value"]
    prompts = list(csv.DictReader(io.StringIO((tmp_path / "page/prompts.csv").read_text())))
    assert len({(row["candidate_setting_id"], row["prompt_id"]) for row in prompts}) == 12


def test_two_selections_show_the_pictures_of_both(runs: Runs, call: Call, tmp_path: Path) -> None:
    sides = [f"{runs.whole}:acceleration={name},steps=2" for name in ("none", "high")]
    code, out, _ = call(*sides, "--out", "page", "--worst", "2", "--metrics", "clip")
    assert code == 0
    assert "worst by clip ↑: prompt-" in out
    page = (tmp_path / "page/index.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 4
    assert "script" not in page
    assert str(runs.whole.parent) not in page


def test_hostile_text_stays_text(runs: Runs) -> None:
    side, settings = open_with_references(str(runs.hostile))
    outputs = every_output(compare_with_reference(side, settings))
    assert "<script" not in outputs["html"].lower()
    assert "<script" not in outputs["markdown"].lower()
    assert not any("\u202e" in text for text in outputs.values())


def test_failed_partners_and_unfinished_runs_are_told(runs: Runs, call: Call) -> None:
    sides = open_two(str(runs.whole), str(runs.hostile))
    comparison = compare_sides(*sides, force=True)
    reasons = {row.reason for two in comparison.settings for row in two.unpaired}
    assert reasons == {"failed: crashed"}
    assert "8 pictures without a partner: 8 failed: crashed" in printed(comparison)
    assert "on the other side: failed: crashed" in printed(comparison, everything=True)
    assert call(runs.whole, runs.hostile)[0] == 2


def test_what_was_forced_is_in_every_output() -> None:
    comparison = compare_sides(make_side(), make_side(name="b", facts={"device": "another device"}), force=True)
    for name, text in every_output(comparison).items():
        assert "another device" in text.replace("\n", " "), name


def test_json_alone_on_standard_output(runs: Runs, call: Call) -> None:
    code, out, _ = call(runs.whole, runs.whole, "--json", "-")
    found = json.loads(out)
    assert code == 0
    assert any("the same settings of the same run" in text for text in found["caveats"])
    assert found["within_run"] is True


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere",), "not a run directory"),
        (("{run}:steps=99",), "a selection of its settings"),
        (("{run}:reference",), "no setting with another one as its reference"),
        (("{run}", "{run}", "--metrics", "clip,beauty"), "beauty"),
        (("{run}", "--worst", "-1"), "--worst"),
        (("{run}", "--out", "{run}/run.json"), "run.json"),
        (("{run}", "--json", "{run}/run.json/x"), "run.json"),
    ],
)
def test_wrong_input_is_refused(runs: Runs, call: Call, arguments: tuple[str, ...], said: str) -> None:
    code, _, error = call(*(text.format(run=runs.whole) for text in arguments))
    assert code == 2
    assert said in error
    assert "Traceback" not in error


def test_a_damaged_run_and_one_that_is_drawn(runs: Runs, call: Call, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(runs.whole, damaged)
    with RunDirectory.open(damaged).drawing():
        code, _, error = call(damaged)
        assert (code, "still being drawn" in error) == (2, True)
    lines = (damaged / "journal.jsonl").read_text().splitlines()
    (damaged / "journal.jsonl").write_text("\n".join([lines[0], "{broken", *lines[1:]]) + "\n")
    code, _, error = call(damaged, runs.whole)
    assert (code, "journal.jsonl" in error) == (2, True)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("settings", [1, 6])
def test_no_number_is_cut_on_a_narrow_terminal(width: int, settings: int) -> None:
    reference = make_setting(steps=50)
    others = [make_setting(steps=n, acceleration="high", reference_id=reference.id) for n in range(1, settings + 1)]
    side = make_side(
        [reference, *others],
        metrics=(CLIP, LPIPS, COLOUR),
        scores={name: lambda n, p, s: 0.123456 * (n + 1) * (1 + p % 3) + s for name in ("clip", "lpips", "colour")},
    )
    text = printed(compare_with_reference(side), width=width)
    tables = [
        line for line in text.splitlines() if line.startswith(("clip ", "latency ", "high ", "setting ", "metric "))
    ]
    assert tables
    assert all(len(line.rstrip()) <= width for line in tables)
    assert "…" not in "".join(tables)


def test_fidelity_is_shown_beside_its_floors() -> None:
    comparison = compare_sides(make_side(), make_side(name="b"))
    close = Fidelity(mean=Estimate(value=31.25, low=30.0, high=32.0, n=6), pairs=12, infinite=1)
    fidelity = FidelityComparison(
        spec=LPIPS,
        unit="1",
        better="lower",
        to_reference=close,
        floors={"another_seed": Fidelity(mean=None, pairs=0, infinite=0), "itself": close},
        verdict="within noise",
        reason="closer than another seed",
    )
    found = replace(comparison, settings=(replace(comparison.settings[0], fidelity=(fidelity,)),))
    for name, text in every_output(found).items():
        if name != "prompts":
            assert "within noise" in text, name


def test_names_and_reasons_are_no_formulas_and_no_markup() -> None:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(prompt_id="=1+1 [bold]" + table["prompt_id"])

    names = {f"=1+1 [bold]prompt-{number}": "words" for number in range(6)}
    wild = lambda n, p, s: 1.0 * p * p + s  # noqa: E731
    base, candidate = (
        make_side(change=change, words=names),
        make_side(change=change, words=names, scores={"clip": wild}),
    )
    outputs = every_output(compare_sides(base, candidate))
    assert ",'=1+1 [bold]prompt-0," in outputs["prompts"]
    assert "[bold]prompt" in outputs["terminal"].replace("\n", "")


def test_what_is_no_file_is_written_into_and_not_replaced(tmp_path: Path) -> None:
    device = tmp_path / "device"
    device.symlink_to(os.devnull)
    write_one(device, "{}")
    assert device.is_symlink(), "a file renamed over /dev/null would take its place"
    assert [path.name for path in tmp_path.iterdir()] == ["device"]
