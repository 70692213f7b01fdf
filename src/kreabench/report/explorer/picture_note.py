"""What is said of the pictures that a report does not show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kreabench.report.explorer.picture_choice import Choice
from kreabench.report.explorer.picture_files import VIEW_PX, Kept
from kreabench.report.explorer.samples import Samples
from kreabench.report.format import count


def note_of(samples: Samples, choice: Choice, kept: Iterable[Kept], view_px: int, longest: int) -> str:
    """A few sentences; empty where everything is shown. `view_px`: of files, `longest`: of pictures, a side at most."""
    return " ".join((*_choice(samples, choice), *_one_of_several(samples), *_files(list(kept), view_px, longest)))


def _choice(samples: Samples, choice: Choice) -> Iterator[str]:
    settings, units = len(samples.settings), len(samples.units)
    if not choice.cells:
        if settings and units:
            yield "No pictures were asked for."
        return
    if len(choice.units) < units:
        yield (
            f"{len(choice.units):,} of {units:,} combinations of prompt and seed are shown with all settings: those "
            "with the worst losses, those in which something failed or was flagged, and the first prompts."
        )
        further = len(choice.cells) - len(choice.units) * choice.settings
        if further:
            yield f"{count(further, 'further picture')} belong to pairs with great losses."
    if choice.settings < settings:
        yield f"The first {choice.settings:,} of {settings:,} settings are shown."


def _one_of_several(samples: Samples) -> Iterator[str]:
    if any(setting.num_images > 1 for _, setting in samples.settings):
        yield "Of a request for several pictures the first is shown."
    if any(source.evidence.experiment.repeats > 1 for source, _ in samples.settings):
        yield "Of repeats the first is shown."


def _files(kept: list[Kept], view_px: int, longest: int) -> Iterator[str]:
    missing = sum(one.state == "missing" for one in kept)
    if missing:
        yield (
            f"{count(missing, 'picture')} {'is' if missing == 1 else 'are'} not on this disk: the report was made from "
            "a run directory without its images folder, or with a part of it."
        )
    reduced = view_px < min(longest, VIEW_PX) and any(
        (one.view or one.thumbnail).endswith(f"-{view_px}.jpg") for one in kept
    )
    left = sum(one.state == "left_out" for one in kept)
    if left or (reduced and view_px < VIEW_PX):
        yield (
            f"To stay small this page holds pictures of at most {view_px} pixels a side"
            + (f", and {left:,} not at all" if left else "")
            + f"; --images link keeps them beside it, up to {VIEW_PX:,} pixels a side."
        )
