"""Scores of pictures: asking a metric, whatever it does, and the records of its answers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from kreabench.core.errors import BudgetReached
from kreabench.core.records import ScoreRecord
from kreabench.metrics.base import Score, ScoreItem
from kreabench.metrics.shared import Purse
from kreabench.pairing import Picture
from kreabench.scoring.chunks import Decoder
from kreabench.scoring.opened import Opened
from kreabench.scoring.requirements import one_line

REASON_LENGTH = 1000


def portions(one: Opened, pictures: Sequence[Picture], purse: Purse) -> Iterator[Sequence[Picture]]:
    """What a metric is asked at once: all, but picture by picture where the next one may be one too many, as of a
    batch that stops short nothing would be known."""
    size = 1 if one.is_paid and purse.limit_usd is not None else max(len(pictures), 1)
    for start in range(0, len(pictures), size):
        yield pictures[start : start + size]


def score_pictures(
    one: Opened, pictures: Sequence[Picture], decoder: Decoder, purse: Purse
) -> tuple[list[ScoreRecord], str | None]:
    """The records of `pictures`, and what the metric said when it stopped at the budget: some have no record then."""
    prepared = [_prepare(picture, one, decoder) for picture in pictures]
    given, stopped = _ask(one, [entry for entry in prepared if isinstance(entry, ScoreItem)], purse)
    scores = iter(given)
    records = []
    for picture, entry in zip(pictures, prepared, strict=True):
        score = next(scores, None) if isinstance(entry, ScoreItem) else entry
        if score is not None:
            records.append(_record(picture, one, score))
    return records, stopped


def valid(score: Score) -> Score:
    """`score`, unless it breaks the rule that a value, a finite one, is there exactly when its status is ok, or has
    other numbers that are none."""
    usd = score.usd if score.usd is None or math.isfinite(score.usd) else None
    if score.value is None if score.status != "ok" else score.value is not None and math.isfinite(score.value):
        strange = [name for name, part in score.details.items() if not math.isfinite(part)]
        if not strange:
            return replace(score, usd=usd)
        reason = f"the metric gave {strange[0]} {score.details[strange[0]]} in its details"
    else:
        reason = f"the metric gave status {score.status} with value {score.value}"
    return replace(failed(reason), usd=usd)


def failed(reason: str) -> Score:
    """A score that could not be had."""
    return Score(status="failed", value=None, reason=reason)


def storable(reason: str) -> str:
    """`reason` as a file can hold it: messages may be endless or hold broken text."""
    return reason[:REASON_LENGTH].encode("utf-8", "replace").decode()


def _prepare(picture: Picture, one: Opened, decoder: Decoder) -> ScoreItem | Score:
    """What the metric is to look at, or the outcome where there is nothing to look at."""
    if one.unopened_reason:
        return failed(one.unopened_reason)
    obstacle = one.obstacle(picture)
    if obstacle:
        return Score(status="not_applicable", value=None, reason=obstacle)
    item = decoder.item(picture, with_reference=one.needs_reference)
    return failed(item) if isinstance(item, str) else item


def _ask(one: Opened, items: Sequence[ScoreItem], purse: Purse) -> tuple[list[Score], str | None]:
    """A valid score an item, none or one where the metric stops at the budget; then its message too."""
    if not items:
        return [], None
    spent_before = purse.spent_usd
    try:
        return _answers(one, items), None
    except BudgetReached as reached:
        paid = purse.spent_usd - spent_before
        if paid > 0:  # within a picture: what it cost must not be forgotten
            return [replace(failed(f"stopped within this picture: {reached.message}"), usd=paid)], reached.message
        return [], reached.message
    except Exception as error:  # recorded as failed, and done again by the next scoring
        paid = purse.spent_usd - spent_before
        broken = [failed(one_line(error))] * len(items)
        return [replace(broken[0], usd=paid), *broken[1:]] if paid > 0 else broken, None


def _answers(one: Opened, items: Sequence[ScoreItem]) -> list[Score]:
    if one.metric is None:
        raise RuntimeError("a metric that was not opened was asked")
    scores = one.metric.score(items)
    if len(scores) != len(items):
        raise ValueError(f"the metric gave {len(scores)} scores for {len(items)} pictures")
    return [valid(score) for score in scores]


def _record(picture: Picture, one: Opened, score: Score) -> ScoreRecord:
    return ScoreRecord(
        request_id=picture.request_id,
        image_index=picture.image.index,
        image_sha256=picture.image.sha256,
        metric=one.name,
        identity=one.identity,
        status=score.status,
        value=None if score.value is None else float(score.value),
        reason=storable(score.reason),
        reference_sha256=one.reference_sha256(picture),
        truncated=score.truncated,
        untrained=one.untrained,
        asked=one.asked(picture),
        notes=tuple(map(storable, score.notes)),
        usd=score.usd,
        details=score.details,
    )
