"""`kreabench load` of local targets, from the command line to the report."""

from __future__ import annotations

import io
import shlex
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kreabench.config.resolve import load
from kreabench.core.errors import ConfigError
from kreabench.core.planned import Plan
from kreabench.core.records import Failure, FailureRecord, SampleRecord, WarmupRecord
from kreabench.decisions.load_levels import load_curves
from kreabench.estimate import estimate_plan
from kreabench.plan_build import build_plan
from kreabench.plan_of_run import plan_of
from kreabench.report.explorer.command import Commands
from kreabench.report.load.words import load_sentences
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.table import join_table
from kreabench.slurm.problems import jobs_problems
from tests.command_support import Call
from tests.support import make_run
from tests.test_load_command import _call, rows_of  # noqa: F401 - a fixture

SMALL = ("target=[fake_local]", "axes.size=[64x64]", "prompts=short", "prompts.limit=3", "metrics=[]", "run.warmup=1")


def planned(*overrides: str) -> Plan:
    return build_plan(load([*SMALL, "run.load=on", *overrides]).experiment)


def test_every_batch_size_has_its_own_levels_and_knee(call: Call, tmp_path: Path) -> None:
    """One worker that takes 0.2 s a call, and 0.02 s more for each further request. How much is carried depends on the
    machine; that those who wait are drawn together does not."""
    arguments = (
        *SMALL,
        "load.rate=[2,20]",
        "load.arrivals=fixed",
        "load.duration_s=1",
        "load.drain_s=60",
        "load.batch_size=[1,4]",
        "target.fake_local.options.latency_s=0.2",
        "target.fake_local.options.batch_share=0.1",
    )
    code, said = call("load", *arguments)
    assert code == 0, said
    assert "batches of up to 4" in said
    run = RunDirectory.open(tmp_path / "runs" / "load")
    samples = list(run.samples().values())
    assert all(sample.served is not None and sample.timing_valid for sample in samples)
    warmed = [record.batch for record in run.records() if isinstance(record, WarmupRecord)]
    assert warmed == [1, 1, *[1, 2, 3, 4] * 2], "a level of batches warms up every size that it may draw"
    report = tmp_path / "reports" / "load"
    rows = rows_of(report / "load.csv")
    assert [(row["batch_size"], row["load"]) for row in rows] == [
        ("1", "2.0"), ("1", "20.0"), ("4", "2.0"), ("4", "20.0"),
    ]  # fmt: skip
    single, batched = rows[1], rows[3]
    assert float(single["mean_batch"]) == 1.0
    assert float(batched["mean_batch"]) > 2.0
    assert {path.name for path in (report / "figures").glob("load-*.svg")} == {"load-1.svg", "load-2.svg"}
    described = {
        row["column"]: row["meaning"]
        for row in rows_of(report / "data_dictionary.csv")
        if row["file"] in {"load.csv", "samples.csv", "settings.csv"}
    }
    assert [column for column, meaning in described.items() if not meaning] == []
    code, said = call("load", *arguments, "engine.devices=[cpu,cpu]")
    assert code == 2
    assert "replicas" in said


def test_a_worker_that_was_lost_in_the_midst_is_said_where_the_level_is_judged(call: Call, tmp_path: Path) -> None:
    code, said = call(
        "load",
        *SMALL,
        "load.rate=[8]",
        "load.arrivals=fixed",
        "load.duration_s=4",
        f"target.fake_local.options.state_dir={tmp_path}",
        "target.fake_local.options.faults=[{kind: crash, prompt_contains: '', times: 1}]",
        "run.warmup=0",
        "engine.devices=[cpu,cpu]",
    )
    assert code == 4
    assert "1 worker failed while requests came and had to be replaced: until then" in " ".join(said.split())
    run = RunDirectory.open(tmp_path / "runs" / "load")
    plan, records = plan_of(run), tuple(run.records())
    last = max(record.started_utc for record in records if isinstance(record, SampleRecord))
    error = Failure(type="crashed", stage="load", message="killed", remedy="", transient=False)
    loss = FailureRecord(
        group_id=plan.groups[0].id, setting_id=None, request_id=None, attempt=2, started_utc=last, error=error
    )
    for given_up, more in ((0, replace(loss, attempt=1)), (1, loss)):
        (curve,) = load_curves(plan, (*records, more), join_table(run, plan))
        (level,) = curve.levels
        assert level.service is not None
        assert (level.service.replaced, level.service.given_up) == (1, given_up)
    assert "2 workers failed while requests came and had to be replaced; 1 could not be, so that" in "\n".join(
        load_sentences([curve])
    )


