"""What a model was trained for: read from its target's file, kept in run.json, and warned of where a plan asks else."""

from __future__ import annotations

import io
import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import kreabench
from kreabench import pipeline
from kreabench.cli.execute import execute_and_print
from kreabench.cli.plan_table import print_plan
from kreabench.cli.run_show import print_run
from kreabench.config.resolve import load
from kreabench.core.errors import ConfigError, RunDirectoryError
from kreabench.core.specs import ServiceSpec, Trained
from kreabench.plan_build import build_plan
from kreabench.report.evidence import gather
from kreabench.report.explorer.command import Commands
from kreabench.report.notices import notices_of
from kreabench.report.trained import not_trained_for
from kreabench.report.write import write_report
from kreabench.rundir.directory import RUN_FILE, RunDirectory
from kreabench.rundir.table import read_table
from tests.report_runs import TWO_TARGETS, make_run
from tests.support import make_setting, make_target

FAKE = "target.fake_local.trained"
TRIAL = ("experiment=trial", "acceleration=[none]", "prompts.limit=2", "run.seeds=[0]", "run.warmup=0", "metrics=[]")
LOCAL = ("target=[krea_local]", "target.krea_local.trained={sizes: [square_hd], max_sequence_length: 256}")


def said(*overrides: str) -> str:
    """What `kreabench plan` prints."""
    composed = load(overrides)
    out = io.StringIO()
    plan = build_plan(composed.experiment)
    print_plan(Console(file=out, width=120), composed.experiment, plan, composed.run_path, show_all=False)
    return out.getvalue()


def warned(trained: Trained | None, *sizes: tuple[int, int], **changes: Any) -> tuple[str, ...]:
    """Of one target with a setting of each size."""
    target = make_target(trained=trained, **changes)
    return not_trained_for([target], [make_setting(width=width, height=height) for width, height in sizes])


def test_the_block_of_a_file_becomes_a_part_of_its_target() -> None:
    (target,) = load([*TRIAL, f"{FAKE}={{sizes: [48x48, square], max_sequence_length: 16}}"]).experiment.targets
    assert target.trained == Trained(sizes=((48, 48), (512, 512)), max_sequence_length=16)
    (target,) = load([*TRIAL, f"{FAKE}={{min_pixels: 100, max_pixels: 200}}"]).experiment.targets
    assert target.trained == Trained(min_pixels=100, max_pixels=200)
    (target,) = load([*TRIAL, f"{FAKE}.sizes=64x64"]).experiment.targets
    assert target.trained == Trained(sizes=((64, 64),)), "one size is a list of one"
    (target,) = load(TRIAL).experiment.targets
    assert target.trained is None


def test_the_miniatures_say_what_they_were_trained_for() -> None:
    names = ["mini_local", "mini_local_image_to_image", "mini_local_redux", "mini_fal"]
    targets = load([f"target=[{','.join(names)}]", "prompts=drawn"]).experiment.targets
    assert {target.name: target.trained for target in targets} == dict.fromkeys(
        names, Trained(sizes=((48, 48),), max_sequence_length=16)
    )


