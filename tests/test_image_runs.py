"""Runs with input pictures, from a prompt file to a report: planned, stored, moved, gone on with, refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kreabench import pipeline
from kreabench.config.resolve import Composed, load
from kreabench.core.errors import ConfigError, RunDirectoryError
from kreabench.core.specs import AxesSpec, Defaults, ExperimentSpec
from kreabench.execution import local
from kreabench.metrics.table import METRICS
from kreabench.observer import Observer
from kreabench.pairing import Picture
from kreabench.plan_build import build_plan
from kreabench.plan_difference import describe_difference
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.inputs import INPUTS_FOLDER
from kreabench.rundir.table import read_table
from tests.engine_support import InThisProcess
from tests.support import encode_image, make_experiment, make_image_record, make_prompt, make_target, picture

FAKE = (
    "experiment=trial",
    "target.fake_local.task=image-to-image",
    "target.fake_local.default.strength=0.5",
    "target.fake_local.limits.strength=[0.1,1.0]",
    "axes.steps=[4]",
    "metrics=[]",
    "run.seeds=[0]",
    "run.warmup=0",
)


@pytest.fixture
def compose(tmp_path: Path) -> Callable[..., Composed]:
    """Composes a run of the fake image-to-image target over two prompts with a picture each."""
    folder = tmp_path / "set"
    folder.mkdir()
    lines = []
    for number in range(2):
        (folder / f"{number}.png").write_bytes(encode_image(picture(seed=number)))
        lines.append(json.dumps({"id": f"p{number}", "prompt": "x", "image": f"{number}.png"}))
    (folder / "prompts.jsonl").write_text("\n".join(lines))

    def compose_(*overrides: str) -> Composed:
        file = f"prompts.file={folder / 'prompts.jsonl'}"
        return load([*FAKE, file, f"run.dir={tmp_path / 'runs'}", f"report.dir={tmp_path / 'reports'}", *overrides])

    return compose_


def start(composed: Composed) -> RunDirectory:
    return pipeline.start(composed.run_path, composed.experiment, composed.config_yaml, {}, composed.input_files)


def execute(run: RunDirectory, composed: Composed) -> pipeline.Outcome:
    return pipeline.execute(run, observer=Observer(), report_path=composed.report_path)


def test_a_run_needs_nothing_but_its_own_folder(compose: Callable[..., Composed], tmp_path: Path) -> None:
    composed = compose("axes.strength=[0.5,1.0]")
    run = start(composed)
    assert len(list((run.path / INPUTS_FOLDER).iterdir())) == 2
    shutil.rmtree(tmp_path / "set")
    moved = tmp_path / "moved"
    run.path.rename(moved)
    outcome = execute(pipeline.reopen(moved), composed)
    assert (outcome.delivered, outcome.failed) == (4, 0)
    table = read_table(RunDirectory.open(moved))
    assert sorted(zip(table["strength"], table["steps"], table["steps_run"], strict=True)) == [
        (0.5, 4, 2),
        (0.5, 4, 2),
        (1.0, 4, 4),
        (1.0, 4, 4),
    ]
    assert "Strength" in (composed.report_path / "report.md").read_text()
    page = (composed.report_path / "index.html").read_text()
    assert "strength 0.5" in page
    report = json.loads((composed.report_path / "report.json").read_text())
    inputs = {prompt["id"]: prompt["input"] for prompt in report["prompts"]}
    assert sorted(inputs) == ["p0", "p1"]
    for name in inputs.values():
        assert f'"{name}":"data:image/jpeg;base64,' in page, "the page holds it"


@pytest.mark.parametrize("warmup", [0, 1])
def test_a_picture_lost_from_the_run_fails_its_request_alone(compose: Callable[..., Composed], warmup: int) -> None:
    composed = compose(f"run.warmup={warmup}")
    run = start(composed)
    # The one that the warm-up would use.
    first = build_plan(composed.experiment).groups[0].requests[0]
    (lost,) = first.images
    (run.path / INPUTS_FOLDER / lost.file_name).unlink()
    outcome = execute(run, composed)
    assert (outcome.delivered, outcome.failed) == (1, 1)
    (failed,) = (sample for sample in run.samples().values() if sample.error)
    assert failed.error is not None
    assert (failed.prompt_id, failed.error.type, failed.error.stage) == (
        first.prompt_id,
        "invalid_request",
        "encode_image",
    )
    assert lost.name in failed.error.message


def test_another_picture_under_the_same_name_is_another_plan(compose: Callable[..., Composed], tmp_path: Path) -> None:
    start(compose())
    (tmp_path / "set" / "0.png").write_bytes(encode_image(picture(seed=9)))
    with pytest.raises(RunDirectoryError, match="1 prompt new: p0"):
        start(compose())


@pytest.mark.parametrize(
    ("overrides", "key", "words"),
    [
        (["axes.strength=[0]"], "axes.strength", "greater than 0"),
        (["axes.strength=[1.5]"], "axes.strength", "less than or equal to 1"),
        (["axes.strength=[0.05]"], "axes.strength", "fake_local takes strength from 0.1 to 1"),
        (["axes.num_images=[0]"], "axes.num_images", "greater than or equal to 1"),
        (["axes.num_images=[5]"], "axes.num_images", "fake_local takes num_images from 1 to 4"),
        (["target.fake_local.default.strength=null"], "target.fake_local.default.strength", "image-to-image needs one"),
        (["target.fake_local.limits.strength=null"], "target.fake_local.limits.strength", "a range such as"),
        (["target.fake_local.task=redux"], "target.fake_local.default.strength", "redux has none"),
        (["prompts=short", "prompts.file=short.jsonl"], "prompts, subway-portrait", "exactly one"),
        (
            ["prompts.file=drawn_pairs.jsonl"],
            "prompts, house-in-mountains",
            "found 2 input images; expected exactly one",
        ),
    ],
)
def test_what_image_to_image_cannot_do_is_refused(
    compose: Callable[..., Composed], overrides: list[str], key: str, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(*overrides)
    assert any(problem.key.startswith(key) and words in str(problem) for problem in caught.value.problems)


def test_a_hosted_endpoint_does_one_task() -> None:
    with pytest.raises(ConfigError, match=r"target.krea_fal.inputs: .* image_url or image_urls, for redux"):
        load(["target=[krea_fal]", "target.krea_fal.task=redux", "prompts=drawn"])


@pytest.mark.parametrize(
    ("target", "line", "words"),
    [
        ("krea_fal_redux", '"prompt": "x", "image": ["a.png", "a.png"]', "the endpoint of krea_fal_redux takes one"),
        ("krea_fal_redux", '"prompt": "x"', "at least one, as krea_fal_redux varies pictures"),
        ("krea_fal_image_to_image", '"prompt": "", "image": "a.png"', "a prompt, as krea_fal_image_to_image draws"),
    ],
)
def test_what_a_hosted_endpoint_cannot_start_from(tmp_path: Path, target: str, line: str, words: str) -> None:
    (tmp_path / "a.png").write_bytes(encode_image(picture()))
    file = tmp_path / "a.jsonl"
    file.write_text(f'{{"id": "a", {line}}}')
    with pytest.raises(ConfigError, match=words):
        load([f"target=[{target}]", f"prompts.file={file}"])


def test_addresses_alone_need_pictures_that_have_one(tmp_path: Path) -> None:
    overrides = ["target=[krea_fal_redux]", "prompts=drawn"]
    assert load(overrides).experiment.prompts[0].images[0].url is None
    with pytest.raises(ConfigError, match=r"drawn/house.png, which has no address; .*options.input_images is url"):
        load([*overrides, "target.krea_fal_redux.options.input_images=url"])


def test_a_strength_that_no_target_takes_is_refused() -> None:
    with pytest.raises(ConfigError, match="mini_local takes no strength: its task is text-to-image"):
        load(["target=[mini_local]", "axes.strength=[0.5]"])


def test_text_to_image_needs_words_and_ignores_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode_image(picture()))
    file = tmp_path / "a.jsonl"
    file.write_text('{"id": "a", "image": "a.png"}')
    with pytest.raises(ConfigError, match="found no words; expected a prompt, as mini_local draws from words"):
        load(["target=[mini_local]", f"prompts.file={file}"])
    file.write_text('{"id": "a", "prompt": "x", "image": "a.png"}')
    with_picture = build_plan(load(["target=[mini_local]", f"prompts.file={file}"]).experiment)
    file.write_text('{"id": "a", "prompt": "x"}')
    assert with_picture.hash == build_plan(load(["target=[mini_local]", f"prompts.file={file}"]).experiment).hash


def image_to_image(**changes: Any) -> ExperimentSpec:
    limits = make_target().limits
    fields = {name: getattr(limits, name) for name in limits.__slots__}
    target = make_target(
        name="changing",
        task="image-to-image",
        defaults=Defaults(steps=4, guidance=4.5, size="128x128", strength=0.6),
        limits=type(limits)(**(fields | {"strength": (0.1, 0.9)})),
    )
    base = {"steps": ("default",), "guidance": ("default",), "size": ("default",), "num_images": (1,)}
    axes = AxesSpec(**(base | {"output_format": ("png",)} | changes))
    return make_experiment(targets=(target, make_target()), axes=axes, prompts=(make_prompt(),))


def test_strength_is_an_axis_of_image_to_image_alone() -> None:
    plan = build_plan(image_to_image(strength=(0.3, 0.6, "default", 0.95)))
    assert [(s.target, s.strength) for s in plan.settings] == [
        ("changing", 0.3),
        ("changing", 0.6),
        ("mini_fake", None),
    ]
    assert [(s.strength, s.reason) for s in plan.skipped] == [(0.95, "changing takes strength from 0.1 to 0.9")]
    assert len({setting.id for setting in plan.settings}) == 3
    assert all(setting.reference_id == setting.id for setting in plan.settings), "each strength has its own reference"


def test_strength_can_be_excluded_also_by_default() -> None:
    for pattern in ({"strength": "default"}, {"strength": [0.6]}):
        plan = build_plan(image_to_image(strength=(0.3, 0.6), exclude=(pattern,)))
        assert [setting.strength for setting in plan.settings if setting.target == "changing"] == [0.3]


def test_another_strength_is_another_plan() -> None:
    one, other = image_to_image(strength=(0.3,)), image_to_image(strength=(0.4,))
    assert build_plan(one).hash != build_plan(other).hash
    assert any("strength 0.4" in line for line in describe_difference(one, other))


def test_a_picture_without_words_has_no_score_that_needs_them() -> None:
    without = Picture(
        request_id="r",
        setting_id="s",
        image=make_image_record(),
        prompt_id="p",
        prompt="",
        seed=0,
        reference=make_image_record(),
        reference_obstacle="",
    )
    assert METRICS["clip_score"].needs_prompt
    assert without.obstacle(needs_reference=False, needs_prompt=True) == "the prompt has no words"
    assert without.obstacle(needs_reference=True, needs_prompt=False) == ""


def test_image_to_image_and_redux_run_from_configuration_to_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "WorkerProcess", InThisProcess)
    composed = load(
        [
            "experiment=demo_images",
            "axes.steps=[2]",
            "axes.strength=[0.5,1.0]",
            "axes.num_images=[2]",
            "axes.size=[64x64]",
            "prompts.limit=1",
            "run.warmup=0",
            "metrics=[]",
            f"run.dir={tmp_path}",
            f"report.dir={tmp_path / 'reports'}",
        ]
    )
    run = start(composed)
    outcome = execute(run, composed)
    assert (outcome.delivered, outcome.failed) == (3, 0)
    loads = {record.target: record.identity for record in run.loads()}
    assert loads["mini_local_image_to_image"]["pipeline"] == "FluxImg2ImgPipeline"
    assert loads["mini_local_redux"]["redux"]["model"] == "builtin:mini-redux"
    for sample in run.samples().values():
        assert sample.timings is not None
        assert "encode_image" in sample.timings.stages_s
        assert len(sample.images) == 2