def test_what_is_unanswered_is_said_in_the_last_lines(call: Call, tmp_path: Path) -> None:
    code, said = call(
        "load",
        *SMALL,
        "load.rate=[8]",
        "load.arrivals=fixed",
        "load.duration_s=0.5",
        "load.drain_s=0.2",
        "target.fake_local.options.latency_s=60",
        "run.warmup=0",
    )
    assert code == 4
    assert "0 of 4 samples delivered, 0 failed, 4 unanswered when their level was ended" in said
    (row,) = rows_of(tmp_path / "reports" / "load" / "load.csv")
    assert (row["sent"], row["failed"], row["unanswered"], row["cut_short"]) == ("4", "0", "4", "False")
    code, said = call("show", "runs/load")
    assert code == 0
    assert "0 failed, 4 unanswered when their level was ended, 0 not done" in " ".join(said.split())


def test_the_miniature_draws_the_same_pictures_in_batches(call: Call, tmp_path: Path) -> None:
    code, said = call(
        "load",
        *SMALL[2:],
        "target=[mini_local]",
        "axes.steps=[2]",
        "load.arrivals=closed",
        "load.in_flight=[4]",
        "load.max_requests=4",
        "load.duration_s=300",
        "run.warmup=0",
        "load.batch_size=[1,4]",
    )
    assert code == 0, said
    run = RunDirectory.open(tmp_path / "runs" / "load")
    one, four = plan_of(run).groups
    samples = run.samples()
    assert {sample.served.batch for sample in samples.values() if sample.served} >= {1, 4}
    pairs = list(zip(one.requests, four.requests, strict=True))
    assert [(a.prompt_id, a.seed, a.repeat) for a, _ in pairs] == [(b.prompt_id, b.seed, b.repeat) for _, b in pairs]
    found = [psnr(*(pixels(run, samples[request.id]) for request in pair)) for pair in pairs]
    others = [
        psnr(pixels(run, samples[before.id]), pixels(run, samples[after.id]))
        for (before, _), (_, after) in pairwise(pairs)
    ]
    assert min(found) > 40.0
    assert max(others) < 30.0, "this test could not tell pictures apart"
    assert all(sample.memory is not None and sample.work is not None for sample in samples.values())


def pixels(run: RunDirectory, sample: SampleRecord) -> np.ndarray:
    with Image.open(io.BytesIO((run.path / sample.images[0].path).read_bytes())) as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.float64)


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    error = float(((first - second) ** 2).mean())
    return 99.0 if error == 0 else float(10 * np.log10(255**2 / error))


def test_a_plan_has_each_batch_size_with_its_levels_and_one_reference() -> None:
    plan = planned("load.batch_size=[4,1]", "load.rate=[1,2]", "engine.devices=[cpu,cpu]")
    assert [(one.batch_size, one.rate_per_s, one.replicas) for one in plan.settings] == [
        (1, 1.0, 2),
        (1, 2.0, 2),
        (4, 1.0, 2),
        (4, 2.0, 2),
    ]
    assert {one.reference_id for one in plan.settings} == {plan.settings[0].id}
    assert len({one.id for one in plan.settings}) == len({group.id for group in plan.groups}) == 4
    light, batched = plan.groups[0].requests, plan.groups[2].requests
    alike = [[(one.prompt_id, one.seed, one.at_s) for one in requests] for requests in (light, batched)]
    assert alike[0] == alike[1]
    assert planned("load.rate=[1,2]").hash != planned("load.rate=[1,2]", "engine.devices=[cpu,cpu]").hash


