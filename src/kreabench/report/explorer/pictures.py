"""The pictures of a report: which are chosen, and the files made of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from kreabench.core.specs import Prompt
from kreabench.report.explorer.data import PictureData, QuantityData, WorstData
from kreabench.report.explorer.picture_choice import Cell, Choice, choose
from kreabench.report.explorer.picture_files import SMALL_BYTES, VIEW_PX, Kept, Original, Sizes, keep_all
from kreabench.report.explorer.picture_note import note_of
from kreabench.report.explorer.samples import Samples, samples_of
from kreabench.report.explorer.sources import Source
from kreabench.report.explorer.worst import MAX_WORST, Losses, losses_of
from kreabench.report.picture_rows import failure_of, flags_of, is_there
from kreabench.report.thumbnails import THUMBNAIL_PX, Thumbnail

HELD_BYTES = 4_000_000
"""Of pictures inside a page, before their encoding as text adds a third."""

_BYTES_PER_PIXEL, _FINE_BYTES_PER_PIXEL = 0.32, 0.5
"""Of a JPEG of a photo made so small, at most: for the size at which all fit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pictured:
    """What was chosen."""

    pictures: tuple[PictureData, ...] = ()
    worst: tuple[WorstData, ...] = ()
    note: str = ""
    """What was left out, and why."""
    files: dict[str, bytes] = field(default_factory=dict)
    """Name below the report's folder → JPEG, PNG or WebP file; without those that were known."""
    inputs: dict[str, str] = field(default_factory=dict)
    """Prompt → name of the picture that image-to-image or redux started from."""
    thumbnails: dict[str, Thumbnail] = field(default_factory=dict)
    """SHA-256 of a picture → its thumbnail, for whoever shows it elsewhere."""


def pictured(
    sources: Sequence[Source],
    quantities: Sequence[QuantityData],
    *,
    most: int,
    images: Literal["embed", "link"] = "embed",
    known: Callable[[str], bool] | None = None,
) -> Pictured:
    """At most `most` pictures: whole rows of all settings, and pairs; worst losses first.

    With `embed` the files stay below `HELD_BYTES`. `known`: whether a file of this name is there already, and need not
    be made again.
    """
    samples = samples_of(sources)
    losses = losses_of(samples, quantities)
    choice = choose(samples, losses, most)
    numbers = [samples.places[cell] for cell in choice.cells]
    rows: list[dict[str, Any]] = [
        {str(name): value for name, value in row.items()} for row in samples.rows.iloc[numbers].to_dict("records")
    ]
    originals = [
        _original(samples.settings[setting][0], row) if _delivered(row) else None
        for (setting, _), row in zip(choice.cells, rows, strict=True)
    ]
    inputs = _inputs(sources, samples, choice)
    wanted = [original for original in (*originals, *inputs.values()) if original is not None]
    longest = max((max(original.width, original.height) for original in wanted), default=0)
    number = len({original.sha256 for original in wanted})
    sizes = Sizes() if images == "link" else _sizes(number, longest)
    kept = keep_all(wanted, sizes, known)
    if images == "embed" and (held := sum(map(_size, kept.values()))) > HELD_BYTES:  # noise, and little else
        sizes = _smaller(sizes, HELD_BYTES / held, longest)
        kept = _within(keep_all(wanted, sizes, known), HELD_BYTES)
    pictures = [
        _picture(samples, cell, row, None if original is None else kept[original.sha256])
        for cell, row, original in zip(choice.cells, rows, originals, strict=True)
    ]
    return Pictured(
        pictures=tuple(one for _, one in sorted(zip(choice.cells, pictures, strict=True), key=_in_order)),
        worst=tuple(_worst(samples, losses)),
        note=note_of(samples, choice, kept.values(), min(sizes.view_px, longest), longest),
        files={name: content for one in kept.values() for name, content in one.files.items()},
        inputs={prompt: one.view or one.thumbnail for prompt, key in inputs.items() if (one := kept[key.sha256])},
        thumbnails={key: one.small for key, one in kept.items() if one.small is not None},
    )


def _in_order(one: tuple[Cell, PictureData]) -> tuple[int, int]:
    (setting, unit), _ = one
    return unit, setting


def _delivered(row: Mapping[str, Any]) -> bool:
    return row["status"] == "ok" and is_there(row["image_index"])


