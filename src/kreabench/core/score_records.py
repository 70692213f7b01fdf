"""What metrics said: one frozen record a line of scores.jsonl, set_scores.jsonl and floor_scores.jsonl. Absent is None,
never 0."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreRecord:
    """One metric of one image."""

    request_id: str
    image_index: int
    image_sha256: str
    metric: str
    """Configured name."""
    identity: str
    """Hash of the metric's kind, version, options and weights; scores of two identities are never mixed."""
    status: Literal["ok", "infinite", "not_applicable", "failed"]
    value: float | None
    """Set exactly when status is ok. `infinite` is the PSNR of two equal pictures."""
    reason: str = ""
    """Why it is not_applicable or failed; empty for ok."""
    reference_sha256: str | None = None
    """The picture it was compared with, for fidelity metrics."""
    truncated: bool = False
    """The prompt did not fit the text encoder and was cut."""
    untrained: bool = False
    """The metric's own weights are random: the value shows plumbing only."""
    asked: str = ""
    """Hash of the prompt's questions and what to look for, of a metric that reads them: the score holds for these."""
    notes: tuple[str, ...] = ()
    """What a reader of the value must know: a JPEG was compared, a picture was shrunk."""
    usd: float | None = None
    """What a service was paid for it, also for a failed one."""
    details: dict[str, float] = field(default_factory=dict)
    """Named parts of the value."""


DrawnFloor = Literal["itself", "another_seed"]
"""How the other picture of the reference was drawn: the same request, or the same prompt with another seed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FloorScoreRecord:
    """One fidelity metric of a picture of a reference setting against another one of that setting: its noise floor."""

    floor: DrawnFloor
    partner_request_id: str
    """Of the other picture; its index is the same."""
    score: ScoreRecord
    """Of the picture; `reference_sha256` is the other picture's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SetScoreRecord:
    """One metric of all pictures of one setting."""

    setting_id: str
    metric: str
    """Configured name."""
    identity: str
    """As in `ScoreRecord`."""
    status: Literal["ok", "not_applicable", "failed"]
    value: float | None
    """Set exactly when status is ok."""
    members: str
    """Hash of the pictures' hashes, the reference's included: the score holds for these alone."""
    pictures: int
    """In the set."""
    reference_pictures: int | None = None
    """In the reference's set; None where the metric needs none."""
    left_out: int = 0
    """Delivered pictures of the setting that are not in the set: degenerate, flagged, unreadable."""
    reason: str = ""
    untrained: bool = False
    notes: tuple[str, ...] = ()
    details: dict[str, float] = field(default_factory=dict)
    """Named parts of the value."""
