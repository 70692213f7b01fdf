"""What a report warns of: each warning of a run made to deserve it, and none of a run that does not."""

from __future__ import annotations

import base64
import io
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from kreabench.cli.run_show import print_run
from kreabench.core.planned import Plan
from kreabench.report.evidence import gather
from kreabench.report.notices import notices_of
from kreabench.report.write import write_report
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.table import join_table, read_table
from tests.report_runs import HOSTILE, KEY, PROMPTS, TWO_TARGETS, make_run

TEXTS = tuple(f"{text}, number {number}" for number in range(2) for text in PROMPTS)
REAL = tuple(replace(target, untrained=False, emulated=False) for target in TWO_TARGETS)
SMALL: dict[str, Any] = {"steps": (4,), "sizes": [(64, 64)], "accelerations": ("none", "high"), "seeds": (0,)}

Change = Callable[[pd.DataFrame], pd.DataFrame]


def texts(
    run: RunDirectory, plan: Plan, table: pd.DataFrame | None = None, today: date | None = None, level: str = "warning"
) -> str:
    evidence = gather(run, plan, read_table(run) if table is None else table)
    return "\n".join(one.text for one in notices_of(evidence, today) if one.level == level)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDirectory, Plan, pd.DataFrame]:
    """Eight prompts, everything drawn, scored by trained metrics."""
    run, plan = make_run(tmp_path_factory.mktemp("notices") / "sound", targets=REAL, prompts=TEXTS, **SMALL)
    return run, plan, read_table(run).assign(score_clip_untrained=False)


def test_a_sound_run_has_no_warning(sound: tuple[RunDirectory, Plan, pd.DataFrame]) -> None:
    run, plan, table = sound
    assert texts(run, plan, table, today=date(2026, 10, 3)) == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda t: t.assign(throttle_reasons="SW power cap", sm_clock_mhz=900.0),
            "Throttled clocks: in 32 timed samples",
        ),
        (lambda t: t.assign(throttle_reasons="SW power cap", sm_clock_mhz=900.0), "(SW power cap)"),
        (lambda t: t.assign(foreign_processes=2), "Foreign GPU processes: in 32 samples"),
        (
            lambda t: t.assign(image_width=32),
            "Delivered size is not the asked one: 32 pictures are among the delivered",
        ),
        (lambda t: t.assign(score_clip_truncated=True), "were too long for its text encoder and were cut"),
        (lambda t: t.assign(score_clip_untrained=True), "Scored with untrained weights: clip"),
        (lambda t: t.assign(score_clip=np.nan), "clip: 32 scores failed and are in no mean, being no numbers."),
        (
            lambda t: t.assign(score_clip_status="failed", score_clip_reason="no memory left"),
            "clip: 32 scores failed and are in no mean: no memory left.",
        ),
        (lambda t: t[t["prompt_id"] == "prompt-0"], "Too few prompts: the pictures are of 1 prompt"),
        (lambda t: t[t["prompt_id"].isin(["prompt-0", "prompt-1"])], "Too few prompts: the pictures are of 2."),
        (lambda t: t[t["prompt_id"].isin(["prompt-0", "prompt-1"])], "takes at least 6"),
        (lambda t: t.iloc[:1], "One sample was delivered"),
        (lambda t: t.assign(status=["failed"] * 2 + ["ok"] * (len(t) - 2)), "2 of 32 samples failed"),
        (lambda t: t.assign(status="failed"), "Every sample that ran has failed"),
        (lambda t: t.assign(status="failed", error_type="wrong_size"), "not the asked one: 32 requests failed for it"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_what_limits_the_numbers_is_warned_of(
    sound: tuple[RunDirectory, Plan, pd.DataFrame], change: Change, said: str
) -> None:
    run, plan, table = sound
    assert said in texts(run, plan, change(table))


def test_what_has_not_run_is_warned_of(sound: tuple[RunDirectory, Plan, pd.DataFrame], tmp_path: Path) -> None:
    run, plan, _ = sound
    shutil.copytree(run.path, tmp_path / "run")
    journal = tmp_path / "run" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    samples = [line for line in lines if b'"kind":"sample"' in line]
    assert len(samples) == 32
    journal.write_bytes(b"".join(line for line in lines if line not in samples[-3:]))
    part = RunDirectory.open(tmp_path / "run")
    said = texts(part, plan, join_table(part, plan))
    assert "Not finished: 3 of 32 requests have not run yet." in said


def test_prices_are_old_after_ninety_days_of_the_reports_clock(
    sound: tuple[RunDirectory, Plan, pd.DataFrame],
) -> None:
    run, plan, table = sound  # its price was read on 2026-10-02
    assert "Old price list" not in texts(run, plan, table, today=date(2026, 12, 31))
    said = texts(run, plan, table, today=date(2027, 1, 1))
    assert "Old price list: that of mini_fal was read on 2026-10-02, 91 days ago." in said
    assert "Old price list" not in texts(run, plan, table, today=None)


def test_what_is_not_the_real_thing_is_the_first_warning(tmp_path: Path) -> None:
    run, plan = make_run(tmp_path / "run", **SMALL)
    assert texts(run, plan).startswith("untrained weights, emulated service: numbers show the tool, not the model")


def test_a_run_without_its_pictures_says_so(tmp_path: Path) -> None:
    run, plan = make_run(tmp_path / "run", pictures=False, **SMALL)
    assert "A run without its pictures" in texts(run, plan)


def test_a_run_of_an_older_form_says_so(sound: tuple[RunDirectory, Plan, pd.DataFrame]) -> None:
    run, plan, table = sound
    old = RunDirectory(run.path, replace(run.info, schema_version=2))
    assert "written in an older form (version 2 of" in texts(old, plan, table, level="info")


def shown(run: RunDirectory, plan: Plan, width: int = 80) -> str:
    out = io.StringIO()
    print_run(Console(file=out, width=width), run, plan)
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 40])
def test_show_tells_the_verdict_before_the_table_in_few_columns_without_colours(
    sound: tuple[RunDirectory, Plan, pd.DataFrame], width: int
) -> None:
    run, plan, _ = sound
    text = shown(run, plan, width)
    assert text.index("keep ") < text.index("acceleration  ")
    assert f"\nmore: kreabench recommend {run.path}\n" in text, "in one piece, to be copied"
    assert "\x1b" not in text
    assert max(len(line) for line in text.splitlines() if str(run.path) not in line) <= width
    assert "…" not in text, "no number is cut short"


