"""The verdict of a run: what is recommended, what is not, what got worse, and that it says so in words."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kreabench.core.planned import Plan
from kreabench.core.records import DropRecord
from kreabench.decisions.recommend import recommend
from kreabench.report.build import document_of
from kreabench.report.evidence import Evidence, gather
from kreabench.report.explorer.data import RegressionData, VerdictData
from kreabench.report.explorer.sources import sources_of
from kreabench.report.explorer.verdict import verdict_of
from kreabench.report.markdown_page import render_markdown
from kreabench.report.report_page import report_page
from kreabench.report.verdict_words import sureness, verdict_sentence
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.table import read_table
from tests.recommend_support import QUESTION, make_contest
from tests.report_runs import PROMPTS, TWO_TARGETS, make_run
from tests.support import UTC, make_setting

LOCAL = replace(TWO_TARGETS[0], untrained=False)
TEXTS = tuple(f"{text}, number {number}" for number in range(3) for text in PROMPTS)
ONE_FAMILY: dict[str, Any] = {"targets": [LOCAL], "steps": (4,), "sizes": [(64, 64)], "prompts": TEXTS}
"""A reference and two faster accelerations, twelve prompts, two seeds."""


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDirectory, Plan, pd.DataFrame]:
    """Scores as a trained metric gives them: `regular` and `high` lose."""
    run, plan = make_run(tmp_path_factory.mktemp("verdict") / "family", pictures=False, **ONE_FAMILY)
    return run, plan, read_table(run).assign(score_clip_untrained=False)


NAMES = {make_setting(steps=steps).id: f"{steps} steps" for steps in (2, 4, 8)}


def verdict(evidence: Evidence) -> VerdictData:
    return verdict_of(sources_of([evidence]))


def first_words(said: VerdictData) -> int:
    """Words of the first sentence."""
    return len(said.sentence.split(". ")[0].split())


def as_good(table: pd.DataFrame, acceleration: str) -> pd.DataFrame:
    """Its scores are the reference's and next to nothing."""
    table = table.copy()
    base = table[table["acceleration"] == "none"].set_index(["prompt_id", "seed"])["score_clip"].astype(float)
    rows = table["acceleration"] == acceleration
    keys = pd.MultiIndex.from_frame(table.loc[rows, ["prompt_id", "seed"]])
    noise = np.random.default_rng(0).normal(0, 0.01, int(rows.sum()))
    table.loc[rows, "score_clip"] = base.loc[keys].to_numpy() + noise
    return table


def test_a_setting_that_loses_next_to_nothing_is_recommended_with_what_it_saves(
    family: tuple[RunDirectory, Plan, pd.DataFrame],
) -> None:
    run, plan, table = family
    said = verdict(gather(run, plan, as_good(table, "high")))

    assert said.state == "recommended"
    high = next(setting for setting in plan.settings if setting.acceleration == "high")
    assert said.setting == f"a/{high.id}"
    assert said.sentence.startswith("Use mini_local high: ")
    assert "s a request instead of" in said.sentence
    assert "% less)" in said.sentence
    assert re.search(r"Quality: no change of clip from 25\.\d is shown, where a loss of", said.sentence)
    assert said.sentence.endswith("is allowed.")
    assert first_words(said) <= 40
    assert "95 % interval" in said.sureness
    assert "1,000 resamples of the 12 prompts" in said.sureness
    assert any("half a noise floor of clip" in text for text in said.assumed)
    assert said.command == "kreabench recommend runs/family"
    assert [one.setting for one in said.regressions] != [said.setting]


def test_a_setting_that_is_established_to_lose_is_a_regression_and_not_recommended(
    family: tuple[RunDirectory, Plan, pd.DataFrame],
) -> None:
    run, plan, table = family
    evidence = gather(run, plan, table)
    said = verdict(evidence)

    high = next(setting for setting in plan.settings if setting.acceleration == "high")
    found = {one.setting: one for one in said.regressions}
    assert found[f"a/{high.id}"].quantity == "clip"
    assert found[f"a/{high.id}"].against == f"a/{high.reference_id}"
    assert found[f"a/{high.id}"].sentence.startswith("mini_local high: clip -")
    assert "against mini_local none (p" in found[f"a/{high.id}"].sentence
    assert "after Holm" in found[f"a/{high.id}"].sentence
    worse = {one.candidate.id for one in evidence.fidelity.settings if one.fidelity[0].verdict == "worse"}
    assert {f"a/{id_}" for id_ in worse} == set(found), "the table of fidelity says the same"
    assert said.sentence.startswith("Keep ")
    assert said.setting == f"a/{high.reference_id}"
    assert "losses of clip (2 tests)" in said.regressions_note


