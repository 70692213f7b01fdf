"""PSNR, SSIM, MS-SSIM, LPIPS, DISTS and DINOv2 similarity, each from its paper or its authors' code."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import correlate1d
from torch import Tensor
from torch.nn import functional

Pixels = NDArray[np.float64]
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def pixels(image: Image.Image) -> Pixels:
    """Height × width × channels, 0 to 255."""
    return np.asarray(image, dtype=np.float64)


def psnr(image: Image.Image, reference: Image.Image) -> float:
    """Its closed form, dB."""
    return 10.0 * math.log10(255.0**2 / float(np.mean((pixels(image) - pixels(reference)) ** 2)))


def _local_mean(values: Pixels) -> Pixels:
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets**2) / (2 * 1.5**2))
    window /= window.sum()
    smooth: Pixels = correlate1d(correlate1d(values, window, axis=0), window, axis=1)
    return smooth[5:-5, 5:-5]


def _structure(x: Pixels, y: Pixels) -> tuple[Pixels, Pixels]:
    """Similarity and contrast, each channel's mean: Wang et al. 2004, equations 6 and 13."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_x, mean_y = _local_mean(x), _local_mean(y)
    variance_x, variance_y = _local_mean(x * x) - mean_x**2, _local_mean(y * y) - mean_y**2
    covariance = _local_mean(x * y) - mean_x * mean_y
    contrast = (2 * covariance + c2) / (variance_x + variance_y + c2)
    similarity = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1) * contrast
    return similarity.mean(axis=(0, 1)), contrast.mean(axis=(0, 1))


def ssim(image: Image.Image, reference: Image.Image) -> float:
    """With the window inside the picture."""
    return float(_structure(pixels(image), pixels(reference))[0].mean())


def _halved(values: Pixels) -> Pixels:
    """Means of 2 × 2, an odd last row or column taken twice, as the authors' Matlab code does."""
    height, width = values.shape[:2]
    even = np.pad(values, ((0, height % 2), (0, width % 2), (0, 0)), mode="symmetric")
    halved: Pixels = (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4
    return halved


def ms_ssim(image: Image.Image, reference: Image.Image) -> float:
    """Wang et al. 2003, equation 7; a negative factor counts as 0."""
    x, y = pixels(image), pixels(reference)
    product = np.ones(3)
    for scale, weight in enumerate(MS_SSIM_WEIGHTS):
        if scale > 0:
            x, y = _halved(x), _halved(y)
        similarity, contrast = _structure(x, y)
        last = scale == len(MS_SSIM_WEIGHTS) - 1
        product *= np.maximum(similarity if last else contrast, 0.0) ** weight
    return float(product.mean())


def _tensor(image: Image.Image) -> Tensor:
    """1 × channels × height × width, 0 to 1."""
    return torch.from_numpy(pixels(image) / 255).permute(2, 0, 1)[None]


def _three(values: tuple[float, float, float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1)


def _conv(state: Mapping[str, Tensor], layer: int, x: Tensor, **how: int) -> Tensor:
    """A convolution of torchvision's numbering, and its ReLU."""
    weight, bias = (state[f"features.{layer}.{name}"].double() for name in ("weight", "bias"))
    return functional.conv2d(x, weight, bias, **how).relu()


def _alexnet(state: Mapping[str, Tensor], x: Tensor) -> list[Tensor]:
    first = _conv(state, 0, x, stride=4, padding=2)
    second = _conv(state, 3, functional.max_pool2d(first, 3, 2), padding=2)
    third = _conv(state, 6, functional.max_pool2d(second, 3, 2), padding=1)
    fourth = _conv(state, 8, third, padding=1)
    return [first, second, third, fourth, _conv(state, 10, fourth, padding=1)]


def lpips(
    image: Image.Image, reference: Image.Image, *, state: Mapping[str, Tensor], linear: Mapping[str, Tensor]
) -> float:
    """Zhang et al. 2018, equation 1, with the constants of the authors' package; `linear` as it ships there."""

    def features(picture: Image.Image) -> list[Tensor]:
        scaled = (2 * _tensor(picture) - 1 - _three((-0.030, -0.088, -0.188))) / _three((0.458, 0.448, 0.450))
        layers = _alexnet(state, scaled)
        return [layer / (layer.square().sum(dim=1, keepdim=True).sqrt() + 1e-10) for layer in layers]

    total = 0.0
    for number, (x, y) in enumerate(zip(features(image), features(reference), strict=True)):
        weight = linear[f"lin{number}.model.1.weight"].double()
        total += float((weight * (x - y) ** 2).sum(dim=1).mean())
    return total


_VGG16 = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))


def _l2_pool(x: Tensor) -> Tensor:
    """Root of the squares' mean under a Hann window of 3 × 3, every second pixel."""
    hann = torch.tensor([0.25, 0.5, 0.25], dtype=x.dtype)
    window = torch.outer(hann, hann)[None, None].repeat(x.shape[1], 1, 1, 1)
    return (functional.conv2d(x.square(), window, stride=2, padding=1, groups=x.shape[1]) + 1e-12).sqrt()


