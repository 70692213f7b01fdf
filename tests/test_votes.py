"""Blind votes: what they say is right, what is not known is said, and no acknowledged vote is lost."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import choix
import krippendorff
import msgspec
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kreabench.analysis.bradley_terry import PRIOR_SD, covariance, strengths, win_chances
from kreabench.analysis.vote_checks import agreement, clustered_share, prediction
from kreabench.analysis.votes import left_share, strengths_of, tally
from kreabench.cli.run_show import print_run
from kreabench.cli.terminal import console
from kreabench.core.errors import ConfigError, RunDirectoryError
from kreabench.core.specs import MetricSpec
from kreabench.core.vote_records import Choice, UndoRecord, VoteRecord
from kreabench.report.options import ReportOptions
from kreabench.report.votes import votes_line, votes_on
from kreabench.report.write import Told, write_report, write_reports
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.table import read_table
from kreabench.rundir.votes import VOTES_FILE, read_votes, vote_writer
from kreabench.voting.dealer import Dealer
from kreabench.voting.pool import Pair, pool_of
from tests.report_runs import HOSTILE, make_run
from tests.support import make_setting, make_target
from tests.vote_support import all_pairs, answer, made_run, made_vote, preferred

pytestmark = pytest.mark.usefixtures("undrawn")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# Strengths


def test_strengths_are_those_of_choix() -> None:
    """An independent implementation of the same model; it counts each game once, so a tie is a win of each, twice."""
    random = rng(3)
    games = [(int(i), int(j)) for i, j in random.integers(0, 6, (80, 2)) if i != j]
    wins = np.zeros((6, 6))
    for won, lost in games:
        wins[won, lost] += 1
    expected = choix.opt_pairwise(6, games, alpha=1 / (2 * PRIOR_SD**2), tol=1e-12)
    np.testing.assert_allclose(strengths(wins), expected, atol=1e-6)


def test_a_tie_is_half_a_win_of_each() -> None:
    tied = [made_vote("a", "b", "tie", prompt=f"p{n}") for n in range(4)]
    split = [made_vote("a", "b", "left" if n % 2 else "right", prompt=f"p{n}") for n in range(4)]
    assert tally(tied).total.tolist() == tally(split).total.tolist() == [[0, 2], [2, 0]]


def test_the_side_does_not_matter() -> None:
    votes = [made_vote("a", "b", "left", prompt=f"p{n}") for n in range(5)]
    mirrored = [made_vote("b", "a", "right", prompt=f"p{n}") for n in range(5)]
    assert strengths_of(votes, rng()) == strengths_of(mirrored, rng())
    assert [one.setting_id for one in strengths_of(votes, rng())] == ["a", "b"]


def test_both_bad_is_no_preference_and_is_counted_apart() -> None:
    votes = [made_vote("a", "b", "left", prompt=f"p{n}") for n in range(3)]
    bad: list[VoteRecord] = [made_vote("a", "b", "both_bad", prompt="p9"), made_vote("a", "c", "both_bad")]
    with_bad = {one.setting_id: one for one in strengths_of([*votes, *bad], rng())}
    alone = {one.setting_id: one for one in strengths_of(votes, rng())}
    assert with_bad["a"].strength is not None
    assert alone["a"].strength is not None
    assert with_bad["a"].strength.value == pytest.approx(alone["a"].strength.value)
    assert (with_bad["a"].wins, with_bad["a"].both_bad, with_bad["b"].losses) == (3, 2, 3)
    assert with_bad["c"].strength is None


def test_settings_that_were_never_compared_have_no_common_scale() -> None:
    votes = [made_vote("a", "b", "left"), made_vote("b", "c", "left"), made_vote("x", "y", "left")]
    groups = {one.setting_id: one.group for one in strengths_of(votes, rng())}
    assert groups == {"a": 0, "b": 0, "c": 0, "x": 1, "y": 1}
    chain = {one.setting_id: one.strength for one in strengths_of(votes, rng())}
    values = {name: value.value for name, value in chain.items() if value is not None}
    assert values["a"] + values["b"] + values["c"] == pytest.approx(0, abs=1e-9)
    assert values["x"] == pytest.approx(-values["y"])


def test_one_prompt_gives_no_interval_and_a_clean_sweep_a_finite_one() -> None:
    one = strengths_of([made_vote("a", "b", "left")], rng())[0].strength
    assert one is not None
    assert one.interval is None
    sweep = strengths_of([made_vote("a", "b", "left", prompt=f"p{n}") for n in range(8)], rng())[0].strength
    assert sweep is not None
    assert sweep.interval is not None
    assert 0 < sweep.value < 10
    assert sweep.interval[0] < sweep.value < sweep.interval[1]


def simulated(random: np.random.Generator, prompts: int, votes: int, spread: float) -> list[VoteRecord]:
    """Five settings of strengths −1 … 1, which every prompt shifts at random."""
    names = ["a", "b", "c", "d", "e"]
    theta = np.linspace(-1, 1, 5)
    shift = random.normal(0, spread, (prompts, 5))
    found = []
    for number in range(votes):
        i, j = random.choice(5, 2, replace=False)
        p = int(random.integers(prompts))
        difference = theta[i] + shift[p, i] - theta[j] - shift[p, j]
        choice = preferred(random, difference, tie=0.1)
        found.append(made_vote(names[i], names[j], choice, prompt=f"p{p}", id_=str(number)))
    return found


def expected_strengths(spread: float) -> np.ndarray[Any, Any]:
    """What endless votes on endless prompts would give: the strengths behind the expected scores."""
    theta, noise = np.linspace(-1, 1, 5), rng(1).normal(0, spread * math.sqrt(2), 20_000)
    chance = np.array([[(1 / (1 + np.exp(-(one - other + noise)))).mean() for other in theta] for one in theta])
    wins = 1e6 * (0.9 * chance + 0.05)
    np.fill_diagonal(wins, 0)
    return strengths(wins)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Of 50 runs of 5 settings; more in benchmarks/votes_validity.py."""
    truth, held = expected_strengths(0.7), []
    for seed in range(50):
        random = rng(seed)
        for one in strengths_of(simulated(random, 15, 150, 0.7), random):
            assert one.strength is not None
            assert one.strength.interval is not None
            low, high = one.strength.interval
            held.append(low <= truth["abcde".index(one.setting_id)] <= high)
    assert np.mean(held) >= 0.93


