"""report.json and the tables beside it: what a reader of their numbers relies on."""

from __future__ import annotations

import csv
import io
import json
import math
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import numpy as np
import pandas as pd
import pytest

from kreabench.analysis.device import DeviceSummary
from kreabench.analysis.estimates import Estimate
from kreabench.config.resolve import load
from kreabench.core.planned import Plan, Setting, SkippedSetting
from kreabench.core.records import DropRecord
from kreabench.core.specs import MetricSpec
from kreabench.decisions.recommend import recommend
from kreabench.decisions.recommend_evidence import contest_of
from kreabench.decisions.recommend_hosting import Hosting, HostingOptions, compare_hosting
from kreabench.decisions.recommend_question import Limits, ask
from kreabench.plan_build import build_plan
from kreabench.report.build import document_of
from kreabench.report.dictionary import data_dictionary, described, head_of
from kreabench.report.evidence import Evidence, gather
from kreabench.report.explorer import encode
from kreabench.report.explorer.build import build_data
from kreabench.report.explorer.command import Commands
from kreabench.report.explorer.data import ReportData, ValueData
from kreabench.report.explorer.pictures import Pictured
from kreabench.report.explorer.quantities import absent_of, is_identical
from kreabench.report.explorer.sources import sources_of
from kreabench.report.several.document import several_document
from kreabench.report.write import write_report
from kreabench.rundir.columns import schema_of
from kreabench.rundir.directory import RunDirectory, RunInfo
from kreabench.rundir.table import read_table
from tests.report_runs import HOSTILE, KEY, TWO_TARGETS, make_run
from tests.support import UTC

pytestmark = pytest.mark.usefixtures("undrawn")


def evidence_of(path: Path, **options: Any) -> Evidence:
    run, plan = make_run(path, pictures=False, **options)
    return gather(run, plan, read_table(run))


def data_of(*evidences: Evidence) -> ReportData:
    document = document_of(evidences[0]) if len(evidences) == 1 else several_document(evidences)
    return build_data(sources_of(evidences), document, Pictured())


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """Two targets, three accelerations, four step counts."""
    return evidence_of(tmp_path_factory.mktemp("data") / "run", steps=(2, 4, 8, 16), sizes=((128, 128),))


@pytest.fixture(scope="module")
def data(evidence: Evidence) -> ReportData:
    return data_of(evidence)


RACE = (
    "run.race=true",
    "race.max_quality_loss={clip_score:{noise_floor:0.5}}",
    "race.first_prompts=5",
    "prompts.limit=8",
)
EXPERIMENTS = (
    ("experiment=demo",),
    ("experiment=demo_images",),
    ("experiment=pick_acceleration", "reference.steps=max"),
    ("experiment=image_to_image",),
    ("experiment=local_or_hosted",),
    ("experiment=compare_endpoints",),
    ("experiment=gpu_random_weights",),
    ("experiment=demo", "target.mini_local.options.dtype=bfloat16", "run.concurrency=[1,2]", "run.seeds=[3,5]"),
    ("experiment=demo", "acceleration.high.features.first_block_cache.threshold=0.3", "axes.guidance=[1.5,default]"),
    ("experiment=demo", "prompts=krea", "prompts.per_category=1", "prompts.categories=[hands,food]", "run.repeats=2"),
    ("experiment=demo", "reference.acceleration=regular", "axes.output_format=[jpeg]", "axes.num_images=[1,2]"),
    ("experiment=demo", "prompts=shapes", "prompts.limit=2", "metrics=[look,clip_score]", "budget.usd=2.5"),
    ("experiment=demo", "axes.exclude=[{acceleration:high,steps:8}]", "pricing.device_usd_per_hour=1", *RACE),
)


@pytest.mark.parametrize("overrides", EXPERIMENTS, ids=" ".join)
def test_a_settings_command_draws_it_and_its_reference_again(overrides: Sequence[str], tmp_path: Path) -> None:
    composed = load(overrides)
    plan = build_plan(composed.experiment)
    run = stored(tmp_path, composed.experiment, plan, composed.config_yaml)
    commands = Commands(run)
    known = {setting.id: setting for setting in plan.settings}
    for setting in spread(plan.settings):
        reference = known.get(setting.reference_id or "")
        words = shlex.split(commands.of(setting, reference))
        assert words[:2] == ["kreabench", "run"], words
        again = load(words[2:]).experiment
        assert again.name not in {composed.experiment.name, "krea"}
        assert again.metrics == composed.experiment.metrics
        assert again.budget_usd == composed.experiment.budget_usd
        found = build_plan(again)
        wanted = {one.id: one.reference_id for one in (setting, reference) if one is not None}
        assert {one.id: one.reference_id for one in found.settings} == wanted
        assert requests(found, wanted) == requests(plan, wanted)


