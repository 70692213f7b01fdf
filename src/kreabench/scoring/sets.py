"""Scores of sets: what a metric makes of each picture is gathered while pictures are decoded; then one a setting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kreabench.core.errors import BudgetReached, one_line
from kreabench.core.ids import stable_hash
from kreabench.core.planned import Plan, Setting
from kreabench.core.score_records import SetScoreRecord
from kreabench.metrics.base import Member, Score, ScoreItem, failed
from kreabench.pairing import RANDOM_WEIGHTS, Picture
from kreabench.scoring.chunks import Decoder
from kreabench.scoring.images import storable, valid
from kreabench.scoring.opened import Opened

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureSet:
    """The pictures of one setting, as one metric is to compare them."""

    one: Opened
    setting_id: str
    pictures: tuple[Picture, ...]
    reference: tuple[Picture, ...]
    left_out: int
    """Delivered pictures of the setting that no metric looks at."""
    obstacle: str
    """Why there is nothing to compare; empty where there is."""

    @property
    def members(self) -> str:
        """Of all that should go in."""
        return members_hash(self.pictures, self.reference)

    def is_held(self, record: SetScoreRecord | None) -> bool:
        """Whether a score that is held says what scoring anew would say."""
        return (
            record is not None
            and record.status != "failed"
            and (record.identity, record.members, record.left_out) == (self.one.identity, self.members, self.left_out)
            and (not self.obstacle or record.reason == self.obstacle)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Broken:
    """The metric itself failed over a picture."""

    reason: str


def members_hash(pictures: Iterable[Picture], reference: Iterable[Picture]) -> str:
    """For which pictures a score of a set holds."""
    sides = {"pictures": pictures, "reference": reference}
    return stable_hash({side: sorted(picture.image.sha256 for picture in of) for side, of in sides.items()})


def find_sets(pictures: Sequence[Picture], plan: Plan, metrics: Sequence[Opened]) -> list[PictureSet]:
    """One set a metric and setting that has pictures."""
    of_setting: dict[str, list[Picture]] = {}
    for picture in pictures:
        of_setting.setdefault(picture.setting_id, []).append(picture)
    settings = {setting.id: setting for group in plan.groups for setting in group.settings}
    return [_set(one, settings[setting_id], of_setting) for one in metrics for setting_id in of_setting]


def _set(one: Opened, setting: Setting, of_setting: Mapping[str, Sequence[Picture]]) -> PictureSet:
    delivered = of_setting[setting.id]
    usable = _each_once(one, delivered)
    reference_id = setting.reference_id if one.needs_reference else None
    paired = of_setting.get(reference_id, ()) if reference_id not in {None, setting.id} else ()
    reference = _each_once(one, paired)
    return PictureSet(
        one=one,
        setting_id=setting.id,
        pictures=usable,
        reference=reference,
        left_out=sum(bool(one.obstacle(picture)) for picture in delivered),
        obstacle=_obstacle(one, setting, delivered, usable, reference),
    )


def _each_once(one: Opened, pictures: Sequence[Picture]) -> tuple[Picture, ...]:
    """Those that can be used, without repeats of a request: copies would make a set look narrower than it is.

    Where it is known with which seed each picture was drawn, one of seed 0 and index 1 is that of seed 1 and index 0.
    """
    first: dict[tuple[str, int, int], Picture] = {}
    for picture in pictures:
        if not one.obstacle(picture):
            index = picture.image.index if picture.image.seed is None else 0
            first.setdefault((picture.prompt_id, picture.seed, index), picture)
    return tuple(first.values())


def _obstacle(
    one: Opened, setting: Setting, delivered: Sequence[Picture], usable: Sequence[Picture], reference: Sequence[Picture]
) -> str:
    if all(picture.random_weights for picture in delivered):
        return RANDOM_WEIGHTS
    if not usable:
        return "no picture of the setting can be used"
    if not one.needs_reference:
        return ""
    if setting.reference_id is None:
        return "no reference setting is planned"
    if setting.reference_id == setting.id:
        return "this is the reference"
    return "" if reference else "no picture of the reference can be used"


class SetScores:
    """Gathers what metrics of sets make of pictures, and compares."""

    def __init__(self) -> None:
        self._features: dict[tuple[str, str], NDArray[float32] | str | _Broken] = {}
        """By metric and the picture's SHA-256."""

    def lacking(self, sets: Iterable[PictureSet]) -> dict[str, set[str]]:
        """SHA-256 of each picture that some metrics have not seen → their names."""
        wanted: dict[str, set[str]] = {}
        for one_set in sets:
            if one_set.obstacle or one_set.one.set_metric is None:
                continue
            for picture in (*one_set.pictures, *one_set.reference):
                if (one_set.one.name, picture.image.sha256) not in self._features:
                    wanted.setdefault(picture.image.sha256, set()).add(one_set.one.name)
        return wanted

    def look(self, one: Opened, pictures: Sequence[Picture], decoder: Decoder) -> None:
        """Have the metric see these pictures. Raises BudgetReached where the metric does."""
        prepared = [decoder.item(picture, with_reference=False) for picture in pictures]
        rows = iter(_rows(one, [entry for entry in prepared if isinstance(entry, ScoreItem)]))
        for picture, entry in zip(pictures, prepared, strict=True):
            found = next(rows) if isinstance(entry, ScoreItem) else entry
            self._features[one.name, picture.image.sha256] = found

    def compare(self, one_set: PictureSet) -> SetScoreRecord:
        """The score of a set whose pictures were looked at. Raises BudgetReached where the metric does."""
        one = one_set.one
        if one.unopened_reason:
            return _record(one_set, failed(one.unopened_reason))
        if one_set.obstacle or one.set_metric is None:
            return _record(one_set, Score(status="not_applicable", value=None, reason=one_set.obstacle))
        seen = [self._seen(one, side) for side in (one_set.pictures, one_set.reference)]
        trouble = next((side.broken or side.unreadable for side in seen if side.broken or not side.can_be_used), "")
        if trouble:
            return _record(one_set, failed(trouble))
        pictures, reference = seen
        try:
            score = valid(one.set_metric.compare(pictures.members, reference.members))
        except BudgetReached:
            raise
        except Exception as error:  # recorded as failed, and done again by the next scoring
            score = failed(one_line(error))
        if score.status == "infinite":
            score = failed("the metric gave status infinite, which a set cannot have")
        return _record(one_set, score, pictures, reference)

    def _seen(self, one: Opened, pictures: Sequence[Picture]) -> _Side:
        side = _Side(used=[], members=[], left_out=[], broken="")
        for picture in pictures:
            found = self._features.get((one.name, picture.image.sha256), "it was not looked at")
            if isinstance(found, _Broken):
                side.broken = side.broken or found.reason
            elif isinstance(found, str):
                side.left_out.append(found)
            else:
                side.used.append(picture)
                side.members.append(
                    Member(prompt_id=picture.prompt_id, seed=picture.seed, index=picture.image.index, features=found)
                )
        return side


