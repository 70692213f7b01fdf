"""Metrics of sets of pictures: KID, FID and CMMD, distances from the reference's pictures, and Vendi, diversity.

The arithmetic is in `distances`; here it is decided which pictures are enough, and what a reader must know.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from kreabench.core.per_prompt import to_details
from kreabench.metrics.base import Member, Score, ScoreItem
from kreabench.metrics.clip_encoder import open_clip_encoder
from kreabench.metrics.devices import check_device
from kreabench.metrics.encoder import ImageEncoder
from kreabench.metrics.inception import PUBLISHED, inception_encoder, inception_need
from kreabench.metrics.needs import Need
from kreabench.metrics.shared import Shared
from kreabench.metrics.weights import check_source

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    from kreabench.metrics.distances import Discrepancy, Kernel

VERSION = 1
"""Of this implementation; raised when the same pictures and weights would score differently."""

LEAST_PICTURES = 2
"""A side, for a distance: one picture has no spread."""
LEAST_PICTURES_FID = 2048
"""A side: as many as there are features, without which the covariance is singular and FID far too large."""


def _check_batch(batch_size: int) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, and is {batch_size}")


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
        check_device(self.device)
        _check_batch(self.batch_size)


@dataclass(frozen=True, kw_only=True, slots=True)
class FidOptions:
    """As `InceptionOptions`, and whether to go below the least number of pictures."""

    weights: str = PUBLISHED
    untrained: bool = False
    device: str = "auto"
    batch_size: int = 32
    force: bool = False
    """Compute FID with fewer pictures than it takes; every such score says so."""

    def __post_init__(self) -> None:
        """Raises ValueError, which `config/` turns into a message that names the key."""
        check_source(self.weights, untrained=self.untrained)
        check_device(self.device)
        _check_batch(self.batch_size)


class _SetMetric(ABC):
    """What all share: an encoder, and rows that fail by themselves."""

    def __init__(self, *, batch_size: int, needs: tuple[Need, ...]) -> None:
        self.needs = needs
        self._batch_size = batch_size
        self._encoder: ImageEncoder | None = None

    def open(self, shared: Shared) -> dict[str, Any]:
        """Load the encoder, or share it. Raises EnvironmentProblem."""
        self._encoder = self._load(shared)
        return {"version": VERSION, **self._encoder.identity, **self._choices()}

    def features(self, items: Sequence[ScoreItem]) -> list[NDArray[float32] | str]:
        """What the encoder makes of each picture."""
        import numpy as np

        if self._encoder is None:
            raise RuntimeError("features() before open()")
        found = self._encoder.embed([(item.sha256, item.image) for item in items], batch_size=self._batch_size)
        return [entry if isinstance(entry, str) else entry.numpy().astype(np.float32) for entry in found]

    def close(self) -> None:
        """Let go of the encoder, which is `shared`'s."""
        self._encoder = None

    def _choices(self) -> dict[str, Any]:
        """Options, beside the encoder's, that change a score."""
        return {}

    @abstractmethod
    def _load(self, shared: Shared) -> ImageEncoder:
        """The encoder of the options."""

    @abstractmethod
    def compare(self, pictures: Sequence[Member], reference: Sequence[Member]) -> Score:
        """As in `SetMetric`."""


class _OfInception(_SetMetric):
    def __init__(self, options: InceptionOptions | FidOptions) -> None:
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

        return _too_few(pictures, reference, LEAST_PICTURES) or _score(_of(pictures, reference, polynomial_kernel))


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

        refused = _too_few(pictures, reference, LEAST_PICTURES)
        few = min(len(pictures), len(reference)) < LEAST_PICTURES_FID
        if refused is None and few and not self._options.force:
            hint = "with fewer its bias is larger than most differences: prefer kid, or set options.force"
            refused = _too_few(pictures, reference, LEAST_PICTURES_FID, hint)
        if refused is not None:
            return refused
        note = f"forced with {_sides(pictures, reference)}: FID falls with their number, so it compares with no other"
        value = frechet_distance(_rows(pictures), _rows(reference))
        return Score(status="ok", value=value, notes=(note,) if few else ())


@dataclass(frozen=True, kw_only=True, slots=True)
class CmmdOptions:
    """A model of open_clip, and the estimator."""

    model: str = "ViT-L-14-336-quickgelu"
    """An open_clip architecture: OpenAI's weights were trained with QuickGELU."""
    weights: str = "openai"
    """As of clip_score."""
    untrained: bool = False
    device: str = "auto"
    batch_size: int = 16
    estimator: Literal["unbiased", "biased"] = "unbiased"
    """`biased` is the original's, for values that compare with published ones."""

    def __post_init__(self) -> None:
        """Raises ValueError, which `config/` turns into a message that names the key."""
        check_source(self.weights, untrained=self.untrained)
        check_device(self.device)
        _check_batch(self.batch_size)
        if self.estimator not in ("unbiased", "biased"):
            raise ValueError(f"estimator must be unbiased or biased, and is {self.estimator!r}")


