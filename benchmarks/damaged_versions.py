"""Is a damaged version caught, and an equal one not? Real runs of the tiny model, judged by `kreabench gate`.

    python benchmarks/damaged_versions.py [--prompts 64] [--keep FOLDER]

Each version is drawn in its own processes by `kreabench run`, over the same prompts and seeds, and held against one
base by `kreabench gate --policy quality_only`. The model's weights are random, so that only metrics of look and of
fidelity mean something: noise in the weights and a wrong scale of the VAE change the look; fewer steps are seen by the
fidelity of a short schedule to a long one. Exit code 1 where a verdict is not the expected one.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from kreabench.backends.mini import resolve_model

RESULTS = Path(__file__).parent / "results" / "damaged_versions.json"
KREABENCH = [sys.executable, "-m", "kreabench"]
LONG, SHORT = 8, 4
"""Steps of the reference, and of the setting that is compared with it."""
EXPECTED = {0: "passed", 1: "regressed", 2: "refused", 3: "inconclusive"}


def untouched(model: Path) -> None:
    """The same version again."""


def noisy_weights(model: Path) -> None:
    """0.3 standard deviations of noise in every matrix of the transformer."""
    file = next((model / "transformer").glob("*.safetensors"))
    generator = torch.Generator().manual_seed(0)
    weights = {
        name: value + 0.3 * value.std() * torch.randn(value.shape, generator=generator) if value.dim() > 1 else value
        for name, value in load_file(file).items()
    }
    save_file(weights, file, metadata={"format": "pt"})


def wrong_vae_scale(model: Path) -> None:
    """Half as much again on the VAE's scaling factor."""
    file = model / "vae" / "config.json"
    config = json.loads(file.read_text())
    config["scaling_factor"] *= 1.5
    file.write_text(json.dumps(config))


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version, and what the gate must say of it."""

    name: str
    change: Callable[[Path], None] = untouched
    overrides: tuple[str, ...] = ()
    base: str = ""
    """Which settings of the base it is held against, where not all."""
    candidate: str = ""
    verdict: str


VERSIONS = (
    Version(name="drawn again", verdict="passed"),
    Version(
        name="recompiled",
        overrides=("acceleration=[none,compile_regional]",),
        base=f":steps={LONG}",
        candidate=f":steps={LONG},acceleration=compile_regional",
        verdict="passed",
    ),
    Version(name="noise in the weights", change=noisy_weights, verdict="regressed"),
    Version(name="wrong VAE scale", change=wrong_vae_scale, verdict="regressed"),
    Version(
        name="fewer steps",
        overrides=(f"axes.steps=[{LONG},{SHORT // 2}]",),
        base=f":steps={SHORT}",
        candidate=f":steps={SHORT // 2}",
        verdict="regressed",
    ),
)


def draw(folder: Path, name: str, change: Callable[[Path], None], overrides: tuple[str, ...], prompts: int) -> Path:
    """A finished run of a version of the model."""
    model = folder / "models" / name
    shutil.copytree(resolve_model("builtin:mini-untrained"), model)
    change(model)
    command = [
        *KREABENCH, "run", f"name={name}", f"run.dir={folder / 'runs'}", f"report.dir={folder / 'reports'}",
        "target=[mini_local]", f"target.mini_local.model={model}", "prompts=krea", f"prompts.limit={prompts}",
        "run.seeds=[0,1]", "axes.size=[128x128]", f"axes.steps=[{LONG},{SHORT}]", "metrics=[look,psnr,ssim]",
        *overrides,
    ]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder / "runs" / name


def gate(base: str, candidate: str, out: Path) -> dict[str, object]:
    """The gate's own account, and its exit code."""
    command = [*KREABENCH, "gate", base, candidate, "--policy", "quality_only", "--json", str(out)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode == 2:
        raise RuntimeError(done.stderr)
    return {"exit_code": done.returncode, **json.loads(out.read_text())}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--keep", type=Path, help="keep the runs in this folder")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.keep or Path(temporary)).resolve()
        base = draw(folder, "base", untouched, (), arguments.prompts)
        for version in VERSIONS:
            name = version.name.replace(" ", "-")
            run = draw(folder, name, version.change, version.overrides, arguments.prompts)
            result = gate(f"{base}{version.base}", f"{run}{version.candidate}", folder / f"{name}.json")
            verdict = EXPECTED[int(str(result["exit_code"]))]
            rows.append({"version": version.name, "verdict": verdict, "must be": version.verdict})
            met = "" if verdict == version.verdict else "NOT MET"
            print(f"{version.name:24} {verdict:14} must be {version.verdict:12} {met}", flush=True)
    RESULTS.write_text(json.dumps({"prompts": arguments.prompts, "seeds": 2, "versions": rows}, indent=2) + "\n")
    return int(any(row["verdict"] != row["must be"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
