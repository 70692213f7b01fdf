"""Metrics of sets of pictures: KID, FID and CMMD, distances from the reference's pictures, and Vendi, diversity.

The arithmetic is in `distances`; here it is decided which pictures are enough, and what a reader must know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from kreabench.core.per_prompt import to_details
from kreabench.metrics.base import Member, Score
from kreabench.metrics.clip_encoder import Preparation, open_clip_encoder
from kreabench.metrics.clip_options import ClipOptions
from kreabench.metrics.clip_weights import ClipWeightsNeed
from kreabench.metrics.devices import check_running
from kreabench.metrics.dino import DinoOptions, dino_encoder, dino_need
from kreabench.metrics.encoder import ImageEncoder
from kreabench.metrics.inception import PUBLISHED, inception_encoder, inception_need
from kreabench.metrics.needs import Need
from kreabench.metrics.set_base import LEAST_PICTURES, EncodedSets, discrepancy_of, rows_of, scored, sides, too_few
from kreabench.metrics.shared import Shared
from kreabench.metrics.weights import check_source

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray
    from PIL.Image import Image
    from torch import Tensor

LEAST_PICTURES_FID = 2048
"""A side: as many as there are features, without which the covariance is singular and FID far too large."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InceptionOptions:
    """Where Inception's weights come from, and where it runs."""

    weights: str = PUBLISHED
    """As in `weights`: the published file, a local one, or `random`."""
    untrained: bool = False
    """Whether the weights are random, in whatever file; brands every score."""
    device: str = "auto"
    """`auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:N`."""
    batch_size: int = 32
    """Pictures of one size encoded at once."""

    def __post_init__(self) -> None:
        """Raises ValueError, which `config/` turns into a message that names the key."""
        check_source(self.weights, untrained=self.untrained)
        check_running(self.device, self.batch_size)


@dataclass(frozen=True, kw_only=True, slots=True)
class FidOptions(InceptionOptions):
    """And whether to go below the least number of pictures."""

    force: bool = False
    """Compute FID with fewer pictures than it takes; every such score says so."""


class _OfInception(EncodedSets):
    def __init__(self, options: InceptionOptions) -> None:
        need = inception_need(options.weights)
        super().__init__(batch_size=options.batch_size, needs=() if need is None else (need,))
        self._where = options

    def _load(self, shared: Shared) -> ImageEncoder:
        where = self._where
        return inception_encoder(shared, weights=where.weights, untrained=where.untrained, device=where.device)


class Kid(_OfInception):
    """Kernel Inception Distance (Bińkowski et al., arXiv 1801.01401): unbiased, so below 0 as often as above 0 for two
    samples of one distribution, at any number of pictures.

    Over all pictures, not over random subsets. `details.standard_error` as in `distances.discrepancy`.
    """

    def __init__(self, **options: Any) -> None:
        """Raises ValueError for options that no machine can fulfil."""
        super().__init__(InceptionOptions(**options))

    def compare(self, pictures: Sequence[Member], reference: Sequence[Member]) -> Score:
        """As in `SetMetric`."""
        from kreabench.metrics.distances import polynomial_kernel

        return too_few(pictures, reference, LEAST_PICTURES) or scored(
            discrepancy_of(pictures, reference, polynomial_kernel)
        )


class Fid(_OfInception):
    """Fréchet Inception Distance (Heusel et al., arXiv 1706.08500), of at least as many pictures as features a side."""

    def __init__(self, **options: Any) -> None:
        """Raises ValueError for options that no machine can fulfil."""
        self._options = FidOptions(**options)
        super().__init__(self._options)

    def _choices(self) -> dict[str, Any]:
        return {"force": self._options.force}

    def compare(self, pictures: Sequence[Member], reference: Sequence[Member]) -> Score:
        """As in `SetMetric`."""
        from kreabench.metrics.distances import frechet_distance

        refused = too_few(pictures, reference, LEAST_PICTURES)
        few = min(len(pictures), len(reference)) < LEAST_PICTURES_FID
        if refused is None and few and not self._options.force:
            hint = "with fewer its bias is larger than most differences: prefer kid, or set options.force"
            refused = too_few(pictures, reference, LEAST_PICTURES_FID, hint)
        if refused is not None:
            return refused
        note = f"forced with {sides(pictures, reference)}: FID falls with their number, so it compares with no other"
        value = frechet_distance(rows_of(pictures), rows_of(reference))
        return Score(status="ok", value=value, notes=(note,) if few else ())


@dataclass(frozen=True, kw_only=True, slots=True)
class CmmdOptions(ClipOptions):
    """A model of open_clip, and the estimator."""

    model: str = "ViT-L-14-336-quickgelu"
    """An open_clip architecture: OpenAI's weights were trained with QuickGELU."""
    estimator: Literal["unbiased", "biased"] = "unbiased"
    """`biased` is the original's, for values that compare with published ones."""

    def __post_init__(self) -> None:
        """Raises ValueError, which `config/` turns into a message that names the key."""
        ClipOptions.__post_init__(self)
        if self.estimator not in ("unbiased", "biased"):
            raise ValueError(f"estimator must be unbiased or biased, and is {self.estimator!r}")


