"""The recipe of `builtin:mini-noisy`: the miniature with noise in its transformer, as another version of one model.

Its pictures are of the same kind but others, as those of a fine-tune are: enough for a comparison of versions to find
something, on any machine and offline.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from kreabench.backends import mini_recipe
from kreabench.core.ids import stable_hash

RECIPE: dict[str, Any] = {"rule": 1, "of": mini_recipe.REVISION, "noise": 0.6, "seed": 0}
"""`noise`: in standard deviations of each matrix of the transformer, which are those of uniform weights."""

REVISION = stable_hash(RECIPE)
"""Identity of these weights, as a commit is of a published model's."""


def build(folder: Path) -> None:
    """Draw the miniature into `folder`, then put the noise into its transformer."""
    import numpy as np
    from safetensors.numpy import load_file, save_file

    mini_recipe.build(folder)
    (file,) = (folder / "transformer").glob("*.safetensors")
    rng = np.random.Generator(np.random.PCG64(RECIPE["seed"]))
    weights = dict(sorted(load_file(file).items()))
    for name, value in weights.items():
        if value.ndim > 1:
            deviation = float(np.abs(value).max()) / math.sqrt(3)
            weights[name] = value + (RECIPE["noise"] * deviation * rng.standard_normal(value.shape)).astype(value.dtype)
    save_file(weights, file, metadata={"format": "pt"})
