"""Checks of the metrics of fidelity; see `metrics_accuracy.py`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from accuracy_check import Check, against, opened, pairs, scores

SIZES = ((64, 64), (96, 64), (192, 176), (256, 208))
LARGE_SIZES = ((192, 176), (256, 208), (384, 256), (512, 512))
ODD_SIZES = ((161, 203), (201, 177), (255, 333), (403, 271))


def psnr() -> Check:
    """Against scikit-image."""
    from skimage.metrics import peak_signal_noise_ratio

    def theirs(image: Image.Image, reference: Image.Image) -> float:
        arrays = np.asarray(reference), np.asarray(image)
        return float(peak_signal_noise_ratio(*arrays, data_range=255))

    items = pairs(SIZES)
    values = zip(scores(opened("psnr"), items), against(items, theirs), strict=True)
    return Check(metric="psnr", against="scikit-image", values=tuple(values))


def ssim() -> Check:
    """Against scikit-image with the paper's window."""
    from skimage.metrics import structural_similarity

    def theirs(image: Image.Image, reference: Image.Image) -> float:
        return float(
            structural_similarity(
                np.asarray(reference),
                np.asarray(image),
                channel_axis=2,
                data_range=255,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
        )

    items = pairs(SIZES)
    values = zip(scores(opened("ssim"), items), against(items, theirs), strict=True)
    return Check(metric="ssim", against="scikit-image", values=tuple(values))


def ms_ssim() -> Check:
    """Against the paper in double precision."""
    from tests.metric_references import fidelity as references

    items = pairs(LARGE_SIZES)
    values = zip(scores(opened("ms_ssim"), items), against(items, references.ms_ssim), strict=True)
    return Check(metric="ms_ssim", against="the paper, in numpy", values=tuple(values))


def ms_ssim_odd() -> Check:
    """As `ms_ssim`, at sizes that no pipeline of FLUX.1 draws."""
    from tests.metric_references import fidelity as references

    items = pairs(ODD_SIZES)
    values = zip(scores(opened("ms_ssim"), items), against(items, references.ms_ssim), strict=True)
    return Check(
        metric="ms_ssim, odd sides",
        against="the paper, in numpy",
        values=tuple(values),
        limit=0.02,
        absolute=True,
        explained="absolute; where a scale's side is odd, piq takes its first row twice and the authors the last",
    )


def lpips() -> Check:
    """Against the formula of the authors' package in double precision, on the same random AlexNet."""
    import torch
    from tests.metric_references import fidelity as references
    from tests.small_weights.fidelity import torchvision_features
    from torchmetrics.functional.image import lpips as library

    linear = torch.load(Path(library.__file__).parent / "lpips_models/alex.pth", map_location="cpu", weights_only=True)
    items = pairs(SIZES)
    with tempfile.TemporaryDirectory() as folder:
        path = torchvision_features("alexnet", Path(folder))
        state = torch.load(path, weights_only=True)
        ours = scores(opened("lpips", weights=str(path), untrained=True, device="cpu"), items)
    theirs = against(items, lambda image, other: references.lpips(image, other, state=state, linear=linear))
    values = tuple(zip(ours, theirs, strict=True))
    return Check(metric="lpips", against="the authors' formula, in double precision", values=values)


def dists() -> Check:
    """Against the authors' formula in double precision, on the same random VGG-16, larger pictures shrunk."""
    import torch
    from tests.metric_references import fidelity as references
    from tests.small_weights.fidelity import torchvision_features
    from torchmetrics.functional.image import dists as library

    own = torch.load(Path(library.__file__).parent / "dists_models/weights.pt", map_location="cpu", weights_only=True)
    items, side = pairs(SIZES), 48
    with tempfile.TemporaryDirectory() as folder:
        path = torchvision_features("vgg16", Path(folder))
        state = {name: value.double() for name, value in torch.load(path, weights_only=True).items()}  # once
        metric = opened("dists", weights=str(path), untrained=True, device="cpu", shorter_side_px=side)
        ours = scores(metric, items)
    theirs = against(
        items, lambda image, other: references.dists(image, other, state=state, own=own, shorter_side=side)
    )
    values = tuple(zip(ours, theirs, strict=True))
    return Check(metric="dists", against="the authors' formula, in double precision", values=values)


def dino_similarity() -> Check:
    """Against the transformer written down anew in double precision, preprocessing included."""
    from tests.metric_references import fidelity as references
    from tests.small_weights.fidelity import dinov2_folder

    items = pairs(SIZES)
    with tempfile.TemporaryDirectory() as folder:
        path = dinov2_folder(Path(folder))
        ours = scores(opened("dino_similarity", weights=str(path), untrained=True, device="cpu"), items)
        theirs = against(
            items,
            lambda image, other: references.dino_similarity(
                image, other, folder=path, heads=2, shorter_side=64, side=56
            ),
        )
    values = tuple(zip(ours, theirs, strict=True))
    return Check(metric="dino_similarity", against="the model written anew, in double precision", values=values)
