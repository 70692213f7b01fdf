"""How much arithmetic a request takes, counted from the sizes in the models' own configurations. Imports no torch.

Two operations for each multiplied and added pair of a matrix product, a convolution or an attention, nothing for the
rest, as `torch.utils.flop_counter` counts; a test compares the two. Shapes of layers are those of diffusers'
`FluxTransformer2DModel` and `AutoencoderKL` and of transformers' `T5EncoderModel`, `CLIPTextModel` and
`SiglipVisionModel`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Config = Mapping[str, Any]

TERA = 1e12


@dataclass(frozen=True, kw_only=True, slots=True)
class Flop:
    """Operations by kind, as each kind has a rate of its own where numbers are quantised."""

    linear: float = 0.0
    attention: float = 0.0
    convolution: float = 0.0

    def __add__(self, other: Flop) -> Flop:
        return Flop(
            linear=self.linear + other.linear,
            attention=self.attention + other.attention,
            convolution=self.convolution + other.convolution,
        )

    def __mul__(self, times: float) -> Flop:
        return Flop(linear=self.linear * times, attention=self.attention * times, convolution=self.convolution * times)

    @property
    def total(self) -> float:
        return self.linear + self.attention + self.convolution


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockRuns:
    """Forwards of the transformer's parts in one request; each counts once whatever its batch."""

    double: int
    """Blocks with two streams, picture and text (`transformer_blocks`)."""
    single: int
    """Blocks with one (`single_transformer_blocks`)."""
    double_attentions: int
    """Attention layers within the former: their projections and attention itself."""
    single_attentions: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """What decides the work of one request."""

    width: int
    height: int
    num_images: int
    steps: int
    """Those that run."""
    prompt_tokens: int
    """Tokens that T5 reads, padding included."""
    context_tokens: int
    """Tokens that the transformer sees beside the picture: the prompt's, and those of input pictures for redux."""
    prompts_encoded: int = 1
    """Batch of the text encoders."""
    images_embedded: int = 0
    """Input pictures read by redux' image encoder."""
    images_encoded: int = 0
    """Input pictures read by the VAE, at the size of the output."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One model's share of a request."""

    stage: str
    model: str
    """Name of the pipeline's component."""
    flop: Flop
    runs: int
    """How often all its weights are read."""
    reference: Flop
    """As `flop`, had no block been skipped."""


def parts_of(configs: Mapping[str, Config], shape: Shape, blocks: BlockRuns | None) -> tuple[Part, ...]:
    """Who works how much in one request, in order. `configs`: the pipeline's components by name.

    `blocks` are the forwards that ran; None means every block in every step.
    """
    parts = [
        _part("encode_text", "text_encoder", clip_text_flop(configs["text_encoder"]) * shape.prompts_encoded),
        _part(
            "encode_text",
            "text_encoder_2",
            t5_flop(configs["text_encoder_2"], shape.prompt_tokens) * shape.prompts_encoded,
        ),
    ]
    if shape.images_embedded:
        vision, embedder = configs["image_encoder"], configs["image_embedder"]
        parts += [
            _part("encode_image", "image_encoder", siglip_flop(vision) * shape.images_embedded),
            _part(
                "encode_image",
                "image_embedder",
                redux_embedder_flop(embedder, vision_tokens(vision)) * shape.images_embedded,
            ),
        ]
    vae, latent = configs["vae"], _latent_size(configs["vae"], shape)
    if shape.images_encoded:
        parts.append(_part("encode_image", "vae", vae_encode_flop(vae, *latent) * shape.images_encoded))
    parts.append(_denoise(configs["transformer"], vae, shape, blocks))
    parts.append(_part("decode", "vae", vae_decode_flop(vae, *latent) * shape.num_images))
    return tuple(parts)


def _part(stage: str, model: str, flop: Flop) -> Part:
    return Part(stage=stage, model=model, flop=flop, runs=1, reference=flop)