def dists(
    image: Image.Image,
    reference: Image.Image,
    *,
    state: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    shorter_side: int = 256,
) -> float:
    """Ding et al. 2020, equations 7 to 9, after the authors' shrinking."""

    def stages(picture: Image.Image) -> list[Tensor]:
        from torchvision.transforms.functional import resize

        if shorter_side and min(picture.size) > shorter_side:
            picture = resize(picture, shorter_side)
        found = [_tensor(picture)]
        x = (found[0] - _three(IMAGENET_MEAN)) / _three(IMAGENET_STD)
        for stage, layers in enumerate(_VGG16):
            x = _l2_pool(x) if stage else x
            for layer in layers:
                x = _conv(state, layer, x, padding=1)
            found.append(x)
        return found

    alpha, beta = (own[name].double().flatten() for name in ("alpha", "beta"))
    total, start = 0.0, 0
    for x, y in zip(stages(image), stages(reference), strict=True):
        x, y = x[0].flatten(1), y[0].flatten(1)
        mean_x, mean_y = x.mean(dim=1), y.mean(dim=1)
        covariance = ((x - mean_x[:, None]) * (y - mean_y[:, None])).mean(dim=1)
        variances = x.var(dim=1, correction=0) + y.var(dim=1, correction=0)
        texture = (2 * mean_x * mean_y + 1e-6) / (mean_x**2 + mean_y**2 + 1e-6)
        structure = (2 * covariance + 1e-6) / (variances + 1e-6)
        part = slice(start, start + len(x))
        total += float((alpha[part] * texture + beta[part] * structure).sum())
        start += len(x)
    return 1.0 - total / float(alpha.sum() + beta.sum())


def centre_crop(image: Image.Image, *, shorter_side: int, side: int) -> Tensor:
    """Pillow's bicubic shrinking, the centred square, and ImageNet's scale: DINOv2's own preprocessing."""
    width, height = (shorter_side * length // min(image.size) for length in image.size)
    resized = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - side) // 2, (height - side) // 2
    square = _tensor(resized.crop((left, top, left + side, top + side)))
    return (square - _three(IMAGENET_MEAN)) / _three(IMAGENET_STD)


def dinov2(image: Image.Image, *, state: Mapping[str, Tensor], heads: int, shorter_side: int, side: int) -> Tensor:
    """The normalised class token, of the weights as the Hub has them."""
    weights = {name: value.double() for name, value in state.items()}

    def linear(name: str, x: Tensor) -> Tensor:
        return functional.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def norm(name: str, x: Tensor) -> Tensor:
        return functional.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], eps=1e-6)

    projection = "embeddings.patch_embeddings.projection"
    kernel = weights[f"{projection}.weight"]
    patches = functional.conv2d(
        centre_crop(image, shorter_side=shorter_side, side=side),
        kernel,
        weights[f"{projection}.bias"],
        stride=kernel.shape[-1],
    )
    x = torch.cat([weights["embeddings.cls_token"], patches.flatten(2).transpose(1, 2)], dim=1)
    x = x + _positions(weights["embeddings.position_embeddings"], patches.shape[-1])
    for layer in range(sum(name.endswith("norm1.weight") for name in weights)):
        block = f"encoder.layer.{layer}"
        y = norm(f"{block}.norm1", x)
        query, key, value = (
            linear(f"{block}.attention.attention.{name}", y).view(1, y.shape[1], heads, -1).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        attention = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(dim=-1) @ value
        mixed = linear(f"{block}.attention.output.dense", attention.transpose(1, 2).flatten(2))
        x = x + weights[f"{block}.layer_scale1.lambda1"] * mixed
        hidden = functional.gelu(linear(f"{block}.mlp.fc1", norm(f"{block}.norm2", x)))
        x = x + weights[f"{block}.layer_scale2.lambda1"] * linear(f"{block}.mlp.fc2", hidden)
    return norm("layernorm", x)[0, 0]


def _positions(learned: Tensor, side: int) -> Tensor:
    """The learned grid at the size of this picture's, bicubic."""
    token, grid = learned[:, :1], learned[:, 1:]
    learned_side = math.isqrt(grid.shape[1])
    square = grid.transpose(1, 2).reshape(1, -1, learned_side, learned_side)
    fitted = functional.interpolate(square, size=(side, side), mode="bicubic", align_corners=False)
    return torch.cat([token, fitted.flatten(2).transpose(1, 2)], dim=1)


def dino_similarity(image: Image.Image, reference: Image.Image, *, folder: Path, **geometry: Any) -> float:
    """The cosine of both class tokens."""
    from safetensors.torch import load_file

    state = load_file(folder / "model.safetensors")
    x, y = (dinov2(picture, state=state, **geometry) for picture in (image, reference))
    return float(functional.cosine_similarity(x, y, dim=0))
