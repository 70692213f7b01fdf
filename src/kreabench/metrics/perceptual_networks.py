"""The networks of LPIPS and DISTS, with weights from files of ours.

Both libraries would download a network on first use and check nothing; so the network's weights are put in here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from kreabench.core.errors import EnvironmentProblem, Problem
from kreabench.metrics.state_dicts import load_into, load_state_dict
from kreabench.metrics.weight_hashes import file_sha256

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, Sequential

# torchvision's files carry the first eight digits of their SHA-256 in their names; all 64 are as several public
# projects that check them have them.
ALEXNET_SOURCE = (
    "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"
    "#sha256=7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02"
)
VGG16_SOURCE = (
    "https://download.pytorch.org/models/vgg16-397923af.pth"
    "#sha256=397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"
)

_RANDOM_SEED = 1
_VGG16_STAGES = ("3", "8", "15", "22", "29")
"""The last layer of each of its five stages, a ReLU each, in torchvision's numbering."""
_DISTS_CHANNELS = (3, 64, 128, 256, 512, 512)
"""Of the picture itself and of each stage."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """A file of weights."""

    path: Path | None
    """None draws a network at random, or takes what comes with torchmetrics."""
    key: str
    """Of the option that names it, for problems."""


def lpips(backbone: Weights) -> Module:
    """Pictures and references, batch × 3 × height × width from 0 to 1, to one distance a pair."""
    import torch
    from torchmetrics.functional.image.lpips import _LPIPS  # its public class has no way to put weights in

    class Lpips(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = _LPIPS(pretrained=True, net="alex", pnet_rand=True)

        def forward(self, pictures: Tensor, references: Tensor) -> Tensor:
            distances: Tensor = self.network(pictures, references, normalize=True)
            return distances

    with torch.random.fork_rng(devices=[]):  # it draws a network, which is then replaced
        model = Lpips()
    features = _features("alexnet", backbone)
    network: Any = model.network.net
    for part in (network.slice1, network.slice2, network.slice3, network.slice4, network.slice5):
        for number, layer in part.named_children():
            layer.load_state_dict(features[int(number)].state_dict())
    return model


def lpips_linear_sha256(environ: Mapping[str, str]) -> str:
    """Of the layers on top of AlexNet, which come with torchmetrics."""
    return file_sha256(_shipped("lpips_models/alex.pth"), environ)


def dists(backbone: Weights, own: Weights, environ: Mapping[str, str]) -> tuple[Module, str]:
    """As `lpips`, and the SHA-256 of DISTS' own weights."""
    import piq
    import torch
    from piq.perceptual import ContentLoss

    path = own.path if own.path is not None else _shipped("dists_models/weights.pt")
    alpha, beta = _alpha_and_beta(path, own.key)

    class Dists(piq.DISTS):  # type: ignore[misc]  # piq has no types
        def __init__(self) -> None:
            # Not that of DISTS, which downloads. The network ends with the last stage that is compared.
            ContentLoss.__init__(
                self,
                _features("vgg16", backbone)[: int(_VGG16_STAGES[-1]) + 1],
                layers=_VGG16_STAGES,
                weights=[part for whole in (alpha, beta) for part in torch.split(whole, list(_DISTS_CHANNELS), dim=1)],
                replace_pooling=True,
                reduction="none",
                allow_layers_weights_mismatch=True,
            )

        def get_features(self, x: Tensor) -> list[Tensor]:
            # Means and covariances in double precision: near pictures differ by less than what single precision loses.
            return [features.double() for features in super().get_features(x)]

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            # Not that of DISTS, which shrinks without a filter against aliasing.
            distances: Tensor = 1 - ContentLoss.forward(self, x, y)
            return distances

    return Dists(), file_sha256(path, environ)


def _alpha_and_beta(path: Path, key: str) -> tuple[Tensor, Tensor]:
    """The weight of each channel's mean and of its variation, together 1, as the authors scale them."""
    state = load_state_dict(path, key=key)
    shape = (1, sum(_DISTS_CHANNELS), 1, 1)
    found = {name: tuple(value.shape) for name, value in state.items()}
    if found != {"alpha": shape, "beta": shape}:
        expected = f"`alpha` and `beta` of shape {list(shape)}"
        raise EnvironmentProblem([Problem(key=key, found=f"{path}, which holds {found}"[:300], expected=expected)])
    alpha, beta = state["alpha"].double(), state["beta"].double()
    total = alpha.sum() + beta.sum()
    return alpha / total, beta / total


def _features(architecture: str, weights: Weights) -> Sequential:
    """The convolutions of torchvision's `alexnet` or `vgg16`, without the classifier, which is most of the file."""
    import torch
    import torchvision

    with torch.device("meta"):  # shapes alone: the classifier would take half a gigabyte
        model: Any = torchvision.models.get_model(architecture, weights=None)
    model.classifier = torch.nn.Identity()
    model.to_empty(device="cpu")
    if weights.path is None:
        _draw(model)
    else:
        state = load_state_dict(weights.path, key=weights.key)
        load_into(model, state, path=weights.path, key=weights.key, may_have=("classifier.",))
    return cast("Sequential", model.features)


def _draw(model: Module) -> None:
    """Random weights that keep the scale of what passes through them."""
    import torch

    generator = torch.Generator().manual_seed(_RANDOM_SEED)
    for name, weights in model.named_parameters():
        with torch.no_grad():
            if name.endswith("bias"):
                weights.zero_()
            else:
                fan_in = weights[0].numel()
                weights.normal_(0.0, (2.0 / fan_in) ** 0.5, generator=generator)


def _shipped(name: str) -> Path:
    import torchmetrics.functional.image as package

    return Path(package.__path__[0]) / name
