"""Paired shifts from the reference, and the warning of pictures that please because they are soft."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy import stats

from kreabench.analysis.estimates import Estimate
from kreabench.analysis.look import find_softening
from kreabench.analysis.settings import summarise
from kreabench.analysis.shifts import Shift, paired_shifts
from kreabench.cli.run_table import print_settings
from kreabench.core.specs import MetricSpec
from kreabench.report.build import build_document
from kreabench.report.html_page import render_html
from kreabench.report.markdown_page import escape, render_markdown
from kreabench.report.quality import assess, score_notices, shifts_table
from kreabench.report.report_page import report_page
from kreabench.report.write import render
from kreabench.rundir.table import read_table
from tests.report_runs import PROMPTS, make_run
from tests.support import make_setting, make_target

REFERENCE = make_setting(steps=8)
FAST = make_setting(steps=2, reference_id=REFERENCE.id)
NOISE = MetricSpec(name="noise", kind="noise_sigma", options={})


def row(setting: Any, prompt: int, score: float | None, **changes: Any) -> dict[str, Any]:
    return {
        "setting_id": setting.id,
        "prompt_id": f"prompt-{prompt}",
        "seed": 0,
        "repeat": 0,
        "image_index": 0,
        "image_width": 128,
        "image_height": 128,
        "status": "ok",
        "score_noise": np.nan if score is None else score,
        "score_noise_status": None if score is None else "ok",
        "score_noise_untrained": False,
        **changes,
    }


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(rows).astype({"image_index": "Int64", "image_width": "Int64", "image_height": "Int64"})


def shifts(*rows: dict[str, Any], **options: Any) -> tuple[Shift, ...]:
    return paired_shifts(frame(*rows), (REFERENCE, FAST), (NOISE,), **options)


def test_a_shift_is_the_paired_difference_with_students_interval_over_prompts() -> None:
    """Prompts differ far more than settings do: only pairs see the shift."""
    random = np.random.default_rng(0)
    levels = random.normal(50, 20, 6)
    apart = random.normal(-2, 0.5, (6, 3))
    rows = []
    for prompt in range(6):
        for seed in range(3):
            base = levels[prompt] + seed
            rows.append(row(REFERENCE, prompt, base, seed=seed))
            rows.append(row(FAST, prompt, base + apart[prompt, seed], seed=seed))

    (shift,) = shifts(*random.permutation(np.array(rows, dtype=object)))

    expected = stats.ttest_1samp(apart.mean(axis=1), 0)
    low, high = expected.confidence_interval(0.95)
    assert (shift.setting, shift.spec, shift.pairs, shift.left_out) == (FAST, NOISE, 18, 0)
    assert shift.mean.value == pytest.approx(apart.mean(axis=1).mean())
    assert shift.mean.low == pytest.approx(low)
    assert shift.mean.high == pytest.approx(high)
    assert shift.mean.n == 6
    assert high < 0


def test_the_reference_and_settings_without_one_have_no_shift() -> None:
    alone = replace(FAST, reference_id=None)
    table = frame(row(REFERENCE, 0, 1.0), row(alone, 0, 2.0))

    assert paired_shifts(table, (REFERENCE, alone), (NOISE,)) == ()


@pytest.mark.parametrize(
    "unfit",
    [
        row(FAST, 1, 9.0, image_width=64),
        row(FAST, 1, 9.0, seed=7),
        row(FAST, 1, 9.0, repeat=1),
        row(FAST, 1, 9.0, image_index=1),
        row(FAST, 1, None),
        row(FAST, 1, 9.0, score_noise_status="failed"),
        row(FAST, 1, math.inf, score_noise_status="infinite"),
    ],
    ids=["another size", "another seed", "another repeat", "another picture", "no score", "failed", "infinite"],
)
def test_what_is_no_pair_is_left_out_and_counted(unfit: dict[str, Any]) -> None:
    (shift,) = shifts(row(REFERENCE, 0, 1.0), row(FAST, 0, 1.5), row(REFERENCE, 1, 1.0), unfit)

    assert (shift.pairs, shift.left_out) == (1, 1)
    assert (shift.mean.value, shift.mean.n, shift.mean.interval) == (0.5, 1, None)


def test_a_failed_or_unscored_reference_leaves_no_pair() -> None:
    failed = row(REFERENCE, 0, None, status="failed", image_index=None)

    assert shifts(failed, row(FAST, 0, 1.0)) == ()
    assert shifts(row(REFERENCE, 0, None), row(FAST, 0, 1.0)) == ()


def test_a_metric_that_never_ran_has_no_shift() -> None:
    table = frame(row(REFERENCE, 0, 1.0), row(FAST, 0, 1.0)).drop(columns=["score_noise", "score_noise_status"])

    assert paired_shifts(table, (REFERENCE, FAST), (NOISE,)) == ()


def test_an_interval_ends_where_differences_of_the_metric_do() -> None:
    rows = [
        row(setting, prompt, float(setting is FAST) - 0.9 * (prompt == 1))
        for setting in (REFERENCE, FAST)
        for prompt in range(3)
    ]
    rows[3]["score_noise"] = 0.1

    (free,) = shifts(*rows)
    (bounded,) = shifts(*rows, bounds={"noise": (0.0, 1.0)})

    assert free.mean.high is not None
    assert free.mean.high > 1
    assert bounded.mean.high == 1.0


def test_untrained_scores_brand_their_shift() -> None:
    rows = (row(REFERENCE, 0, 1.0), row(FAST, 0, 2.0, score_noise_untrained=True))

    assert [shift.untrained for shift in shifts(*rows)] == [True]


BEAUTY = MetricSpec(name="beauty", kind="aesthetic", options={})
BLUR = MetricSpec(name="soft", kind="blurred_tiles", options={})


def softened(beauty: float, blur: float, *, prompts: int = 8, untrained: bool = False) -> tuple[Shift, ...]:
    """Shifts of a setting with these mean differences and a little noise."""
    random = np.random.default_rng(1)
    rows = []
    for prompt in range(prompts):
        for setting, factor in ((REFERENCE, 0.0), (FAST, 1.0)):
            scores = {
                "score_beauty": 5 + prompt / 10 + factor * beauty + random.normal(0, 0.02),
                "score_beauty_status": "ok",
                "score_beauty_untrained": untrained,
                "score_soft": 0.2 + factor * blur + random.normal(0, 0.01),
                "score_soft_status": "ok",
                "score_soft_untrained": False,
            }
            rows.append(row(setting, prompt, 1.0, **scores))
    return paired_shifts(frame(*rows), (REFERENCE, FAST), (BEAUTY, BLUR))


def test_more_beauty_with_more_blur_is_the_failure_to_flag() -> None:
    (found,) = find_softening(softened(0.3, 0.1))

    assert (found.setting, found.beauty.spec, found.blur.spec) == (FAST, BEAUTY, BLUR)


@pytest.mark.parametrize(
    ("beauty", "blur", "changes"),
    [
        (0.3, -0.1, {}),
        (-0.3, 0.1, {}),
        (0.3, 0.0, {}),
        (0.0, 0.1, {}),
        (0.3, 0.1, {"prompts": 1}),  # no interval
        (0.3, 0.1, {"untrained": True}),
    ],
)
def test_one_alone_or_too_little_to_tell_is_no_failure(beauty: float, blur: float, changes: dict[str, Any]) -> None:
    assert find_softening(softened(beauty, blur, **changes)) == ()


LOOK_METRICS = (BEAUTY, BLUR, MetricSpec(name="psnr", kind="psnr", options={}))


def scored_run(path: Path) -> tuple[Any, Any, pd.DataFrame]:
    """A run whose fewest steps are softer and please more; some pictures carry notes."""
    run, plan = make_run(
        path,
        targets=(make_target(name="mini_local"),),
        accelerations=("none",),
        sizes=((128, 128),),
        metrics=LOOK_METRICS,
        scores=False,
        prompts=(*PROMPTS, "a fifth", "a sixth"),
    )
    table = read_table(run)
    random = np.random.default_rng(0)
    gain = (table["steps"] == 2).to_numpy(dtype=float)
    for name, base, step, spread in (("beauty", 5.0, 0.5, 0.05), ("soft", 0.2, 0.2, 0.01), ("psnr", 30.0, 1.0, 1.0)):
        table[f"score_{name}"] = base + step * gain + random.normal(0, spread, len(table))
        table[f"score_{name}_status"] = "ok"
        table[f"score_{name}_untrained"] = False
    table["score_psnr_notes"] = [
        "a JPEG was compared; the picture was shrunk" if seed == 0 else None for seed in table["seed"]
    ]
    return run, plan, table


def test_the_report_shows_shifts_and_warns(tmp_path: Path) -> None:
    run, plan, table = scored_run(tmp_path / "run")

    document = build_document(run, plan, table)

    shown = dict(document.measurements)["Shift from the reference"]
    assert [column.title for column in shown.columns] == ["Setting", "beauty", "soft"]  # psnr is a difference already
    assert [column.unit.endswith("↑\u00a0better") for column in shown.columns] == [False, True, False]
    assert not any("reference" in column.unit for column in shown.columns)  # all of the table is about it
    assert [row.cells[0].text for row in shown.rows] == ["mini_local none"] * 2
    assert [row.cells[0].detail for row in shown.rows] == ["2 steps, 128 × 128", "4 steps, 128 × 128"]
    assert shown.rows[0].cells[1].text.startswith("+0.")
    assert " – " in shown.rows[0].cells[1].detail
    warnings = [notice.text for notice in document.notices if "aesthetic" in notice.text]
    assert len(warnings) == 1
    assert warnings[0].startswith("mini_local none 2 steps g4.5 128×128 png looks better to the aesthetic model")
    assert "more blurred (soft +0.1" in warnings[0]
    assert "look at the pictures" in warnings[0]


def test_every_format_of_the_report_has_the_shifts(tmp_path: Path) -> None:
    run, plan, table = scored_run(tmp_path / "run")

    files = dict(render(build_document(run, plan, table)))

    rows = list(csv.DictReader(io.StringIO(files["shifts.csv"].decode())))
    assert [(row["steps"], row["metric"], row["pairs"]) for row in rows][:2] == [
        ("2", "beauty", "12"),
        ("2", "soft", "12"),
    ]
    assert float(rows[0]["shift_low"]) > 0
    assert rows[0]["notice"]
    for name in ("report.md", "index.html"):
        assert "Shift from the reference" in files[name].decode()
        assert "looks better to the aesthetic model" in files[name].decode()


def test_show_warns_too(tmp_path: Path) -> None:
    run, plan, table = scored_run(tmp_path / "run")
    text = io.StringIO()

    print_settings(Console(file=text, width=400), run, plan, table)

    assert "looks better to the aesthetic model" in text.getvalue()


UNDIRECTED = ("colourfulness", "saturation", "clipping", "blurred_tiles", "laplacian_variance", "noise_sigma")
DIRECTED = ("psnr", "ssim", "ms_ssim", "lpips", "dists", "dino_similarity", "aesthetic")


@pytest.mark.parametrize("width", [80, 100, 200])
def test_many_scores_fit_a_terminal(tmp_path: Path, width: int) -> None:
    """Those with a better side are all there, however many tables that takes; the others are named and left out."""
    metrics = tuple(MetricSpec(name=name, kind=name, options={}) for name in (*UNDIRECTED, *DIRECTED))
    run, plan = make_run(tmp_path / "run", metrics=metrics, scores=False, sizes=((128, 128),))
    table = read_table(run)
    for name in (*UNDIRECTED, *DIRECTED):
        table[f"score_{name}"], table[f"score_{name}_status"] = 0.5, "ok"
    text = io.StringIO()

    print_settings(Console(file=text, width=width), run, plan, table)

    assert "…" not in text.getvalue()
    heads = [line for line in text.getvalue().splitlines() if line.startswith("acceleration")]
    assert {"median s" in head for head in heads} == ({True} if width == 200 else {True, False})
    assert all(len(head) <= width for head in heads)
    for name in DIRECTED:
        assert sum(name in head.split() for head in heads) == 2  # targets
    assert not any(name in head for head in heads for name in UNDIRECTED)
    assert f"in the report, as shifts from the reference: {', '.join(UNDIRECTED)}" in " ".join(text.getvalue().split())


def test_a_sure_shift_is_marked_with_a_sign_and_a_note(tmp_path: Path) -> None:
    run, plan, table = scored_run(tmp_path / "run")
    document = build_document(run, plan, table)
    shown = dict(document.measurements)["Shift from the reference"]

    assert [[cell.strong for cell in row.cells] for row in shown.rows] == [[False, True, True], [False, False, False]]
    assert shown.rows[0].cells[1].text.endswith(" *")
    assert not shown.rows[1].cells[1].text.endswith("*")
    assert shown.notes == ("* The interval leaves 0 out, as 2 of 4 do; by chance alone about 1 in 20 would.",)
    assert f"<strong><bdi>{shown.rows[0].cells[1].text}</bdi></strong>" in render_html(report_page(document))
    assert f"**{escape(shown.rows[0].cells[1].text)}**<br>" in render_markdown(report_page(document))


def estimated(value: float, low: float, high: float, metric: str = "noise", setting: Any = FAST) -> Shift:
    mean = Estimate(value=value, low=low, high=high, n=4)
    spec = replace(NOISE, name=metric)
    return Shift(setting=setting, spec=spec, mean=mean, pairs=4, left_out=0, untrained=False)


def test_what_never_moves_has_no_column_and_rounding_errors_are_no_shift() -> None:
    shown = shifts_table(
        [estimated(0, 0, 0, "still"), estimated(7e-17, 1e-17, 2e-16, "rounded"), estimated(0.5, 0.5, 0.5)]
    )

    assert shown is not None
    assert [column.title for column in shown.columns] == ["Setting", "noise"]
    assert (shown.rows[0].cells[1].text, shown.rows[0].cells[1].detail) == ("+0.50 *", "in every prompt")
    assert shown.notes[0].startswith("* The interval leaves 0 out, as 1 of 1 do;")
    assert shown.notes[1] == "0 in every prompt of every setting, and not shown: still, rounded."


def test_where_nothing_moves_at_all_it_is_shown_as_0() -> None:
    shown = shifts_table([estimated(0, 0, 0), estimated(7e-17, 1e-17, 2e-16, "rounded")])

    assert shown is not None
    assert [(cell.text, cell.detail) for cell in shown.rows[0].cells[1:]] == [("0", "in every prompt")] * 2


def test_settings_are_told_apart_by_what_differs_and_never_merged() -> None:
    strong = replace(FAST, id="strong", guidance=7.0)
    shown = shifts_table([estimated(1, 0, 2), estimated(2, 1, 3, setting=strong)])

    assert shown is not None
    assert [row.cells[0].detail for row in shown.rows] == ["2 steps, 128 × 128, g4.5", "2 steps, 128 × 128, g7"]
    twin = shifts_table([estimated(1, 0, 2), estimated(2, 1, 3, setting=replace(FAST, id="twin"))])
    assert twin is not None
    assert len(twin.rows) == 2


def test_one_prompt_is_said_once() -> None:
    alone = replace(estimated(1, 0, 2), mean=Estimate(value=1, low=None, high=None, n=1))

    shown = shifts_table([alone])

    assert shown is not None
    assert shown.caption.endswith(": one prompt, so no intervals.")
    assert shown.rows[0].cells[1].detail == ""


def test_notes_of_scores_are_shown_with_their_counts(tmp_path: Path) -> None:
    _, plan, table = scored_run(tmp_path / "run")
    summaries = summarise(table, plan.settings, LOOK_METRICS)

    assert summaries[0].metrics[2].notes == (("a JPEG was compared", 6), ("the picture was shrunk", 6))
    texts = [notice.text for notice in score_notices(summaries)]
    assert "psnr: a JPEG was compared (18 pictures)." in texts
    assert "psnr: the picture was shrunk (18 pictures)." in texts


def test_what_several_metrics_say_of_the_same_pictures_is_one_notice(tmp_path: Path) -> None:
    _, plan, table = scored_run(tmp_path / "run")
    table["score_soft_notes"] = table["score_psnr_notes"]

    texts = [notice.text for notice in score_notices(summarise(table, plan.settings, LOOK_METRICS))]

    assert "soft, psnr: a JPEG was compared (18 pictures)." in texts
    assert len([text for text in texts if "JPEG" in text]) == 1


def test_warnings_stand_before_what_is_only_good_to_know(tmp_path: Path) -> None:
    run, plan, table = scored_run(tmp_path / "run")

    levels = [notice.level for notice in build_document(run, plan, table).notices]

    assert set(levels) == {"warning", "info"}
    assert levels == sorted(levels, reverse=True)


def test_a_metric_of_another_version_has_a_mean_but_no_shift(tmp_path: Path) -> None:
    _, plan, table = scored_run(tmp_path / "run")
    unknown = replace(BEAUTY, kind="from_the_future")

    assert {shift.spec.name for shift in assess(table, plan.settings, (unknown, BLUR)).shifts} == {"soft"}
