"""Metrics of sets of pictures against independent implementations, through the whole path from pixels to value.

24 drawn pictures of two sizes a side, 8 prompts of 3 seeds, and networks with random weights, Inception in its real
geometry, which hide no error of arithmetic, preprocessing or pairing. KID and FID: torchmetrics with torch-fidelity's
network, told to resize as the original does, in double precision from its features on, as ours. CMMD: the paper's
formula, pair by pair, over embeddings by open_clip's own transform. Vendi: the entropy of the singular values of the
embeddings themselves.
"""

from __future__ import annotations

import math
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter

from accuracy_check import Check
from kreabench.metrics import inception
from kreabench.metrics.base import Member, ScoreItem
from kreabench.metrics.clip_encoder import open_clip_encoder
from kreabench.metrics.sets import Cmmd, Fid, Kid, Vendi
from kreabench.metrics.shared import Shared

PROMPTS, SEEDS = 8, 3
RANDOM = {"weights": "random", "untrained": True, "device": "cpu"}
MINI = {"model": "builtin:mini-untrained", **RANDOM}


@cache
def drawn(side: int) -> list[ScoreItem]:
    """Pictures of one side: soft shapes of the prompt, with grain of the seed; the second side is darker."""
    found = []
    for prompt in range(PROMPTS):
        for seed in range(SEEDS):
            base = np.random.default_rng(prompt).integers(0, 256, (6, 6, 3), dtype=np.uint8)
            width, height = (320, 256) if prompt % 2 else (200, 304)
            soft = Image.fromarray(base).resize((width, height), Image.Resampling.BICUBIC)
            soft = soft.filter(ImageFilter.GaussianBlur(2 + seed))
            grain = np.random.default_rng([side, prompt, seed]).normal(-12.0 * side, 18, (height, width, 3))
            pixels = np.clip(np.asarray(soft, dtype=float) + grain, 0, 255).astype(np.uint8)
            found.append(
                ScoreItem(
                    image=Image.fromarray(pixels),
                    prompt="",
                    reference=None,
                    sha256=f"{side}-{prompt}-{seed}",
                    prompt_id=f"p{prompt}",
                    seed=seed,
                )
            )
    return found


def members(metric: Any, items: Sequence[ScoreItem]) -> list[Member]:
    """As the scoring stage makes them."""
    return [
        Member(prompt_id=item.prompt_id, seed=item.seed, features=row)
        for item, row in zip(items, metric.features(items), strict=True)
    ]


def ours(metric: Any) -> float:
    """The value of our metric of both sides."""
    metric.open(_shared())
    return float(metric.compare(members(metric, drawn(0)), members(metric, drawn(1))).value)


@cache
def _shared() -> Shared:
    """One for all metrics, as in a scoring: KID and FID see each picture once."""
    return Shared(environ=os.environ)


class _Double(torch.nn.Module):
    """A network for torchmetrics, which else takes the small difference of large sums in single precision.

    What it made of a picture it remembers for the next class.
    """

    num_features = 2048

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        self._known: dict[bytes, torch.Tensor] = {}

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        key = batch.numpy().tobytes()
        if key not in self._known:
            self._known[key] = self.network(batch).double()
        return self._known[key]


@cache
def _network() -> _Double:
    """torchmetrics' own, with the weights that ours has."""
    from torchmetrics.image.fid import NoTrainInceptionV3

    with tempfile.TemporaryDirectory() as folder:
        network = inception._empty_network()
        inception._fill_at_random(network)
        torch.save(network.state_dict(), Path(folder, "weights.pth"))
        theirs = NoTrainInceptionV3("inception", ["2048"], str(Path(folder, "weights.pth")), antialias=False)
    return _Double(theirs)


def _torchmetrics(make: Callable[[Any], Any]) -> float:
    """The value that torchmetrics' class, made with a network, has of both sides."""
    metric = make(_network())
    with torch.inference_mode():
        for side, real in ((0, False), (1, True)):
            for item in drawn(side):
                metric.update(torch.from_numpy(np.array(item.image)).permute(2, 0, 1)[None], real=real)
        found = metric.compute()
    return float(found[0] if isinstance(found, tuple) else found)


def _check(metric: str, against: str, number: int, ours: float, theirs: float) -> Check:
    return Check(metric=metric, against=against, values=((ours, theirs),), pictures=number)


def kid() -> Check:
    """Ours against torchmetrics with one subset, of everything."""
    from torchmetrics.image.kid import KernelInceptionDistance

    number = PROMPTS * SEEDS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that all features are kept
        theirs = _torchmetrics(lambda net: KernelInceptionDistance(feature=net, subsets=1, subset_size=number))
    return _check("kid", "torchmetrics, 1 subset", 2 * number, ours(Kid(**RANDOM)), theirs)


def fid() -> Check:
    """Ours, forced, against torchmetrics."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    theirs = _torchmetrics(lambda net: FrechetInceptionDistance(feature=net, input_img_size=(3, 299, 299)))
    found = ours(Fid(**RANDOM, force=True))
    return _check("fid", "torchmetrics", 2 * PROMPTS * SEEDS, found, theirs)


def cmmd() -> Check:
    """Ours, with the paper's estimator, against its formula pair by pair."""
    from open_clip.transform import PreprocessCfg, image_transform_v2

    encoder = open_clip_encoder(_shared(), **MINI)  # type: ignore[arg-type]
    config = {**encoder._model.visual.preprocess_cfg, "resize_mode": "squash"}
    transform = image_transform_v2(PreprocessCfg(**config), is_train=False)
    with torch.inference_mode():
        x, y = (
            encoder._model.encode_image(torch.stack([transform(item.image) for item in drawn(side)]), normalize=True)
            for side in (0, 1)
        )

    def mean(a: Any, b: Any) -> float:
        pairs = [float(((p - q).double() ** 2).sum()) for p in a for q in b]
        return math.fsum(math.exp(-squared / 200) for squared in pairs) / len(pairs)

    theirs = 1000 * (mean(x, x) + mean(y, y) - 2 * mean(x, y))
    found = ours(Cmmd(**MINI, estimator="biased"))
    return _check("cmmd", "the paper's formula, pair by pair", len(x) + len(y), found, theirs)


def vendi() -> Check:
    """Ours against the singular values of each prompt's embeddings."""
    metric = Vendi(encoder="clip", **MINI)
    metric.open(_shared())
    pictures = members(metric, drawn(0))
    values = []
    for prompt in range(PROMPTS):
        rows = np.array([one.features for one in pictures if one.prompt_id == f"p{prompt}"], dtype=float)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        shares = np.linalg.svd(rows / math.sqrt(SEEDS), compute_uv=False) ** 2
        values.append(math.exp(-sum(share * math.log(share) for share in shares if share > 0)))
    found = metric.compare(pictures, []).value
    assert found is not None
    return _check("vendi", "entropy of singular values", len(pictures), found, float(np.mean(values)))