def test_a_run_that_is_being_drawn_says_so_and_is_not_resumed(tmp_path: Path) -> None:
    run, plan = make_run(tmp_path / "run", done=0.5, **SMALL)
    assert "A process draws them now" not in texts(run, plan)
    assert f"go on with: kreabench resume {run.path}" in shown(run, plan)
    with run.drawing():
        assert "8 of 16 requests have not run yet. A process draws them now" in texts(run, plan)
        assert "go on with" not in shown(run, plan)


def test_show_counts_scores_that_failed(tmp_path: Path) -> None:
    run, plan = make_run(tmp_path / "run", prompts=TEXTS, targets=REAL, **SMALL)
    lines = (run.path / "scores.jsonl").read_text(encoding="utf-8").splitlines()
    failed = [re.sub(r'"status":"ok","value":[-0-9.e]+', '"status":"failed","value":null', line) for line in lines[:3]]
    (run.path / "scores.jsonl").write_text("\n".join([*failed, *lines[3:]]) + "\n", encoding="utf-8")

    text = " ".join(shown(run, plan).split())

    assert len(re.findall(r"(\d+) scores? failed and (?:is|are) in no mean", text)) >= 1
    assert sum(map(int, re.findall(r"(\d+) scores? failed", text))) == sum('"failed"' in line for line in failed)


def test_no_file_of_a_report_holds_a_folder_a_user_or_a_key(tmp_path: Path) -> None:
    """Names of folders stand in errors, reasons and descriptions; whoever opens any file of a report finds none."""
    folder = tmp_path / "somebodys-folder"
    run, plan = make_run(folder / "run", prompts=HOSTILE, failing=["prompt-1"], **SMALL)
    secret = f"see {run.path}/worker.log and /home/somebody/.cache of {KEY}"
    experiment = replace(run.info.experiment, description=secret)
    told = {secret: secret}
    info = replace(run.info, experiment=experiment, versions=told, environment=told, git_revision=secret)
    run = RunDirectory(run.path, replace(info, created_utc=secret))
    table = read_table(run)
    failed = table["status"] == "failed"
    table = table.assign(
        error_type=table["error_type"].mask(failed, secret),
        error_stage=table["error_stage"].mask(failed, secret),
        score_psnr_status="failed",
        score_psnr_reason=secret,
        score_clip_notes=secret,
        flags=secret,
    )

    write_report(run, plan, folder / "report", table)

    names = []
    for path in sorted((folder / "report").rglob("*")):
        if path.is_file():
            names.append(path.name)
            for content in contents(path):
                for hidden in ("somebody", "/home/", KEY, KEY[:20], str(tmp_path)):
                    assert hidden.encode() not in content, f"{hidden} in {path.name}"
    assert {"index.html", "report.md", "report.json", "samples.csv", "settings.csv"} <= set(names)
    assert any(name.endswith(".svg") for name in names)


def contents(path: Path) -> list[bytes]:
    """A file, what it holds in base64, and the rows of a table that is compressed."""
    content = path.read_bytes()
    held = [base64.b64decode(part[: len(part) // 4 * 4]) for part in re.findall(rb"base64,([A-Za-z0-9+/]+)", content)]
    if path.suffix == ".parquet":
        held.append(pd.read_parquet(path).to_csv().encode())
    return [content, *held]