def test_engines_do_not_move_the_plan_of_hosted_targets() -> None:
    hosted = ("target=[mini_fal]", "axes.size=[default]", "load.rate=[1]")
    assert planned(*hosted).hash == planned(*hosted, "engine.devices=[cpu,cpu]").hash


def test_a_plan_says_what_local_levels_take() -> None:
    plan = planned(
        "load.batch_size=[3]",
        "load.rate=[1]",
        "load.duration_s=60",
        "engine.devices=[cpu,cpu]",
        "pricing.device_usd_per_hour=36",
    )
    (group,) = estimate_plan(plan).groups
    assert group.warmup_calls == 2 * 3
    # 0.3 s to load, 0.01 s for each of 1 + 2 + 3 pictures, and the minute; on two devices.
    assert group.hours == pytest.approx((0.3 + 0.06 + 60) / 3600)
    assert group.device_usd == pytest.approx(2 * 36 * (0.3 + 0.06 + 60) / 3600)


def test_plan_prints_batches_replicas_and_dollars_of_devices(call: Call) -> None:
    code, said = call(
        "plan",
        *SMALL,
        "run.load=on",
        "load.batch_size=[1,2]",
        "load.rate=[1]",
        "engine.devices=[cpu,cpu]",
        "pricing.device_usd_per_hour=36",
        "budget.usd=1",
    )
    assert code == 0
    assert "local devices: about $" in said
    assert "which budget.usd does not count" in said
    assert "batch" in said


@pytest.mark.parametrize(
    ("overrides", "key", "expected"),
    [
        (["target=[mini_fal]", "load.batch_size=[2]"], "load.batch_size", "its own choice"),
        (["target=[mini_local_redux]", "load.batch_size=[1,2]"], "load.batch_size", "one redux request a call"),
        (["load.batch_size=[0]"], "load.batch_size", ""),
        (["engine=ray"], "engine", "one queue of this machine"),
        (
            ["target=[mini_local]", "acceleration=[first_block_cache]", "load.batch_size=[2]"],
            "load.batch_size",
            "would depend on the others",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_before_a_run_is_made(overrides: list[str], key: str, expected: str) -> None:
    with pytest.raises(ConfigError) as found:
        load([*SMALL, "axes.size=[default]", "run.load=on", *overrides])
    assert any(problem.key.startswith(key) and expected in problem.expected for problem in found.value.problems)


def test_jobs_of_a_cluster_refuse_levels_of_local_targets_that_another_engine_planned() -> None:
    words = [*SMALL, "load.rate=[1]"]
    slurm = load([*words, "engine=slurm"]).experiment
    loaded = replace(load([*words, "run.load=on"]).experiment, engine=slurm.engine)
    assert [problem.key for problem in jobs_problems(loaded)] == ["run.load"]
    assert jobs_problems(slurm) == []


def test_what_only_some_targets_cannot_do_is_skipped_with_the_reason() -> None:
    plan = planned("target=[fake_local,mini_fal]", "axes.size=[default]", "load.batch_size=[1,2]", "load.rate=[1,2]")
    assert sorted({(one.target, one.batch_size) for one in plan.settings}) == [
        ("fake_local", 1),
        ("fake_local", 2),
        ("mini_fal", 1),
    ]
    (skip,) = plan.skipped
    assert "draws no batches of 2" in skip.reason


def test_the_report_has_the_command_that_draws_a_batch_again(tmp_path: Path) -> None:
    words = ("run.load=on", "load.rate=[1,2]", "load.batch_size=[1,2]", "engine.devices=[cpu,cpu]")
    composed = load([*SMALL, *words])
    plan = build_plan(composed.experiment)
    run = make_run(tmp_path / "run", experiment=composed.experiment)
    (run.path / "config.yaml").write_text(composed.config_yaml, encoding="utf-8")
    by_id = {setting.id: setting for setting in plan.settings}
    for setting in plan.settings:
        line = Commands(run).of(setting, by_id[str(setting.reference_id)])
        again = build_plan(load(shlex.split(line)[2:]).experiment)
        assert {setting.id, setting.reference_id} <= {one.id for one in again.settings}, line
