"""The sentence that brands every output whose numbers say nothing about a real model or service."""

from __future__ import annotations

from collections.abc import Iterable

from kreabench.core.specs import TargetSpec


def notice(targets: Iterable[TargetSpec]) -> str | None:
    """What the reader must know before any number; None when every target is the real thing.

    Each target says so of itself (`TargetSpec.untrained`, `TargetSpec.emulated`).
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
    return f"{', '.join(said)}: numbers show the tool, not the model" if said else None


def nothing_was_paid(targets: Iterable[TargetSpec]) -> bool:
    """Whether every hosted target is a loopback stand-in, so that its dollars are only what the real one would bill."""
    hosted = [target for target in targets if target.hosted]
    return bool(hosted) and all(target.emulated for target in hosted)
