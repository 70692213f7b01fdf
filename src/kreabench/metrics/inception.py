"""Inception V3 as the original FID has it, as an encoder that metrics share.

torch-fidelity's port of the network of 2015-12-05 (Heusel et al., arXiv 1706.08500): 2,048 numbers a picture, not
normalised. The network resizes by itself, bilinearly and without antialiasing as TensorFlow 1 did, as all published
values of FID and KID have it. torchmetrics resizes with antialiasing unless told otherwise: its values differ.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kreabench.metrics.devices import find_device, kind_of
from kreabench.metrics.encoder import ImageEncoder
from kreabench.metrics.state_dicts import load_into, load_state_dict
from kreabench.metrics.weights import RANDOM_WEIGHTS, WeightsNeed

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from kreabench.metrics.shared import Shared

PUBLISHED = (
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth"
    "#sha256=6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
)
"""The port of the original weights that torch-fidelity and torchmetrics load, without their missing check."""

_RANDOM_SEED = 1
_FEATURES = "2048"


class InceptionEncoder(ImageEncoder):
    """Pictures go in as unsigned bytes of their own size."""

    def __init__(self, network: Any, *, identity: dict[str, Any], device: str) -> None:
        super().__init__(identity=identity, device=device, normalised=False)
        self._network = network

    def _prepare(self, image: Image) -> Tensor:
        import numpy as np
        import torch

        if image.mode != "RGB" or 0 in image.size:
            raise ValueError(f"expected an RGB picture with pixels, found {image.mode} of {image.width}×{image.height}")
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()

    def _encode(self, batch: Tensor) -> Tensor:
        features: Tensor = self._network(batch)[0]
        return features

    def _vectors(self, pixels: list[Tensor]) -> list[Tensor | None]:
        """Pictures of one size at a time: they are resized on the device."""
        by_size: dict[tuple[int, ...], list[int]] = {}
        for position, picture in enumerate(pixels):
            by_size.setdefault(tuple(picture.shape), []).append(position)
        found: dict[int, Tensor | None] = {}
        for positions in by_size.values():
            vectors = super()._vectors([pixels[position] for position in positions])
            found.update(zip(positions, vectors, strict=True))
        return [found[position] for position in range(len(pixels))]


def inception_need(weights: str) -> WeightsNeed | None:
    """What must be on this machine for `weights`; None for random ones."""
    if weights == RANDOM_WEIGHTS:
        return None
    return WeightsNeed(name="weights of the original FID's Inception V3", source=weights)


def inception_encoder(shared: Shared, *, weights: str, untrained: bool, device: str) -> ImageEncoder:
    """The encoder of these options, loaded by the first who asks. Raises EnvironmentProblem; sends nothing."""
    device = find_device(device)
    need = inception_need(weights)
    located = None if need is None else need.locate(shared.environ)
    digest = f"random, seed {_RANDOM_SEED}" if located is None else located.sha256

    def load() -> ImageEncoder:
        network = _empty_network()
        if located is None:
            _fill_at_random(network)
        else:
            _fill(network, located.path)
        identity = {
            "model": "inception-2015-12-05",
            "features": _FEATURES,
            "preprocessing": "bilinear to 299 as TensorFlow 1, not antialiased",
            "weights_sha256": digest,
            "device": kind_of(device),
            "untrained": untrained,
        }
        return InceptionEncoder(network.to(device), identity=identity, device=device)

    return shared.encoder(("inception", digest, untrained, device), load)


def _empty_network() -> Any:
    """The network with unset weights.

    torch-fidelity's constructor would unpickle the weights with whatever code they hold, so it is given an empty file,
    and the weights are loaded afterwards, as tensors.
    """
    import io

    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Unfilled(FeatureExtractorInceptionV3):  # type: ignore[misc]
        def load_state_dict(self, state_dict: Any, *args: Any, **kwargs: Any) -> Any:
            return super().load_state_dict(state_dict, *args, **kwargs) if state_dict else None

    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    with torch.device("meta"):  # drawing random weights only to overwrite them would take a second
        network = Unfilled("inception", [_FEATURES], feature_extractor_weights_path=nothing)
    return network.to_empty(device="cpu").eval()


def _fill(network: Any, path: Path) -> None:
    import torch

    state = load_state_dict(path)
    for name in network.state_dict():
        if name.endswith("num_batches_tracked"):  # unused, and older files lack it
            state.setdefault(name, torch.zeros((), dtype=torch.int64))
    load_into(network, state, path=path)


def _fill_at_random(network: Any) -> None:
    """Weights with which what a layer gives is about as large as what it gets (He et al., arXiv 1502.01852)."""
    import torch

    generator = torch.Generator().manual_seed(_RANDOM_SEED)
    for name, value in network.state_dict().items():
        if value.ndim > 1:
            value.normal_(0.0, (2.0 / value[0].numel()) ** 0.5, generator=generator)
        else:
            value.fill_(1 if name.endswith(("bn.weight", "running_var")) else 0)
