"""How close a picture is to its reference, pixel by pixel: PSNR, SSIM and MS-SSIM.

All need two pictures of one size; `metrics.comparable` says when others are shrunk to it, and what a JPEG costs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kreabench.core.errors import one_line
from kreabench.metrics.base import Score, ScoreItem, failed
from kreabench.metrics.comparable import ComparableOptions, comparable
from kreabench.metrics.needs import Need
from kreabench.metrics.shared import Shared
from kreabench.metrics.threads import threads_for

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor


WINDOW = 11
"""Side of the Gaussian window of SSIM and MS-SSIM, pixels."""
SIGMA = 1.5
K1 = 0.01
K2 = 0.03
_WINDOW_IDENTITY = {"window": WINDOW, "sigma": SIGMA, "k1": K1, "k2": K2}


@dataclass(frozen=True, kw_only=True, slots=True)
class FidelityOptions(ComparableOptions):
    """There is nothing to choose but what is compared with what."""


class _Fidelity(ABC):
    """What these metrics share: pairs, and one bad item costing only its own score."""

    def __init__(self, **options: Any) -> None:
        self._options = FidelityOptions(**options)
        self.needs: tuple[Need, ...] = ()

    @property
    @abstractmethod
    def _definition(self) -> dict[str, Any]:
        """What of the identity is the metric's own."""

    @abstractmethod
    def _compare(self, picture: Tensor, reference: Tensor) -> Score:
        """The score of two pictures of one size: unsigned bytes, channels × height × width."""

    def open(self, shared: Shared) -> dict[str, Any]:
        """The identity. Library versions are no part of it: they would void scores that do not change."""
        return {**self._definition, **self._options.identity()}

    def score(self, items: Sequence[ScoreItem]) -> list[Score]:
        """One score an item. Pair by pair: a batch would only cost memory."""
        with threads_for(max((item.image.width * item.image.height for item in items), default=0)):
            return [self._score_one(item) for item in items]

    def close(self) -> None:  # noqa: B027 (nothing to override: nothing is held)
        """Nothing is held."""

    def _score_one(self, item: ScoreItem) -> Score:
        pair = comparable(item, self._options)
        if isinstance(pair, Score):
            return pair
        try:
            score = self._compare(rgb_bytes(pair.picture.image), rgb_bytes(pair.reference.image))
        except Exception as error:  # one bad picture must not cost the others their score
            return failed(one_line(error))
        return replace(score, notes=pair.notes)


class Psnr(_Fidelity):
    """Peak signal-to-noise ratio in dB over all three channels, with torchmetrics; `infinite` for equal pictures."""

    PEAK = 255

    @property
    def _definition(self) -> dict[str, Any]:
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

    @property
    def _definition(self) -> dict[str, Any]:
        return {"version": 1, **_WINDOW_IDENTITY, "downsample": False, "channels": "RGB"}

    def _compare(self, picture: Tensor, reference: Tensor) -> Score:
        import piq

        height, width = picture.shape[1:]
        if min(height, width) < WINDOW:
            reason = f"{width}×{height} pixels are smaller than the window of {WINDOW}×{WINDOW}"
            return Score(status="not_applicable", value=None, reason=reason)
        value = piq.ssim(
            picture[None] / 255,
            reference[None] / 255,
            kernel_size=WINDOW,
            kernel_sigma=SIGMA,
            data_range=1.0,
            downsample=False,
            k1=K1,
            k2=K2,
        )
        return Score(status="ok", value=min(max(float(value), -1.0), 1.0))  # rounding takes equal pictures past 1


class MsSsim(_Fidelity):
    """Structural similarity over five scales, with piq.

    Wang, Simoncelli and Bovik, "Multi-scale structural similarity for image quality assessment" (Asilomar 2003): the
    window and constants of `Ssim`, each scale half of the one before by 2 × 2 means, each channel on its own, then the
    mean over the channels. A negative scale counts as 0, where the original gives a complex number. torchmetrics takes
    the mean over the channels before it multiplies the scales, so the two agree for grey pictures alone. Where a scale
    has an odd side, piq takes its first row twice and the authors the last: sides that are multiples of 16 have none.
    """

    SCALES = 5

    @property
    def _definition(self) -> dict[str, Any]:
        return {"version": 1, **_WINDOW_IDENTITY, "scales": self.SCALES, "channels": "RGB"}

    def _compare(self, picture: Tensor, reference: Tensor) -> Score:
        import piq

        smallest = (WINDOW - 1) * 2 ** (self.SCALES - 1) + 1
        height, width = picture.shape[1:]
        if min(height, width) < smallest:
            reason = f"{width}×{height} pixels are too few for {self.SCALES} scales, which need {smallest} a side"
            return Score(status="not_applicable", value=None, reason=reason)
        value = piq.multi_scale_ssim(
            picture[None] / 255,
            reference[None] / 255,
            kernel_size=WINDOW,
            kernel_sigma=SIGMA,
            data_range=1.0,
            k1=K1,
            k2=K2,
        )
        return Score(status="ok", value=min(max(float(value), 0.0), 1.0))  # rounding takes equal pictures past 1


def rgb_bytes(image: Image) -> Tensor:
    """Channels × height × width, unsigned bytes. Raises ValueError for anything but RGB, and without pixels."""
    import numpy as np
    import torch

    if image.mode != "RGB":
        raise ValueError(f"expected an RGB picture, found {image.mode}")
    if not all(image.size):
        raise ValueError("the picture has no pixels")
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
