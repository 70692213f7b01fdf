"""A damaged version of a model regresses and the same version does not, on pictures that were really drawn.

`benchmarks/damaged_versions.py` asks the same of more versions, with more pictures, through the command line.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kreabench import pipeline
from kreabench.config.resolve import load
from kreabench.core.errors import ExitCode
from kreabench.decisions.gate import GateResult
from kreabench.execution import local
from kreabench.gating import run_gate
from kreabench.observer import Observer
from tests.engine_support import InThisProcess
from tests.support import ROOT

PROMPTS = 24
POLICY = """
description: two metrics of the look, within half a noise floor
level: 0.05
min_prompts: 10
max_unpaired_share: 0.05
checks:
  colourfulness: {margin: {noise_floor: 0.5}}
  laplacian_variance: {margin: {noise_floor: 0.5}}
"""


@pytest.fixture(scope="module")
def run(mini_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three targets, drawn and scored: a version, the same again, and one with noise in its weights."""
    folder = tmp_path_factory.mktemp("versions")
    noisy = folder / "model"
    shutil.copytree(mini_model, noisy)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        import damaged_versions

        damaged_versions.noisy_weights(noisy)
        patch.delitem(sys.modules, "damaged_versions")
        patch.setattr(local, "WorkerProcess", InThisProcess)
        patch.setattr(pipeline, "write_report", lambda run, plan, path: path)
        words = ["target=[mini_local]", "target.mini_local.model=builtin:mini-untrained", "prompts=krea"]
        words += [f"prompts.limit={PROMPTS}", "run.warmup=0", "metrics=[look]"]
        experiment = load([*words, "axes.size=[64x64]", "axes.steps=[2]"]).experiment
        (base,) = experiment.targets
        again, damaged = replace(base, name="again"), replace(base, name="damaged", model=str(noisy))
        drawn = pipeline.start(folder / "run", replace(experiment, targets=(base, again, damaged)), "", {})
        outcome = pipeline.execute(drawn, observer=Observer(), report_path=folder / "report")
    assert (outcome.delivered, outcome.failed) == (3 * 2 * PROMPTS, 0)
    return drawn.path


def gate(run: Path, candidate: str, policy: Path) -> GateResult:
    policy.write_text(POLICY, encoding="utf-8")
    return run_gate(f"{run}:target=mini_local", f"{run}:target={candidate}", policy=str(policy))


def test_noise_in_the_weights_is_a_regression(run: Path, tmp_path: Path) -> None:
    result = gate(run, "damaged", tmp_path / "look.yaml")
    assert (result.outcome, result.exit_code) == ("regressed", ExitCode.REGRESSION)


def test_the_same_version_drawn_again_is_none(run: Path, tmp_path: Path) -> None:
    result = gate(run, "again", tmp_path / "look.yaml")
    assert (result.outcome, result.exit_code) == ("passed", ExitCode.DONE)
