"""How far a picture is from its reference as people see it: LPIPS and DISTS.

Both compare the features of a network for classification at several depths. The network's weights are a file that is
checked; nothing is downloaded here. The small weights on top of it come with torchmetrics.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kreabench.core.errors import one_line
from kreabench.metrics import perceptual_networks as networks
from kreabench.metrics.base import Score, ScoreItem, failed
from kreabench.metrics.comparable import ComparableOptions, Pair, comparable
from kreabench.metrics.devices import check_running, find_device, kind_of
from kreabench.metrics.fidelity import rgb_bytes
from kreabench.metrics.needs import Need
from kreabench.metrics.shared import Shared
from kreabench.metrics.weights import RANDOM_WEIGHTS, WeightsNeed, check_source

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor
    from torch.nn import Module

TORCHMETRICS = "torchmetrics"
"""As `dists_weights`: the file that comes with that library."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _NetworkOptions(ComparableOptions):
    """What LPIPS and DISTS share."""

    weights: str
    """Of the network: its state dict as torchvision publishes it, with the classifier or without."""
    untrained: bool = False
    """Says that the weights are random, which brands every score."""
    device: str = "auto"
    """`auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:N`."""
    batch_size: int = 4
    """Pairs compared at once; halved where memory runs out."""

    def __post_init__(self) -> None:
        """Raises ValueError, which `config/` turns into a message that names the key."""
        ComparableOptions.__post_init__(self)  # super() does not find the class that `slots` makes anew
        check_source(self.weights, untrained=self.untrained)
        check_running(self.device, self.batch_size)


@dataclass(frozen=True, kw_only=True, slots=True)
class LpipsOptions(_NetworkOptions):
    """AlexNet and where its weights come from."""

    weights: str = networks.ALEXNET_SOURCE


@dataclass(frozen=True, kw_only=True, slots=True)
class DistsOptions(_NetworkOptions):
    """VGG-16, DISTS' own weights, and where both come from."""

    weights: str = networks.VGG16_SOURCE
    dists_weights: str = TORCHMETRICS
    """`alpha` and `beta`: `torchmetrics` for those that come with it, which are the authors', or a source."""
    shorter_side_px: int = 256
    """Larger pictures are shrunk to it first, as the authors do; 0 compares them as they are, as torchmetrics does."""

    def __post_init__(self) -> None:
        """As in `_NetworkOptions`."""
        _NetworkOptions.__post_init__(self)
        if self.dists_weights in {"", RANDOM_WEIGHTS}:
            raise ValueError(f"dists_weights must be `{TORCHMETRICS}`, hub:…, https://… or a path")
        if self.shorter_side_px < 0:
            raise ValueError(f"shorter_side_px must be at least 0, and is {self.shorter_side_px}")


class _Perceptual(ABC):
    """What LPIPS and DISTS share: weights, batches of pairs of one size, one bad pair costing only its own score."""

    NETWORK: str
    """For people."""
    SMALLEST_PX = 1
    """Sides below it leave nothing of a picture after the network's strides."""

    def __init__(self, options: _NetworkOptions) -> None:
        self._options = options
        self._model: Module | None = None
        self._device = "cpu"
        self._network: WeightsNeed | None = None
        if options.weights != RANDOM_WEIGHTS:
            self._network = WeightsNeed(name=f"weights of {self.NETWORK}", source=options.weights)
        self.needs: tuple[Need, ...] = (self._network,) if self._network is not None else ()

    @abstractmethod
    def _load(self, backbone: networks.Weights, environ: Mapping[str, str]) -> tuple[Module, dict[str, Any]]:
        """The model, on the CPU, and what of the identity is the metric's own. Raises EnvironmentProblem."""

    def _prepare(self, image: Image) -> Tensor:
        """The model's input, unsigned bytes."""
        return rgb_bytes(image)

    def open(self, shared: Shared) -> dict[str, Any]:
        """Load the weights that are on this machine. Raises EnvironmentProblem; sends nothing."""
        self._device = find_device(self._options.device)
        located = self._network.locate(shared.environ) if self._network is not None else None
        path = located.path if located is not None else None
        model, own = self._load(networks.Weights(path=path, key="options.weights"), shared.environ)
        self._model = model.eval().requires_grad_(False).to(self._device)
        return {
            **own,
            **self._options.identity(),
            "weights_sha256": located.sha256 if located is not None else RANDOM_WEIGHTS,
            "device": kind_of(self._device),
            "untrained": self._options.untrained,
        }

    def score(self, items: Sequence[ScoreItem]) -> list[Score]:
        """One score an item; pairs of one size are compared together."""
        scores: list[Score | None] = [None] * len(items)
        ready: list[_Ready] = []
        for position, item in enumerate(items):
            entry = self._ready(position, item)
            if isinstance(entry, Score):
                scores[position] = entry
            else:
                ready.append(entry)
        for batch in _batches(ready, self._options.batch_size):
            for entry, value in zip(batch, self._distances(batch), strict=True):
                scores[entry.position] = _to_score(value, entry.pair)
        return [score for score in scores if score is not None]

    def close(self) -> None:
        """Drop the model."""
        self._model = None

    def _ready(self, position: int, item: ScoreItem) -> _Ready | Score:
        pair = comparable(item, self._options)
        if isinstance(pair, Score):
            return pair
        width, height = pair.picture.size
        if 0 < min(width, height) < self.SMALLEST_PX:
            reason = f"{width}×{height} pixels are too few for {self.NETWORK}, which needs {self.SMALLEST_PX} a side"
            return Score(status="not_applicable", value=None, reason=reason)
        try:
            picture, reference = (self._prepare(side.image) for side in (pair.picture, pair.reference))
        except Exception as error:  # one bad picture must not cost the others their score
            return failed(one_line(error))
        return _Ready(position=position, pair=pair, picture=picture, reference=reference)

    def _distances(self, batch: Sequence[_Ready]) -> list[float | str]:
        """A distance for each pair, or why there is none."""
        import torch

        if self._model is None:
            raise RuntimeError("score() before open()")
        try:
            with torch.inference_mode():
                # Floats from 0 to 1: bytes would be taken for them, and score differently without a word.
                pictures, references = (
                    torch.stack(side).to(self._device).float() / 255
                    for side in ([entry.picture for entry in batch], [entry.reference for entry in batch])
                )
                distances: list[float | str] = self._model(pictures, references).flatten().tolist()
                return distances
        except torch.OutOfMemoryError as error:
            if len(batch) == 1:  # one pair too large must not cost the others their score
                return [f"out of memory: {' '.join(str(error).split())[:200]}"]
        torch.cuda.empty_cache()
        half = len(batch) // 2
        return self._distances(batch[:half]) + self._distances(batch[half:])


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ready:
    """A pair as the network takes it."""

    position: int
    """In the items."""
    pair: Pair
    picture: Tensor
    reference: Tensor


