"""What must be equal before two runs are compared. The keys are data; what differs is said, never passed over."""

from __future__ import annotations

from dataclasses import dataclass

from kreabench.core.errors import KreabenchError
from kreabench.decisions.sides import Side


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """Something that must be equal on both sides."""

    name: str
    """In `Side.facts`."""
    why: str
    remedy: str


KEYS = (
    Key(
        name="device",
        why="latency, memory and energy of two devices differ, and pictures may",
        remedy="Draw both runs on one kind of device.",
    ),
    Key(
        name="reference",
        why="fidelity is measured against it",
        remedy="Draw both runs with one reference (reference.acceleration, reference.steps).",
    ),
)
"""Besides these: a prompt of both sides must ask for the same picture, a metric must have been made with the same
weights and options."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mismatch:
    """Something that differs and must not."""

    key: str
    base: str
    candidate: str
    why: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.key}: {self.base} against {self.candidate}; {self.why}. {self.remedy}"


class NotComparable(KreabenchError):
    """Two sides that say nothing about each other; `mismatches` holds all that differs."""

    def __init__(self, mismatches: tuple[Mismatch, ...]) -> None:
        self.mismatches = mismatches
        super().__init__(
            "\n".join(["these are not comparable", *(f"  {mismatch}" for mismatch in mismatches)]),
            remedy="Use --force to compare them all the same; the result says so.",
        )


def mismatches(base: Side, candidate: Side) -> tuple[Mismatch, ...]:
    """All that differs between two sides and must not."""
    found = [
        Mismatch(key=key.name, base=here, candidate=there, why=key.why, remedy=key.remedy)
        for key in KEYS
        if (here := base.facts.get(key.name)) is not None
        and (there := candidate.facts.get(key.name)) is not None
        and here != there
    ]
    changed = sorted(id_ for id_, text in base.prompts.items() if candidate.prompts.get(id_, text) != text)
    if changed:
        found.append(
            Mismatch(
                key="prompts",
                base=f"{len(changed)} with other words, {changed[0]} among them",
                candidate="the same ids",
                why="pictures of two requests are no pair",
                remedy="Draw both runs with one prompt file.",
            )
        )
    for metric, identity in base.identities.items():
        other = candidate.identities.get(metric, identity)
        if other != identity:
            found.append(
                Mismatch(
                    key=f"metric {metric}",
                    base=identity,
                    candidate=other,
                    why="it was made with other weights or options",
                    remedy=f"Score both runs alike: kreabench score RUN --metrics {metric}.",
                )
            )
    return tuple(found)
