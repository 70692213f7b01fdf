"""What limits a comparison as a whole, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from kreabench.decisions.columns import Columns
from kreabench.decisions.comparability import same_run
from kreabench.decisions.comparison import SettingComparison
from kreabench.decisions.floors import is_fidelity
from kreabench.decisions.sides import Side
from kreabench.metrics.table import row_of

ONE_RUN_EACH = (
    "Latency, memory and energy of two single runs differ by the state of the machine too, which no interval in here "
    "contains: draw settings in one run, with run.passes=2 or more, to see it."
)


def caveats(
    base: Side, candidate: Side, found: Sequence[SettingComparison], columns: tuple[Columns, Columns]
) -> tuple[str, ...]:
    """Gravest first."""
    one_run = same_run(base, candidate)
    sides = (base,) if one_run else (base, candidate)
    return (
        *_brands(sides),
        *_sameness(found, one_run=one_run),
        *_unfinished((base, candidate)),
        *_dropped(sides),
        *_unscored(base, candidate, found),
        *(_without_floors(base) if base is candidate else []),
        *([] if one_run else _references(base, candidate, columns)),
        *_requests_of_several(found),
        *([] if one_run or not _timed(found) else [ONE_RUN_EACH]),
    )


def _brands(sides: Sequence[Side]) -> Iterator[str]:
    for text in dict.fromkeys(side.notice for side in sides if side.notice):
        who = [side for side in sides if side.notice == text]
        yield f"{text}." if len(who) == len(sides) else f"{who[0].name}: {text}."


def _sameness(found: Sequence[SettingComparison], *, one_run: bool) -> Iterator[str]:
    if one_run and all(two.base.id == two.candidate.id for two in found):
        yield "Both sides are the same settings of the same run: nothing can differ."
        return
    same = [two for two in found if two.pairs and two.identical == two.pairs]
    if same and len(same) == len(found):
        pairs = sum(two.pairs for two in same)
        yield f"The pictures of all {pairs:,} pairs are equal files: their quality cannot differ."


def _unfinished(sides: Sequence[Side]) -> Iterator[str]:
    told = []
    for side in sides:
        planned = sum(side.requested.get(setting.id, 0) for setting in side.settings)
        if side.unfinished:
            told.append(
                f"{side.name} is not finished: {side.unfinished:,} of {planned:,} requests have not been drawn."
            )
    yield from dict.fromkeys(told)  # one run may have been named twice


def _dropped(sides: Sequence[Side]) -> Iterator[str]:
    for side in sides:
        if side.dropped:
            yield f"{side.name}: {len(side.dropped)} settings were dropped by the race and are not compared."


def _unscored(base: Side, candidate: Side, found: Sequence[SettingComparison]) -> Iterator[str]:
    if not base.metrics and not candidate.metrics:
        yield "No side was asked for a metric of pictures: quality is not compared (kreabench score RUN --metrics …)."
    elif found and not any(metric.scores.prompts for two in found for metric in two.metrics):
        yield "No pair of pictures has scores: quality is not compared (kreabench score RUN makes what is missing)."


def _without_floors(side: Side) -> Iterator[str]:
    names = [spec.name for spec in side.metrics if is_fidelity(spec)]
    if names and side.picture_folder is None:
        yield (
            f"A baseline file holds no noise floors: {', '.join(names)} are judged without them, so that a distance "
            "that may be noise is undecided. Compare the run itself to see them."
        )


def _references(base: Side, candidate: Side, columns: tuple[Columns, Columns]) -> Iterator[str]:
    """Fidelity of two runs rests on two sets of reference pictures, which need not be equal."""
    names = [spec.name for spec in base.metrics if (row := row_of(spec)) and row.needs_reference]
    if not names:
        return
    both, equal = 0, 0
    pictures = []
    for side, those in zip((base, candidate), columns, strict=True):
        of_side = [those.pictures(setting.id) for setting in side.settings if setting.id == setting.reference_id]
        pictures.append({(key, size): hash_ for one in of_side for key, size, hash_ in _hashes(one)})
    for key in pictures[0].keys() & pictures[1].keys():
        both, equal = both + 1, equal + (pictures[0][key] == pictures[1][key])
    if both and equal == both:
        return
    told = (
        f"of {both:,} reference pictures that both have, {both - equal:,} differ"
        if both
        else "these are not among the pictures compared, so that it is not known whether they are equal"
    )
    yield f"{', '.join(names)}: each side is measured against its own reference pictures; {told}."


def _hashes(pictures: object) -> Iterator[tuple[int, int, str]]:
    keys, sizes, hashes = (np.asarray(getattr(pictures, name)).tolist() for name in ("keys", "sizes", "hashes"))
    return zip(keys, sizes, hashes, strict=True)


def _requests_of_several(found: Sequence[SettingComparison]) -> Iterator[str]:
    if any(two.base.num_images != two.candidate.num_images for two in found):
        yield "Requests have other numbers of pictures on the two sides: latency, memory and energy are of a request."


def _timed(found: Sequence[SettingComparison]) -> bool:
    return any(cost.ratio for two in found for cost in two.costs)