def _denoise(transformer: Config, vae: Config, shape: Shape, blocks: BlockRuns | None) -> Part:
    height, width = _latent_size(vae, shape)
    picture, context = height * width // 4, shape.context_tokens  # the pipeline packs 2 × 2 latent pixels in a token
    frame = transformer_frame_flop(transformer, picture, context) * shape.steps
    doubles, singles = transformer["num_layers"] * shape.steps, transformer["num_single_layers"] * shape.steps
    every = BlockRuns(double=doubles, single=singles, double_attentions=doubles, single_attentions=singles)
    reference = frame + blocks_flop(transformer, picture, context, every)
    flop = reference if blocks is None else frame + blocks_flop(transformer, picture, context, blocks)
    return Part(
        stage="denoise",
        model="transformer",
        flop=flop * shape.num_images,
        runs=shape.steps,
        reference=reference * shape.num_images,
    )


def _latent_size(vae: Config, shape: Shape) -> tuple[int, int]:
    scale: int = 2 ** (len(vae["block_out_channels"]) - 1)
    return shape.height // scale, shape.width // scale


def _linear(tokens: float, inner: float, outer: float) -> Flop:
    return Flop(linear=2.0 * tokens * inner * outer)


def _attention(queries: int, keys: int, width: int) -> Flop:
    """Scores and their use, over all heads together `width` wide."""
    return Flop(attention=4.0 * queries * keys * width)


def _convolution(height: int, width: int, inner: int, outer: int, kernel: int = 3) -> Flop:
    """Of `height` × `width` results."""
    return Flop(convolution=2.0 * height * width * inner * outer * kernel**2)


def _width(transformer: Config) -> int:
    return int(transformer["num_attention_heads"] * transformer["attention_head_dim"])


def blocks_flop(transformer: Config, picture: int, context: int, runs: BlockRuns) -> Flop:
    """Of so many runs: attention layers, and of each block its modulation (of one vector a stream) and feed-forward."""
    d, tokens = _width(transformer), picture + context
    attend = _attention(tokens, tokens, d)
    double_attention = _linear(tokens, d, 4 * d) + attend
    double_rest = _linear(2, d, 6 * d) + _linear(tokens, d, 8 * d)
    single_attention = _linear(tokens, d, 3 * d) + attend
    single_rest = _linear(1, d, 3 * d) + _linear(tokens, d, 4 * d) + _linear(tokens, 5 * d, d)
    return (
        double_attention * runs.double_attentions
        + double_rest * runs.double
        + single_attention * runs.single_attentions
        + single_rest * runs.single
    )


def transformer_frame_flop(transformer: Config, picture: int, context: int) -> Flop:
    """One step of all that is no block: embeddings of picture, text, time and guidance, and the way out."""
    d, channels = _width(transformer), transformer["in_channels"]
    out = (transformer.get("out_channels") or channels) * transformer["patch_size"] ** 2
    times = 2 if transformer["guidance_embeds"] else 1
    return (
        _linear(picture, channels, d)
        + _linear(context, transformer["joint_attention_dim"], d)
        + (_linear(1, 256, d) + _linear(1, d, d)) * times  # 256 sinusoids, in diffusers' CombinedTimestep…Embeddings
        + _linear(1, transformer["pooled_projection_dim"], d)
        + _linear(1, d, d)
        + _linear(1, d, 2 * d)
        + _linear(picture, d, out)
    )


def t5_flop(t5: Config, tokens: int) -> Flop:
    """T5's encoder; its feed-forward has a gate where the configuration says so."""
    d, inner = t5["d_model"], t5["num_heads"] * t5["d_kv"]
    products = 3 if str(t5["feed_forward_proj"]).startswith("gated-") else 2
    layer = (
        _linear(tokens, d, 4 * inner) + _attention(tokens, tokens, inner) + _linear(tokens, d, products * t5["d_ff"])
    )
    return layer * int(t5["num_layers"])


