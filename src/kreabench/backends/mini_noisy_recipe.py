"""The recipe of `builtin:mini-noisy`: the miniature with noise in its transformer, as another version of one model.

Its pictures are of the same kind but others, as those of a fine-tune are: enough for a comparison of versions to find
something, on any machine and offline.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kreabench.backends import mini_recipe
from kreabench.core.ids import stable_hash

RECIPE: dict[str, Any] = {"rule": 1, "of": mini_recipe.REVISION, "noise": 0.3, "seed": 0}
"""`noise`: in standard deviations of each matrix of the transformer."""

REVISION = stable_hash(RECIPE)
"""Identity of these weights, as a commit is of a published model's."""


def build(folder: Path) -> None:
    """Draw the miniature into `folder`, then put the noise into its transformer."""
    import torch
    from safetensors.torch import load_file, save_file

    mini_recipe.build(folder)
    (file,) = (folder / "transformer").glob("*.safetensors")
    generator = torch.Generator().manual_seed(RECIPE["seed"])
    weights = {
        name: value + RECIPE["noise"] * value.std() * torch.randn(value.shape, generator=generator)
        if value.dim() > 1
        else value
        for name, value in sorted(load_file(file).items())
    }
    save_file(weights, file, metadata={"format": "pt"})