class Cmmd(EncodedSets):
    """CLIP maximum mean discrepancy (Jayasumana et al., arXiv 2401.09603): Gaussian kernel with σ 10, × 1000.

    The original takes the biased estimator. For n pictures a side it is too large by 2/n of how far a picture's kernel
    with itself lies above that with another: nothing for its 30,000, but as much as settings differ by for some
    hundred. So the unbiased one is ours unless asked; it is below 0 as often as above for two samples of one
    distribution. As in the original, a picture is squeezed into the model's square and not cropped to it.
    """

    SIGMA = 10.0
    SCALE = 1000.0

    def __init__(self, **options: Any) -> None:
        """Raises ValueError for options that no machine can fulfil."""
        self._options = CmmdOptions(**options)
        need = ClipWeightsNeed(model=self._options.model, weights=self._options.weights, reads_prompts=False)
        super().__init__(batch_size=self._options.batch_size, needs=(need,))

    def _load(self, shared: Shared) -> ImageEncoder:
        return open_clip_encoder(
            shared,
            model=self._options.model,
            weights=self._options.weights,
            untrained=self._options.untrained,
            device=self._options.device,
            reads_prompts=False,
            preparation=Preparation(name="squash", make=_squash),
        )

    def _choices(self) -> dict[str, Any]:
        return {"estimator": self._options.estimator, "sigma": self.SIGMA, "scale": self.SCALE}

    def compare(self, pictures: Sequence[Member], reference: Sequence[Member]) -> Score:
        """As in `SetMetric`."""
        from kreabench.metrics.distances import gaussian_kernel

        refused = too_few(pictures, reference, LEAST_PICTURES)
        if refused is not None:
            return refused
        unbiased = self._options.estimator == "unbiased"
        found = discrepancy_of(pictures, reference, gaussian_kernel(self.SIGMA), unbiased=unbiased)
        return scored(found, self.SCALE)


@dataclass(frozen=True, kw_only=True, slots=True)
class VendiOptions:
    """Whose embeddings say what is alike."""

    encoder: Literal["dino", "clip"] = "dino"
    """`dino`: DINOv2, which sees layout and objects; `clip`: a model of open_clip, which sees meaning."""
    model: str = "ViT-L-14-quickgelu"
    """Of `clip`: an open_clip architecture."""
    weights: str = ""
    """Empty: the default of dino_similarity or of clip_score."""
    untrained: bool = False
    device: str = "auto"
    batch_size: int = 16

    def __post_init__(self) -> None:
        """Raises ValueError, which `config/` turns into a message that names the key."""
        if self.encoder not in ("dino", "clip"):
            raise ValueError(f"encoder must be dino or clip, and is {self.encoder!r}")
        if self.weights:
            check_source(self.weights, untrained=self.untrained)
        check_running(self.device, self.batch_size)


class Vendi(EncodedSets):
    """Effective number of different pictures that the seeds of one prompt give (Friedman and Dieng, arXiv 2210.02410):
    mean over prompts of the Vendi score, with the cosine of embeddings, of each prompt's pictures.

    Between 1, all alike, and the number of seeds. `details` hold each prompt's value, with which settings are compared
    prompt by prompt. A picture drawn again, of the same prompt, seed and index, counts once.
    """

    def __init__(self, **options: Any) -> None:
        """Raises ValueError for options that no machine can fulfil."""
        self._options = VendiOptions(**options)
        default = DinoOptions().weights if self._options.encoder == "dino" else ClipOptions().weights
        self._weights = self._options.weights or default
        super().__init__(batch_size=self._options.batch_size, needs=self._needs())

    def _needs(self) -> tuple[Need, ...]:
        if self._options.encoder == "dino":
            return dino_need(self._weights)
        return (ClipWeightsNeed(model=self._options.model, weights=self._weights, reads_prompts=False),)

    def _load(self, shared: Shared) -> ImageEncoder:
        untrained, device = self._options.untrained, self._options.device
        if self._options.encoder == "dino":
            return dino_encoder(shared, weights=self._weights, untrained=untrained, device=device)
        return open_clip_encoder(
            shared,
            model=self._options.model,
            weights=self._weights,
            untrained=untrained,
            device=device,
            reads_prompts=False,
        )

    def compare(self, pictures: Sequence[Member], reference: Sequence[Member]) -> Score:
        """As in `SetMetric`; `reference` is not looked at."""
        from kreabench.metrics.distances import effective_number

        by_prompt: dict[str, dict[tuple[int, int], NDArray[float32]]] = {}
        for member in pictures:
            by_prompt.setdefault(member.prompt_id, {}).setdefault((member.seed, member.index), member.features)
        values = {
            prompt_id: (effective_number(list(rows.values())), len(rows))
            for prompt_id, rows in by_prompt.items()
            if len(rows) >= 2
        }
        if not values:
            reason = "no prompt has pictures of two seeds, so there is nothing to differ"
            return Score(status="not_applicable", value=None, reason=reason)
        found = [value for value, _ in values.values()]
        whole = {
            "prompts": float(len(values)),
            "seeds_per_prompt": sum(number for _, number in values.values()) / len(values),
            "smallest": min(found),
        }
        return Score(status="ok", value=sum(found) / len(found), details=whole | to_details(values))


def _squash(config: Mapping[str, Any]) -> Callable[[Image], Tensor]:
    """The model's preprocessing, with the whole picture made a square."""
    from open_clip.transform import PreprocessCfg, image_transform_v2

    cfg = PreprocessCfg(**{**config, "resize_mode": "squash"})
    transform = image_transform_v2(cfg, is_train=False)

    def prepare(image: Image) -> Tensor:
        if 0 in image.size:  # of which the transform makes a black square
            raise ValueError(f"the picture has {image.width}×{image.height} pixels")
        pixels: Tensor = transform(image)
        return pixels

    return prepare