# Agreement, sides, metrics


def test_agreement_is_krippendorffs_alpha_of_the_preferred_picture() -> None:
    votes = []
    for number in range(12):
        first: Choice = "left" if number % 3 else "tie"
        votes.append(made_vote("a", "b", first, prompt=f"p{number}", voter="Ada"))
        # Ben sees the sides swapped, and disagrees now and then.
        second: Choice = {"left": "right", "tie": "tie"}[first] if number % 4 else "left"  # type: ignore[assignment]
        votes.append(made_vote("b", "a", second, prompt=f"p{number}", voter="Ben"))
    votes.append(made_vote("a", "b", "left", prompt="p99", voter="Ada"))
    found = agreement(votes, rng())
    pictures = [sorted([v.left, v.right], key=lambda one: one.image_sha256) for v in votes]
    values = [
        {"left": pair.index(v.left), "right": pair.index(v.right)}.get(v.choice, 2)
        for v, pair in zip(votes, pictures, strict=True)
    ]
    expected = krippendorff.alpha([values[:24:2], values[1:24:2]], level_of_measurement="nominal")
    assert found.pairs == 12
    assert found.alpha is not None
    assert found.alpha.interval is not None
    assert found.alpha.value == pytest.approx(expected)
    assert found.alpha.interval[0] < found.alpha.value < found.alpha.interval[1]


def test_agreement_by_hand() -> None:
    """Four pairs, two voters, one disagreement: of 8 answers 5 are one and 3 the other, 1 − (2/8) / (2·5·3 / (8·7))."""
    answers: list[tuple[Choice, Choice]] = [
        ("tie", "tie"), ("tie", "tie"), ("both_bad", "both_bad"), ("tie", "both_bad"),
    ]  # fmt: skip
    votes = [
        made_vote("a", "b", choice, prompt=f"p{number}", voter=voter)
        for number, pair in enumerate(answers)
        for voter, choice in zip(("Ada", "Ben"), pair, strict=True)
    ]
    found = agreement(votes, rng())
    assert found.alpha is not None
    assert found.alpha.value == pytest.approx(1 - 0.25 / (30 / 56))


