"""Where a plan asks of a model what it was not trained for, in sentences. It is allowed; its reader has to know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kreabench.core.planned import Setting
from kreabench.core.specs import TargetSpec, Trained
from kreabench.report.format import count
from kreabench.report.text import visible

SHOWN_SIZES = 6
"""More sizes than this are counted."""

_LENGTH = "max_sequence_length"


def not_trained_for(targets: Sequence[TargetSpec], settings: Sequence[Setting]) -> tuple[str, ...]:
    """One sentence for each target that `settings` ask for another size or prompt length than it was trained for."""
    found = []
    for target in targets:
        own = [setting for setting in settings if setting.target == target.name]
        if target.trained is None or not own:
            continue
        parts = [*_sizes(target.trained, own), *_length(target.trained, target, own)]
        if parts:
            found.append(
                f"Not what {visible(target.name)} was trained for: {'; '.join(parts)}. Its pictures may be worse than "
                "it can draw."
            )
    return tuple(found)


def _sizes(trained: Trained, settings: Sequence[Setting]) -> Iterator[str]:
    """The settings are named by what is wrong with them: their sizes."""
    off = [(one.width, one.height) for one in settings if not _is_known(trained, one.width, one.height)]
    if off:
        asked = _listed(list(dict.fromkeys(off)))
        yield f"{asked} px in {_of(len(off), len(settings))} (trained: {_range(trained)} px)"


def _is_known(trained: Trained, width: int, height: int) -> bool:
    pixels = width * height
    return (
        (not trained.sizes or (width, height) in trained.sizes)
        and (trained.min_pixels is None or pixels >= trained.min_pixels)
        and (trained.max_pixels is None or pixels <= trained.max_pixels)
    )


def _range(trained: Trained) -> str:
    if trained.sizes:
        return _listed(trained.sizes)
    low, high = (None if end is None else f"{end:,}" for end in (trained.min_pixels, trained.max_pixels))
    return f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}"


def _length(trained: Trained, target: TargetSpec, settings: Sequence[Setting]) -> Iterator[str]:
    asked = _asked_length(target)
    if asked is not None and trained.max_sequence_length not in (None, asked):
        where = _of(len(settings), len(settings))
        yield f"{_LENGTH} {asked:,} in {where} (trained: {trained.max_sequence_length:,})"


def _asked_length(target: TargetSpec) -> int | None:
    """Of the target's options, what it sends, or the model behind a service of its own; None where nobody says."""
    service = {} if target.service is None else target.service.options
    pipeline = service.get("pipeline") if service.get("images") == "pipeline" else None
    for values in (target.options, target.parameters, pipeline or {}):
        if isinstance(asked := values.get(_LENGTH), int):
            return asked
    return None


def _of(number: int, settings: int) -> str:
    if number < settings:
        return f"{number:,} of {count(settings, 'setting')}"
    return "its only setting" if settings == 1 else f"all {count(settings, 'setting')}"


def _listed(sizes: Sequence[tuple[int, int]]) -> str:
    shown = [f"{width}×{height}" for width, height in sizes[:SHOWN_SIZES]]
    if len(sizes) > SHOWN_SIZES:
        shown.append(f"{len(sizes) - SHOWN_SIZES} more")
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
