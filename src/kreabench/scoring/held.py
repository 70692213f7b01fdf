"""The scores that a run directory holds, and whether they still say what scoring anew would say."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field

from kreabench.core.score_records import FloorScoreRecord, ScoreRecord, SetScoreRecord
from kreabench.pairing import Picture
from kreabench.pairing_floors import FloorPair
from kreabench.rundir.directory import RunDirectory
from kreabench.scoring.opened import Opened


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """Of several lines of one score the last."""

    records: dict[tuple[str, int, str], ScoreRecord] = field(default_factory=dict)
    """By request id, image index and metric."""
    sets: dict[tuple[str, str], SetScoreRecord] = field(default_factory=dict)
    """By setting id and metric."""
    floors: dict[tuple[str, int, str], FloorScoreRecord] = field(default_factory=dict)
    """By request id, image index and metric: a picture is in one floor alone."""
    last_identity: dict[str, str] = field(default_factory=dict)
    """Metric → identity that it was last run with; no reader of a run shows scores of another one."""

    def of(self, picture: Picture, one: Opened) -> ScoreRecord | None:
        """The score of `picture`, if any."""
        return self.records.get((picture.request_id, picture.image.index, one.name))


def read_held(run: RunDirectory, names: Set[str]) -> Held:
    """The scores of these metrics. Raises RunDirectoryError for a damaged line."""
    held = Held()
    for record in run.score_lines():
        if record.metric in names:
            held.records[record.request_id, record.image_index, record.metric] = record
            held.last_identity[record.metric] = record.identity
    for of_set in run.set_score_lines():
        if of_set.metric in names:
            held.sets[of_set.setting_id, of_set.metric] = of_set
            held.last_identity[of_set.metric] = of_set.identity
    for line in run.floor_score_lines():
        if line.score.metric in names:
            held.floors[line.score.request_id, line.score.image_index, line.score.metric] = line
    return held


def applies(record: ScoreRecord | None, picture: Picture, one: Opened) -> bool:
    """Whether a score that is held says what scoring anew would say."""
    if record is None or record.status == "failed" or record.identity != one.identity:
        return False
    if record.image_sha256 != picture.image.sha256 or record.reference_sha256 != one.reference_sha256(picture):
        return False
    if record.asked != one.asked(picture):
        return False
    obstacle = one.obstacle(picture)
    return not obstacle or record.reason == obstacle


def floor_applies(record: FloorScoreRecord | None, pair: FloorPair, one: Opened) -> bool:
    """As `applies`, of a score of a floor."""
    if record is None or (record.floor, record.partner_request_id) != (pair.floor, pair.partner_request_id):
        return False
    return applies(record.score, pair.picture, one)


def state(picture: Picture, one: Opened) -> tuple[str | None, ...]:
    """What a score of this metric depends on: once it is made, the same again would say the same."""
    return picture.image.sha256, one.reference_sha256(picture), one.obstacle(picture)
