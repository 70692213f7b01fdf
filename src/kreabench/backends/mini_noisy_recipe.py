"""The recipe of `builtin:mini-noisy`: the trained miniature with noise in its transformer, as a damaged version of it.

Its pictures are of the same kind but worse: enough for a comparison of versions to find something, on any machine and
offline.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from kreabench.core.ids import stable_hash
from kreabench.miniature.files import shipped_folder, shipped_revision

NOISE = 0.3
"""In standard deviations of each matrix of the transformer."""
_RULE = 2
"""Counts changes of this module's code."""
_SEED = 0


def revision() -> str:
    """Identity of these weights. Raises EnvironmentProblem where the shipped ones are damaged."""
    return stable_hash({"rule": _RULE, "of": shipped_revision("flux"), "noise": NOISE, "seed": _SEED})


def build(folder: Path) -> None:
    """Copy the shipped miniature into `folder`, then put the noise into its transformer."""
    import numpy as np
    from safetensors.numpy import load_file, save_file

    shutil.copytree(shipped_folder("flux"), folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        path.chmod(0o755)  # the copied ones may be those of an install that nobody may write to
    (file,) = (folder / "transformer").glob("*.safetensors")
    rng = np.random.Generator(np.random.PCG64(_SEED))
    weights = dict(sorted(load_file(file).items()))
    for name, value in weights.items():
        if value.ndim > 1:
            deviation = float(value.std(dtype=np.float64))
            noise = NOISE * deviation * rng.standard_normal(value.shape)
            weights[name] = (value.astype(np.float64) + noise).astype(value.dtype)
    save_file(weights, file, metadata={"format": "pt"})
