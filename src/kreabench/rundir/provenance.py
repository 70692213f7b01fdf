"""Where a run comes from: versions, settings of the environment, revision of the code around it. Never a secret."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from kreabench import __version__
from kreabench.core.records import SCHEMA_VERSION
from kreabench.core.specs import ExperimentSpec
from kreabench.rundir.directory import RunInfo

PACKAGES = (
    "accelerate",
    "diffusers",
    "fal-client",
    "httpx",
    "httpx2",
    "huggingface_hub",
    "msgspec",
    "numpy",
    "open_clip_torch",
    "pandas",
    "pillow",
    "piq",
    "pyarrow",
    "safetensors",
    "scipy",
    "sentencepiece",
    "torch",
    "torchmetrics",
    "torchvision",
    "transformers",
    "triton",
)
"""Distributions that can change a picture, a timing or a score."""

ENVIRONMENT = (
    "ATEN_CPU_CAPABILITY",
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_DEVICE_MAX_CONNECTIONS",
    "CUDA_DEVICE_ORDER",
    "CUDA_LAUNCH_BLOCKING",
    "CUDA_MODULE_LOADING",
    "CUDA_VISIBLE_DEVICES",
    "HF_HUB_OFFLINE",
    "MKL_NUM_THREADS",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "PYTHONHASHSEED",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "PYTORCH_NO_CUDA_MEMORY_CACHING",
    "TORCHINDUCTOR_COMPILE_THREADS",
    "TORCHINDUCTOR_COORDINATE_DESCENT_TUNING",
    "TORCHINDUCTOR_FREEZING",
    "TORCHINDUCTOR_FX_GRAPH_CACHE",
    "TORCHINDUCTOR_MAX_AUTOTUNE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "TRANSFORMERS_OFFLINE",
)
"""Variables that change what is measured. No keys, paths, hosts or people: run directories are handed around."""

_GIT_TIMEOUT_S = 5.0


def collect(
    plan_hash: str, experiment: ExperimentSpec, *, environ: Mapping[str, str], now: datetime, folder: Path | None = None
) -> RunInfo:
    """The RunInfo of a run that starts `now` (with a time zone) in working directory `folder` (None: the current)."""
    return RunInfo(
        schema_version=SCHEMA_VERSION,
        plan_hash=plan_hash,
        created_utc=now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        experiment=experiment,
        versions=package_versions(),
        environment={name: environ[name] for name in ENVIRONMENT if name in environ},
        git_revision=_git_revision(folder or Path.cwd(), environ),
    )


def package_versions() -> dict[str, str]:
    """Interpreter, system and packages; a package that is not installed is absent."""
    versions = {
        "kreabench": __version__,
        "python": platform.python_version(),
        platform.system().lower(): platform.release(),
        "machine": platform.machine(),
    }
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _git_revision(folder: Path, environ: Mapping[str, str]) -> str | None:
    """Commit checked out in `folder`, with `-dirty` when tracked files differ; None outside a git repository."""
    # Inside a git hook, GIT_DIR and its like name the hook's repository.
    environment = {name: value for name, value in environ.items() if not name.startswith("GIT_")}

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "--no-optional-locks", "-C", str(folder), *arguments],
                capture_output=True,
                text=True,
                timeout=_GIT_TIMEOUT_S,
                env=environment,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    revision = git("rev-parse", "HEAD")
    changes = git("status", "--porcelain", "--untracked-files=no")
    return f"{revision}-dirty" if revision and changes else revision