def test_agreement_that_cannot_be_known_says_so() -> None:
    assert agreement([made_vote("a", "b", "left")], rng()).pairs == 0
    same = [made_vote("a", "b", "tie", prompt=f"p{n}", voter=voter) for n in range(3) for voter in ("Ada", "Ben")]
    found = agreement(same, rng())
    assert (found.alpha, found.pairs, found.identical) == (None, 3, True)


def test_the_share_of_the_left_side_has_its_exact_interval() -> None:
    votes = [made_vote("a", "b", "left", prompt=f"p{n}") for n in range(9)]
    votes += [made_vote("a", "b", "right", prompt="q"), made_vote("a", "b", "tie", prompt="r")]
    found = left_share(votes)
    ends = stats.binomtest(9, 10).proportion_ci()
    assert found is not None
    assert (found.value, found.low, found.high, found.n) == (0.9, ends.low, ends.high, 10)
    assert left_share([made_vote("a", "b", "tie")]) is None


def test_prediction_knows_the_direction_and_counts_ties_half() -> None:
    votes = [made_vote("a", "b", "left", prompt=f"p{n}") for n in range(4)]
    votes += [made_vote("a", "b", "tie", prompt="t"), made_vote("a", "b", "left", prompt="unscored")]
    scores = {(vote.left.request_id, 0): value for vote, value in zip(votes, (3.0, 3.0, 3.0, 1.0), strict=False)}
    scores |= {(vote.right.request_id, 0): value for vote, value in zip(votes, (1.0, 1.0, 3.0, 3.0), strict=False)}
    higher = prediction(votes, "clip", scores, higher=True, rng=rng())
    lower = prediction(votes, "lpips", scores, higher=False, rng=rng())
    assert higher is not None
    assert lower is not None
    assert (higher.share.value, higher.share.n, higher.prompts) == (2.5 / 4, 4, 4)
    assert lower.share.value == 1 - 2.5 / 4
    assert prediction(votes, "none", {}, higher=True, rng=rng()) is None


def test_the_interval_of_a_share_holds_also_where_prompts_differ() -> None:
    truth = float((1 / (1 + np.exp(-(1 + rng(9).normal(0, 1, 100_000))))).mean())
    held = []
    for seed in range(150):
        random = rng(seed)
        chance = 1 / (1 + np.exp(-(1 + random.normal(0, 1, 12))))
        values = (random.random((12, 6)) < chance[:, None]).astype(float).ravel()
        found = clustered_share(values, [f"p{n}" for n in np.repeat(np.arange(12), 6)], random)
        assert found.interval is not None
        held.append(found.interval[0] <= truth <= found.interval[1])
    assert np.mean(held) >= 0.93
    sure = clustered_share(np.ones(10), [f"p{n % 5}" for n in range(10)], rng())
    assert sure.high == 1.0
    assert sure.low is not None
    assert sure.low < 0.7


@pytest.mark.parametrize(("kind", "share"), [("clip_score", 1.0), ("lpips", 0.0)])
def test_a_metric_foretells_votes_by_its_own_direction(kind: str, share: float) -> None:
    votes = [made_vote("a", "b", "left", prompt=f"p{n // 2}", seed=n) for n in range(6)]
    rows = [(side, 2.0 if side.setting_id == "a" else 1.0) for vote in votes for side in (vote.left, vote.right)]
    table = pd.DataFrame(
        {
            "request_id": [side.request_id for side, _ in rows],
            "image_index": 0,
            "image_sha256": [side.image_sha256 for side, _ in rows],
            "score_judge": [value for _, value in rows],
            "score_judge_status": "ok",
        }
    )
    found = votes_on(
        votes,
        [replace(make_setting(), id=name) for name in ("a", "b")],
        table,
        (MetricSpec(name="judge", kind=kind, options={}),),
    )
    assert found is not None
    (one,) = found.predictions
    assert (one.share.value, one.share.n, one.prompts) == (share, 6, 3)
    assert [strength.prompts for strength in found.strengths] == [3, 3]


