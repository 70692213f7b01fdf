"""`kreabench recommend` on run directories."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kreabench.cli.main import cli
from kreabench.config.resolve import load
from kreabench.core.errors import ConfigError, RunDirectoryError
from kreabench.decisions.recommend_run import run_facts
from kreabench.plan_build import build_plan
from kreabench.recommending import reproduce
from tests.report_runs import make_run

Call = Callable[..., tuple[int, str]]

PROMPTS = tuple(f"prompt number {number}" for number in range(12))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Local and hosted, 12 prompts."""
    path = tmp_path_factory.mktemp("runs") / "demo"
    directory, plan = make_run(
        path, prompts=PROMPTS, accelerations=("none", "high"), steps=(2, 8), sizes=((64, 64),), pictures=False
    )
    PLANS[path] = plan
    return directory.path


PLANS: dict[Path, object] = {}


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    def run_it(path: Path, *words: str, selection: str = "") -> tuple[int, str]:
        monkeypatch.setattr("kreabench.decisions.sides.plan_of", lambda _: PLANS[path])
        code = cli.main(["recommend", f"{path}{selection}", *words], prog_name="kreabench", standalone_mode=False)
        return int(code), capsys.readouterr().out

    return run_it


def test_the_answer_comes_first_and_everything_is_written(run: Path, call: Call, tmp_path: Path) -> None:
    out, file = tmp_path / "out", tmp_path / "answer.json"
    words = ("--max-quality-loss", "clip=30%", "--out", str(out), "--json", str(file))
    code, text = call(run, *words, "--front", "usd_per_image,quality")
    assert code == 0
    lines = text.splitlines()
    assert lines[0].startswith("! untrained weights, emulated service")
    assert lines[1].startswith("Use mini_local high 2 steps")
    content = json.loads(file.read_text())
    assert content == json.loads((out / "recommend.json").read_text())
    answer = next(one for one in content["settings"] if one["setting"]["id"] == content["answer"])
    assert answer["class"] == "qualifies"
    assert answer["costs_over_reference"]["latency"]["high"] < 1
    assert answer["checks"][0]["p_value"] < 0.05
    assert content["front"]["axes"] == ["usd_per_image", "clip"]
    assert content["local_or_hosted"]["break_even"][1]["images_per_day"]["value"] == pytest.approx(2.5 * 24 / 0.025)
    for name in ("index.html", "recommend.md"):
        page = (out / name).read_text()
        assert "Use mini" in page.replace("\\", "")
        assert "emulated service" in page
    for name in ("front", "local-or-hosted"):
        assert (out / f"figures/{name}.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((out / "recommend_settings.csv").read_text().splitlines()))
    assert len(rows) == len(content["settings"]) == 8
    assert all(row["notice"].startswith("untrained") for row in rows)
    assert len(list(csv.DictReader((out / "local_or_hosted.csv").read_text().splitlines()))) > 100


def test_a_selection_is_compared_with_references_outside_it(run: Path, call: Call) -> None:
    code, text = call(run, "--max-quality-loss", "clip=30%", selection=":acceleration=high,target=mini_local")
    assert code == 0
    assert "instead of" in text
    assert "1: " in text
    assert "on it in" in text
    assert "not compared: the run has no hosted setting with a price" in text


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--max-latency", "0.0001"), 1, "None qualifies: the nearest is"),
        (("--max-vram-gib", "80", "--max-energy-j", "1"), 3, "None is shown to qualify"),
    ],
)
def test_exit_codes_say_whether_there_is_an_answer(
    run: Path, call: Call, words: tuple[str, ...], code: int, said: str
) -> None:
    found, text = call(run, *words)
    assert found == code
    assert said in text


@pytest.mark.parametrize("word", ["clip", "clip=-1", "clip=1kg", "clip=nan"])
def test_a_loss_that_means_nothing_is_refused(run: Path, call: Call, word: str) -> None:
    with pytest.raises(Exception, match="METRIC=NUMBER"):
        call(run, "--max-quality-loss", word)


def test_fidelity_cannot_judge_a_loss(run: Path, call: Call) -> None:
    with pytest.raises(ConfigError, match="need no reference") as caught:
        call(run, "--max-quality-loss", "psnr=1")
    assert "--max-quality-loss: found 'psnr'" in caught.value.message


def test_a_baseline_file_is_told_from_a_missing_run(tmp_path: Path) -> None:
    file = tmp_path / "base.jsonl"
    file.write_text("{}")
    with pytest.raises(RunDirectoryError, match="needs a run directory"):
        run_facts(f"{file}:steps=8")
    with pytest.raises(RunDirectoryError, match="there is no folder"):
        run_facts(str(tmp_path / "nowhere"))


def test_the_command_composes_to_the_same_setting() -> None:
    words = ["target=[mini_local]", "acceleration=[none,high]", "axes.steps=[2,16]", "axes.size=[128x192]"]
    experiment = load([*words, "axes.num_images=[2]", "target.mini_local.options.max_sequence_length=64"]).experiment
    setting = next(s for s in build_plan(experiment).settings if s.acceleration == "high" and s.steps == 16)
    targets = {target.name: target for target in experiment.targets}
    found = reproduce(setting, targets, None)
    assert found.obstacle == ""
    plan = build_plan(load(found.words).experiment)
    assert [one.id for one in plan.settings] == [setting.id]