def test_more_failures_than_the_reference_are_a_regression(family: tuple[RunDirectory, Plan, pd.DataFrame]) -> None:
    run, plan, table = family
    table = table.copy()
    lost = (table["acceleration"] == "high") & (table["seed"] == 0)
    table.loc[lost, "status"] = "failed"
    table.loc[lost, "timing_valid"] = False

    said = verdict(gather(run, plan, table))

    (one,) = [one for one in said.regressions if one.quantity == "failure_rate"]
    assert "fails in 12 of 24 requests" in one.sentence
    assert "in 0 of 24" in one.sentence


def test_a_setting_that_got_worse_by_another_metric_is_not_recommended(
    family: tuple[RunDirectory, Plan, pd.DataFrame],
) -> None:
    """Quality by the metric that is asked for holds."""
    run, plan, table = family
    table, experiment = as_good(table, "high"), run.info.experiment
    (clip,) = [spec for spec in experiment.metrics if spec.name == "clip"]
    both = replace(experiment, metrics=(*experiment.metrics, replace(clip, name="other")))
    names = [str(name) for name in table if str(name).startswith("score_clip")]
    table = table.assign(**{name.replace("clip", "other"): table[name] for name in names})
    table.loc[table["acceleration"] == "high", "score_other"] -= 5

    said = verdict(gather(RunDirectory(run.path, replace(run.info, experiment=both)), plan, table))

    assert (said.state, said.setting) == ("undecided", None)
    assert said.sentence.startswith("Nothing is recommended yet: mini_local high would be, but it got worse. ")
    assert "mini_local high: other -5" in said.sentence


def test_the_kept_reference_of_several_is_called_the_fastest_of_them(tmp_path: Path) -> None:
    several = {**ONE_FAMILY, "sizes": [(64, 64), (96, 64)]}
    run, plan = make_run(tmp_path / "run", pictures=False, **several)
    said = verdict(gather(run, plan, read_table(run).assign(score_clip_untrained=False)))
    assert ", the fastest of 2 references (" in said.sentence
    assert "mini_local none 64×64" in said.sentence
    assert first_words(said) <= 40


def test_untrained_weights_are_said_beside_the_quality() -> None:
    contest = make_contest({4: 0.0, 8: 0.0}, {4: 0.5, 8: 1.0}, loss_sd=0.05)
    untrained = replace(contest, metrics={"clip": replace(contest.metrics["clip"], untrained=True)})
    for one, said in ((contest, False), (untrained, True)):
        assert ("of clip (untrained weights) from" in verdict_sentence(one, recommend(one, QUESTION), NAMES)) == said


def test_a_loss_of_a_metric_of_which_less_is_better_is_told_as_a_loss() -> None:
    contest = make_contest({4: 0.35, 8: 0.0}, {4: 0.5, 8: 1.0}, loss_sd=0.05, higher=False)
    sentence = verdict_sentence(contest, recommend(contest, QUESTION), NAMES)
    assert sentence.startswith("Use 4 steps: 0.5")
    assert "Quality: a loss of 0.2" in sentence


def test_what_has_no_timing_is_not_called_slower() -> None:
    contest = make_contest({2: 0.0, 8: 0.0}, {2: 2.0, 8: 1.0}, loss_sd=0.05)
    slow = contest.entrants[0]
    assert verdict_sentence(contest, recommend(contest, QUESTION), NAMES).endswith(": no other setting is faster.")
    untimed = replace(slow, costs={**slow.costs, "latency": slow.costs["energy"]})
    contest = replace(contest, entrants=(untimed, contest.entrants[1]))
    sentence = verdict_sentence(contest, recommend(contest, QUESTION), NAMES)
    assert sentence.endswith(": no other setting that was timed is faster.")


def test_nothing_found_is_no_proof_and_untrained_metrics_are_not_tested(tmp_path: Path) -> None:
    run, plan = make_run(tmp_path / "run", pictures=False, **ONE_FAMILY)

    said = verdict(gather(run, plan, read_table(run)))

    assert said.regressions == ()
    assert "does not show that all are as good" in said.regressions_note
    assert "Not tested, as the weights are untrained: clip." in said.regressions_note
    assert "untrained metric, its values show plumbing only" in said.sureness


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"done": 0.0, "scores": False}, "nothing was drawn yet"),
        ({"failing": ["prompt-0", "prompt-1"], "prompts": PROMPTS[:2]}, "every sample that ran has failed"),
        ({"accelerations": ("none",)}, "one setting"),
        (
            {"accelerations": ("none",), "targets": [LOCAL, replace(LOCAL, name="other")]},
            "each setting is the reference",
        ),
        ({"metrics": ()}, "no metric of this run has scores"),
        ({"scores": False}, "no metric of this run has scores"),
    ],
    ids=["not begun", "all failed", "one setting", "references alone", "no metric", "no scores"],
)
def test_where_nothing_can_be_recommended_the_verdict_says_why(
    tmp_path: Path, changes: dict[str, object], why: str
) -> None:
    run, plan = make_run(tmp_path / "run", pictures=False, **(ONE_FAMILY | changes))

    said = verdict(gather(run, plan, read_table(run)))

    assert (said.state, said.setting) == ("unknown", None)
    assert why in said.sentence


