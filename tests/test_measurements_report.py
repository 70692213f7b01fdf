"""What was measured beside time and dollars has a place in the report exactly where it was measured."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from kreabench.analysis.device import summarise_device
from kreabench.analysis.settings import summarise
from kreabench.core.planned import LoadGroup, Plan, Request
from kreabench.core.records import (
    Calibration,
    Cost,
    DeviceState,
    ImageRecord,
    LoadRecord,
    Memory,
    SampleRecord,
    WarmupRecord,
    Work,
)
from kreabench.report.build import build_document
from kreabench.report.measurements import first_calls_table, repeatability_sentence
from kreabench.report.write import render, write_report
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.table import read_table, rebuild_table
from tests.report_runs import make_run as make_cpu_run
from tests.support import (
    UTC,
    encode_image,
    make_group,
    make_image_record,
    make_plan,
    make_request,
    make_run,
    make_sample,
    make_setting,
    make_timings,
    picture,
)

STATE = DeviceState(
    energy_j=2100.0,
    sm_clock_mhz=1755.0,
    sm_clock_min_mhz=1610.0,
    temperature_c=61.0,
    throttle_reasons=("power limit",),
    foreign_processes=0,
    readings=40,
)
WORK = Work(
    reference_tflop=2100.0, done_tflop=1050.0, stages_tflop={"denoise": 1039.5}, floor_s=1.3, share_of_floor=0.5
)
MEMORY = Memory(
    peak_rss_bytes=10**9,
    peak_allocated_bytes=33 * 2**30,
    peak_reserved_bytes=35 * 2**30,
    driver_process_bytes=None,
    driver_device_bytes=37 * 2**30,
)
FEW: dict[str, Any] = {"accelerations": ("none",), "steps": (2, 4), "sizes": ((128, 128),), "prompts": ("x",)}
"""Of a run without a GPU: two settings a target."""
TOO_FAST = "denoise took {} s, less than its floor of 2.6 s: a measuring error"
FLAGS = ((TOO_FAST.format(1.26),), (TOO_FAST.format(1.3), "another process computed on the GPU"))


def gpu_run(path: Path, sample: Callable[[int, Request], SampleRecord]) -> tuple[RunDirectory, Plan]:
    """Eight requests of one setting, with what a GPU's driver says."""
    plan = make_plan(make_group(prompts=4, seeds=(0, 1)))
    (group,) = plan.groups
    run = make_run(path)
    with run.writer() as writer:
        writer.append(load(group))
        writer.append(
            WarmupRecord(
                group_id=group.id,
                setting_id=group.settings[0].id,
                started_utc=UTC,
                timings=make_timings(end_to_end_s=62.5, first_call=True),
                cost=Cost(usd=None, basis="none"),
            )
        )
        for number, request in enumerate(group.requests):
            writer.append(sample(number, request))
    rebuild_table(run, plan)
    return run, plan


def load(group: LoadGroup) -> LoadRecord:
    return LoadRecord(
        group_id=group.id,
        target=group.target.name,
        started_utc=UTC,
        load_s=12.5,
        identity={"model": "krea"},
        calibration=Calibration(
            tflop_s={"bfloat16": 712.3, "float8": 1402.0}, copy_gb_s=4012.0, cache_bytes=50 * 2**20, seconds=0.5
        ),
    )


def measured(number: int, request: Request) -> SampleRecord:
    flags = FLAGS[number] if number < 2 else ()
    return make_sample(request, memory=MEMORY, device=STATE, work=WORK, flags=flags)


def test_a_run_on_a_gpu_shows_work_device_and_first_calls(tmp_path: Path) -> None:
    run, plan = gpu_run(tmp_path / "run", measured)
    document = build_document(run, plan, read_table(run))
    tables = dict(document.measurements)
    assert list(tables) == ["Work and floor", "Device", "First calls"]
    work, device, first = ([cell.text for cell in table.rows[0].cells[4:]] for table in tables.values())
    assert work == ["2,100", "50.0", "1.30", "50.0"]
    assert device == ["33.0", "35.0", "—", "37.0", "2,100", "1,755", "61", "power limit (8)"]
    assert first == ["62.5", "0.500", "62.0", "1"]
    assert "bfloat16 712, float8 1,402 TFLOP/s; copies 4,012 GB/s" in tables["Work and floor"].notes[0]
    row = dict(
        zip([column.title for column in document.settings.columns], document.settings.rows[0].cells, strict=True)
    )
    assert (row["Share of the floor"].text, row["Energy"].text) == ("50.0", "2,100")
    assert row["Latency"].remark == "3 flagged"
    texts = [notice.text for notice in document.notices]
    assert any(text.startswith("In 2 samples: denoise took 1.26 s, less than its floor") for text in texts)
    assert "In 1 sample: another process computed on the GPU." in texts
    files = dict(render(document))
    assert b"power limit (8)" in files["index.html"]
    assert b"### Work and floor" in files["report.md"]
    header, values = files["settings.csv"].decode().splitlines()[:2]
    assert dict(zip(header.split(","), values.split(","), strict=False))["energy_per_image_j"] == "2100.0"


