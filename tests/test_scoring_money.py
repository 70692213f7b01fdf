"""A metric that costs dollars: the budget holds over drawing and scoring, and nothing that was paid is forgotten."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from rich.console import Console

from kreabench import pipeline
from kreabench.cli.run_table import print_scoring
from kreabench.core.errors import BudgetReached, ExitCode
from kreabench.core.planned import Plan
from kreabench.core.specs import MetricSpec
from kreabench.drops import Standing
from kreabench.execution.budget import Budget
from kreabench.metrics.base import OutOfBudget, Score, ScoreItem
from kreabench.metrics.fidelity import Psnr
from kreabench.metrics.shared import Purse, Shared
from kreabench.metrics.table import METRICS
from kreabench.rundir.directory import RunDirectory
from kreabench.scoring.spending import purse_of, scores_usd
from tests.hosted_support import USD as HOSTED_USD
from tests.hosted_support import hosted_group
from tests.scoring_support import counts, group_of, new_run, requests_of, score_with, scores
from tests.support import make_plan, make_prompt

USD = 0.25
PAID = MetricSpec(name="judge", kind="paid", options={})
PSNR = MetricSpec(name="psnr", kind="psnr", options={})


class Paid:
    """A metric that pays for each picture, and breaks on demand after paying."""

    fault: ClassVar[Exception | None] = None
    asked: ClassVar[list[ScoreItem]] = []
    sizes: ClassVar[list[int]] = []

    def __init__(self) -> None:
        self.needs = ()
        self._purse = Purse(limit_usd=None)

    def open(self, shared: Shared) -> dict[str, Any]:
        self._purse = shared.purse
        return {"version": 1}

    def score(self, items: Sequence[ScoreItem]) -> list[Score]:
        Paid.sizes.append(len(items))
        scores: list[Score] = []
        for item in items:
            try:
                self._purse.reserve(USD)
            except BudgetReached as reached:
                raise OutOfBudget(reached, [*scores, *[None] * (len(items) - len(scores))]) from reached
            Paid.asked.append(item)
            self._purse.pay(USD)
            if Paid.fault is not None:
                raise Paid.fault
            scores.append(Score(status="ok", value=1.0, usd=USD, notes=("asked by hand",)))
        return scores

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture(autouse=True)
def paid(monkeypatch: pytest.MonkeyPatch) -> None:
    row = replace(METRICS["judge"], location=f"{__name__}:Paid", options=f"{__name__}:Paid")
    monkeypatch.setitem(METRICS, "paid", row)
    for name, value in (("fault", None), ("asked", []), ("sizes", [])):
        monkeypatch.setattr(Paid, name, value)


@pytest.fixture
def made(tmp_path: Path) -> tuple[RunDirectory, Plan]:
    """Four pictures, with prompts that say what to ask."""
    plan = make_plan(group_of())
    prompts = tuple(make_prompt(n, look_for="wheels", questions=(f"Are there {n} bicycles?",)) for n in range(2))
    return new_run(tmp_path / "run", plan, prompts=prompts), plan


def test_the_judge_is_the_one_that_pays() -> None:
    assert [kind for kind, row in METRICS.items() if row.paid and kind != "paid"] == ["judge"]


def test_a_judge_is_given_the_prompts_questions(made: tuple[RunDirectory, Plan]) -> None:
    score_with(*made, PAID)

    assert {(item.prompt_id, item.look_for, item.questions) for item in Paid.asked} == {
        ("prompt-0", "wheels", ("Are there 0 bicycles?",)),
        ("prompt-1", "wheels", ("Are there 1 bicycles?",)),
    }
    assert Paid.sizes == [4], "without a limit, all at once"


def test_a_spent_budget_stops_that_metric_alone_and_more_goes_on(made: tuple[RunDirectory, Plan]) -> None:
    run, plan = made

    told: list[tuple[int, int]] = []
    purse = Purse(limit_usd=1.0, spent_usd=0.4)

    summary = score_with(run, plan, PAID, PSNR, purse=purse, progress=lambda *step: told.append(step))

    assert counts(summary, "judge") == {"scored": 2, "left": 2}
    assert told[-1] == (6, 8), "two are left"
    assert Paid.sizes == [4], "with a limit too, so that a metric can ask about several at once"
    assert counts(summary, "psnr") == {"scored": 2, "not_applicable": 2}
    assert summary.budget_message is not None
    assert summary.budget_message.startswith("metrics.judge: the next score could cost $0.2500")
    assert summary.exit_code == ExitCode.BUDGET
    assert summary.usd == pytest.approx(2 * USD)
    assert len(scores(run, "judge")) == 2, "the others have no record: they are missing, not failed"

    summary = score_with(run, plan, PAID, purse=Purse(limit_usd=10.0, spent_usd=0.9))
    assert counts(summary, "judge") == {"scored": 2, "reused": 2}
    assert (summary.budget_message, summary.exit_code) == (None, ExitCode.DONE)


def test_what_scores_have_cost_counts_ever_after(made: tuple[RunDirectory, Plan], tmp_path: Path) -> None:
    run, plan = made
    score_with(run, plan, PAID)
    score_with(run, plan, PAID, again=True)

    assert scores_usd(run) == pytest.approx(8 * USD), "replaced ones too"
    limited = RunDirectory(run.path, replace(run.info, experiment=replace(run.info.experiment, budget_usd=9.0)))
    assert purse_of(limited, plan).spent_usd == pytest.approx(8 * USD)

    group = hosted_group(tmp_path)
    budget = Budget(2.1, make_plan(group), scores_usd=scores_usd(run))
    with pytest.raises(BudgetReached, match=r"\$2\.0000 spent"):
        budget.admit(group, group.requests[0])
    Budget(2.0 + HOSTED_USD, make_plan(group), scores_usd=scores_usd(run)).admit(group, group.requests[0])


def test_what_was_paid_before_a_failure_is_recorded(made: tuple[RunDirectory, Plan], monkeypatch: Any) -> None:
    run, plan = made
    monkeypatch.setattr(Paid, "fault", ConnectionError("hung up"))
    purse = Purse(limit_usd=None)

    summary = score_with(run, plan, PAID, purse=purse)

    assert counts(summary, "judge") == {"failed": 4}
    assert scores_usd(run) == pytest.approx(purse.spent_usd) == pytest.approx(USD)


def test_a_budget_that_ends_within_a_picture_forgets_nothing(made: tuple[RunDirectory, Plan], monkeypatch: Any) -> None:
    run, plan = made
    monkeypatch.setattr(Paid, "fault", BudgetReached("no more"))

    summary = score_with(run, plan, PAID, purse=Purse(limit_usd=5.0))

    assert counts(summary, "judge") == {"failed": 1, "left": 3}
    assert scores_usd(run) == pytest.approx(USD)
    assert summary.budget_message == "metrics.judge: no more"


def test_what_it_cost_and_must_be_known_is_printed(made: tuple[RunDirectory, Plan]) -> None:
    out = Console(width=200, file=io.StringIO(), record=True)

    print_scoring(out, Path("runs/x"), score_with(*made, PAID, PSNR, purse=Purse(limit_usd=0.6)))

    text = out.export_text()
    assert "$0.50" in text
    assert "judge: asked by hand (2)" in text
    assert "kreabench score runs/x --budget-usd MORE" in text


def test_why_scores_failed_is_printed(made: tuple[RunDirectory, Plan]) -> None:
    run, plan = made
    picture = sorted(run.path.glob("images/*/*"))[0]
    picture.unlink()
    out = Console(width=400, file=io.StringIO(), record=True)

    print_scoring(out, Path("runs/x"), score_with(run, plan, PAID))

    assert f"judge: 1 failed, the first: images/{picture.parent.name}/{picture.name} is gone" in out.export_text()


def test_one_damaged_picture_is_told_once_and_not_by_every_metric(made: tuple[RunDirectory, Plan]) -> None:
    run, plan = made
    sorted(run.path.glob("images/*/*"))[0].unlink()
    out = Console(width=400, file=io.StringIO(), record=True)

    print_scoring(out, Path("runs/x"), score_with(run, plan, PAID, replace(PAID, name="twin")))

    text = out.export_text()
    assert "judge, twin: 1 failed, the first: images/" in text
    assert text.count("is gone") == 1


def test_a_run_that_stops_scoring_at_the_budget_says_so(tmp_path: Path) -> None:
    plan = make_plan(group_of())
    run = new_run(tmp_path / "run", plan)
    summary = score_with(run, plan, PAID, purse=Purse(limit_usd=0.0))
    outcome = pipeline.Outcome(
        run_path=run.path,
        standing=Standing(requests=4, delivered=3, failed=1, unanswered=0, cut_off=0, spared=0, dropped=0),
        spent_usd=0.0,
        budget_message=None,
        scoring=summary,
        report_index=Path("index.html"),
    )
    assert outcome.exit_code == ExitCode.BUDGET
    assert len(requests_of(plan)) == 4
    assert scores(run, "judge") == {}


def test_a_run_with_a_metric_that_cannot_be_opened_has_not_gone_well(tmp_path: Path, monkeypatch: Any) -> None:
    """Though all pictures were delivered, and their scores of before are held and stay."""
    plan = make_plan(group_of())
    run = new_run(tmp_path / "run", plan)
    score_with(run, plan, PAID)

    def broken(self: Paid, shared: Shared) -> dict[str, Any]:
        raise ConnectionError("gone")

    monkeypatch.setattr(Paid, "open", broken)
    summary = score_with(run, plan, PAID)
    outcome = pipeline.Outcome(
        run_path=run.path,
        standing=Standing(requests=4, delivered=4, failed=0, unanswered=0, cut_off=0, spared=0, dropped=0),
        spent_usd=0.0,
        budget_message=None,
        scoring=summary,
        report_index=Path("index.html"),
    )

    assert counts(summary, "judge") == {"reused": 4}
    assert outcome.exit_code == ExitCode.FAILED_SAMPLES


@pytest.mark.parametrize("limit", [None, 10.0])
def test_what_was_paid_outlives_an_interrupt_of_another_metric(
    made: tuple[RunDirectory, Plan], monkeypatch: Any, limit: float | None
) -> None:
    run, plan = made

    def interrupt(*_: Any) -> list[Score]:
        raise KeyboardInterrupt

    monkeypatch.setattr(Psnr, "score", interrupt)
    with pytest.raises(KeyboardInterrupt):
        score_with(run, plan, PAID, PSNR, purse=Purse(limit_usd=limit))

    assert len(scores(run, "judge")) == 4
    assert scores_usd(run) == pytest.approx(4 * USD)


def test_an_interrupt_forgets_no_dollar_that_was_paid(made: tuple[RunDirectory, Plan], monkeypatch: Any) -> None:
    run, plan = made
    ask = Paid.score

    def score(self: Paid, items: Sequence[ScoreItem]) -> list[Score]:
        ask(self, items[:3])
        raise KeyboardInterrupt

    monkeypatch.setattr(Paid, "score", score)
    with pytest.raises(KeyboardInterrupt):
        score_with(run, plan, PAID, purse=Purse(limit_usd=10.0))

    assert scores_usd(run) == pytest.approx(3 * USD)
    assert [record.status for record in scores(run, "judge").values()] == ["failed"]
