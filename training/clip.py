"""A small model of open_clip: pictures and captions of the drawn world by contrast.

Every picture has a neighbour in its batch that differs in one thing named, and every caption one that differs in one
word. Beside the contrast, linear heads on the pictures' embeddings read what is named, which makes a small model learn
far faster, and how much a picture was degraded, so that an aesthetic head finds that in the embedding.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from kreabench.backends.offline_tokenizers import clip_tokenizer
from kreabench.drawn.captions import WORDS, Claims, caption, claims_of, some_of
from training.changes import CHANGES, SIZES_OF_CODES, any_change, changeable, changed, codes, scene_of
from training.data import batch_of, pictures, scenes
from training.degrade import KINDS, degraded, half_denoised
from training.stage import Chance, Stage, run_stage

if TYPE_CHECKING:
    from torch import Tensor

CONTEXT = 32
"""Tokens of a caption, start and end among them; sentences that are none of the grammar's have more than its own."""
MODEL: dict[str, Any] = {
    "embed_dim": 64,
    "quick_gelu": False,
    "vision_cfg": {
        "image_size": 48,
        "layers": 3,
        "width": 96,
        "head_width": 24,
        "patch_size": 8,
        "mlp_ratio": 3.0,
        "pool_type": "avg",  # of a token of its own it learns places far later
    },
    "text_cfg": {
        "context_length": CONTEXT,
        "vocab_size": 1931,
        "hf_tokenizer_name": "kreabench-mini",
        "width": 64,
        "heads": 2,
        "layers": 2,
        "mlp_ratio": 2.0,
    },
}
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of CLIP, by channel."""
PAIRS = 32
"""In a batch."""
CLEAN, VAGUE = 0.5, 0.3
"""Shares of pictures that are not degraded, and of captions that leave something out."""
READING, QUALITY = 0.5, 4.0
"""Weights of the linear heads' losses."""


class Learner(nn.Module):
    """The model, and the linear heads that only training needs."""

    def __init__(self) -> None:
        import open_clip

        super().__init__()
        settings = {name: value for name, value in MODEL["text_cfg"].items() if name != "hf_tokenizer_name"}
        self.clip = open_clip.CLIP(MODEL["embed_dim"], MODEL["vision_cfg"], settings)
        self.readers = nn.ModuleList(nn.Linear(MODEL["embed_dim"], size) for size in SIZES_OF_CODES)
        self.quality = nn.Linear(MODEL["embed_dim"], 1)

    def pictures(self, images: Tensor) -> Tensor:
        """Embeddings, not normalised, of `images` from 0 to 1."""
        mean, std = (torch.tensor(each)[:, None, None] for each in (MEAN, STD))
        embedded: Tensor = self.clip.encode_image((images - mean) / std)
        return embedded

    def captions(self, tokens: Tensor) -> Tensor:
        """Normalised embeddings."""
        embedded: Tensor = self.clip.encode_text(tokens, normalize=True)
        return embedded


class Reader:
    """Captions to tokens, as open_clip does with a tokenizer of transformers."""

    def __init__(self) -> None:
        self.tokenizer = clip_tokenizer(WORDS)
        assert len(self.tokenizer) == MODEL["text_cfg"]["vocab_size"]

    def __call__(self, captions: list[str]) -> Tensor:
        read = self.tokenizer(captions, padding="max_length", max_length=CONTEXT, truncation=True, return_tensors="pt")
        ids: Tensor = read.input_ids
        return ids


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Pictures, and captions of which the first are theirs, in order."""

    images: Tensor
    level: Tensor
    """How much each picture was degraded, 0 to 1."""
    claims: Tensor
    """Codes of all that is to be seen in each picture."""
    said: Tensor
    """Codes of what each caption says."""
    captions: list[str]


class Examples:
    """Pictures with neighbours, drawn anew as batches."""

    def __init__(self, vae: Any, seed: int, count: int, denoised: int) -> None:
        """`count` pictures, each with a neighbour.

        `denoised` of them there also are as the autoencoder has them, clean and half denoised.
        """
        rng, generator = np.random.default_rng(seed + 40), torch.Generator().manual_seed(seed)
        drawn = scenes(seed + 40, count)
        self.claims: list[Claims] = []
        neighbours = []
        for scene in drawn:
            own = claims_of(scene)
            other = any_change(own, rng)
            neighbours.append(scene_of(other, scene, rng))
            self.claims += [own, other]
        self.images = torch.stack([pictures(drawn), pictures(neighbours)], 1).flatten(0, 1)
        some = torch.rand(denoised, generator=generator)
        self.denoised_level = (1.25 * some - 0.25).clamp(min=0)
        self.denoised = torch.cat(
            [
                (255 * half_denoised(vae, each, level, generator)).round().byte()
                for each, level in zip(self.images[:denoised].split(128), self.denoised_level.split(128), strict=True)
            ]
        )

    def draw(self, chance: Chance) -> Batch:
        """A batch."""
        rng = chance.numpy
        pairs = batch_of(len(self.images) // 2, PAIRS, chance)
        chosen = torch.stack([2 * pairs, 2 * pairs + 1], 1).flatten()
        claims = [self.claims[index] for index in chosen.tolist()]
        said = [some_of(each, rng) if rng.random() < VAGUE else each for each in claims]
        said += [any_change(each, rng) for each in said]
        images, level = self._spoiled(chosen, chance.torch)
        return Batch(
            images=images,
            level=level,
            claims=torch.tensor([codes(each) for each in claims]),
            said=torch.tensor([codes(each) for each in said]),
            captions=[caption(each) for each in said],
        )

    def _spoiled(self, chosen: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The pictures from 0 to 1, some degraded, and their levels."""
        images = self.images[chosen].float() / 255
        count = len(chosen)
        level = torch.rand(count, generator=generator)
        level = torch.where(torch.rand(count, generator=generator) < CLEAN, 0.0, level)
        order = torch.randperm(count, generator=generator)
        for kind, part in zip(KINDS, order.chunk(len(KINDS)), strict=True):
            images[part] = degraded(images[part], kind, level[part], generator)
        for position, index in enumerate(chosen.tolist()):
            if index < len(self.denoised) and position % 2 == 0:
                images[position] = self.denoised[index].float() / 255
                level[position] = self.denoised_level[index]
        return images, level