@dataclass(kw_only=True, slots=True)
class _Side:
    """The pictures of a setting or of its reference, as a metric saw them."""

    used: list[Picture]
    members: list[Member]
    left_out: list[str]
    """Why, of each."""
    broken: str
    """Why the metric failed over one of them."""

    @property
    def can_be_used(self) -> bool:
        return bool(self.used) or not self.left_out

    @property
    def unreadable(self) -> str:
        return f"none of {len(self.left_out)} pictures could be used: {self.left_out[0]}" if self.left_out else ""


def _rows(one: Opened, items: Sequence[ScoreItem]) -> list[NDArray[float32] | str | _Broken]:
    """What the metric makes of each item, whatever it does."""
    import numpy as np

    if one.set_metric is None or not items:
        return []
    try:
        rows = one.set_metric.features(items)
        if len(rows) != len(items):
            raise ValueError(f"the metric gave features of {len(rows)} pictures for {len(items)}")
        finite = [isinstance(row, str) or bool(np.isfinite(row).all()) for row in rows]
    except BudgetReached:
        raise
    except Exception as error:  # this metric's sets fail, the others go on
        return [_Broken(reason=one_line(error))] * len(items)
    not_finite = "what the metric made of the picture is not finite"
    return [row if fine else not_finite for row, fine in zip(rows, finite, strict=True)]


def _record(
    one_set: PictureSet, score: Score, pictures: _Side | None = None, reference: _Side | None = None
) -> SetScoreRecord:
    unread = [reason for side in (pictures, reference) if side is not None for reason in side.left_out]
    note = (f"{len(unread)} pictures could not be used, the first: {unread[0]}",) if unread else ()
    used = pictures.used if pictures else one_set.pictures
    compared = reference.used if reference else one_set.reference
    status = score.status if score.status != "infinite" else "failed"
    return SetScoreRecord(
        setting_id=one_set.setting_id,
        metric=one_set.one.name,
        identity=one_set.one.identity,
        status=status,
        value=None if score.value is None else float(score.value),
        members=members_hash(used, compared),
        pictures=len(used),
        reference_pictures=len(compared) if one_set.one.needs_reference else None,
        left_out=one_set.left_out + (len(pictures.left_out) if pictures else 0),
        reason=storable(score.reason),
        untrained=one_set.one.untrained,
        notes=tuple(map(storable, (*score.notes, *note))),
        details=score.details,
    )