def spread(settings: Sequence[Setting]) -> list[Setting]:
    """At most three, from the first to the last: composing takes time."""
    return [settings[index] for index in sorted({0, len(settings) // 2, len(settings) - 1})]


def requests(plan: Plan, ids: Any) -> set[str]:
    return {request.id for group in plan.groups for request in group.requests if request.setting_id in ids}


def stored(path: Path, experiment: Any, plan: Plan, config: str) -> RunDirectory:
    """A run that has not begun."""
    info = RunInfo(
        schema_version=4,
        plan_hash=plan.hash,
        created_utc="2026-10-02T00:00:00Z",
        experiment=experiment,
        versions={},
        environment={},
        git_revision=None,
    )
    path.mkdir(exist_ok=True)
    (path / "config.yaml").write_text(config, encoding="utf-8")
    return RunDirectory(path, info)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("file: miniature.jsonl", "file: /home/somebody/mine.jsonl", "its prompts come from a file of its own"),
        ("  mini_local:", "  my_local:", "does not hold what it was asked"),
        ("      size_multiple: 8\n", "", "which the shipped configuration has"),
        ("kind: psnr", "kind: '/opt/secret/metric'", "a path or a key"),
        ("dtype: float32", f"dtype: '{KEY}'", "a path or a key"),
    ],
)
def test_what_no_command_can_say_is_said(old: str, new: str, why: str, tmp_path: Path) -> None:
    composed = load(["experiment=demo"])
    plan = build_plan(composed.experiment)
    assert old in composed.config_yaml
    run = stored(tmp_path, composed.experiment, plan, composed.config_yaml.replace(old, new))
    setting = next(one for one in plan.settings if one.acceleration.endswith("coarse") and one.target == "mini_local")
    line = Commands(run).of(setting, None)
    assert line.startswith("# No command")
    assert why in line
    assert "somebody" not in line
    assert KEY not in line
    assert shlex.split(line, comments=True) == []


def test_a_damaged_configuration_gives_no_command(data: ReportData) -> None:
    assert all(setting.command.startswith("# No command") for setting in data.settings)


def test_short_names_tell_settings_apart_by_what_differs(data: ReportData, evidence: Evidence) -> None:
    names = [setting.short for setting in data.settings]
    assert len(set(names)) == len(names)
    assert "mini_local none 2 steps" in names
    assert not any("128" in name or "png" in name for name in names)
    both = data_of(evidence, evidence)
    assert {setting.short for setting in both.settings} == {f"{run} {name}" for run in "AB" for name in names}


def test_one_setting_alone_still_has_a_name(tmp_path: Path) -> None:
    found = data_of(
        evidence_of(tmp_path / "run", targets=TWO_TARGETS[:1], accelerations=["none"], steps=[2], sizes=[(64, 64)])
    )
    assert [setting.short for setting in found.settings] == ["mini_local none"]


def test_flags_and_memory_by_stage_are_counted(evidence: Evidence) -> None:
    first = evidence.summaries[0].setting.id
    here = evidence.table["setting_id"] == first
    table = evidence.table.assign(
        nsfw=pd.array(here.to_numpy(), dtype="boolean"),
        stage_denoise_allocated_bytes=pd.array(np.where(here, np.arange(len(here)) + 7, 0), dtype="Int64"),
        stage_unload_reserved_bytes=pd.array(np.where(here, 3, 0), dtype="Int64"),
    )
    found = data_of(replace(evidence, table=table)).settings
    assert [one.flagged for one in found if one.flagged] == [int(here.sum())]
    stages = {stage.name: stage for stage in found[0].stages}
    assert stages["denoise"].allocated_bytes == int(np.flatnonzero(here).max()) + 7
    assert stages["denoise"].reserved_bytes is None
    assert stages["denoise"].mean_s is not None
    assert (stages["unload"].mean_s, stages["unload"].reserved_bytes) == (None, 3)
    assert stages["encode"].allocated_bytes is None


def test_steps_are_medians_of_samples_with_the_usual_number_of_steps(evidence: Evidence) -> None:
    first = evidence.summaries[0].setting.id
    samples = [sample for sample in evidence.journal.samples.values() if sample.setting_id == first]
    timed = [(0.1, 0.2), (0.3, 0.4), (0.2, 0.9), (5.0, 5.0, 5.0), (0.0, 0.0)]
    changed = {
        sample.request_id: replace(
            sample, timings=replace(sample.timings, steps_s=steps), timing_valid=steps != (0.0, 0.0)
        )
        for sample, steps in zip(samples, timed, strict=False)
        if sample.timings is not None
    }
    journal = replace(evidence.journal, samples={**evidence.journal.samples, **changed})
    found = data_of(replace(evidence, journal=journal)).settings
    assert found[0].steps_s == pytest.approx((0.2, 0.4))
    assert found[1].steps_s == ()


def test_fronts_hold_what_none_beats_and_chances_are_shares(data: ReportData) -> None:
    metrics = {one.name for one in data.quantities if one.better == "higher"}
    assert len(metrics) == 3
    assert {(front.x, front.y) for front in data.fronts} == {
        (x, y) for x in ("latency_s", "usd_per_image", "peak_memory_bytes") for y in metrics
    }
    values = {setting.id: setting.values for setting in data.settings}
    for front in data.fronts:
        both = {id_: each for id_, each in values.items() if {front.x, front.y} <= each.keys()}
        points = {id_: (each[front.x].value, -each[front.y].value) for id_, each in both.items()}
        beaten = {
            one
            for one, (x, y) in points.items()
            if any(a <= x and b <= y and (a, b) != (x, y) for a, b in points.values())
        }
        assert set(front.on) == points.keys() - beaten
        assert front.chance.keys() == points.keys()
        assert all(0 <= share <= 1 for share in front.chance.values())
        assert any(share > 0.5 for share in front.chance.values())


def test_references_have_no_fidelity_and_are_on_no_front_of_it(data: ReportData) -> None:
    references = {setting.id for setting in data.settings if setting.reference == setting.id}
    assert references
    for front in data.fronts:
        if front.y in {"psnr", "ssim"}:
            assert not references & front.chance.keys()


def test_one_prompt_gives_a_front_without_chances(tmp_path: Path) -> None:
    found = data_of(evidence_of(tmp_path / "run", prompts=["one"], **FEW))
    assert found.fronts
    assert all(front.on and not front.chance for front in found.fronts)
    assert found.knees == ()


def test_a_knee_names_its_line_and_how_sure_it_is(data: ReportData) -> None:
    for knee in data.knees:
        setting = next(one for one in data.settings if one.id == knee.setting)
        assert "steps" not in knee.axes
        assert setting.axes == {**knee.axes, "steps": knee.steps}
        assert "resamples of 4 prompts" in knee.note
    assert data.knees


def test_sums_start_from_seconds_an_image_and_dollars_with_their_source(data: ReportData, evidence: Evidence) -> None:
    local = {setting.id for setting in data.settings if setting.axes["target"] == "mini_local"}
    assert {one.setting for one in data.break_even.own} == local
    assert {one.setting for one in data.break_even.hosted} == {setting.id for setting in data.settings} - local
    own = data.break_even.own[0]
    latency = next(setting.values["latency_s"] for setting in data.settings if setting.id == own.setting)
    assert own.seconds_per_image == latency.value
    assert (own.load_s, own.usd_per_hour, own.joule_per_image) == (0.84, 2.5, None)
    hosted = data.break_even.hosted[0]
    assert hosted.usd_per_image == pytest.approx(0.025)
    assert hosted.source.startswith("billed by the service; list read 2026-10-02 from https://fal.ai/")
    assert any("emulated" in note for note in data.break_even.notes)
    assert any("electricity is not priced" in note for note in data.break_even.notes)


def test_a_missing_price_of_the_hour_is_asked_for_and_none_is_assumed(tmp_path: Path) -> None:
    free = evidence_of(tmp_path / "run", targets=[replace(TWO_TARGETS[0], usd_per_hour=None)], steps=[2])
    found = data_of(free).break_even
    assert all(one.usd_per_hour is None for one in found.own)
    (note,) = [note for note in found.notes if "device_usd_per_hour" in note]
    assert note.endswith("without a price there is no sum.")


def test_sums_are_those_that_recommend_makes(data: ReportData, evidence: Evidence) -> None:
    """Of the setting that it takes, fed with what the page starts from."""
    one = evidence
    hosted = {name: target.hosted for name, target in one.targets.items()}
    contest = contest_of(one.side, one.side.settings, hosted, one.fidelity.settings)
    question = ask(contest, objective=None, metric=None, losses=(), limits=Limits(), level=0.05).question
    made = compare_hosting(recommend(contest, question, draws=0), one.targets, one.journal.loads, HostingOptions())
    assert not isinstance(made, str)
    assert made.api is not None
    (own,) = [each for each in data.break_even.own if each.setting == f"a/{made.own.setting.id}"]
    (api,) = [each for each in data.break_even.hosted if each.setting == f"a/{made.api.setting.id}"]
    assert (own.seconds_per_image, own.load_s, own.usd_per_hour) == (
        made.gpu.seconds_per_image,
        made.gpu.load_s,
        made.gpu.usd_per_hour,
    )
    assert (own.seconds_low, own.seconds_high) == contest_interval(made)
    assert api.usd_per_image == pytest.approx(made.api_usd_per_image)


def contest_interval(made: Hosting) -> tuple[float, float]:
    """Of the seconds an image; the run's requests have one picture."""
    latency = made.own.costs["latency"].median
    assert latency is not None
    assert latency.interval is not None
    return latency.interval


def test_seconds_are_of_one_image_where_a_request_has_several(evidence: Evidence) -> None:
    first = evidence.summaries[0]
    double = replace(first, setting=replace(first.setting, num_images=2))
    found = data_of(replace(evidence, summaries=(double, *evidence.summaries[1:])))
    assert first.latency is not None
    assert found.break_even.own[0].seconds_per_image == first.latency.value / 2


def test_what_cannot_be_done_and_what_a_race_dropped_is_listed(evidence: Evidence) -> None:
    skipped = SkippedSetting(
        target="mini_fal",
        acceleration="fp8",
        steps=8,
        guidance=None,
        size="landscape_4_3",
        num_images=1,
        output_format="png",
        reason=f"no such level {KEY}",
    )
    gone = evidence.plan.settings[1]
    drop = DropRecord(
        setting_id=gone.id,
        constraint="dominated",
        look=1,
        looks=5,
        prompts=8,
        level=0.01,
        reason="too slow",
        at_utc=UTC,
    )
    plan = replace(evidence.plan, skipped=(skipped,))
    found = data_of(replace(evidence, plan=plan, dropped={gone.id: drop})).skipped
    assert [(one.kind, one.axes["size"]) for one in found] == [("skipped", "1024×768"), ("dropped", "128×128")]
    assert KEY not in found[0].reason
    assert (found[1].label, found[1].reason) == (gone.label, "too slow")
    assert found[1].axes.keys() == found[0].axes.keys() == data_of(evidence).settings[0].axes.keys()


def test_sizes_are_ordered_by_pixels(tmp_path: Path) -> None:
    found = data_of(evidence_of(tmp_path / "run", **ONE, sizes=[(256, 256), (64, 512), (128, 128), (512, 64)]))
    values = next(axis.values for axis in found.axes if axis.name == "size")
    assert values == ("128×128", "64×512", "512×64", "256×256")


FEW: dict[str, Any] = {"sizes": ((64, 64),), "steps": (2, 4), "accelerations": ("none", "high")}
ONE: dict[str, Any] = {"targets": TWO_TARGETS[:1], "steps": (2,), "accelerations": ("none",)}

VARIANTS: dict[str, dict[str, Any]] = {
    "whole": {},
    "hostile": {"prompts": HOSTILE, "failing": ["prompt-1"]},
    "all failed": {"failing": [f"prompt-{n}" for n in range(4)]},
    "not begun": {"done": 0.0},
    "half": {"done": 0.4},
    "no scores": {"scores": False},
    "one prompt": {"prompts": ["one"], "seeds": [0]},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_report_follows_the_schema(name: str, tmp_path: Path) -> None:
    found = evidence_of(tmp_path / "run", **FEW, **VARIANTS[name])
    validate(data_of(found))
    validate(data_of(found, found))


def validate(data: ReportData) -> None:
    content = encode.encode(data)

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} in report.json")

    jsonschema.Draft202012Validator(encode.json_schema()).validate(json.loads(content, parse_constant=refuse))
    assert msgspec.json.decode(content, type=ReportData) == data


def test_scores_that_are_no_numbers_are_absent_with_a_reason(evidence: Evidence) -> None:
    table = evidence.table.assign(score_psnr=math.nan, score_ssim=math.inf)
    changed = gather(evidence.run, evidence.plan, table)
    found = data_of(changed)
    validate(found)
    assert all("psnr" in setting.absent and "ssim" in setting.absent for setting in found.settings)
    infinite = changed.summaries[0].latency
    assert infinite is not None
    endless = replace(changed.summaries[0], latency=replace(infinite, value=math.inf, high=math.inf))
    found = data_of(replace(changed, summaries=(endless, *changed.summaries[1:])))
    validate(found)
    assert "latency_s" in found.settings[0].absent


def test_the_kept_schema_is_current() -> None:
    kept = Path(encode.__file__).with_name(encode.SCHEMA_FILE)
    assert kept.read_bytes() == encode.encode_schema(), "write `encode_schema()` into it anew"
    jsonschema.Draft202012Validator.check_schema(json.loads(kept.read_bytes()))


def test_the_schema_refuses_what_it_should(data: ReportData) -> None:
    plain = json.loads(encode.encode(data))
    plain["settings"][0]["values"]["latency_s"]["value"] = None
    validator = jsonschema.Draft202012Validator(encode.json_schema())
    assert not validator.is_valid(plain)
    assert not validator.is_valid({**json.loads(encode.encode(data)), "schema": "kreabench.report/2"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of a run whose texts attack."""
    path = tmp_path_factory.mktemp("tables")
    run, plan = make_run(
        path / "run",
        prompts=HOSTILE,
        failing=["prompt-1"],
        accelerations=("none", "high"),
        steps=(2, 4),
        sizes=((64, 64),),
    )
    return write_report(run, plan, path / "report").parent


def test_every_column_of_every_table_is_in_the_dictionary(folder: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((folder / "data_dictionary.csv").read_text(encoding="utf-8"))))
    told = {(row["file"], row["column"]): row for row in rows}
    files = sorted(path for path in folder.glob("*.csv") if path.name != "data_dictionary.csv")
    assert {"samples.csv", "settings.csv", "shifts.csv"} <= {path.name for path in files}
    columns = {(path.name, column) for path in files for column in head_of(path.read_bytes())}
    assert told.keys() == columns
    for key, row in told.items():
        assert row["meaning"], key
        assert row["type"] in {"text", "integer", "number", "boolean"}, key


def test_every_column_that_a_run_can_have_is_described() -> None:
    schema = schema_of(["encode", "denoise"], ["denoise"], ["psnr", "my_metric"])
    kinds = {"string": "text", "int64": "integer", "uint64": "integer", "double": "number", "bool": "boolean"}
    found = {
        one.column: one
        for one in described("samples.csv", schema.names, [MetricSpec(name="psnr", kind="psnr", options={})])
    }
    for field in schema:
        assert found[field.name].meaning, field.name
        assert found[field.name].type == kinds[str(field.type)], field.name
    assert found["score_psnr"].unit == "dB"
    assert found["stage_denoise_allocated_bytes"].unit == "bytes"
    sets = ["setting_id", "value", "standard_error", "prompts", "notice"]
    assert all(one.meaning for one in described("set_scores.csv", sets, ()))


def test_parquet_holds_the_columns_and_numbers_of_csv(folder: Path) -> None:
    for name in ("samples", "settings"):
        plain, typed = pd.read_csv(folder / f"{name}.csv"), pd.read_parquet(folder / f"{name}.parquet")
        assert list(plain.columns) == list(typed.columns)
        assert len(plain) == len(typed) > 0
        for column in typed.columns:
            if pd.api.types.is_float_dtype(typed[column]):
                np.testing.assert_array_equal(typed[column].astype(float), plain[column].astype(float))


def test_parquet_names_no_folder_and_no_key(folder: Path) -> None:
    for name in ("samples", "settings"):
        table = pd.read_parquet(folder / f"{name}.parquet")
        text = table.to_json()
        assert "somebody" not in text
        assert KEY not in text
        assert "notice" in table.columns
    failed = pd.read_parquet(folder / "samples.parquet")["error_message"].dropna()
    assert len(failed) > 0


def test_a_dictionary_of_no_tables_has_its_head() -> None:
    assert data_dictionary({}, ()) == "file,column,type,unit,meaning\n"


def test_pictures_that_are_all_the_references_are_the_best_fidelity_there_is(evidence: Evidence) -> None:
    first = evidence.summaries[0]
    metric = replace(first.metrics[0], mean=None, scored=0, infinite=4, failed=0, unscored=0, not_applicable=0)
    whole, partly = (replace(first, metrics=(one,)) for one in (metric, replace(metric, infinite=1, failed=3)))

    assert is_identical(whole, metric.name)
    assert absent_of(whole, [metric.name]) == {metric.name: "identical to the reference"}
    assert not is_identical(partly, metric.name)
    assert absent_of(partly, [metric.name])[metric.name] == (
        "identical to the reference where it has a score; 3 have none"
    )

    others = [replace(one, metrics=(replace(one.metrics[0], infinite=0),)) for one in evidence.summaries[1:]]
    data = data_of(replace(evidence, summaries=(whole, *others)))
    ideal, cost = data.settings[0], data.settings[0].values["latency_s"].value
    (front,) = (one for one in data.fronts if (one.x, one.y) == ("latency_s", metric.name))
    assert ideal.id in front.on, "nothing is closer to the reference"
    assert front.chance[ideal.id] == 1.0 or any(one.values["latency_s"].value < cost for one in data.settings)
    slower = {one.id for one in data.settings if one.values["latency_s"].value > cost}
    assert not slower & set(front.on), "it beats whatever costs more"


def test_dollars_floors_and_loads_are_those_that_were_recorded(evidence: Evidence) -> None:
    first, *others = evidence.summaries
    device = DeviceSummary(
        reference_tflop=None,
        done_share=None,
        floor_s=0.125,
        share_of_floor=Estimate(value=0.5, low=0.4, high=0.6, n=7),
        energy_j=None,
        sm_clock_mhz=None,
        sm_clock_min_mhz=None,
        temperature_c=None,
        throttle_reasons=(),
        reserved_bytes=None,
        driver_process_bytes=None,
        driver_device_bytes=None,
        flags=(),
    )
    cost = replace(first.cost, usd_per_image=0.02, priced_images=5, bases=("billed", "price_list"))
    loads = tuple(replace(evidence.journal.loads[0], load_s=seconds) for seconds in (1.0, 2.0, 30.0))
    found = data_of(
        replace(
            evidence,
            summaries=(replace(first, device=device, cost=cost), *others),
            journal=replace(evidence.journal, loads=loads),
        )
    )
    changed, *rest = found.settings
    assert (changed.floor_s, changed.share_of_floor) == (0.125, ValueData(value=0.5, low=0.4, high=0.6, n=7, remark=""))
    assert {one.floor_s for one in rest} == {None}
    dollars = changed.values["usd_per_image"]
    assert (dollars.value, dollars.low, dollars.high, dollars.n) == (0.02, None, None, 5)
    assert dollars.remark == "billed, price_list"
    loaded = {one.load_s for one in found.break_even.own if one.setting == changed.id}
    assert loaded == {2.0}, "the median of several loads, not their mean"


def test_a_mean_says_how_many_pictures_are_not_in_it(evidence: Evidence) -> None:
    first, *others = evidence.summaries
    metric = replace(first.metrics[0], infinite=2, not_applicable=3, failed=4, unscored=5, truncated=6)
    partly = replace(first, metrics=(metric, *first.metrics[1:]))
    (found, *_) = data_of(replace(evidence, summaries=(partly, *others))).settings
    assert found.values[metric.name].remark == (
        "2 identical to the reference, not in the mean, 12 without a score, 6 prompts cut"
    )