def test_a_first_call_that_was_faster_is_not_shown_as_no_difference(tmp_path: Path) -> None:
    run, plan = gpu_run(tmp_path / "run", measured)
    summaries = summarise(read_table(run), plan.settings, [])
    (warmup, *_) = [record for record in run.records() if isinstance(record, WarmupRecord)]
    quick = replace(warmup, timings=replace(warmup.timings, end_to_end_s=0.3))
    table = first_calls_table([quick], [], summaries)
    assert table is not None
    assert [cell.text for cell in table.rows[0].cells[4:]] == ["0.300", "0.500", "-0.200", "1"]
    assert table.rows[0].cells[0].detail == ""


def test_settings_that_differ_in_how_many_are_in_flight_are_told_apart(tmp_path: Path) -> None:
    run, plan = gpu_run(tmp_path / "run", measured)
    (summary,) = summarise(read_table(run), plan.settings, [])
    crowd = replace(summary, setting=replace(summary.setting, concurrency=8))
    table = first_calls_table([record for record in run.records() if isinstance(record, WarmupRecord)], [], [crowd])
    assert table is not None
    assert table.rows[0].cells[0].detail == "8 in flight"


def test_a_run_without_a_gpu_shows_none_of_it(tmp_path: Path) -> None:
    run, plan = make_cpu_run(tmp_path / "run", **FEW)
    document = build_document(run, plan, read_table(run))
    titles = [title for title, _ in document.measurements]
    assert titles == ["Fidelity beside its noise floor", "Shift from the reference", "Money", "Hosted service"]
    assert "Energy" not in [column.title for column in document.settings.columns]
    header = dict(render(document))["settings.csv"].decode().splitlines()[0]
    assert "energy" not in header


def test_joules_are_those_of_one_picture() -> None:
    table = pd.DataFrame({"energy_j": [400.0, 800.0], "num_images": [4, 4], "done_tflop": [1.0, 1.0]})
    table["reference_tflop"] = 2.0
    found = summarise_device(table, table)
    assert found is not None
    assert found.energy_j is not None
    assert found.energy_j.value == 150.0
    assert found.done_share == 0.5
    assert summarise_device(table.iloc[:0], table.iloc[:0]) is None


def test_a_table_of_an_older_run_has_no_device(tmp_path: Path) -> None:
    run, plan = make_cpu_run(tmp_path / "run", **FEW)
    table = read_table(run).drop(columns=["energy_j", "flags", "share_of_floor", "throttle_reasons"])
    assert all(summary.device is None for summary in summarise(table, plan.settings, ()))


def drawn_twice(path: Path, *, same: bool) -> tuple[RunDirectory, Plan]:
    """Two passes over two prompts; with `same` false the second pass draws one other picture."""
    setting = make_setting()
    first = make_group((setting,), prompts=2)
    again = replace(
        first,
        id=f"{first.id}-pass2",
        pass_number=2,
        requests=tuple(
            make_request(setting, prompt_id=r.prompt_id, prompt=r.prompt, seed=r.seed, repeat=1) for r in first.requests
        ),
    )
    plan = make_plan(first, again, settings=(setting,))
    run = make_run(path)
    with run.writer() as writer:
        for group in plan.groups:
            for number, request in enumerate(group.requests):
                other = group is again and number == 1 and not same
                content = encode_image(picture(seed=number + (100 if other else 0)))
                writer.append(make_sample(request, group_id=group.id, images=(stored(run, request, content),)))
    rebuild_table(run, plan)
    return run, plan


def stored(run: RunDirectory, request: Request, content: bytes) -> ImageRecord:
    path = run.path / "images" / "s" / f"{request.id}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return make_image_record(
        path=path.relative_to(run.path).as_posix(),
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
    )


@pytest.mark.parametrize(
    ("same", "equal", "sentence"),
    [
        (True, "2", "Repeatable: all 2 pictures drawn in fresh loads of the model equal the first bit by bit."),
        (False, "1", "Not repeatable: 1 of 2 pictures drawn in fresh loads of the model differ; the furthest is "),
    ],
)
def test_a_run_of_two_passes_says_whether_pictures_are_repeatable(
    tmp_path: Path, same: bool, equal: str, sentence: str
) -> None:
    run, plan = drawn_twice(tmp_path / "run", same=same)
    document = build_document(run, plan, read_table(run))
    (row,) = dict(document.measurements)["Repeatability"].rows
    assert [cell.text for cell in row.cells[4:7]] == ["a fresh load", "2", equal]
    assert any(notice.text.startswith(sentence) for notice in document.notices)


def test_a_picture_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    run, plan = drawn_twice(tmp_path / "run", same=False)
    for file in run.path.glob("images/s/*.png"):
        file.unlink()
    write_report(run, plan, tmp_path / "out")
    document = build_document(run, plan, read_table(run))
    (row,) = dict(document.measurements)["Repeatability"].rows
    assert row.cells[5].detail == "1 unreadable"


def test_nothing_drawn_twice_needs_no_sentence() -> None:
    assert repeatability_sentence(()) == ""
