"""`kreabench gate`: exit codes, every output, and text from outside in each of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import junitparser
import pytest
from rich.console import Console

from kreabench.cli.gate_table import print_gate
from kreabench.cli.main import main
from kreabench.core.errors import ExitCode
from kreabench.decisions.compare import compare_sides
from kreabench.decisions.gate import GateResult, judge
from kreabench.report.gate.json_file import render_json
from kreabench.report.gate.junit import render_junit
from kreabench.report.gate.markdown import render_markdown
from kreabench.rundir.directory import RunDirectory
from tests.compare_support import make_side
from tests.gate_support import make_check, make_policy, noisy, write_run
from tests.report_runs import HOSTILE, KEY
from tests.support import make_setting

Call = Callable[..., "tuple[int, str, str]"]

POLICY = "level: 0.05\nevery_metric: {margin: {noise_floor: 1.0}}\nchecks: {latency: {margin: {relative: 0.05}}}\n"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run directories: `base`, `equal`, `worse`, `few` prompts, and half `done`."""
    folder = tmp_path_factory.mktemp("gate")
    write_run(folder / "base")
    write_run(folder / "equal", salt=1)
    write_run(folder / "worse", salt=2, shift=-2.0)
    write_run(folder / "few", salt=3, prompts=3)
    write_run(folder / "half", salt=4, done=0.5)
    (folder / "policy.yaml").write_text(POLICY)
    return folder


@pytest.fixture
def call(runs: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.chdir(runs)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)

    def run(*arguments: str, policy: str = "policy.yaml") -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exit_:
            main(["gate", *arguments, "--policy", policy])
        out, err = capfd.readouterr()
        assert isinstance(exit_.value.code, int)
        return exit_.value.code, out, err

    return run


@pytest.mark.parametrize(
    ("candidate", "code", "said"),
    [
        ("equal", ExitCode.DONE, "passed: all 2 checks"),
        ("worse", ExitCode.REGRESSION, "regressed: clip (1 regressed, 1 passed)"),
        ("few", ExitCode.INCONCLUSIVE, "inconclusive: clip, latency (2 inconclusive)"),
        ("half", ExitCode.INCONCLUSIVE, "cannot pass: candidate: 16 planned requests have no sample"),
        ("base", ExitCode.INCONCLUSIVE, "compared with itself"),
    ],
)
def test_exit_codes(call: Call, candidate: str, code: int, said: str) -> None:
    found, out, err = call("base", candidate)
    assert (found, err) == (code, "")
    assert said in out
    assert "versions that differ: torch 2.0 → 2." in out or candidate == "base"