def clip_text_flop(clip: Config) -> Flop:
    """CLIP's text encoder, which always reads as many tokens as it has positions."""
    return _encoder_layers(clip, clip["max_position_embeddings"])


def _encoder_layers(config: Config, tokens: int) -> Flop:
    d, inner = config["hidden_size"], config["intermediate_size"]
    layer = _linear(tokens, d, 4 * d) + _attention(tokens, tokens, d) + _linear(tokens, d, 2 * inner)
    return layer * int(config["num_hidden_layers"])


def vision_tokens(vision: Config) -> int:
    """Patches of SigLIP's picture."""
    return int(vision["image_size"] // vision["patch_size"]) ** 2


def siglip_flop(vision: Config) -> Flop:
    """SigLIP's image encoder with its pooling head, whose result redux ignores but pays for."""
    d, inner, tokens = vision["hidden_size"], vision["intermediate_size"], vision_tokens(vision)
    patches = _convolution(1, tokens, vision["num_channels"], d, vision["patch_size"])
    head = _linear(2, d, d) + _linear(tokens, d, 2 * d) + _attention(1, tokens, d) + _linear(1, d, 2 * inner)
    return patches + _encoder_layers(vision, tokens) + head


def redux_embedder_flop(embedder: Config, tokens: int) -> Flop:
    """From SigLIP's features to tokens of the prompt."""
    d, out = embedder["redux_dim"], embedder["txt_in_features"]
    return _linear(tokens, d, 3 * out) + _linear(tokens, 3 * out, out)


def vae_decode_flop(vae: Config, height: int, width: int) -> Flop:
    """The decoder on latents of `height` × `width`, untiled."""
    channels = list(reversed(vae["block_out_channels"]))
    flop = _convolution(height, width, vae["latent_channels"], channels[0]) + _middle(channels[0], height, width)
    if vae["use_post_quant_conv"]:
        flop += _convolution(height, width, vae["latent_channels"], vae["latent_channels"], 1)
    inner = channels[0]
    for level, outer in enumerate(channels):
        for _ in range(vae["layers_per_block"] + 1):
            flop += _residual(inner, outer, height, width)
            inner = outer
        if level < len(channels) - 1:
            height, width = 2 * height, 2 * width
            flop += _convolution(height, width, outer, outer)
    return flop + _convolution(height, width, inner, vae["out_channels"])


def vae_encode_flop(vae: Config, height: int, width: int) -> Flop:
    """The encoder of a picture that gives latents of `height` × `width`."""
    channels = list(vae["block_out_channels"])
    scale = 2 ** (len(channels) - 1)
    latent = 2 * vae["latent_channels"]  # mean and variance
    height, width = height * scale, width * scale
    flop = _convolution(height, width, vae["in_channels"], channels[0])
    inner = channels[0]
    for level, outer in enumerate(channels):
        for _ in range(vae["layers_per_block"]):
            flop += _residual(inner, outer, height, width)
            inner = outer
        if level < len(channels) - 1:
            height, width = height // 2, width // 2
            flop += _convolution(height, width, outer, outer)
    flop += _middle(inner, height, width) + _convolution(height, width, inner, latent)
    return flop + _convolution(height, width, latent, latent, 1) if vae["use_quant_conv"] else flop


def _residual(inner: int, outer: int, height: int, width: int) -> Flop:
    flop = _convolution(height, width, inner, outer) + _convolution(height, width, outer, outer)
    return flop if inner == outer else flop + _convolution(height, width, inner, outer, 1)


def _middle(channels: int, height: int, width: int) -> Flop:
    """Two residual blocks around attention over all latent pixels."""
    tokens = height * width
    attention = _linear(tokens, channels, 4 * channels) + _attention(tokens, tokens, channels)
    return _residual(channels, channels, height, width) * 2 + attention
