"""Comparison, recommendation and history of one run whose texts all attack, as they are written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from kreabench.core.planned import Plan
from kreabench.decisions.compare import compare_with_reference
from kreabench.decisions.history import make_history
from kreabench.decisions.recommend import recommend
from kreabench.decisions.recommend_evidence import contest_of
from kreabench.decisions.recommend_front import front_of
from kreabench.decisions.recommend_question import Limits, ask
from kreabench.decisions.sides import Side, side_of
from kreabench.report.comparison.write import write_comparison
from kreabench.report.history.files import write_history
from kreabench.report.recommend.content import Override, RecommendReport
from kreabench.report.recommend.files import write_page
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.samples import samples_of
from kreabench.rundir.table import read_table
from tests.report_runs import HOSTILE

FILES = (
    *("comparison/index.html", "comparison/comparison.md", "comparison/comparison.csv", "comparison/prompts.csv"),
    *("recommend/index.html", "recommend/recommend.md", "recommend/recommend_settings.csv", "recommend/front.csv"),
    *("history/index.html", "history/history.md", "history/history.csv", "history/steps.csv"),
)


def decided_files(run: RunDirectory, plan: Plan, folder: Path) -> dict[str, str]:
    """Name and text of each of `FILES`."""
    side = side_of(run, plan, samples_of(run, read_table(run)), HOSTILE[0])
    write_comparison(compare_with_reference(side), folder / "comparison", worst=2)
    write_page(_recommendation(side), folder / "recommend")
    one = replace(side, settings=side.settings[:1])
    write_history(make_history([one, replace(one, name=f"={HOSTILE[1]}")]), folder / "history")
    return {name: (folder / name).read_text(encoding="utf-8") for name in FILES}


def _recommendation(side: Side) -> RecommendReport:
    contest = contest_of(side, side.settings, {setting.target: False for setting in side.settings})
    asked = ask(contest, objective="latency", metric=None, losses=(), limits=Limits(), level=0.05)
    return RecommendReport(
        name=side.run_name,
        created_utc=side.created_utc,
        notice=side.notice,
        unfinished=0,
        dropped={side.settings[0].id: HOSTILE[2]},
        other_question=True,
        contest=contest,
        asked=asked,
        recommendation=recommend(contest, asked.question),
        front=front_of(contest, ("latency", "quality"), asked.question.quality_metric),
        hosting=HOSTILE[0],
        override=Override(words=(), command=f"kreabench run '{HOSTILE[0]}' ````\n# heading", obstacle=HOSTILE[1]),
    )