def test_the_same_in_every_output(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("# before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    files = {name: tmp_path / f"gate.{name}" for name in ("json", "junit", "markdown")}
    code, _, err = call("base", "worse", *(f"--{name}={file}" for name, file in files.items()))
    assert (code, err) == (ExitCode.REGRESSION, "")
    document = json.loads(files["json"].read_text())
    (pair,) = document["settings"]
    assert (document["outcome"], document["exit_code"], document["family"]) == ("regressed", 1, 2)
    assert {check["name"]: check["outcome"] for check in pair["checks"]} == {"clip": "regressed", "latency": "passed"}
    clip = pair["checks"][0]
    assert clip["margin"] == pytest.approx(clip["noise_floor"])
    assert clip["change"]["low"] < clip["change"]["value"] < clip["change"]["high"] < 0
    assert (clip["change"]["prompts"], clip["pairs"]) == (16, 32)
    xml = junitparser.JUnitXml.fromfile(str(files["junit"]))
    assert (xml.tests, xml.failures, xml.errors) == (2, 1, 0)
    assert files["markdown"].read_text() in summary.read_text()
    assert call("base", "worse", "--json=-")[:2] == (ExitCode.REGRESSION, files["json"].read_text())
    assert summary.read_text().startswith("# before\n## gate policy: base → worse\n\n❌ **regressed: clip")


def test_an_inconclusive_check_is_an_error_in_junit(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "gate.xml"
    call("base", "half", f"--junit={file}")
    whole, suite = junitparser.JUnitXml.fromfile(str(file))
    assert (whole.errors, suite.errors, suite.failures) == (1, 2, 0)


def test_what_cannot_be_written_is_said_and_is_no_pass(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "no" / "gate.xml"
    assert call("base", "worse", f"--junit={missing}")[0] == ExitCode.REGRESSION
    code, out, err = call("base", "equal", f"--junit={missing}")
    assert code == ExitCode.USAGE
    assert "passed: all 2 checks" in out
    assert f"cannot write {missing}: No such file or directory" in err
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(missing))
    code, _, err = call("base", "equal")
    assert (code, "cannot write" in err) == (ExitCode.DONE, True)


def test_bad_input_is_refused(call: Call, runs: Path, tmp_path: Path) -> None:
    assert "did you mean default?" in call("base", "equal", policy="defaul")[2]
    assert call("base", "nowhere")[0] == ExitCode.USAGE
    damaged = tmp_path / "damaged"
    shutil.copytree(runs / "equal", damaged)
    journal = (damaged / "journal.jsonl").read_text().splitlines()
    (damaged / "journal.jsonl").write_text("\n".join([*journal[:5], "{", *journal[5:]]) + "\n")
    code, out, err = call("base", str(damaged))
    assert (code, out) == (ExitCode.USAGE, "")
    assert "journal.jsonl" in err
    run = RunDirectory.open(runs / "equal")
    with run.writer(), run.drawing():
        code, out, err = call("base", "equal")
    assert (code, out) == (ExitCode.USAGE, "")
    assert "equal is still being drawn" in err
    other = write_run(tmp_path / "other", seeds=(8, 9))
    assert "no pair in common" in call("base", str(other))[2]


def hostile() -> GateResult:
    """Names, reasons and dropped settings as nobody would write them in good faith."""
    nasty = f"{HOSTILE[0]} {HOSTILE[1]} \x00\x1b[31m [bold] {KEY}"
    setting = make_setting(target=nasty)
    spec = make_check(nasty, 1.0)
    metrics = (replace(make_side().metrics[0], name=nasty),)
    base = make_side([setting], prompts=20, metrics=metrics, scores={nasty: noisy(seed=1)})
    candidate = make_side(
        [setting], name=f"{nasty} \ud800", prompts=20, metrics=metrics, scores={nasty: noisy(-3.0, seed=2)}
    )
    candidate = replace(candidate, versions={nasty: nasty}, dropped={"x": nasty}, notice=nasty)
    return judge(compare_sides(base, candidate), make_policy(spec, make_check("lpips", required=False), name=nasty))


def test_hostile_text_stays_text() -> None:
    result = hostile()
    xml = junitparser.JUnitXml.fromstring(render_junit(result))
    assert xml.failures == 1
    markdown = render_markdown(result)
    assert "<script" not in markdown
    terminal = StringIO()
    print_gate(Console(file=terminal, width=400, color_system=None), result)
    assert "[bold]" in terminal.getvalue(), "no markup is read from names"
    for text in (markdown, terminal.getvalue(), render_junit(result).decode()):
        assert not {"\x00", "\x1b", "\u202e", "\ud800"} & set(text)
    assert json.loads(render_json(result).encode())["outcome"] == "regressed"


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_a_terminal(width: int) -> None:
    sides: list[Any] = [
        make_side(name=name, prompts=20, scores={"clip": noisy(seed=n)}) for n, name in enumerate(("base", "candidate"))
    ]
    checks = make_check("clip", 0.5, "noise_floor"), make_check("usd_per_image", 0.05, "relative")
    out = StringIO()
    print_gate(Console(file=out, width=width, color_system=None), judge(compare_sides(*sides), make_policy(*checks)))
    (row,) = (line for line in out.getvalue().splitlines() if line.startswith("usd_per_image"))
    assert len(row) <= width
    assert "…" not in row
    assert row.split()[-1] == "passed"
