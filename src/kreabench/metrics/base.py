"""The metric interfaces. Importing a metric module must import no torch.

A metric of pictures (`Metric`) has one score a picture, a metric of sets (`SetMetric`) one a setting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from kreabench.core.errors import BudgetReached

if TYPE_CHECKING:
    from pathlib import Path

    from numpy import float32
    from numpy.typing import NDArray
    from PIL.Image import Image

    from kreabench.metrics.needs import Need
    from kreabench.metrics.shared import Shared


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreItem:
    """One picture to score, decoded once for all metrics."""

    image: Image
    """RGB."""
    prompt: str
    reference: Image | None
    """RGB picture of the reference setting, same prompt, seed, repeat and index; None where the metric needs none."""
    sha256: str = ""
    """Of the picture's file: under it encoders remember what they made of the picture; empty is never remembered."""
    reference_sha256: str = ""
    path: Path | None = None
    """The picture's file, for metrics that run elsewhere or look at how it was stored."""
    reference_path: Path | None = None
    format: str = "png"
    """What the file is: png, jpeg or webp."""
    reference_format: str = "png"
    prompt_id: str = ""
    seed: int = 0
    look_for: str | None = None
    """What a person should check, as the prompt file says."""
    questions: tuple[str, ...] = ()
    """What a judge is to be asked, each answered by yes where all is well."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """The value of one item or set; the scoring stage adds who and what (see score_records.ScoreRecord)."""

    status: Literal["ok", "infinite", "not_applicable", "failed"]
    value: float | None
    reason: str = ""
    truncated: bool = False
    notes: tuple[str, ...] = ()
    """What a reader of the value must know: a JPEG was compared, a picture was shrunk."""
    usd: float | None = None
    """What a service was paid for it, also for a failed one."""
    details: dict[str, float] = field(default_factory=dict)
    """Named parts of the value."""


def failed(reason: str, notes: tuple[str, ...] = ()) -> Score:
    """A score that could not be had."""
    return Score(status="failed", value=None, reason=reason, notes=notes)


class OutOfBudget(BudgetReached):
    """A metric of pictures stops at the limit of its purse, and what it has is kept."""

    def __init__(self, reached: BudgetReached, scores: Sequence[Score | None]) -> None:
        super().__init__(reached.message, remedy=reached.remedy)
        self.scores = tuple(scores)
        """One an item, in order; None where nothing was asked: it stays without a score until the budget is raised."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A picture of a set, as a set metric sees it."""

    prompt_id: str
    seed: int
    index: int = 0
    """Of the pictures of one request."""
    features: NDArray[float32]
    """One row of numbers, as the metric's own `features` gave it."""


class Metric(Protocol):
    """Made with its options as keyword arguments (already validated against the row's options class)."""

    needs: tuple[Need, ...]
    """What must be on this machine before `open`; found out without loading or sending anything."""

    def open(self, shared: Shared) -> dict[str, Any]:
        """Load weights; return the identity: version, weights, hash (JSON values). Raises EnvironmentProblem.

        The identity holds all that changes a score and nothing else; `untrained: True` in it says that the metric's
        own weights are random. Keys of problems are given from `options` on (`options.weights`): the scoring stage
        knows the metric's configured name.
        """

    def score(self, items: Sequence[ScoreItem]) -> list[Score]:
        """One score an item, in order. Never raises for one bad item: that one is `failed` with a reason.

        A metric that pays raises OutOfBudget where the purse allows no more.
        """

    def close(self) -> None:
        """Release everything of its own; `shared` is closed by whoever made it."""


class SetMetric(Protocol):
    """Compares the pictures of a setting with those of its reference, or with each other. Made as a `Metric` is."""

    needs: tuple[Need, ...]

    def open(self, shared: Shared) -> dict[str, Any]:
        """As in `Metric`."""

    def features(self, items: Sequence[ScoreItem]) -> list[NDArray[float32] | str]:
        """One row of numbers an item, all of one length, or why there is none. `reference` of the items is None."""

    def compare(self, pictures: Sequence[Member], reference: Sequence[Member]) -> Score:
        """The score of a set; `reference` is empty where the metric needs none. Too few give `not_applicable`."""

    def close(self) -> None:
        """As in `Metric`."""