def test_where_the_reference_failed_nothing_is_recommended(family: tuple[RunDirectory, Plan, pd.DataFrame]) -> None:
    run, plan, table = family
    table = table.copy()
    table.loc[table["acceleration"] == "none", ["status", "timing_valid"]] = "failed", False
    said = verdict(gather(run, plan, table))
    assert (said.state, said.setting) == ("unknown", None)
    assert "no reference delivered a picture" in said.sentence


def test_what_a_race_left_alone_is_no_run_of_one_setting(tmp_path: Path) -> None:
    run, plan = make_run(tmp_path / "run", pictures=False, **ONE_FAMILY)
    drop = DropRecord(
        setting_id="", constraint="dominated", look=1, looks=5, prompts=8, level=0.01, reason="slow", at_utc=UTC
    )
    others = [setting.id for setting in plan.settings if setting.acceleration != "none"]
    with run.writer() as writer:
        for id_ in others:
            writer.append(replace(drop, setting_id=id_))
    said = verdict(gather(RunDirectory.open(run.path), plan, read_table(run)))
    assert (said.state, said.sentence) == (
        "unknown",
        "There is nothing to choose among: a race dropped 2 settings, and left one.",
    )


def test_without_a_timing_nothing_is_recommended(family: tuple[RunDirectory, Plan, pd.DataFrame]) -> None:
    run, plan, table = family
    said = verdict(gather(run, plan, table.assign(timing_valid=False)))
    assert said.state == "unknown"
    assert "no sample is fit for timing" in said.sentence


def test_a_reference_that_is_kept_as_nothing_faster_is_decided_is_no_recommendation() -> None:
    contest = make_contest({4: 0.35, 8: 0.0}, {4: 0.5, 8: 1.0}, prompts=8, loss_sd=2.0)
    found = recommend(contest, QUESTION)
    assert found.answer is not None
    assert found.answer.entrant.is_reference

    sentence = verdict_sentence(contest, found, NAMES)

    assert sentence.startswith("For now keep 8 steps, the reference (1.0")
    assert "whether 4 steps, which is faster, loses too much is not decided. It takes 0.4" in sentence
    assert "a request instead of 1.0" in sentence
    assert sentence.endswith("(50 % less).")
    assert "4 steps would be better if it qualified, and is not decided" in sureness(contest, found, NAMES)


def test_a_reference_is_kept_where_all_that_is_faster_loses_too_much() -> None:
    contest = make_contest({2: 6.0, 4: 5.0, 8: 0.0}, {2: 0.25, 4: 0.5, 8: 1.0})
    sentence = verdict_sentence(contest, recommend(contest, QUESTION), NAMES)
    assert "each of 2 faster settings is shown to lose more than is allowed" in sentence


def test_dollars_and_memory_are_told_beside_the_latency_with_their_share() -> None:
    contest = make_contest(
        {4: 0.0, 8: 0.0}, {4: 0.5, 8: 1.0}, usd={4: 0.02, 8: 0.025}, memory={4: 20 * 2**30, 8: 16 * 2**30}, loss_sd=0.05
    )
    sentence = verdict_sentence(contest, recommend(contest, QUESTION), NAMES)
    assert "(50 % less), $0.0200 an image instead of $0.0250 (20 % less)" in sentence
    assert "20.0 GiB of memory instead of 16.0 GiB (25 % more)" in sentence


def test_of_several_runs_the_verdict_is_what_got_worse_against_the_first(
    family: tuple[RunDirectory, Plan, pd.DataFrame],
) -> None:
    run, plan, table = family
    evidence = gather(run, plan, table)
    sources = sources_of([evidence, evidence])
    worse = RegressionData(setting="b/x", against="a/x", quantity="clip", sentence="x is worse.")

    assert verdict_of(sources, (worse,), "1 of 3 got worse.").state == "none"
    same = verdict_of(sources, (), "Nothing got worse.")
    assert (same.state, same.sentence, same.setting) == ("undecided", "Nothing got worse.", None)
    assert same.command == "kreabench compare runs/family runs/family"


def test_the_verdict_is_first_in_the_report(family: tuple[RunDirectory, Plan, pd.DataFrame]) -> None:
    run, plan, table = family
    document = document_of(gather(run, plan, table))
    page = report_page(document)

    assert page.answer == (document.verdict.sentence, document.verdict.sureness)
    assert page.answer_rests_on == document.verdict.assumed != ()
    assert page.sections[0].id == "regressions"
    assert set(page.sections[0].sentences) == {one.sentence for one in document.verdict.regressions}
    text = render_markdown(page)
    assert text.index("**Keep mini") < text.index("> [!WARNING]")


def test_a_command_names_no_folder_and_survives_a_strange_name(tmp_path: Path) -> None:
    run, plan = make_run(tmp_path / "my run; rm", pictures=False, **ONE_FAMILY)
    said = verdict(gather(run, plan, read_table(run)))
    assert said.command == "kreabench recommend 'runs/my run; rm'"
