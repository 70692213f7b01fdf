"""What metrics of sets share: an encoder, what makes two sets comparable, and how a distance becomes a score."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kreabench.metrics.base import Member, Score, ScoreItem
from kreabench.metrics.encoder import ImageEncoder
from kreabench.metrics.needs import Need
from kreabench.metrics.shared import Shared

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    from kreabench.metrics.distances import Discrepancy, Kernel

VERSION = 1
"""Of these implementations; raised when the same pictures and weights would score differently."""

LEAST_PICTURES = 2
"""A side, for a distance: one picture has no spread."""


class EncodedSets(ABC):
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


def rows_of(members: Sequence[Member]) -> list[NDArray[float32]]:
    """The features of each."""
    return [member.features for member in members]


def discrepancy_of(
    pictures: Sequence[Member], reference: Sequence[Member], kernel: Kernel, *, unbiased: bool = True
) -> Discrepancy:
    """Of two sets whose groups are the prompts."""
    from kreabench.metrics.distances import discrepancy

    return discrepancy(
        rows_of(pictures),
        rows_of(reference),
        kernel,
        groups=[member.prompt_id for member in pictures],
        reference_groups=[member.prompt_id for member in reference],
        unbiased=unbiased,
    )


def scored(found: Discrepancy, scale: float = 1.0) -> Score:
    """The discrepancy times `scale`, with its standard error in `details`."""
    details = {"prompts": float(found.groups)}
    if found.standard_error is not None:
        details["standard_error"] = scale * found.standard_error
    return Score(status="ok", value=scale * found.value, details=details)


def sides(pictures: Sequence[Member], reference: Sequence[Member]) -> str:
    """How many there are, in words."""
    return f"{len(pictures):,} pictures and {len(reference):,} of the reference"


def too_few(pictures: Sequence[Member], reference: Sequence[Member], least: int, hint: str = "") -> Score | None:
    """Not applicable, where a side has fewer than `least`; `hint` says what to do about it."""
    if min(len(pictures), len(reference)) >= least:
        return None
    reason = f"needs at least {least:,} pictures a side, and there are {sides(pictures, reference)}"
    return Score(status="not_applicable", value=None, reason=f"{reason}; {hint}" if hint else reason)
