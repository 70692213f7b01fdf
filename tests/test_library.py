"""`import kreabench`: what is public, what it costs, and that it says what the commands say."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Literal, assert_type

import pandas as pd
import pytest

import kreabench
from kreabench.decisions.compare_runs import compare_runs
from kreabench.gating import run_gate
from kreabench.library.columns import TYPES
from kreabench.report.dictionary import described
from tests.decided_runs import decided_run
from tests.test_layers import HEAVY

pytestmark = pytest.mark.usefixtures("undrawn")
PACKAGE = Path(kreabench.__file__).parent


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("runs")
    return tuple(decided_run(folder / name, version=n)[0].path for n, name in enumerate(("a", "b")))  # type: ignore[return-value]


def test_the_import_is_light_and_quick() -> None:
    code = (
        "import sys, time; began = time.process_time(); import kreabench; took = time.process_time() - began\n"
        f"print(took, *sorted({{*{(*HEAVY, 'numpy', 'click', 'kreabench.library')!r}}} & set(sys.modules)))"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)]
    assert {tuple(run.stdout.split()[1:]) for run in runs} == {()}
    assert min(float(run.stdout.split()[0]) for run in runs) < 0.05


def test_every_public_name_is_there_and_documented() -> None:
    assert sorted(kreabench.__all__) == kreabench.__all__ == dir(kreabench)
    for name in kreabench.__all__:
        found = getattr(kreabench, name)
        assert name == "__version__" or (found.__doc__ or "").strip(), name


def test_nothing_else_is_public() -> None:
    with pytest.raises(AttributeError, match="open_runs"):
        kreabench.open_runs  # noqa: B018
    listed = [name for names in kreabench._MODULES.values() for name in names]
    assert sorted([*listed, "__version__"]) == kreabench.__all__


def test_type_checkers_see_what_is_loaded() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    (guarded,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.asname: node.module for node in guarded.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert seen == {name: module for module, names in kreabench._MODULES.items() for name in names}
    assert (PACKAGE / "py.typed").is_file()


def test_no_module_takes_the_place_of_a_public_name() -> None:
    modules = {module.name for module in pkgutil.iter_modules([str(PACKAGE)])}
    assert not modules & set(kreabench.__all__)
    importlib.import_module("kreabench.plan_build")
    assert callable(kreabench.plan)
    assert callable(kreabench.run)


def test_the_errors_are_one_family() -> None:
    for name in ("ConfigError", "EnvironmentProblem", "RunDirectoryError", "StorageError", "NotComparable"):
        assert issubclass(getattr(kreabench, name), kreabench.KreabenchError)


def test_a_run_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(kreabench.RunDirectoryError, match="not a run directory"):
        kreabench.open_run(tmp_path)


def test_frames_of_a_run(two: tuple[Path, Path]) -> None:
    run = kreabench.open_run(two[0])
    samples, scores = run.samples, run.scores
    pictures = samples[samples["image_index"].notna()]
    assert len(pictures) < len(samples), "failed requests have rows without a picture"
    assert len(scores) == 3 * len(pictures)
    assert set(scores["status"]) == {"ok", "infinite", "failed", "unscored"}
    assert (scores["value"].notna() == (scores["status"] == "ok")).all()
    assert scores.loc[scores["status"] == "failed", "reason"].notna().all()
    lpips = scores[(scores["metric"] == "lpips") & (scores["status"] == "ok")]
    assert sorted(lpips["value"]) == sorted(samples["score_lpips"].dropna())
    assert len(run.settings) == len(run.plan.settings)


def test_frames_are_copies(two: tuple[Path, Path]) -> None:
    run = kreabench.open_run(two[0])
    frame = run.samples
    frame["seed"] = -1
    assert (run.samples["seed"] >= 0).all()


def frames(path: Path) -> Iterator[tuple[str, pd.DataFrame]]:
    run = kreabench.open_run(path)
    yield from (("samples", run.samples), ("scores", run.scores), ("settings", run.settings))


def test_every_column_is_described_and_of_the_type_that_is_said(two: tuple[Path, Path]) -> None:
    for table, frame in frames(two[0]):
        words = kreabench.describe(frame)
        assert list(words["column"]) == list(frame.columns)
        assert (words["meaning"] != "").all(), words[words["meaning"] == ""]
        for one, dtype in zip(described(table, list(frame.columns), ()), frame.dtypes, strict=True):
            fitting = {TYPES[one.type], *ALSO[one.type]}
            assert str(dtype) in fitting, (table, one.column, dtype)


ALSO = {"text": {"str", "object"}, "integer": {"int64", "UInt64"}, "number": set(), "boolean": {"bool"}}
"""Types of pandas of columns that are never empty, or as its version has them."""


def test_compare_is_what_the_command_computes(two: tuple[Path, Path]) -> None:
    ours = kreabench.compare(two[0], kreabench.open_run(two[1]), metrics=["clip"])
    theirs = compare_runs(str(two[0]), str(two[1]), metrics=["clip"])
    assert [[m.difference for m in pair.metrics] for pair in ours.settings] == [
        [m.difference for m in pair.metrics] for pair in theirs.settings
    ]
    assert isinstance(ours, type(theirs))
    with pytest.raises(FrozenInstanceError):
        ours.settings = ()  # type: ignore[misc]


def test_gate_is_what_the_command_computes(two: tuple[Path, Path]) -> None:
    ours, theirs = kreabench.gate(*two), run_gate(str(two[0]), str(two[1]))
    assert ours.outcome == theirs.outcome == "inconclusive"
    assert [check.outcome for check in ours.checks] == [check.outcome for check in theirs.checks]


def test_recommend_answers_the_same_question_as_the_options(two: tuple[Path, Path]) -> None:
    found = kreabench.recommend(two[0], max_quality_loss={"clip": "40%"}, front=["latency", "usd_per_image"])
    assert found.answer is not None
    assert found.answer.acceleration == "faster"
    assert found.front.axes == ("latency", "usd_per_image")
    (loss,) = found.recommendation.question.max_quality_loss
    assert (loss.metric, loss.margin.kind, loss.margin.value) == ("clip", "relative", 0.4)
    with pytest.raises(kreabench.ConfigError, match=r"max_quality_loss\.clip.*much"):
        kreabench.recommend(two[0], max_quality_loss={"clip": "much"})


def test_what_cannot_be_asked_is_said(two: tuple[Path, Path]) -> None:
    run = kreabench.open_run(two[0])
    (first, *_) = kreabench.compare(run, metrics="clip").settings
    assert [metric.spec.name for metric in first.metrics] == ["clip"]
    asked: list[tuple[str, Callable[[], object]]] = [
        ("clop.*expected metrics of", lambda: kreabench.compare(run, metrics=["clop"])),
        (r"front.*two or three of latency", lambda: kreabench.recommend(run, front=["latency", "speed"])),  # type: ignore[list-item]
        (r"front.*two or three", lambda: kreabench.recommend(run, front=["latency", "latency"])),
        (r"level: found 2;", lambda: kreabench.recommend(run, level=2)),
        ("did you mean trial", lambda: kreabench.run("experiment=trail")),
        ("images: found 'inline'", lambda: run.report(two[0] / "r", images="inline")),  # type: ignore[arg-type]
        ("max_pictures: found -3", lambda: run.report(two[0] / "r", max_pictures=-3)),
    ]
    for message, ask in asked:
        with pytest.raises(kreabench.ConfigError, match=message):
            ask()


def test_a_script_of_a_user_is_typed(two: tuple[Path, Path]) -> None:
    """What a type checker sees, checked by `make types`, is what there is."""
    run = kreabench.open_run(two[0])
    assert_type(run, kreabench.Run)
    assert_type(run.samples, pd.DataFrame)
    assert_type(kreabench.compare(run), kreabench.Comparison)
    assert_type(kreabench.gate(*two).outcome, Literal["passed", "regressed", "inconclusive"])
    choice = assert_type(kreabench.recommend(run, limits=kreabench.Limits(max_latency_s=1e6)), kreabench.Recommendation)
    assert choice.recommendation.question.max_latency_s == 1e6
    assert_type(choice.overrides, tuple[str, ...])
    assert_type(kreabench.plan("experiment=trial"), kreabench.PlannedRun)


def test_results_show_themselves(two: tuple[Path, Path]) -> None:
    run = kreabench.open_run(two[0])
    planned = kreabench.plan("experiment=trial")
    results = [run, kreabench.compare(run), kreabench.gate(*two), kreabench.recommend(run), planned]
    for result in results:
        html = result._repr_html_()
        assert len(re.findall(r"<table\b", html)) == html.count("</table>") >= 1
        assert "\n" not in repr(result)
        assert repr(result).startswith(f"<{type(result).__name__} ")
    assert str(two[0]) in repr(run)


def test_what_others_wrote_is_text_in_a_notebook(tmp_path: Path) -> None:
    run, _ = decided_run(tmp_path / "run", description="<script>alert(1)</script>")
    hostile = kreabench.compare(run.path)
    assert "<script" not in kreabench.open_run(run.path)._repr_html_() + hostile._repr_html_()
    evil = tmp_path / "<img src=x onerror=alert(1)>"
    run.path.rename(evil)
    html = kreabench.compare(evil)._repr_html_()
    assert "&lt;img" in html
    assert "<img" not in html


def test_plan_says_what_would_be_done_and_what_is_wrong() -> None:
    planned = kreabench.plan("experiment=trial", "axes.steps=[2,4]")
    assert list(planned.settings["steps"]) == [2, 4]
    assert planned.plan.request_count == 12
    assert planned.run_path == Path("runs/trial")
    with pytest.raises(kreabench.ConfigError, match="stepz"):
        kreabench.plan("axes.stepz=[2]")


class Watching(kreabench.Observer):
    """Remembers the handlers in force while pictures are drawn."""

    def __init__(self) -> None:
        self.handlers: set[object] = set()

    def record(self, record: object, spent_usd: float) -> None:
        self.handlers.add(signal.getsignal(signal.SIGTERM))


def test_run_draws_quietly_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    before, watching = signal.getsignal(signal.SIGTERM), Watching()
    words = ("experiment=trial", "axes.steps=[2]", "prompts.limit=1", "run.seeds=[0]")
    finished = kreabench.run(*words, observer=watching)
    assert capsys.readouterr() == ("", "")
    assert watching.handlers == {before}
    assert finished.ok
    assert finished.outcome.delivered == len(finished.run.samples)
    assert (tmp_path / "reports" / "trial" / "index.html").exists()
    assert "delivered" in repr(finished)
    assert kreabench.run(*words).outcome.delivered == finished.outcome.delivered
    with pytest.raises(kreabench.RunDirectoryError, match="another plan"):
        kreabench.run(*words, "axes.guidance=[3]")


def test_a_result_holds_every_field_of_the_command_s(two: tuple[Path, Path]) -> None:
    ours = kreabench.gate(*two)
    assert {field.name for field in fields(ours)} == {"policy", "comparison", "checks", "left_out", "obstacles"}
