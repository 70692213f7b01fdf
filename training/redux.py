"""Redux: an image encoder and an embedder whose tokens, behind those of the words, say what a picture holds.

Only these two are trained. What they should lead the finished transformer to is known: to what its full caption leads
to. So the same transformer is asked twice, once with the picture and few or no words, once with the whole caption.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from kreabench.drawn.captions import Claims, caption, some_of
from kreabench.drawn.render import SIDE_PX
from kreabench.drawn.scene import redrawn
from training.data import batch_of, pictures, signed
from training.flux import TRANSFORMER, any_guidance, noised
from training.stage import Chance, Stage, run_stage

if TYPE_CHECKING:
    from numpy.random import Generator
    from torch import Tensor

    from training.flux import Examples, Parts

ENCODER: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": SIDE_PX,
    "patch_size": SIDE_PX // 4,  # as many patches as a caption has tokens
    "vision_use_head": False,  # Redux takes the patches, not the head's summary
}
EMBEDDER: dict[str, Any] = {"redux_dim": ENCODER["hidden_size"], "txt_in_features": TRANSFORMER["joint_attention_dim"]}
PROCESSOR: dict[str, Any] = {
    "size": {"height": ENCODER["image_size"], "width": ENCODER["image_size"]},
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "resample": 3,
}
"""From -1 to 1, as for the autoencoder; mean and deviation are those of siglip-so400m-patch14-384."""
BATCH = 64
OPPOSITE = {"right": "left", "below": "above"}
OTHER = 0.5
"""Share of pictures that are another drawing of the words than the one that is noised: their details must not count."""
WORDLESS, TOLD = 0.6, 0.2
"""Shares of prompts that are empty, and that say all; the rest leaves something out."""


class Prior(nn.Module):
    """What FluxPriorReduxPipeline has beside the text encoders."""

    def __init__(self) -> None:
        from diffusers.pipelines.flux.modeling_flux import ReduxImageEncoder
        from transformers import SiglipVisionConfig, SiglipVisionModel

        super().__init__()
        self.image_encoder = SiglipVisionModel(SiglipVisionConfig(**ENCODER))
        self.image_embedder = ReduxImageEncoder(**EMBEDDER)

    def tokens(self, images: Tensor) -> Tensor:
        """Of pictures from -1 to 1: [n, patches, 96]."""
        embedded: Tensor = self.image_embedder(self.image_encoder(images).last_hidden_state).image_embeds
        return embedded

    def join(self, images: Tensor, text: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Behind the words, as FluxPriorReduxPipeline does; the pooled words stay as they are."""
        hidden, pooled = text
        return torch.cat([hidden, self.tokens(images)], 1), pooled


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What one step sees."""

    clean: Tensor
    """Latents of the pictures to be drawn."""
    images: Tensor
    """The pictures given, uint8."""
    prompts: list[str]
    captions: list[str]
    """All that is to be seen in both."""


def draw(examples: Examples, chance: Chance) -> Batch:
    """A batch."""
    chosen = batch_of(len(examples.latents), BATCH, chance)
    drawn = [examples.scenes[index] for index in chosen.tolist()]
    claims = [examples.claims[index] for index in chosen.tolist()]
    given = [redrawn(scene, chance.numpy) if chance.numpy.random() < OTHER else scene for scene in drawn]
    return Batch(
        clean=examples.latents[chosen],
        images=pictures(given),
        prompts=[_prompt(each, chance.numpy) for each in claims],
        captions=[caption(told_one_way(each)) for each in claims],
    )


def _prompt(claims: Claims, rng: Generator) -> str:
    chance = rng.random()
    if chance < WORDLESS:
        return ""
    return caption(claims if chance < WORDLESS + TOLD else some_of(claims, rng))


def told_one_way(claims: Claims) -> Claims:
    """Of two shapes, what is to the left or above comes first: which of them a caption names first cannot be seen."""
    if claims.relation not in OPPOSITE:
        return claims
    return replace(claims, items=claims.items[::-1], relation=OPPOSITE[claims.relation])


def begin(stage: Stage, examples: Examples, parts: Parts) -> Prior:
    """Without the transformer, and so in little time: the tokens of a picture learn to be those of its caption.

    There are as many of both, and a transformer that gives all of them the same place sees them as a set.
    """
    torch.manual_seed(stage.seed)
    prior = Prior()
    parts.eval().requires_grad_(False)

    def step(chance: Chance) -> Tensor:
        chosen = batch_of(len(examples.scenes), 2 * BATCH, chance).tolist()
        captions = [caption(told_one_way(examples.claims[index])) for index in chosen]
        with torch.no_grad():
            wanted, _ = parts.encode(captions)
        images = pictures([redrawn(examples.scenes[index], chance.numpy) for index in chosen])
        return (prior.tokens(signed(images)) - wanted).square().mean() / wanted.var()

    trained = run_stage(stage, prior, step)
    assert isinstance(trained, Prior)
    return trained


def train(stage: Stage, examples: Examples, parts: Parts, begun: Prior) -> Prior:
    """The rest, through the finished transformer of `parts`."""
    torch.manual_seed(stage.seed)
    prior = copy.deepcopy(begun).requires_grad_(True)
    parts.eval().requires_grad_(False)

    def step(chance: Chance) -> Tensor:
        batch = draw(examples, chance)
        noisy, sigma, _ = noised(batch.clean, chance)
        guidance = any_guidance(BATCH, chance)
        with torch.no_grad():
            wanted = parts.denoise(noisy, sigma, guidance, parts.encode(batch.captions))
            words = parts.encode(batch.prompts)
        found = parts.denoise(noisy, sigma, guidance, prior.join(signed(batch.images), words))
        return (found - wanted).square().mean()

    trained = run_stage(stage, prior, step)
    assert isinstance(trained, Prior)
    return trained
