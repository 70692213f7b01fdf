"""What must be equal before two runs are compared. The keys are data; what differs is said, never passed over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kreabench.core.errors import KreabenchError
from kreabench.core.specs import MetricSpec
from kreabench.decisions.sides import Side
from kreabench.metrics.table import row_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """Something that must be equal on both sides."""

    name: str
    """In `Side.facts`."""
    why: str
    remedy: str
    fidelity_alone: bool = False
    """Whether it matters only where a metric is compared that needs a reference."""


KEYS = (
    Key(
        name="device",
        why="latency, memory and energy of two devices differ, and pictures may",
        remedy="Draw both on one kind of device; --force compares local with hosted, or two devices, on purpose.",
    ),
    Key(
        name="reference",
        why="fidelity is measured against it",
        remedy="Draw both runs with one reference (reference.acceleration, reference.steps), or leave fidelity out "
        "(--metrics).",
        fidelity_alone=True,
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


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionDifference:
    """Something that may differ, and is said, as it may be what the comparison is about."""

    name: str
    """A package, or what a load said of its model; without the name of its target where each side has one alone."""
    base: str | None
    """None where the side does not have it, or does not say."""
    candidate: str | None


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
    fidelity = any((row := row_of(spec)) and row.needs_reference for spec in _compared(base, candidate))
    found = [
        Mismatch(key=key.name, base=here, candidate=there, why=key.why, remedy=key.remedy)
        for key in KEYS
        if (fidelity or not key.fidelity_alone)
        and (here := base.facts.get(key.name)) is not None
        and (there := candidate.facts.get(key.name)) is not None
        and here != there
    ]
    return (*found, *_prompts(base, candidate), *_metrics(base, candidate))


def _compared(base: Side, candidate: Side) -> list[MetricSpec]:
    there = {spec.name for spec in candidate.metrics}
    return [spec for spec in base.metrics if spec.name in there]


def _prompts(base: Side, candidate: Side) -> Iterator[Mismatch]:
    changed = sorted(id_ for id_, text in base.prompts.items() if candidate.prompts.get(id_, text) != text)
    if changed:
        yield Mismatch(
            key="prompts",
            base=f"{len(changed)} of {len(base.prompts)} with other words or input pictures, {changed[0]!r} among them",
            candidate="the same ids",
            why="pictures of two requests are no pair",
            remedy="Draw both runs with one prompt file.",
        )


def _metrics(base: Side, candidate: Side) -> Iterator[Mismatch]:
    compared = {spec.name for spec in _compared(base, candidate)}
    for metric, identity in base.identities.items():
        other = candidate.identities.get(metric, identity)
        if metric in compared and other != identity:
            yield Mismatch(
                key=f"metric {metric}",
                base=f"identity {identity}",
                candidate=f"identity {other}",
                why="it was made with other weights or options",
                remedy=f"Score both runs alike (kreabench score RUN --metrics {metric} --again), or leave it out.",
            )


def version_differences(base: Side, candidate: Side) -> tuple[VersionDifference, ...]:
    """What differs in versions; what only one side says counts where it is not of a target that the other lacks."""
    here, there = _versions(base), _versions(candidate)
    names = dict.fromkeys((*here, *there))
    return tuple(
        VersionDifference(name=name, base=here.get(name), candidate=there.get(name))
        for name in names
        if here.get(name) != there.get(name)
    )


def _versions(side: Side) -> dict[str, str]:
    """Those of the targets that are compared; a target that is alone needs no name."""
    targets = {setting.target for setting in side.settings}
    found: dict[str, str] = {}
    for name, version in side.versions.items():
        target, colon, rest = name.partition(": ")
        if not colon:
            found[name] = version
        elif target in targets:
            found[_short(rest) if len(targets) == 1 else name] = version
    return found


def _short(name: str) -> str:
    """Versions of packages that a load names are those of the run, if not said otherwise."""
    return name.removeprefix("versions ")


def same_run(base: Side, candidate: Side) -> bool:
    """Whether both sides were read from one folder, or once from one file."""
    folders = (base.picture_folder, candidate.picture_folder)
    if base is candidate:
        return True
    return None not in folders and len({folder.resolve() for folder in folders if folder is not None}) == 1
