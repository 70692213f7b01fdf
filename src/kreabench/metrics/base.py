"""The metric interface: three methods. Importing a metric module must import no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreItem:
    """One picture to score, decoded once for all metrics."""

    image: Image
    """RGB."""
    prompt: str
    reference: Image | None
    """RGB picture of the reference setting, same prompt, seed, repeat and index; None where the metric needs none."""
    lossy: bool
    """Whether the picture or its reference is stored in a format that can lose detail (any but PNG)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """The value of one item; the scoring stage adds who and what (see records.ScoreRecord)."""

    status: Literal["ok", "infinite", "not_applicable", "failed"]
    value: float | None
    reason: str = ""
    truncated: bool = False


class Metric(Protocol):
    """Made with its options as keyword arguments (already validated against the row's options class)."""

    def open(self) -> dict[str, Any]:
        """Load weights; return the identity: version, weights, hash (JSON values). Raises EnvironmentProblem.

        The identity holds all that changes a score and nothing else; `untrained: True` in it says that the metric's
        own weights are random. Keys of problems are given from `options` on (`options.weights`): the scoring stage
        knows the metric's configured name.
        """

    def score(self, items: Sequence[ScoreItem]) -> list[Score]:
        """One score an item, in order. Never raises for one bad item: that one is `failed` with a reason."""

    def close(self) -> None:
        """Release everything."""