# Which pairs


def test_pairs_share_prompt_seed_and_size_and_are_different_files(tmp_path: Path) -> None:
    _, pool = made_run(tmp_path / "run", sizes=((128, 128), (192, 128)))
    pairs = [pair for one, other in all_pairs(pool.settings) for pair in pool.pairs(one, other)]
    assert len(pairs) == pool.count() > 0
    for pair in pairs:
        one, other = pair.one, pair.other
        assert (one.request.prompt_id, one.request.seed) == (other.request.prompt_id, other.request.seed)
        assert (one.image.width, one.image.height) == (other.image.width, other.image.height)
        assert one.image.sha256 != other.image.sha256
        assert one.image.degenerate is None
        assert not one.image.nsfw


def test_nothing_to_compare_is_an_error_that_says_what_there_is(tmp_path: Path) -> None:
    run, plan = make_run(
        tmp_path / "run", targets=(make_target(name="mini_local"),), accelerations=("none",), steps=(2,), prompts=("x",)
    )
    with pytest.raises(ConfigError, match="usable pictures of 2 of 2 settings"):
        pool_of(run, plan, plan.settings, name="run")


def test_no_voter_sees_a_pair_twice_and_a_tenth_are_pairs_that_others_saw(tmp_path: Path) -> None:
    _, pool = made_run(tmp_path / "run", steps=(2, 4, 8), seeds=tuple(range(8)))
    dealer = Dealer(pool, [], rng(2))
    seen: dict[str, list[Pair]] = {"Ada": [], "Ben": []}
    for number in range(300):
        voter = ("Ada", "Ben")[number % 2]
        pair = dealer.deal(voter)
        assert pair is not None
        seen[voter].append(pair)
    for pairs in seen.values():
        assert len({pair.key for pair in pairs}) == len(pairs)
    shared = {pair.key for pair in seen["Ada"]} & {pair.key for pair in seen["Ben"]}
    assert 15 <= len(shared) <= 50
    prompts = Counter(pair.prompt_id for pairs in seen.values() for pair in pairs)
    assert max(prompts.values()) - min(prompts.values()) <= 15


def test_all_pairs_are_shown_in_the_end_and_then_there_is_none(tmp_path: Path) -> None:
    _, pool = made_run(tmp_path / "run")
    dealer, seen = Dealer(pool, [], rng()), []
    while (pair := dealer.deal("Ada")) is not None:
        seen.append(pair.key)
    assert len(set(seen)) == len(seen) == pool.count()


def root_error(pool_settings: tuple[str, ...], dealer_votes: list[VoteRecord], truth: dict[str, float]) -> float:
    found = {one.setting_id: one.strength for one in strengths_of(dealer_votes, rng())}
    values = np.array([0.0 if (one := found.get(id_)) is None else one.value for id_ in pool_settings])
    expected = np.array([truth[id_] for id_ in pool_settings])
    return float(np.sqrt(np.mean((values - expected + expected.mean()) ** 2)))


def test_chosen_pairs_reach_an_error_with_fewer_votes_than_random_ones(tmp_path: Path) -> None:
    _, pool = made_run(tmp_path / "run", steps=(2, 4, 6, 8), seeds=tuple(range(10)))
    assert len(pool.settings) == 8
    truth = dict(zip(pool.settings, np.linspace(-3.5, 3.5, 8).tolist(), strict=True))
    every = [pair for one, other in all_pairs(pool.settings) for pair in pool.pairs(one, other)]
    chosen_errors, random_errors = [], []
    for seed in range(8):
        random = rng(seed)
        dealer, votes = Dealer(pool, [], random), list[VoteRecord]()
        for number in range(120):
            pair = dealer.deal("Ada")
            assert pair is not None
            vote = answer(pair, truth, random, number)
            dealer.expect(pair, -1)
            dealer.take(vote)
            votes.append(vote)
        chosen_errors.append(root_error(pool.settings, votes, truth))
        # Half as many again, and still not as good.
        drawn = [every[n] for n in random.choice(len(every), 180, replace=False)]
        random_votes = [answer(pair, truth, random, n) for n, pair in enumerate(drawn)]
        random_errors.append(root_error(pool.settings, random_votes, truth))
    assert np.mean(chosen_errors) < np.mean(random_errors)


