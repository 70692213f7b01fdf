"""The sentence that brands every output whose numbers say nothing about a real model or service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from kreabench.core.specs import TargetSpec


def notice(targets: Iterable[TargetSpec]) -> str | None:
    """What the reader must know before any number; None when every target is the real thing.

    Each target says so of itself (`TargetSpec.model_note`, `untrained`, `emulated`, `random_weights`).
    """
    chosen = tuple(targets)
    said = [
        text
        for text, applies in (
            ("untrained weights", any(target.untrained for target in chosen)),
            ("emulated service", any(target.emulated for target in chosen)),
        )
        if applies
    ]
    sentences = list(_model_notes(chosen))
    if said:
        sentences.append(f"{', '.join(said)}: numbers show the tool, not the model")
    names = ", ".join(dict.fromkeys(target.name for target in chosen if target.random_weights))
    if names:
        sentences.append(
            f"random weights in {names}: times, memory and energy are those of the model's sizes, but not how often a "
            "cache skips work; pictures mean nothing, so they have no scores"
        )
    return ". ".join(sentences) or None


def _model_notes(targets: Sequence[TargetSpec]) -> Iterator[str]:
    """Each note once, with the targets that it is about where it is not about all."""
    for note in dict.fromkeys(target.model_note for target in targets if target.model_note):
        names = dict.fromkeys(target.name for target in targets if target.model_note == note)
        rest = any(target.model_note != note for target in targets)
        yield f"{note} ({', '.join(names)})" if rest else note


def nothing_was_paid(targets: Iterable[TargetSpec]) -> bool:
    """Whether every hosted target is a loopback stand-in, so that its dollars are only what the real one would bill."""
    hosted = [target for target in targets if target.hosted]
    return bool(hosted) and all(target.emulated for target in hosted)