def _batches(ready: Sequence[_Ready], size: int) -> Iterator[list[_Ready]]:
    """Pairs of one size, at most `size` of them."""
    by_shape: dict[tuple[int, ...], list[_Ready]] = {}
    for entry in ready:
        by_shape.setdefault(tuple(entry.picture.shape), []).append(entry)
    for group in by_shape.values():
        for start in range(0, len(group), size):
            yield group[start : start + size]


def _to_score(value: float | str, pair: Pair) -> Score:
    if isinstance(value, str) or not math.isfinite(value):
        reason = value if isinstance(value, str) else f"the distance is {value}"
        return failed(reason, pair.notes)
    return Score(status="ok", value=max(value, 0.0), notes=pair.notes)  # rounding takes equal pictures below 0


class Lpips(_Perceptual):
    """LPIPS 0.1 on AlexNet, with torchmetrics' network, which is the authors'.

    Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (arXiv 1801.03924).
    """

    NETWORK = "AlexNet"
    SMALLEST_PX = 31

    def __init__(self, **options: Any) -> None:
        """Options as in `LpipsOptions`. Raises ValueError for options that no machine can fulfil."""
        super().__init__(LpipsOptions(**options))

    def _load(self, backbone: networks.Weights, environ: Mapping[str, str]) -> tuple[Module, dict[str, Any]]:
        return networks.lpips(backbone), {"version": 1, "linear_sha256": networks.lpips_linear_sha256(environ)}


class Dists(_Perceptual):
    """DISTS on VGG-16, with piq's network and the authors' weights and size.

    Ding et al., "Image Quality Assessment: Unifying Structure and Texture Similarity" (arXiv 2004.07728).
    """

    NETWORK = "VGG-16"

    def __init__(self, **options: Any) -> None:
        """Options as in `DistsOptions`. Raises ValueError for options that no machine can fulfil."""
        self._dists = DistsOptions(**options)
        super().__init__(self._dists)
        self._own: WeightsNeed | None = None
        if self._dists.dists_weights != TORCHMETRICS:
            key = "options.dists_weights"
            self._own = WeightsNeed(name="DISTS' own weights", source=self._dists.dists_weights, key=key)
            self.needs = (*self.needs, self._own)

    def _load(self, backbone: networks.Weights, environ: Mapping[str, str]) -> tuple[Module, dict[str, Any]]:
        path = self._own.locate(environ).path if self._own is not None else None
        own = networks.Weights(path=path, key="options.dists_weights")
        model, sha256 = networks.dists(backbone, own, environ)
        return model, {"version": 1, "dists_sha256": sha256, "shorter_side_px": self._dists.shorter_side_px}

    def _prepare(self, image: Image) -> Tensor:
        import PIL.Image

        side = self._dists.shorter_side_px
        if side and min(image.size) > side:
            # The longer side rounded down, and Pillow's filter, as the authors have it from torchvision.
            width, height = (side * length // min(image.size) for length in image.size)
            image = image.resize((width, height), PIL.Image.Resampling.BILINEAR)
        return rgb_bytes(image)