def test_what_is_known_is_the_inverse_of_the_curvature() -> None:
    wins = np.array([[0.0, 3.0], [1.0, 0.0]])
    theta = strengths(wins)
    chance = win_chances(theta)[0, 1]
    information = 4 * chance * (1 - chance)
    expected = np.linalg.inv(information * np.array([[1, -1], [-1, 1]]) + np.eye(2) / PRIOR_SD**2)
    np.testing.assert_allclose(covariance(wins, theta), expected)


# The journal


def test_votes_are_read_back_and_undone_ones_are_gone(tmp_path: Path) -> None:
    one, two = made_vote("a", "b", "left"), made_vote("a", "b", "tie", prompt="p1")
    with vote_writer(tmp_path) as writer:
        writer.append(one)
        writer.append(two)
        writer.append(UndoRecord(id=one.id, at_utc="2026-11-26T10:00:01.000Z"))
    assert read_votes(tmp_path) == [two]
    assert (tmp_path / VOTES_FILE).read_text().count("\n") == 3


def test_a_torn_last_line_is_passed_over_and_cut_off(tmp_path: Path) -> None:
    with vote_writer(tmp_path) as writer:
        writer.append(made_vote("a", "b", "left"))
    with (tmp_path / VOTES_FILE).open("ab") as file:
        file.write(b'{"id":"half')
    assert len(read_votes(tmp_path)) == 1
    with vote_writer(tmp_path) as writer:
        writer.append(made_vote("a", "b", "right", prompt="p1"))
    assert [vote.choice for vote in read_votes(tmp_path)] == ["left", "right"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"kind":"vote","version":2}', "a vote of version 2; this kreabench reads version 1"),
        (b'{"kind":"dance","version":1}', "unknown record kind 'dance'"),
        (b'{"kind":"vote","version":1}', "missing required field"),
        (b"\xff\xfe", "line 1, is damaged"),
    ],
)
def test_a_damaged_line_and_one_of_another_version_are_named(tmp_path: Path, line: bytes, said: str) -> None:
    (tmp_path / VOTES_FILE).write_bytes(line + b"\n")
    with pytest.raises(RunDirectoryError, match=said):
        read_votes(tmp_path)


def test_a_second_server_on_the_run_is_refused(tmp_path: Path) -> None:
    with (
        vote_writer(tmp_path),
        pytest.raises(RunDirectoryError, match="in use by another kreabench"),
        vote_writer(tmp_path),
    ):
        pass


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "votes.lock").mkdir()
    with pytest.raises(RunDirectoryError, match="cannot write in"), vote_writer(tmp_path):
        pass


def test_what_would_read_back_differently_is_not_written(tmp_path: Path) -> None:
    with vote_writer(tmp_path) as writer, pytest.raises(ValueError, match="cannot be read back"):
        writer.append(replace(made_vote("a", "b", "left"), seconds=math.nan))
    assert (tmp_path / VOTES_FILE).read_bytes() == b""


# The report


def told_run(path: Path) -> Told:
    run, plan = voted_run(path)
    return Told(run=run, plan=plan, table=read_table(run))


def voted_run(path: Path, voters: tuple[str, ...] = ("Ada", "Ben")) -> Any:
    """A run on which each voter prefers more steps, and its plan."""
    run, plan = make_run(path, targets=(make_target(name="mini_local"),), accelerations=("none", "high"), steps=(2, 8))
    pool = pool_of(run, plan, plan.settings, name="run")
    steps = {setting.id: float(setting.steps or 0) / 4 for setting in plan.settings}
    dealer, random = Dealer(pool, [], rng(1)), rng(4)
    with vote_writer(path) as writer:
        for number in range(60):
            voter = voters[number % len(voters)]
            pair = dealer.deal(voter)
            if pair is None:
                break
            vote = replace(answer(pair, steps, random, number), voter=voter)
            dealer.expect(pair, -1)
            dealer.take(vote)
            writer.append(vote)
    return run, plan


