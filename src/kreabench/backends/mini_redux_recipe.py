"""The recipe of `builtin:mini-untrained-redux`: SigLIP and the Redux embedder beside the untrained miniature.

They are as small as it is and drawn by its rule. They take the real code path of FLUX.1 Redux on any machine, offline.
Their embeddings mean nothing, but differ with the input picture.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kreabench.backends import mini_recipe
from kreabench.backends.flux_geometry import MINI, REDUX_MODELS
from kreabench.core.ids import stable_hash

RECIPE: dict[str, Any] = {
    "rule": 1,
    "weights": [mini_recipe.RECIPE[name] for name in ("rule", "seed")],
    "image_encoder": MINI["image_encoder"],
    "image_embedder": MINI["image_embedder"],
    # Mean and deviation, as those of siglip-so400m-patch14-384.
    "feature_extractor": {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 3},
}


def revision() -> str:
    """Identity of these weights, as a commit is of a published model's."""
    return stable_hash(RECIPE)


def build(folder: Path) -> None:
    """Draw the parts and write them into `folder` in the layout of black-forest-labs/FLUX.1-Redux-dev."""
    import torch
    from diffusers import FluxPriorReduxPipeline
    from diffusers.pipelines.flux.modeling_flux import ReduxImageEncoder
    from transformers import SiglipImageProcessor, SiglipVisionConfig, SiglipVisionModel

    from kreabench.backends.quiet import no_progress_bars

    side = RECIPE["image_encoder"]["image_size"]
    with torch.random.fork_rng(devices=[]):  # constructors draw weights that are replaced below
        prior = FluxPriorReduxPipeline(
            image_encoder=SiglipVisionModel(SiglipVisionConfig(**RECIPE["image_encoder"])),
            feature_extractor=SiglipImageProcessor(size={"height": side, "width": side}, **RECIPE["feature_extractor"]),
            image_embedder=ReduxImageEncoder(**RECIPE["image_embedder"]),
        )
    for part in REDUX_MODELS:
        mini_recipe.draw_weights(part, getattr(prior, part))
    with no_progress_bars():
        prior.save_pretrained(folder, safe_serialization=True)
