"""What people said of two pictures that they saw blind: one frozen record a line of votes.jsonl."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

VOTES_VERSION = 1
"""Of the lines of votes.jsonl; raised whenever a reader of today would misread a line of tomorrow."""

Choice = Literal["left", "right", "tie", "both_bad"]
CHOICES: tuple[Choice, ...] = ("left", "right", "tie", "both_bad")
MAX_VOTER = 80
"""Characters of a voter's name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VotePicture:
    """One of the two pictures."""

    setting_id: str
    request_id: str
    image_index: int
    image_sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class VoteRecord:
    """One answer to one pair. A later `UndoRecord` of its id takes it back."""

    id: str
    """Of the pair as it was handed out, once; a second vote for it is never written."""
    at_utc: str
    voter: str
    """As the voter gave it; people who share a name count as one."""
    left: VotePicture
    right: VotePicture
    prompt_id: str
    prompt: str
    seed: int
    choice: Choice
    """`both_bad` is no preference: neither picture is good enough."""
    seconds: float
    """From both pictures being in sight to the answer, by the clock of the voter's browser."""
    kind: Literal["vote"] = "vote"
    version: int = VOTES_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class UndoRecord:
    """A vote was taken back by whoever gave it."""

    id: str
    """Of the vote."""
    at_utc: str
    kind: Literal["undo"] = "undo"
    version: int = VOTES_VERSION