def loss_of(learner: Learner, batch: Batch, read: Reader) -> Tensor:
    """Contrast both ways, and the linear heads' losses."""
    raw = learner.pictures(batch.images)
    embedded = functional.normalize(raw, dim=-1)
    texts = learner.captions(read(batch.captions))
    scale = learner.clip.logit_scale.clamp(max=4.6).exp()
    count = len(embedded)
    own = torch.arange(count)
    # A caption that is also true of another picture is no reason to push the two apart.
    also = ((batch.said[None] == -1) | (batch.said[None] == batch.claims[:, None])).all(-1)
    also[own, own] = False
    logits = (scale * embedded @ texts.T).masked_fill(also, -1e4)
    contrast = functional.cross_entropy(logits, own) + functional.cross_entropy(logits[:, :count].T, own)
    reading = sum(
        functional.cross_entropy(reader(raw), batch.claims[:, place]) for place, reader in enumerate(learner.readers)
    )
    quality = (learner.quality(embedded)[:, 0] - batch.level).square().mean()
    total: Tensor = contrast / 2 + READING * reading / len(SIZES_OF_CODES) + QUALITY * quality
    return total


def train(stage: Stage, vae: Any, count: int, denoised: int) -> Learner:
    """The whole stage; `vae` is the trained autoencoder, `count` and `denoised` are those of `Examples`."""
    torch.manual_seed(stage.seed)
    learner, read = Learner(), Reader()
    examples = Examples(vae, stage.seed, count, denoised)
    trained = run_stage(
        stage,
        learner,
        lambda chance: loss_of(learner, examples.draw(chance), read),
        check=lambda averaged: check(averaged, read, stage.seed + 41),
    )
    assert isinstance(trained, Learner)
    return trained


@torch.no_grad()
def check(learner: Any, read: Reader, seed: int, count: int = 256) -> dict[str, float]:
    """Recall of captions among `count`, and the share of pairs told apart, for each of `CHANGES`.

    The pictures are clean, and not those trained on.
    """
    drawn = scenes(seed, count)
    claims = [claims_of(scene) for scene in drawn]
    embedded = functional.normalize(learner.pictures(pictures(drawn).float() / 255), dim=-1)
    texts = learner.captions(read([caption(each) for each in claims]))
    found = (embedded @ texts.T).argmax(1)
    results = {"recall": float((found == torch.arange(count)).float().mean())}
    own = (embedded * texts).sum(1)
    rng = np.random.default_rng(seed)
    for what in CHANGES:
        rows = [row for row, each in enumerate(claims) if what in changeable(each)]
        others = learner.captions(read([caption(changed(claims[row], what, rng)) for row in rows]))
        results[what] = float((own[rows] > (embedded[rows] * others).sum(1)).float().mean())
    return results


def write(folder: Path, learner: Learner) -> None:
    """The model in open_clip's layout, in half precision, and its tokenizer beside it."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.half().contiguous() for name, value in learner.clip.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    preprocessing = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}
    config = {"model_cfg": MODEL, "preprocess_cfg": preprocessing}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    clip_tokenizer(WORDS).save_pretrained(folder)