class Cmmd(_SetMetric):
    """CLIP maximum mean discrepancy (Jayasumana et al., arXiv 2401.09603): Gaussian kernel with σ 10, × 1000.

    The original takes the biased estimator, which for n pictures a side adds about 2/n of a kernel's variance: nothing
    for its 30,000, but as much as settings differ by for some hundred. So the unbiased one is ours unless asked; it is
    below 0 as often as above 0 for two samples of one distribution. The original squeezes a picture into the model's
    square, where we take the centred square, as CLIP does: the same for square pictures.
    """

    SIGMA = 10.0
    SCALE = 1000.0

    def __init__(self, **options: Any) -> None:
        """Raises ValueError for options that no machine can fulfil."""
        self._options = CmmdOptions(**options)
        super().__init__(batch_size=self._options.batch_size, needs=())

    def _load(self, shared: Shared) -> ImageEncoder:
        o = self._options
        return open_clip_encoder(shared, model=o.model, weights=o.weights, untrained=o.untrained, device=o.device)

    def _choices(self) -> dict[str, Any]:
        return {"estimator": self._options.estimator, "sigma": self.SIGMA, "scale": self.SCALE}

    def compare(self, pictures: Sequence[Member], reference: Sequence[Member]) -> Score:
        """As in `SetMetric`."""
        from kreabench.metrics.distances import gaussian_kernel

        refused = _too_few(pictures, reference, LEAST_PICTURES)
        if refused is not None:
            return refused
        unbiased = self._options.estimator == "unbiased"
        found = _of(pictures, reference, gaussian_kernel(self.SIGMA), unbiased=unbiased)
        return _score(found, self.SCALE)


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
        check_device(self.device)
        _check_batch(self.batch_size)


class Vendi(_SetMetric):
    """Effective number of different pictures that the seeds of one prompt give (Friedman and Dieng, arXiv 2210.02410):
    mean over prompts of the Vendi score, with the cosine of embeddings, of each prompt's pictures.

    Between 1, all alike, and the number of seeds. `details` hold each prompt's value, with which settings are compared
    prompt by prompt. Pictures of one prompt and seed are one draw: only the first counts.
    """

    def __init__(self, **options: Any) -> None:
        """Raises ValueError for options that no machine can fulfil."""
        self._options = VendiOptions(**options)
        super().__init__(batch_size=self._options.batch_size, needs=())

    def _load(self, shared: Shared) -> ImageEncoder:
        raise NotImplementedError

    def compare(self, pictures: Sequence[Member], reference: Sequence[Member]) -> Score:
        """As in `SetMetric`; `reference` is not looked at."""
        from kreabench.metrics.distances import effective_number

        by_prompt: dict[str, dict[int, NDArray[float32]]] = {}
        for member in pictures:
            by_prompt.setdefault(member.prompt_id, {}).setdefault(member.seed, member.features)
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


def _rows(members: Sequence[Member]) -> list[NDArray[float32]]:
    return [member.features for member in members]


def _of(pictures: Sequence[Member], reference: Sequence[Member], kernel: Kernel, *, unbiased: bool = True) -> Discrepancy:
    from kreabench.metrics.distances import discrepancy

    return discrepancy(
        _rows(pictures),
        _rows(reference),
        kernel,
        groups=[member.prompt_id for member in pictures],
        reference_groups=[member.prompt_id for member in reference],
        unbiased=unbiased,
    )


def _score(found: Discrepancy, scale: float = 1.0) -> Score:
    details = {"prompts": float(found.groups)}
    if found.standard_error is not None:
        details["standard_error"] = scale * found.standard_error
    return Score(status="ok", value=scale * found.value, details=details)


def _sides(pictures: Sequence[Member], reference: Sequence[Member]) -> str:
    return f"{len(pictures):,} pictures and {len(reference):,} of the reference"


def _too_few(pictures: Sequence[Member], reference: Sequence[Member], least: int, hint: str = "") -> Score | None:
    if min(len(pictures), len(reference)) >= least:
        return None
    reason = f"needs at least {least:,} pictures a side, and there are {_sides(pictures, reference)}"
    return Score(status="not_applicable", value=None, reason=f"{reason}; {hint}" if hint else reason)
