"""Counted work equals what torch itself counts, at full size, on tensors without memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kreabench.backends import work
from kreabench.backends.flux_geometry import FLUX
from kreabench.backends.work import BlockRuns, Shape, parts_of

SIZES = [(1024, 1024), (1024, 768), (1024, 576), (512, 512)]
TOLERANCE = 0.005
PUBLISHED_STEP_TFLOP = {(1024, 1024): 74.385, (1024, 768): 55.288, (1024, 576): 41.930, (512, 512): 21.503}
PUBLISHED_DECODE_TFLOP = {(1024, 1024): 10.47, (1024, 768): 7.75, (1024, 576): 5.76, (512, 512): 2.51}
"""From facts/diffusers.md: counted with torch's counter on the published configuration."""


def counted(call: Callable[[], Any]) -> float:
    """Operations as torch counts them."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call()
    return float(counter.get_total_flops())


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    from kreabench.backends.random_weights import build_parts

    names = ("transformer", "vae", "text_encoder", "text_encoder_2", "image_encoder", "image_embedder")
    return build_parts("flux", names, device="meta", dtype="bfloat16")


def configs(models: dict[str, Any]) -> dict[str, Any]:
    from kreabench.backends.floor import config_of

    return {name: config_of(model) for name, model in models.items()}


def step(transformer: Any, size: tuple[int, int], context: int) -> float:
    import torch

    width, height = size
    picture = width * height // 256
    kind: dict[str, Any] = {"device": "meta", "dtype": torch.bfloat16}
    return counted(
        lambda: transformer(
            hidden_states=torch.empty(1, picture, 64, **kind),
            encoder_hidden_states=torch.empty(1, context, 4096, **kind),
            pooled_projections=torch.empty(1, 768, **kind),
            timestep=torch.empty(1, **kind),
            guidance=torch.empty(1, device="meta"),
            img_ids=torch.empty(picture, 3, device="meta"),
            txt_ids=torch.empty(context, 3, device="meta"),
        )
    )


def shape(size: tuple[int, int], **changes: Any) -> Shape:
    values: dict[str, Any] = {"num_images": 1, "steps": 1, "prompt_tokens": 512, "context_tokens": 512} | changes
    return Shape(width=size[0], height=size[1], **values)


def stage_tflop(parts: tuple[work.Part, ...], stage: str) -> float:
    return sum(part.flop.total for part in parts if part.stage == stage) / 1e12


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_step_and_both_ways_through_the_vae(models: dict[str, Any], size: tuple[int, int]) -> None:
    import torch

    parts = parts_of(configs(models), shape(size, images_encoded=1), None)
    kind: dict[str, Any] = {"device": "meta", "dtype": torch.bfloat16}
    width, height = size
    latents = torch.empty(1, 16, height // 8, width // 8, **kind)
    image = torch.empty(1, 3, height, width, **kind)
    assert stage_tflop(parts, "denoise") == pytest.approx(step(models["transformer"], size, 512) / 1e12, rel=TOLERANCE)
    decode = counted(lambda: models["vae"].decode(latents)) / 1e12
    encode = counted(lambda: models["vae"].encode(image)) / 1e12
    assert stage_tflop(parts, "decode") == pytest.approx(decode, rel=TOLERANCE)
    assert stage_tflop(parts, "encode_image") == pytest.approx(encode, rel=TOLERANCE)
    assert stage_tflop(parts, "denoise") == pytest.approx(PUBLISHED_STEP_TFLOP[size], rel=TOLERANCE)
    assert stage_tflop(parts, "decode") == pytest.approx(PUBLISHED_DECODE_TFLOP[size], rel=TOLERANCE)


def test_the_encoders_of_text_and_pictures(models: dict[str, Any]) -> None:
    import torch

    tokens = torch.zeros(1, 512, dtype=torch.int64, device="meta")
    pixels = torch.empty(1, 3, 384, 384, device="meta", dtype=torch.bfloat16)
    t5 = counted(lambda: models["text_encoder_2"](tokens))
    vision = counted(lambda: models["image_encoder"](pixels))
    features = torch.empty(1, 729, 1152, device="meta", dtype=torch.bfloat16)
    embedder = counted(lambda: models["image_embedder"](features))
    known = configs(models)
    assert work.t5_flop(known["text_encoder_2"], 512).total == pytest.approx(t5, rel=TOLERANCE)
    assert work.siglip_flop(known["image_encoder"]).total == pytest.approx(vision, rel=TOLERANCE)
    assert work.redux_embedder_flop(known["image_embedder"], 729).total == pytest.approx(embedder, rel=TOLERANCE)


def test_clip(models: dict[str, Any]) -> None:
    """On the host: CLIP looks for the end of the text, which tensors without values do not have."""
    import torch

    from kreabench.backends.random_weights import build_parts

    clip = build_parts("mini", ("text_encoder",), device="cpu", dtype="float32")["text_encoder"]
    tokens = torch.zeros(1, 77, dtype=torch.int64)
    counted_flop = counted(lambda: clip(tokens))
    assert work.clip_text_flop(configs({"clip": clip})["clip"]).total == pytest.approx(counted_flop, rel=TOLERANCE)


def test_the_miniature_is_counted_by_the_same_rules() -> None:
    import torch

    from kreabench.backends.random_weights import build_parts

    mini = build_parts("mini", ("transformer", "vae", "text_encoder", "text_encoder_2"), device="meta", dtype="float32")
    parts = parts_of(configs(mini), shape((256, 192), prompt_tokens=128, context_tokens=128), None)
    latents = torch.empty(1, 16, 24, 32, device="meta")
    assert stage_tflop(parts, "decode") == pytest.approx(counted(lambda: mini["vae"].decode(latents)) / 1e12, rel=1e-6)


def test_work_grows_with_pictures_steps_and_inputs() -> None:
    known = {**FLUX, "image_encoder": {**FLUX["image_encoder"], "num_channels": 3}}
    known["vae"] = {**FLUX["vae"], "in_channels": 3, "out_channels": 3}
    one = parts_of(known, shape((512, 512)), None)
    more = parts_of(known, shape((512, 512), num_images=3, steps=4), None)
    redux = parts_of(known, shape((512, 512), context_tokens=512 + 729, images_embedded=2, prompts_encoded=2), None)
    assert stage_tflop(more, "denoise") == pytest.approx(12 * stage_tflop(one, "denoise"))
    assert stage_tflop(more, "decode") == pytest.approx(3 * stage_tflop(one, "decode"))
    assert stage_tflop(more, "encode_text") == stage_tflop(one, "encode_text")
    assert stage_tflop(redux, "encode_text") == pytest.approx(2 * stage_tflop(one, "encode_text"))
    assert stage_tflop(redux, "denoise") > 1.3 * stage_tflop(one, "denoise")


def test_skipped_blocks_are_not_done() -> None:
    known = {**FLUX, "vae": {**FLUX["vae"], "in_channels": 3, "out_channels": 3}}
    asked = shape((1024, 1024), steps=10)
    (every,) = (part for part in parts_of(known, asked, None) if part.stage == "denoise")
    runs = BlockRuns(double=95, single=190, double_attentions=95, single_attentions=190)
    (half,) = (part for part in parts_of(known, asked, runs) if part.stage == "denoise")
    assert half.reference == every.flop
    assert 0.5 < half.flop.total / every.flop.total < 0.501  # embeddings run in every step


def test_skipped_attention_leaves_the_rest_of_a_block() -> None:
    known = {**FLUX, "vae": {**FLUX["vae"], "in_channels": 3, "out_channels": 3}}
    asked = shape((1024, 1024))
    (every,) = (part for part in parts_of(known, asked, None) if part.stage == "denoise")
    runs = BlockRuns(double=19, single=38, double_attentions=0, single_attentions=0)
    (rest,) = (part for part in parts_of(known, asked, runs) if part.stage == "denoise")
    assert rest.flop.attention == 0
    # facts/measuring.md: attention takes 14.87 TFLOP a step; its projections are 4 of 12 and 3 of 12 D² a token.
    projections = 2 * 3072**2 * 4608 * (19 * 4 + 38 * 3) / 1e12
    assert (every.flop.total - rest.flop.total) / 1e12 == pytest.approx(14.87 + projections, rel=TOLERANCE)
