"""Second stage: the transformer and both text encoders, by flow matching on the encoded pictures.

Third stage: guidance, distilled into the transformer as FLUX.1 [dev] has it: one pass gives what the second stage's
model gives with classifier-free guidance in two.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from kreabench.backends.offline_tokenizers import clip_tokenizer, t5_tokenizer
from kreabench.drawn.captions import WORDS, Claims, caption, claims_of, some_of
from kreabench.drawn.scene import Scene
from training.data import batch_of, pictures, scenes, signed
from training.focus import focus
from training.stage import Chance, Stage, run_stage
from training.vae import CONFIG as LATENTS

if TYPE_CHECKING:
    from torch import Tensor

TEXT_TOKENS = 16
"""Of T5: FLUX.1 does not mask its padding, so this is part of the model."""
TRANSFORMER: dict[str, Any] = {
    "patch_size": 1,
    "in_channels": 4 * LATENTS["latent_channels"],
    "num_layers": 2,
    "num_single_layers": 4,
    "attention_head_dim": 32,
    "num_attention_heads": 4,
    "joint_attention_dim": 96,
    "pooled_projection_dim": 64,
    "guidance_embeds": True,
    "axes_dims_rope": [8, 12, 12],
}
CLIP: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "projection_dim": 64,
    "max_position_embeddings": 77,
    "eos_token_id": 2,  # makes transformers pool at the highest token id, as FLUX.1's own encoder does
}
T5: dict[str, Any] = {
    "d_model": 96,
    "d_kv": 24,
    "d_ff": 192,
    "num_layers": 2,
    "num_heads": 4,
    "feed_forward_proj": "gated-gelu",
    "tie_word_embeddings": False,
    "dropout_rate": 0.0,
}
ZERO_AT_FIRST = ("proj_out", ".norm.linear", ".norm1.linear", ".norm1_context.linear", "norm_out.linear")
"""Ends of the names of layers that begin at zero, so that each block begins as nothing."""
BATCH = 64
UNCAPTIONED = 0.1
"""Share of pictures trained on without a caption, for guidance."""
MOST_GUIDANCE = 8.0


class Parts(nn.Module):
    """All of the pipeline that reads text or denoises."""

    def __init__(self) -> None:
        from diffusers import FluxTransformer2DModel
        from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

        super().__init__()
        self.clip_words, self.t5_words = clip_tokenizer(WORDS), t5_tokenizer(WORDS)
        ids = {
            "vocab_size": len(self.clip_words),
            "bos_token_id": self.clip_words.bos_token_id,
            "pad_token_id": self.clip_words.pad_token_id,
        }
        self.text_encoder = CLIPTextModel(CLIPTextConfig(**CLIP, **ids))
        self.text_encoder_2 = T5EncoderModel(T5Config(**T5, vocab_size=len(self.t5_words)))
        self.transformer = FluxTransformer2DModel(**TRANSFORMER)
        for name, part in self.transformer.named_modules():
            if isinstance(part, nn.Linear) and name.endswith(ZERO_AT_FIRST):
                nn.init.zeros_(part.weight)
                nn.init.zeros_(part.bias)

    def compile_blocks(self) -> None:
        """A fifth faster after the first minute; needs a C++ compiler."""
        for block in (*self.transformer.transformer_blocks, *self.transformer.single_transformer_blocks):
            block.compile()

    def matrices(self) -> list[nn.Parameter]:
        """Weights within the blocks, whose updates are made orthogonal; not those that only shift and scale."""
        blocks = (*self.transformer.transformer_blocks, *self.transformer.single_transformer_blocks)
        named = (pair for block in blocks for pair in block.named_parameters())
        return [weight for name, weight in named if weight.ndim == 2 and "norm" not in name]

    def encode(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        """Hidden states [n, TEXT_TOKENS, 96] and pooled [n, 64]."""
        fixed = {"padding": "max_length", "max_length": TEXT_TOKENS, "truncation": True, "return_tensors": "pt"}
        wide = self.t5_words(captions, **fixed)
        # What follows its end token does not reach CLIP's pooled output: pad no further than needed.
        short = self.clip_words(captions, padding=True, max_length=77, truncation=True, return_tensors="pt")
        return self.text_encoder_2(wide.input_ids)[0], self.text_encoder(short.input_ids).pooler_output

    def denoise(self, noisy: Tensor, sigma: Tensor, guidance: Tensor, text: tuple[Tensor, Tensor]) -> Tensor:
        """Velocity of packed latents [n, 36, 32]."""
        hidden, pooled = text
        velocity: Tensor = self.transformer(
            hidden_states=noisy,
            timestep=sigma,
            guidance=guidance,
            encoder_hidden_states=hidden,
            pooled_projections=pooled,
            txt_ids=torch.zeros(hidden.shape[1], 3),
            img_ids=places(noisy.shape[1]),
            return_dict=False,
        )[0]
        return velocity


def places(patches: int) -> Tensor:
    """Row and column of each patch of a square picture."""
    side = int(patches**0.5)
    index = torch.arange(side).float()
    rows, columns = index[:, None].expand(side, side), index[None].expand(side, side)
    return torch.stack([torch.zeros(side, side), rows, columns], dim=-1).reshape(-1, 3)


def pack(latents: Tensor) -> Tensor:
    """[n, c, h, w] → [n, h·w/4, 4·c], as FluxPipeline does."""
    count, channels, height, width = latents.shape
    folded = latents.view(count, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return folded.reshape(count, height * width // 4, channels * 4)


@torch.no_grad()
def encoded(vae: Any, images: Tensor) -> Tensor:
    """Latents of the VAE, neither shifted nor scaled."""
    return torch.cat([vae.encode(signed(part)).latent_dist.mean for part in torch.split(images, 250)])


class Examples:
    """Packed latents with captions that say more or less of them."""

    def __init__(self, vae: Any, seed: int, file: Path, count: int) -> None:
        """Encoded once, and kept in `file`."""
        self.scenes = scenes(seed + 10, count)
        self.claims = [claims_of(scene) for scene in self.scenes]
        if not file.exists():
            encode(vae, self.scenes, file)
        latents = torch.load(file, weights_only=True)
        self.shift, self.scale = float(latents.mean()), 1 / float(latents.std())
        self.latents = pack((latents - self.shift) * self.scale)

    def draw(self, chance: Chance) -> tuple[Tensor, list[Claims]]:
        """A batch, and what its captions say."""
        chosen = batch_of(len(self.latents), BATCH, chance)
        return self.latents[chosen], [some_of(self.claims[index], chance.numpy) for index in chosen.tolist()]


def encode(vae: Any, drawn: list[Scene], file: Path) -> None:
    """The pictures of `drawn`, a part at a time so that not all are in memory; the whole file or none of it."""
    parts = [encoded(vae, pictures(drawn[start : start + 1000])) for start in range(0, len(drawn), 1000)]
    torch.save(torch.cat(parts), file.with_suffix(".tmp"))
    file.with_suffix(".tmp").replace(file)


def noised(clean: Tensor, chance: Chance) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy latents, their sigmas, and the velocity that leads from the picture to the noise."""
    count, generator = len(clean), chance.torch
    normal = torch.sigmoid(torch.randn(count, generator=generator) + 0.2)
    even = torch.rand(count, generator=generator)
    sigma = torch.where(torch.rand(count, generator=generator) < 0.8, normal, even)
    noise = torch.randn(clean.shape, generator=generator)
    mix = sigma[:, None, None]
    return (1 - mix) * clean + mix * noise, sigma, noise - clean