@pytest.mark.parametrize(
    ("block", "key", "found", "expected"),
    [
        ("{}", "", "nothing", "at least one of sizes, min_pixels, max_pixels, max_sequence_length"),
        ("{sizes: []}", ".sizes", "[]", "at least 1 item"),
        ("{sizes: [64x64, 48 by 48]}", ".sizes[1]", "'48 by 48'", "WIDTHxHEIGHT"),
        ("{sizes: [48]}", ".sizes.0", "48", "a valid string"),
        ("{min_pixels: 0}", ".min_pixels", "0", "greater than or equal to 1"),
        ("{min_pixels: 9, max_pixels: 8}", ".min_pixels", "9", "at most max_pixels, 8"),
        ("{sizes: [48x48], max_pixels: 8}", ".max_pixels", "8", "nothing beside sizes"),
        ("{max_sequence_length: long}", ".max_sequence_length", "'long'", "a valid integer"),
        ("{size: [48x48]}", ".size", "an unknown key", "did you mean sizes?"),
    ],
)
def test_what_is_wrong_with_a_block_is_refused_by_its_key(block: str, key: str, found: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load([*TRIAL, f"{FAKE}={block}"])
    (problem,) = caught.value.problems
    assert problem.key == FAKE + key
    assert found in problem.found
    assert expected in problem.expected


@pytest.mark.parametrize(
    ("trained", "sizes", "text"),
    [
        (Trained(sizes=((48, 48),)), [(64, 64)], "64×64 px in its only setting (trained: 48×48 px)"),
        (Trained(sizes=((48, 48),)), [(48, 48), (64, 48), (96, 96)], "64×48 and 96×96 px in 2 of 3 settings (trained"),
        (Trained(sizes=((48, 48), (64, 32))), [(32, 64), (32, 64)], "in all 2 settings (trained: 48×48 and 64×32 px)"),
        (Trained(min_pixels=1000, max_pixels=4000), [(16, 16)], "(trained: 1,000 to 4,000 px)"),
        (Trained(max_pixels=4000), [(64, 63), (48, 48)], "64×63 px in 1 of 2 settings (trained: at most 4,000 px)"),
        (Trained(min_pixels=4033), [(64, 63), (64, 64)], "64×63 px in 1 of 2 settings (trained: at least 4,033 px)"),
        (Trained(sizes=((8, 8),)), [(16, 16 * n) for n in range(1, 9)], "16×80, 16×96 and 2 more px in all 8 settings"),
    ],
)
def test_a_size_that_the_model_does_not_know_is_one_line(
    trained: Trained, sizes: list[tuple[int, int]], text: str
) -> None:
    (line,) = warned(trained, *sizes)
    assert line.startswith("Not what mini_fake was trained for: ")
    assert text in line


@pytest.mark.parametrize(
    ("trained", "sizes"),
    [
        (None, [(64, 64)]),
        (Trained(sizes=((48, 48), (64, 64))), [(64, 64), (48, 48)]),
        (Trained(min_pixels=64 * 63, max_pixels=64 * 64), [(64, 64), (64, 63), (63, 64)]),
        (Trained(max_sequence_length=16), [(64, 64)]),
        (Trained(sizes=((48, 48),)), []),
    ],
)
def test_what_it_was_trained_for_is_not_warned_of(trained: Trained | None, sizes: list[tuple[int, int]]) -> None:
    assert warned(trained, *sizes, options={"max_sequence_length": 16}) == ()


def service(**options: Any) -> dict[str, Any]:
    return {"options": {}, "service": ServiceSpec(kind="fal-emulator", options=options)}


@pytest.mark.parametrize(
    "changes",
    [
        {"options": {"max_sequence_length": 128}},
        {"options": {}, "parameters": {"max_sequence_length": 128}},
        service(images="pipeline", pipeline={"max_sequence_length": 128}),
    ],
    ids=["option", "parameter", "model behind a service"],
)
def test_another_length_of_prompts_is_in_the_same_line(changes: dict[str, Any]) -> None:
    trained = Trained(sizes=((48, 48),), max_sequence_length=16)
    (line,) = warned(trained, (48, 48), (64, 64), **changes)
    assert (
        "64×64 px in 1 of 2 settings (trained: 48×48 px); max_sequence_length 128 in all 2 settings (trained: 16)."
        in line
    )
    (line,) = warned(trained, (48, 48), **changes)
    assert "px" not in line
    assert warned(Trained(sizes=((48, 48),)), (48, 48), **changes) == ()


@pytest.mark.parametrize(
    "changes",
    [{"options": {}}, service(images="patterns", pipeline={"max_sequence_length": 128})],
    ids=["nobody says", "no model draws"],
)
def test_a_length_that_is_not_known_is_not_warned_of(changes: dict[str, Any]) -> None:
    assert warned(Trained(max_sequence_length=16), (48, 48), **changes) == ()


def test_each_target_has_one_line_of_its_own_settings() -> None:
    targets = [make_target(name=name, trained=Trained(sizes=((size, size),))) for name, size in (("a", 48), ("b", 64))]
    settings = [make_setting(target=name, width=80, height=80, steps=steps) for name in "ab" for steps in (1, 2)]
    lines = not_trained_for(targets, settings)
    assert [line.split(":")[0] for line in lines] == [f"Not what {name} was trained for" for name in "ab"]
    assert all("in all 2 settings" in line for line in lines)


def test_the_plan_warns_on_a_terminal_and_in_a_notebook() -> None:
    text = said(*LOCAL, "axes.size=[square_hd,square]")
    line = next(line for line in text.splitlines() if "trained for" in line)
    assert line.startswith("! Not what krea_local was trained for: 512×512 px in ")
    assert "max_sequence_length 512 in all" in line
    page = kreabench.plan(*LOCAL, "axes.size=[square_hd,square]").page()
    assert [notice.text for notice in page.notices if notice.level == "warning"] == [line.removeprefix("! ")]


def test_a_plan_of_what_it_was_trained_for_warns_of_nothing() -> None:
    words = (*LOCAL, "axes.size=[square_hd]", "target.krea_local.options.max_sequence_length=256")
    assert "trained for" not in said(*words)
    assert kreabench.plan(*words).page().notices == ()
    assert "trained for" not in said(*LOCAL, "axes.size=[square]", "target.krea_local.trained=null")


@pytest.mark.parametrize(("size", "warns"), [("64x64", True), ("128x128", False)])
def test_a_run_keeps_the_block_and_says_so_before_it_draws(
    size: str, warns: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pipeline, "write_report", lambda run, plan, path: path / "index.html")
    composed = load([*TRIAL, f"{FAKE}.sizes=[128x128]", f"axes.size=[{size}]", f"run.dir={tmp_path}"])
    run = pipeline.start(composed.run_path, composed.experiment, composed.config_yaml, {})
    assert execute_and_print(run, report_path=tmp_path / "report", retry_failed=False) == 0
    out = capsys.readouterr().out
    line = "! Not what fake_local was trained for: 64×64 px in all 2 settings (trained: 128×128 px)."
    assert out.count(line) == out.count("trained for") == warns
    if warns:
        assert out.index(line) < out.index("samples delivered")
    kept = json.loads((run.path / RUN_FILE).read_text(encoding="utf-8"))["experiment"]["targets"][0]["trained"]
    assert kept["sizes"] == [[128, 128]]
    assert RunDirectory.open(run.path).info.experiment == composed.experiment


def reported(path: Path, trained: Trained | None) -> tuple[RunDirectory, dict[str, str]]:
    """A run of two targets, and its report in HTML, Markdown, JSON and on a terminal."""
    targets = [replace(target, untrained=False, emulated=False, trained=trained) for target in TWO_TARGETS]
    sizes = [(64, 64), (96, 64)]
    run, plan = make_run(path / "run", targets=targets, steps=(4,), sizes=sizes, accelerations=("none",), seeds=(0,))
    write_report(run, plan, path / "report")
    shown = {name: (path / "report" / name).read_text("utf-8") for name in ("index.html", "report.md", "report.json")}
    out = io.StringIO()
    print_run(Console(file=out, width=80), run, plan)
    warnings = [one.text for one in notices_of(gather(run, plan, read_table(run))) if one.level == "warning"]
    return run, {**shown, "terminal": out.getvalue(), "notices": "\n".join(warnings)}


def test_the_report_warns_in_every_form(tmp_path: Path) -> None:
    _, shown = reported(tmp_path, Trained(sizes=((64, 64),)))
    for form, text in shown.items():
        for target in TWO_TARGETS:
            name = target.name.replace("_", r"\_") if form == "report.md" else target.name
            line = f"Not what {name} was trained for: 96×64 px in 1 of 2 settings (trained: 64×64 px)."
            assert line in " ".join(text.split()), form


def test_the_report_of_what_it_was_trained_for_does_not_warn(tmp_path: Path) -> None:
    _, shown = reported(tmp_path, Trained(min_pixels=64 * 64, max_pixels=96 * 64))
    assert not [form for form, text in shown.items() if "was trained for" in text]


def test_a_run_from_before_the_block_has_none(tmp_path: Path) -> None:
    run, _ = make_run(tmp_path / "run", steps=(4,), sizes=[(64, 64)])
    info = json.loads((run.path / RUN_FILE).read_text(encoding="utf-8"))
    for target in info["experiment"]["targets"]:
        assert target.pop("trained") is None
    (run.path / RUN_FILE).write_text(json.dumps(info), encoding="utf-8")
    assert RunDirectory.open(run.path).info == run.info


def test_a_damaged_block_of_a_run_is_named(tmp_path: Path) -> None:
    targets = (make_target(trained=Trained(sizes=((48, 48),))),)
    run, _ = make_run(tmp_path / "run", targets=targets, steps=(4,), sizes=[(64, 64)])
    info = json.loads((run.path / RUN_FILE).read_text(encoding="utf-8"))
    info["experiment"]["targets"][0]["trained"]["sizes"] = [[48, "48"]]
    (run.path / RUN_FILE).write_text(json.dumps(info), encoding="utf-8")
    with pytest.raises(RunDirectoryError, match=r"trained\.sizes\[0\]\[1\]"):
        RunDirectory.open(run.path)


def test_a_setting_of_a_run_from_before_the_block_is_drawn_again_by_a_command(tmp_path: Path) -> None:
    composed = load(["experiment=demo"])
    plan = build_plan(composed.experiment)
    run, _ = make_run(tmp_path / "run", steps=(4,), sizes=[(64, 64)], targets=composed.experiment.targets)
    block = "    trained:\n      sizes:\n      - 48x48\n      max_sequence_length: 16\n"
    assert block in composed.config_yaml
    (run.path / "config.yaml").write_text(composed.config_yaml.replace(block, ""), encoding="utf-8")
    setting = plan.settings[0]
    words = shlex.split(Commands(run).of(setting, None))
    assert words[:2] == ["kreabench", "run"]
    again = load(words[2:]).experiment
    assert {target.trained for target in again.targets} == {None}
    assert setting.id in {one.id for one in build_plan(again).settings}