def _original(source: Source, row: Mapping[str, Any]) -> Original:
    return Original(
        run_path=source.evidence.run.path,
        relative=str(row["image_path"]),
        sha256=str(row["image_sha256"]),
        size_bytes=int(row["image_size_bytes"]),
        format=str(row["image_format"]),
        width=int(row["image_width"]),
        height=int(row["image_height"]),
    )


def _inputs(sources: Sequence[Source], samples: Samples, choice: Choice) -> dict[str, Original]:
    """Prompt → the first picture that its settings started from, of the prompts shown."""
    found: dict[str, Original] = {}
    shown = {samples.units[unit].prompt for _, unit in choice.cells}
    for source in sources:
        if all(setting.task == "text-to-image" for setting in source.evidence.plan.settings):
            continue
        for prompt in source.evidence.experiment.prompts:
            if prompt.id in shown and prompt.images:
                found.setdefault(prompt.id, _input(source, prompt))
    return found


def _input(source: Source, prompt: Prompt) -> Original:
    image = prompt.images[0]
    return Original(
        run_path=source.evidence.run.path,
        relative=f"inputs/{image.file_name}",
        sha256=image.sha256,
        size_bytes=0,
        format="",
        width=image.width,
        height=image.height,
    )


def _sizes(number: int, longest: int) -> Sizes:
    """Those at which `number` pictures fill a page, as far as one can tell beforehand; fine where all fit in whole."""
    each = HELD_BYTES / max(1, number)
    fine = min(longest, VIEW_PX) ** 2 * _FINE_BYTES_PER_PIXEL <= each
    side = VIEW_PX if fine else _side(math.sqrt(each / _BYTES_PER_PIXEL))
    return Sizes(view_px=side, single=True, fine=fine, whole_bytes=min(SMALL_BYTES, int(each)))


def _smaller(sizes: Sizes, share: float, longest: int) -> Sizes:
    """Those at which pictures take no more than `share` of their bytes: the smaller, the more of them a pixel takes."""
    side = min(sizes.view_px, longest)
    saved = _FINE_BYTES_PER_PIXEL / _BYTES_PER_PIXEL if sizes.fine else 1.0
    return replace(sizes, view_px=_side(side * math.sqrt(min(1.0, 0.8 * share * saved))), fine=False)


def _side(wanted: float) -> int:
    return min(VIEW_PX, max(THUMBNAIL_PX, int(wanted) // 16 * 16))


def _size(kept: Kept) -> int:
    return sum(map(len, kept.files.values()))


def _within(kept: Mapping[str, Kept], budget: int) -> dict[str, Kept]:
    """The same with no more than `budget` bytes: the first, in the order given."""
    left = budget
    found: dict[str, Kept] = {}
    for key, one in kept.items():
        if _size(one) > left:
            reason = "this page holds no more; write the report with --images link"
            found[key] = replace(one, state="left_out", reason=reason, thumbnail="", view="", files={})
            continue
        left -= _size(one)
        found[key] = one
    return found


def _picture(samples: Samples, cell: Cell, row: Mapping[str, Any], kept: Kept | None) -> PictureData:
    (source, setting), unit = samples.settings[cell[0]], samples.units[cell[1]]
    if kept is None:
        failed = row["status"] == "failed"
        kept = Kept(state="failed" if failed else "pending", reason=failure_of(row, 200) if failed else "not run yet")
    there = _delivered(row)
    return PictureData(
        setting=source.setting_id(setting.id),
        prompt=unit.prompt,
        seed=unit.seed,
        repeat=0,
        index=0,
        state=kept.state,
        reason=kept.reason,
        flag=", ".join(flags_of(row)) if there else "",
        scores=dict(_scores(samples, row)) if there else {},
        thumbnail=kept.thumbnail,
        view=kept.view,
        width=int(row["image_width"]) if there else 0,
        height=int(row["image_height"]) if there else 0,
    )


def _scores(samples: Samples, row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name in samples.metrics:
        if row.get(f"score_{name}_status") == "ok" and math.isfinite(value := float(row[f"score_{name}"])):
            yield name, value


def _worst(samples: Samples, losses: Iterable[Losses]) -> Iterator[WorstData]:
    for one in losses:
        for number, unit, loss in one.worst(MAX_WORST):
            source, setting = samples.settings[number]
            yield WorstData(
                setting=source.setting_id(setting.id),
                prompt=samples.units[unit].prompt,
                seed=samples.units[unit].seed,
                quantity=one.quantity,
                loss=loss,
            )
