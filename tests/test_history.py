"""Histories: steps where there are some, none where there is none, and what cannot be compared."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kreabench.analysis.history import MIN_RUNS, StepSearch, find_steps
from kreabench.analysis.paired import Floats, Ints
from kreabench.core.errors import ConfigError
from kreabench.decisions.history import make_history
from kreabench.decisions.sides import Side
from kreabench.report.figure_data import Lines
from kreabench.report.history.files import history_csv, history_json, write_history
from kreabench.report.history.page import history_page
from kreabench.report.history.words import sentences, sparkline
from kreabench.report.markdown_page import render_markdown
from tests.compare_support import LPIPS, Scores, make_side
from tests.support import make_setting

LEVEL = 0.05
ONE_SETTING = (make_setting(),)


def search(values: Sequence[float] | Floats, seed: int = 0) -> StepSearch:
    return find_steps([np.asarray(values, dtype=float)], rng=np.random.default_rng(seed), level=LEVEL)[0]


def noise(runs: int, seed: int = 0) -> Floats:
    return np.asarray(np.random.default_rng(seed).standard_normal(runs))


def test_a_step_is_found_where_it_is_and_says_how_large() -> None:
    hits, covered = 0, 0
    for seed in range(20):
        values = noise(40, seed)
        at = 4 + seed * 32 // 19
        values[at:] -= 5.0
        found = search(values).steps
        hits += at in [step.after for step in found]
        if len(found) == 1:
            low, high = found[0].difference.interval or (0.0, 0.0)
            covered += low <= -5.0 <= high
    assert hits >= 18
    assert covered >= 15


def test_flat_histories_rarely_show_a_step() -> None:
    assert sum(bool(search(noise(24, seed)).steps) for seed in range(60)) <= 7


def test_a_version_that_was_taken_back_is_two_steps() -> None:
    values = noise(40)
    values[15:25] -= 5.0
    assert [step.after for step in search(values).steps] == [15, 25]


def test_stairs_have_a_step_each() -> None:
    values = noise(45, 3)
    values[15:] += 6.0
    values[30:] += 6.0
    found = search(values)
    assert [step.after for step in found.steps] == [15, 30]
    assert [step.difference.value for step in found.steps] == pytest.approx([6.0, 6.0], abs=1.5)


def test_odd_runs_are_no_step_and_hide_none() -> None:
    values = noise(40)
    values[10] += 40.0
    assert search(values).steps == ()
    assert search(values).odd == (10,)
    values[28:] -= 6.0
    found = search(values)
    assert [step.after for step in found.steps] == [28]
    assert found.odd == (10,)


def test_two_new_runs_are_not_yet_a_step() -> None:
    values = noise(30)
    values[-2:] += 40.0
    assert search(values).steps == ()
    assert search(values).odd == (28, 29)
    values = np.append(values, 40.0)
    assert [step.after for step in search(values).steps] == [28]


@pytest.mark.parametrize(
    ("values", "after", "odd"),
    [
        ([1.0] * 12, [], ()),
        ([1.0] * 3 + [2.0], [3], ()),
        ([1.0] * 20 + [2.0] * 20, [20], ()),
        ([1.0, 1.0, 2.0, 1.0, 1.0], [], (2,)),
        ([1.0, 1.0, 1.0, 3.0, 3.0, 2.0, 2.0], [3, 5], ()),
    ],
)
def test_runs_that_repeat_exactly_need_no_test(values: list[float], after: list[int], odd: tuple[int, ...]) -> None:
    found = search(values)
    assert [step.after for step in found.steps] == after
    assert found.odd == odd
    for step in found.steps:
        assert step.p_value is None
        assert step.difference.interval == (step.difference.value, step.difference.value)


def test_few_runs_show_no_step_and_say_so() -> None:
    found = search([0.0, 0.1, 0.2, 9.0, 9.1, 9.2])
    assert found.steps == ()
    assert f"sought from {MIN_RUNS} on" in found.obstacle


def test_equal_rates_prove_nothing() -> None:
    rates = np.array([0.0] * 20 + [0.01] + [0.0] * 19)
    found = find_steps([rates], rng=np.random.default_rng(0), level=LEVEL, exact=[False])[0]
    assert found.steps == ()
    assert found.odd == ()


def test_many_quantities_are_corrected_for_together() -> None:
    values = noise(12, 5)
    values[6:] += 2.6
    alone = search(values)
    rng = np.random.default_rng(0)
    together = find_steps([values, *(noise(12, seed) for seed in range(100, 119))], rng=rng, level=LEVEL)
    assert [step.after for step in alone.steps] == [6]
    assert together[0].steps == ()
    assert (together[0].p_value or 0.0) > (alone.p_value or 1.0)


def falling(number: int, drop: float) -> Scores:
    """CLIP scores of run `number`, lower by `drop`."""

    def scores(_: int, prompts: Ints, seeds: Ints) -> Floats:
        own = np.random.default_rng(number).standard_normal(prompts.size)
        return np.asarray(30.0 + prompts + 0.1 * seeds - drop + 0.1 * own)

    return scores


def history_sides(runs: int = 12, at: int = 7, size: float = 1.0, notice: str | None = None) -> list[Side]:
    """`at`: first run of another version, of which the CLIP score is lower by `size`."""
    return [
        make_side(
            ONE_SETTING,
            name=f"run-{number}",
            scores={"clip": falling(number, size if number >= at else 0.0)},
            created_utc=f"2026-01-{number + 1:02d}T03:04:05.678Z",
            versions={"torch": "2.15.0" if number >= at else "2.14.0"},
            notice=notice,
        )
        for number in range(runs)
    ]


def test_a_step_names_the_versions_that_differ() -> None:
    history = make_history(history_sides())
    clip = next(one for one in history.series if one.name == "clip")
    (step,) = clip.steps
    assert (step.before, step.after) == (6, 7)
    assert step.versions == ("torch 2.14.0 → 2.15.0",)
    assert step.difference.value == pytest.approx(-1.0, abs=0.1)
    assert (step.p_value or 1.0) < LEVEL
    assert [change.after for change in clip.changes] == [7]
    told = " ".join(sentences(history))
    assert "clip: a step between #7 run-6 and #8 run-7: by -1" in told
    assert "worse. Changed: torch 2.14.0 → 2.15.0." in told
    assert history.comparisons == 11
    assert not any(one.steps for one in history.series if one.name != "clip")


def test_few_runs_are_still_compared_with_the_one_before() -> None:
    history = make_history(history_sides(runs=4, at=2), metrics=["clip"])
    (clip,) = history.series
    assert [change.after for change in clip.changes] == [2]
    assert not clip.steps
    assert "No step could be sought." in list(sentences(history))


def test_equal_runs_do_not_differ() -> None:
    side = make_side(ONE_SETTING)
    history = make_history([replace(side, name=f"run-{number}") for number in range(4)])
    assert not any(one.steps or one.changes or one.odd for one in history.series)


def test_only_prompts_count_that_all_share() -> None:
    sides = history_sides(runs=3)
    sides[1] = replace(sides[1], prompts={**sides[1].prompts, "prompt-0": "other words"})
    history = make_history(sides, metrics=["clip"])
    assert history.prompts == 5
    assert history.series[0].values[0] is not None
    assert history.series[0].values[0].n == 5
    assert "Without run-1 they share 6." in history.notices[0]
    other = {f"prompt-{number}": "other" for number in range(6)}
    with pytest.raises(ConfigError, match="same words"):
        make_history([sides[0], replace(sides[1], prompts=other)])


def test_missing_scores_leave_the_same_pictures_everywhere() -> None:
    sides = history_sides(runs=3)
    table = sides[2].table
    lost = (table["prompt_id"] == "prompt-0") & (table["seed"] == 1)
    sides[2] = replace(
        sides[2], table=table.assign(score_clip_status=table["score_clip_status"].where(~lost, "failed"))
    )
    (clip,) = make_history(sides, metrics=["clip"]).series
    assert clip.basis.startswith("6 prompts, 11 pictures a run")
    assert "not scored in every run" in clip.basis


def test_runs_with_other_seeds_are_followed_and_not_paired() -> None:
    sides = [make_side(ONE_SETTING, name=f"run-{seed}", seeds=(seed,)) for seed in range(3)]
    history = make_history(sides, metrics=["clip"])
    assert "other seeds" in history.series[0].basis
    assert history.comparisons == 0
    assert all(value is not None and value.n == 6 for value in history.series[0].values)


def test_lines_break_where_runs_are_not_comparable() -> None:
    sides = history_sides(runs=10, at=5)
    sides[5:] = [replace(side, identities={"clip": "new weights"}) for side in sides[5:]]
    sides[8:] = [replace(side, facts={**side.facts, "device": "another"}) for side in sides[8:]]
    history = make_history(sides)
    clip = next(one for one in history.series if one.name == "clip")
    latency = next(one for one in history.series if one.name == "latency")
    assert [one.after for one in clip.breaks] == [5, 8]
    assert [one.after for one in latency.breaks] == [8]
    assert clip.steps == ()
    assert clip.changes == ()
    told = " ".join(sentences(history))
    assert "clip up to and from #6 run-5 on; clip was made with other weights or options" in told
    assert "all quantities up to and from #9 run-8 on; another device: cpu → another" in told


def test_a_metric_that_a_run_lacks_is_a_gap() -> None:
    sides = history_sides(runs=3)
    sides[1] = make_side(ONE_SETTING, name="without", metrics=(LPIPS,))
    history = make_history(sides)
    clip = next(one for one in history.series if one.name == "clip")
    assert [value is None for value in clip.values] == [False, True, False]
    assert sparkline(clip.values)[1] == "·"
    assert "lpips" in {one.name for one in history.series}


def test_an_unknown_quantity_is_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean clip"):
        make_history(history_sides(runs=2), metrics=["clop"])


def test_every_file_is_written_and_text_from_outside_is_escaped(tmp_path: Path) -> None:
    sides = history_sides(notice="untrained weights")
    sides[3] = replace(sides[3], name="=1+1 <script>alert(1)</script>", versions={"torch": "<b>2</b>"})
    history = make_history(sides, metrics=["clip", "latency"])
    index = write_history(history, tmp_path / "report")
    names = {str(file.relative_to(index.parent)) for file in index.parent.rglob("*") if file.is_file()}
    assert names == {
        *("index.html", "history.md", "history.csv", "steps.csv", "history.json"),
        *("figures/history.png", "figures/history.svg"),
    }
    page = index.read_text(encoding="utf-8")
    assert "<script" not in page
    assert "untrained weights" in page
    document = history_page(history)
    (figure,) = document.figures
    assert "<b>" not in render_markdown(document)
    rows = list(csv.DictReader(io.StringIO(history_csv(history))))
    assert len(rows) == 12 * len(history.series)
    assert {row["name"][:1] for row in rows} == {"r", "'"}
    assert sum(row["step"] == "True" for row in rows) == 1
    content = json.loads(history_json(history))
    assert content["notice"] == "untrained weights"
    assert [found["kind"] for found in content["found"]].count("step") == 1
    assert isinstance(figure.data, Lines)
    (panel,) = [one for one in figure.data.panels if one.title.startswith("clip")]
    assert panel.steps == (7,)
    assert [(first, last) for first, last, _ in panel.levels] == [(0, 6), (7, 11)]
