"""`kreabench plan --power`: prompts that decide, checked against simulated experiments, and what they cost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from kreabench.analysis.power import NoiseComponents
from kreabench.cli.main import main
from kreabench.core.errors import ConfigError
from kreabench.core.planned import Request
from kreabench.core.specs import ExpectedTime
from kreabench.decisions.power_noise import Noise, said_noise
from kreabench.decisions.power_plan import Goal, make_goals, plan_power
from kreabench.plan_build import build_plan
from tests.history_runs import history_run
from tests.support import make_experiment, make_target

SAID = ("experiment=trial", "--power", "--loss", "psnr=0.5", "--sd")


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(["plan", *arguments])
    return int(exit_.value.code or 0)


def next_of(values: Iterator[float], _: Request) -> float:
    return next(values)


def goal(**changes: object) -> Goal:
    return replace(Goal(metric="clip", loss=0.5, margin=0.5, sides="one"), **changes)  # type: ignore[arg-type]


def test_the_planned_prompts_see_the_loss_and_show_that_there_is_none() -> None:
    experiment = make_experiment()
    planned = plan_power(
        experiment, build_plan(experiment), [goal()], {"clip": said_noise(1.0, 1.5)}, level=0.05, power=0.8
    )
    random = np.random.default_rng(0)
    for one in planned.combinations:
        assert one.prompts
        sd = np.sqrt(1.0 + 1.5**2 / one.seeds)
        (need,) = one.needs
        seen = random.normal(-0.5, sd, size=(2000, need.to_see or 0))
        none = random.normal(0.0, sd, size=(2000, need.to_show or 0))
        caught = stats.ttest_1samp(seen, 0.0, axis=1, alternative="less").pvalue <= 0.05
        passed = stats.ttest_1samp(none, -0.5, axis=1, alternative="greater").pvalue <= 0.05
        assert caught.mean() == pytest.approx(0.81, abs=0.035)
        assert passed.mean() == pytest.approx(0.81, abs=0.035)


def test_more_seeds_never_need_more_prompts() -> None:
    rough = Noise(
        components=NoiseComponents(between_sd=0.0, within_sd=0.6, seeds=2.0, between_df=7, within_df=8),
        source="a run", prompts=8, pairs=16, seeds_unknown=False,
    )  # fmt: skip
    experiment = make_experiment()
    planned = plan_power(experiment, build_plan(experiment), [goal()], {"clip": rough}, level=0.05, power=0.8)
    prompts = [one.prompts or 0 for one in planned.combinations]
    assert prompts == sorted(prompts, reverse=True)
    assert prompts[-1] > 0


def test_costs_grow_with_requests_and_loads_do_not() -> None:
    expected = ExpectedTime(load_s=3600.0, base_s=36.0, step_megapixel_s=0.0, source="a test")
    experiment = make_experiment(targets=(make_target(expected=expected, usd_per_hour=2.0),))
    plan = build_plan(experiment)
    planned = plan_power(experiment, plan, [goal()], {"clip": said_noise(1.0, 1.0)}, level=0.05, power=0.8)
    assert planned.cheapest_by == "dollars"
    for one in planned.combinations:
        assert one.images == (one.prompts or 0) * one.seeds
        assert one.hours == pytest.approx(1.0 + 0.01 * (one.images or 0))
        assert one.usd == pytest.approx(2.0 * (one.hours or 0.0))
        assert one.missing_prompts == (one.prompts or 0) - 2
    (cheapest,) = [one for one in planned.combinations if one.cheapest]
    assert cheapest.usd == min(one.usd or 0.0 for one in planned.combinations)


def test_a_loss_too_small_for_any_number_of_prompts() -> None:
    experiment = make_experiment()
    planned = plan_power(
        experiment, build_plan(experiment), [goal(loss=1e-6)], {"clip": said_noise(1.0, None)}, level=0.05, power=0.8
    )
    assert all(one.prompts is None and one.images is None and not one.cheapest for one in planned.combinations)


def test_goals_must_be_metrics_of_the_plan() -> None:
    metrics = make_experiment().metrics
    with pytest.raises(ConfigError, match="did you mean clip"):
        make_goals({"clop": 1.0}, {}, metrics)
    with pytest.raises(ConfigError, match="a metric with a --loss: clip"):
        make_goals({"clip": 1.0}, {"psnr": 1.0}, metrics)
    (one,) = make_goals({"clip": 1.0}, {}, metrics)
    assert one.margin == 1.0


def test_noise_that_is_said(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(*SAID, "psnr=1/0.5", "--json", "power.json") == 0
    out = capfd.readouterr().out
    assert "said (--sd)" in out
    assert "cheapest" in out
    assert "The chosen set has 3 prompts" in out
    content = json.loads((tmp_path / "power.json").read_text(encoding="utf-8"))
    assert [one["seeds"] for one in content["combinations"]] == [1, 2, 4, 8]
    assert call("--power", "experiment=trial", "--loss", "psnr=0.5", "--sd", "psnr=1") == 0
    assert "without a second seed" in capfd.readouterr().out


def test_noise_of_two_runs(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        values = iter(np.random.default_rng(ord(name)).normal(30.0, 1.0, size=8).tolist())
        history_run(tmp_path / name, {"psnr": partial(next_of, values)})
    arguments = ("experiment=trial", "--power=0.9", "--loss", "psnr=0.5", "--noise", "a")
    assert call(*arguments, "--noise", "b") == 0
    out = capfd.readouterr().out
    assert "against b: 4 prompts, 8 pairs; df 3 and 4" in " ".join(out.split())
    assert "90 %" in out
    assert call(*arguments) == 2
    assert "no setting with another one as its reference" in capfd.readouterr().err
    assert call("experiment=trial", "--power", "--loss", "ssim=0.5", "--noise", "a", "--noise", "b") == 2
    assert "no ssim in a and b" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--power",), "a loss to be seen"),
        (("--power", "--loss", "psnr=1"), "--noise RUN, or --sd psnr=BETWEEN/WITHIN"),
        (("--power", "--loss", "psnr"), "METRIC=NUMBER"),
        (("--power", "--loss", "psnr=-1", "--sd", "psnr=1"), "a number above 0"),
        (("--power", "--loss", "psnr=1", "--sd", "psnr=nan"), "psnr=nan"),
        (("--power=2", "--loss", "psnr=1", "--sd", "psnr=1"), "a share from 0.5"),
        (("--loss", "psnr=1"), "go with --power"),
        (("--level", "0.01"), "go with --power"),
    ],
)
def test_what_is_wrong_is_said(capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str) -> None:
    assert call("experiment=trial", *arguments) == 2
    assert told in capfd.readouterr().err
