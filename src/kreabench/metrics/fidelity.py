"""How close a picture is to its reference, pixel by pixel: PSNR and SSIM.

Both need two pictures of one size: a picture is never rescaled to be compared, as that alone would cost fidelity.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kreabench.metrics.base import Score, ScoreItem
from kreabench.metrics.needs import Need
from kreabench.metrics.shared import Shared
from kreabench.metrics.threads import threads_for

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class FidelityOptions:
    """PSNR and SSIM have nothing to choose."""


class _Fidelity(ABC):
    """What PSNR and SSIM share: pairs, sizes, and one bad item costing only its own score."""

    def __init__(self, **options: Any) -> None:
        self._options = FidelityOptions(**options)
        self.needs: tuple[Need, ...] = ()

    @abstractmethod
    def open(self, shared: Shared) -> dict[str, Any]:
        """The identity. Library versions are no part of it: they would void scores that do not change."""

    @abstractmethod
    def _compare(self, picture: Tensor, reference: Tensor) -> Score:
        """The score of two pictures of one size: unsigned bytes, channels × height × width."""

    def score(self, items: Sequence[ScoreItem]) -> list[Score]:
        """One score an item. Pair by pair: a batch would only cost memory."""
        with threads_for(max((item.image.width * item.image.height for item in items), default=0)):
            return [self._score_one(item) for item in items]

    def close(self) -> None:  # noqa: B027 (nothing to override: nothing is held)
        """Nothing is held."""

    def _score_one(self, item: ScoreItem) -> Score:
        if item.reference is None:
            return Score(status="not_applicable", value=None, reason="there is no reference picture")
        if item.image.size != item.reference.size:
            sizes = "{}×{} and its reference {}×{}".format(*item.image.size, *item.reference.size)
            reason = f"the picture has {sizes} pixels, and pictures are never rescaled to be compared"
            return Score(status="not_applicable", value=None, reason=reason)
        try:
            return self._compare(_pixels(item.image), _pixels(item.reference))
        except Exception as error:  # one bad picture must not cost the others their score
            return Score(status="failed", value=None, reason=f"{type(error).__name__}: {error}")


class Psnr(_Fidelity):
    """Peak signal-to-noise ratio in dB over all three channels, with torchmetrics; `infinite` for equal pictures."""

    PEAK = 255

    def open(self, shared: Shared) -> dict[str, Any]:
        return {"version": 1, "peak": self.PEAK, "channels": "RGB"}

    def _compare(self, picture: Tensor, reference: Tensor) -> Score:
        import torch
        from torchmetrics.functional.image import peak_signal_noise_ratio

        if torch.equal(picture, reference):
            return Score(status="infinite", value=None)
        decibels = float(peak_signal_noise_ratio(picture, reference, data_range=self.PEAK))
        return Score(status="ok", value=max(decibels, 0.0))  # rounding takes black against white below 0


class Ssim(_Fidelity):
    """Structural similarity, with piq.

    Wang et al., "Image quality assessment: from error visibility to structural similarity" (IEEE TIP 13, 2004):
    Gaussian window of 11 × 11 pixels and σ 1.5, K1 .01, K2 .03, only where the window lies inside the picture, mean
    over the three channels. Unlike piq's default the picture is not shrunk first: so it equals scikit-image's
    `structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)`, and fine detail counts.
    """

    WINDOW = 11
    SIGMA = 1.5
    K1 = 0.01
    K2 = 0.03

    def open(self, shared: Shared) -> dict[str, Any]:
        return {
            "version": 1,
            "window": self.WINDOW,
            "sigma": self.SIGMA,
            "k1": self.K1,
            "k2": self.K2,
            "downsample": False,
            "channels": "RGB",
        }

    def _compare(self, picture: Tensor, reference: Tensor) -> Score:
        import piq

        height, width = picture.shape[1:]
        if min(height, width) < self.WINDOW:
            reason = f"{width}×{height} pixels are smaller than the window of {self.WINDOW}×{self.WINDOW}"
            return Score(status="not_applicable", value=None, reason=reason)
        value = piq.ssim(
            picture[None] / 255,
            reference[None] / 255,
            kernel_size=self.WINDOW,
            kernel_sigma=self.SIGMA,
            data_range=1.0,
            downsample=False,
            k1=self.K1,
            k2=self.K2,
        )
        return Score(status="ok", value=min(max(float(value), -1.0), 1.0))  # rounding takes equal pictures past 1


def _pixels(image: Image) -> Tensor:
    """Channels × height × width, unsigned bytes. Raises ValueError for anything but RGB."""
    import numpy as np
    import torch

    if image.mode != "RGB":
        raise ValueError(f"expected an RGB picture, found {image.mode}")
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