def any_guidance(count: int, chance: Chance) -> Tensor:
    """From 1 to the most."""
    return 1 + (MOST_GUIDANCE - 1) * torch.rand(count, generator=chance.torch)


def train(stage: Stage, examples: Examples, *, compiled: bool = False) -> Parts:
    """The second stage."""
    torch.manual_seed(stage.seed)
    parts = Parts()
    if compiled:
        parts.compile_blocks()
    guidance = torch.ones(BATCH)

    def step(chance: Chance) -> Tensor:
        clean, claims = examples.draw(chance)
        captions = [caption(each) if chance.numpy.random() >= UNCAPTIONED else "" for each in claims]
        noisy, sigma, velocity = noised(clean, chance)
        found = parts.denoise(noisy, sigma, guidance, parts.encode(captions))
        return (focus(claims) * (found - velocity).square()).mean()

    trained = run_stage(stage, parts, step, evenly=parts.matrices())
    assert isinstance(trained, Parts)
    return trained


def distil(stage: Stage, examples: Examples, teacher: Parts, *, compiled: bool = False) -> Parts:
    """The third stage. The text encoders stay as they are."""
    torch.manual_seed(stage.seed)
    student = copy.deepcopy(teacher).requires_grad_(True)
    if compiled:
        student.compile_blocks()
        teacher.compile_blocks()
    for part in (student.text_encoder, student.text_encoder_2):
        part.requires_grad_(False)
    one = torch.ones(BATCH)

    def step(chance: Chance) -> Tensor:
        clean, claims = examples.draw(chance)
        noisy, sigma, _ = noised(clean, chance)
        guidance = any_guidance(BATCH, chance)
        with torch.no_grad():
            text, nothing = teacher.encode([caption(each) for each in claims]), teacher.encode([""])
            blank = (nothing[0].expand(BATCH, -1, -1), nothing[1].expand(BATCH, -1))
            asked = teacher.denoise(noisy, sigma, one, text)
            unasked = teacher.denoise(noisy, sigma, one, blank)
            wanted = unasked + guidance[:, None, None] * (asked - unasked)
        return (focus(claims) * (student.denoise(noisy, sigma, guidance, text) - wanted).square()).mean()

    trained = run_stage(stage, student, step, evenly=student.matrices())
    assert isinstance(trained, Parts)
    return trained
