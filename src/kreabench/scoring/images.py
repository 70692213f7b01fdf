"""Scores of pictures: asking a metric, whatever it does, and the records of its answers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from kreabench.core.errors import BudgetReached, one_line
from kreabench.core.score_records import ScoreRecord
from kreabench.metrics.base import OutOfBudget, Score, ScoreItem, failed
from kreabench.metrics.shared import Purse
from kreabench.pairing import Picture
from kreabench.scoring.chunks import Decoder
from kreabench.scoring.opened import Opened

REASON_LENGTH = 1000
PAID_AT_ONCE = 4
"""Pictures: about as many as a judge is asked about side by side."""


def portions(one: Opened, pictures: Sequence[Picture]) -> Iterator[Sequence[Picture]]:
    """What a metric is asked at once: all, but only a few of a metric that costs dollars. They are journalled together,
    so it is what a crash may forget to have paid."""
    size = PAID_AT_ONCE if one.is_paid else max(len(pictures), 1)
    for start in range(0, len(pictures), size):
        yield pictures[start : start + size]


def interrupted(one: Opened, picture: Picture, usd: float) -> ScoreRecord:
    """That dollars went for `picture`, or others asked about with it, of which nothing is known any more."""
    return _record(picture, one, replace(failed("interrupted while it, or others with it, were asked about"), usd=usd))


def score_pictures(
    one: Opened, pictures: Sequence[Picture], decoder: Decoder, purse: Purse
) -> tuple[list[ScoreRecord], str | None]:
    """The records of `pictures`, and what the metric said when it stopped at the budget: some have no record then."""
    prepared = [_prepare(picture, one, decoder) for picture in pictures]
    given, stopped = _ask(one, [entry for entry in prepared if isinstance(entry, ScoreItem)], purse)
    scores = iter(given)
    records = []
    for picture, entry in zip(pictures, prepared, strict=True):
        score = next(scores) if isinstance(entry, ScoreItem) else entry
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


def _ask(one: Opened, items: Sequence[ScoreItem], purse: Purse) -> tuple[list[Score | None], str | None]:
    """A valid score an item; where the metric stops at the budget None for those that it left, and its message."""
    if not items:
        return [], None
    stopped: str | None = None
    spent_before = purse.spent_usd
    try:
        return _answers(one, items)
    except BudgetReached as reached:  # without a word of what it has
        stopped = reached.message
        broken = failed(f"stopped within these pictures: {stopped}")
        scores: list[Score | None] = [None] * len(items)
    except Exception as error:  # recorded as failed, and done again by the next scoring
        broken = failed(one_line(error))
        scores = [broken] * len(items)
    paid = purse.spent_usd - spent_before
    if paid > 0:  # it must not be forgotten
        scores[0] = replace(broken, usd=paid)
    return scores, stopped


def _answers(one: Opened, items: Sequence[ScoreItem]) -> tuple[list[Score | None], str | None]:
    if one.metric is None:
        raise RuntimeError("a metric that was not opened was asked")
    stopped: str | None = None
    scores: Sequence[Score | None]
    try:
        scores = one.metric.score(items)
    except OutOfBudget as reached:
        scores, stopped = reached.scores, reached.message
    if len(scores) != len(items):
        raise ValueError(f"the metric gave {len(scores)} scores for {len(items)} pictures")
    return [None if score is None else valid(score) for score in scores], stopped


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
