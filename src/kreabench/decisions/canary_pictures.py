"""Did the hosted model change? Every day's pictures beside those of the days before, since the last change.

A service either repeats a picture exactly, or within some distance; which of the two is learnt from its own repeats.
All of it is a pure function of the pictures: the same folder gives the same answers. A change that was seen begins a
new stretch of days, with which later days are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from kreabench.analysis.separation import Separation, separation
from kreabench.core.ids import stable_hash
from kreabench.decisions.canary_days import Asked, Day
from kreabench.decisions.canary_stretch import Distance, Stretch, by_prompt, exactness, touches

State = Literal["first", "identical", "within", "changed", "undecided", "failed"]
"""`first`: nothing to compare with. `identical`: the same pictures, bit by bit. `within`: as far from earlier days as
the service's own repeats are. `undecided`: no test could tell yet. `failed`: too little was delivered."""

LEAST_SHARE = 0.5
"""Of the pictures of the days before, that a day must have delivered to be compared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureVerdict:
    """What a day's pictures say."""

    state: State
    reason: str
    """A sentence without a full stop."""
    days: tuple[str, ...] = ()
    """Names of the days that they were compared with."""
    compared: int = 0
    """Pictures asked for today and on one of these days: by prompt, seed and index."""
    identical: int = 0
    """Of these, such that were drawn before bit by bit."""
    exact: bool | None = None
    """Whether the service had repeated every picture bit by bit until then; None where that is not known."""
    repeats: int = 0
    """Pairs of the same picture behind `exact`."""
    separation: Separation | None = None
    """Where distances were needed."""
    level: float | None = None
    """That its p-value was held against."""


def judge_pictures(days: Sequence[Day], distance: Distance, *, level: float) -> tuple[PictureVerdict, ...]:
    """One verdict a day, in the order of `days`; `level` is the error rate of a day of calling equals changed."""
    stretch = Stretch()
    found = []
    for day in days:
        verdict = _judge(stretch, day, distance, level)
        found.append(verdict)
        if verdict.state == "changed":
            stretch = Stretch(days=[day])
        elif verdict.state != "failed":
            stretch.days.append(day)
    return tuple(found)


def before(days: Sequence[Day], verdicts: Sequence[PictureVerdict], at: int) -> list[Day]:
    """The days of one model before day `at`, since the last change, without those that failed."""
    start = next((number for number in range(at - 1, -1, -1) if verdicts[number].state == "changed"), 0)
    return [days[number] for number in range(start, at) if verdicts[number].state != "failed"]


def _judge(stretch: Stretch, day: Day, distance: Distance, level: float) -> PictureVerdict:
    if not day.drawn:
        return PictureVerdict(state="failed", reason="nothing was delivered, which says nothing of the model")
    if not stretch.days:
        return _first(day)
    earlier = stretch.drawn()
    common = [asked for asked in day.drawn if asked in earlier]
    names = tuple(one.name for one in stretch.reference)
    if len(common) < LEAST_SHARE * len(earlier):
        reason = f"{len(common)} of {len(earlier)} pictures were delivered: too few to be compared"
        return PictureVerdict(state="failed", reason=reason, days=names, compared=len(common))
    exact, repeats = exactness(earlier)
    seen = {asked: {one.sha256 for one in earlier[asked]} for asked in common}
    identical = sum(all(one.sha256 in seen[asked] for one in day.drawn[asked]) for asked in common)
    told = PictureVerdict(
        state="identical",
        reason=f"all {len(common)} pictures are the same as before, bit by bit",
        days=names,
        compared=len(common),
        identical=identical,
        exact=exact,
        repeats=repeats,
    )
    return told if identical == len(common) else _by_distance(told, stretch, day, common, distance, level)


def _first(day: Day) -> PictureVerdict:
    exact, repeats = exactness(day.drawn)
    told = {None: "too little was drawn twice to tell whether it repeats", True: "its repeats are the same bit by bit"}
    reason = f"the first day, with which later ones are compared; {told.get(exact, 'its repeats are not the same')}"
    return PictureVerdict(state="first", reason=reason, exact=exact, repeats=repeats)


def _by_distance(
    told: PictureVerdict, stretch: Stretch, day: Day, common: Sequence[Asked], distance: Distance, level: float
) -> PictureVerdict:
    """Where some file is another one than before."""
    if resized := [asked for asked in common if day.drawn[asked][0].size != stretch.size(asked)]:
        return _resized(told, stretch, day, resized)
    cells = {asked: cell for asked, cell in stretch.beside(day, distance).items() if cell is not None}
    lost = len(common) - len(cells)
    if len(cells) < LEAST_SHARE * len(common):
        return replace(told, state="undecided", reason=f"{lost} of {len(common)} pictures cannot be read any more")
    same = sum(touches(cell) for cell in cells.values())
    rng = np.random.default_rng(int(stable_hash([day.name, day.created_utc]), 16))
    found = separation(by_prompt(cells), rng=rng)
    told = replace(told, separation=found, level=level)
    if same == len(common):
        return replace(told, reason="the files differ, the pixels do not: they are stored in another way")
    if told.exact and not same and not told.identical:
        reason = (
            f"all {len(common)} pictures differ from earlier days, on which the service repeated every picture bit by "
            f"bit ({told.repeats} of {told.repeats} repeats); {_how_far(found)}"
        )
        return replace(told, state="changed", reason=reason)
    return _tested(told, found, stretch, distance, level)


def _tested(
    told: PictureVerdict, found: Separation, stretch: Stretch, distance: Distance, level: float
) -> PictureVerdict:
    """By the test of distances, for a service that does not repeat exactly, or changed in part."""
    differ = f"{told.compared - told.identical} of {told.compared} pictures are not those of before bit by bit"
    if found.p_value is None or found.least_p is None or found.least_p > level:
        reason = f"{differ}; too little was drawn to tell a change from the service's own noise; {_how_far(found)}"
        return replace(told, state="undecided", reason=reason)
    if found.p_value > level:
        reason = f"{differ}, but no farther than the service's own repeats (p = {found.p_value:.2g}); {_how_far(found)}"
        return replace(told, state="within", reason=reason)
    farthest = stretch.farthest(distance)
    if farthest is None:
        reason = (
            f"{differ}, and lie apart from {told.days[0]} (p = {found.p_value:.2g}), but how unlike two days of this "
            f"service are is not known yet; {_how_far(found)}"
        )
        return replace(told, state="undecided", reason=reason)
    if found.between <= farthest:
        reason = f"{differ}, but an earlier day lay as far from the others; {_how_far(found)}"
        return replace(told, state="within", reason=reason)
    reason = f"{differ}, and lie apart from them (p = {found.p_value:.2g}); {_how_far(found)}"
    return replace(told, state="changed", reason=reason)


def _resized(told: PictureVerdict, stretch: Stretch, day: Day, resized: Sequence[Asked]) -> PictureVerdict:
    width, height = day.drawn[resized[0]][0].size
    earlier = "×".join(map(str, stretch.size(resized[0])))
    reason = (
        f"{len(resized)} of {told.compared} pictures were delivered in another size: {width}×{height}, not {earlier}"
    )
    state: State = "changed" if len(resized) == told.compared else "undecided"
    return replace(told, state=state, reason=reason)


def _how_far(found: Separation) -> str:
    within = "unknown among repeats" if found.within is None else f"{found.within:.2g} among repeats"
    return f"distance {found.between:.2g} from earlier days, {within}"