def test_the_report_tells_what_votes_say(tmp_path: Path) -> None:
    run, plan = voted_run(tmp_path / "run", ("Ada", HOSTILE[0]))
    index = write_report(run, plan, tmp_path / "report")
    text = (tmp_path / "report" / "report.md").read_text()
    assert "## Blind votes" in text
    assert "2 groups that were never compared" in text
    page = index.read_text()
    assert 'data-part="votes"' in page
    assert HOSTILE[0] not in page
    assert HOSTILE[0] not in text
    data = cast("dict[str, Any]", msgspec.json.decode(page.split('id="report-data">')[1].split("</script>")[0]))
    (votes,) = data["votes"]
    assert votes["voters"] == 2
    assert votes["votes"] == len(read_votes(run.path))
    known = {one["id"] for one in data["settings"]}
    assert {one["setting"] for one in votes["strengths"]} <= known
    best = votes["strengths"][0]
    assert next(one for one in data["settings"] if one["id"] == best["setting"])["axes"]["steps"] == 8
    assert {one["quantity"] for one in votes["predictions"]} <= {one["name"] for one in data["quantities"]}
    assert votes["predictions"]


def test_every_vote_is_a_row_that_a_spreadsheet_cannot_run(tmp_path: Path) -> None:
    run, plan = voted_run(tmp_path / "run", ("Ada", "=1+2", "/home/somebody/x"))
    write_report(run, plan, tmp_path / "report")
    text = (tmp_path / "report" / "votes.csv").read_text()
    rows, votes = list(csv.DictReader(io.StringIO(text))), read_votes(run.path)
    told = [(vote.id, vote.choice, vote.prompt_id, vote.left.setting_id, vote.right.image_sha256) for vote in votes]
    keys = ("vote_id", "choice", "prompt_id", "left_setting_id", "right_image_sha256")
    assert [tuple(row[key] for key in keys) for row in rows] == told
    assert {row["voter"] for row in rows} == {"Ada", "'=1+2", "…/x"}
    assert "somebody" not in text
    meanings = (tmp_path / "report" / "data_dictionary.csv").read_text()
    own = [row for row in csv.DictReader(io.StringIO(meanings)) if row["file"] == "votes.csv"]
    assert [row["column"] for row in own] == list(rows[0])
    assert all(row["meaning"] for row in own)


def test_the_votes_of_several_runs_say_whose_they_are(tmp_path: Path) -> None:
    first = told_run(tmp_path / "1")
    shutil.copytree(tmp_path / "1", tmp_path / "2")
    runs = [first, replace(first, run=RunDirectory.open(tmp_path / "2"))]
    write_reports(runs, tmp_path / "report", ReportOptions())
    rows = list(csv.DictReader(io.StringIO((tmp_path / "report" / "votes.csv").read_text())))
    assert Counter(row["run"] for row in rows) == {"a": len(rows) // 2, "b": len(rows) // 2}
    data = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [(one["run"], {each["setting"][0] for each in one["strengths"]}) for one in data["votes"]] == [
        ("a", {"a"}),
        ("b", {"b"}),
    ]


def test_show_tells_the_votes_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, plan = voted_run(tmp_path / "run")
    print_run(console(piped_width=80), run, plan)
    assert "blind votes of 2 people, in 2 groups of settings" in " ".join(capsys.readouterr().out.split())
    found = votes_on(read_votes(run.path), plan.settings, read_table(run), ())
    assert found is not None
    (best, *_) = found.strengths
    one_group = replace(found, strengths=tuple(one for one in found.strengths if one.group == best.group))
    label = found.settings[best.setting_id].label
    assert f"people: {label} is the strongest of {len(one_group.strengths)} (" in votes_line(one_group)
    bad = votes_on([replace(vote, choice="both_bad") for vote in found.votes], plan.settings, read_table(run), ())
    assert bad is not None
    assert votes_line(bad).endswith("people: no setting was preferred to another.")


def test_a_run_without_votes_has_no_such_section(tmp_path: Path) -> None:
    target = make_target(name="mini_local")
    run, plan = make_run(tmp_path / "run", targets=(target,), accelerations=("none",), steps=(2,))
    index = write_report(run, plan, tmp_path / "report", read_table(run))
    assert 'id="votes"' not in index.read_text()
    assert "Blind votes" not in (tmp_path / "report" / "report.md").read_text()
