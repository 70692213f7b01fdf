"""Scores of noise floors: the same metrics of the reference's own pictures, against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from kreabench.core.score_records import FloorScoreRecord
from kreabench.core.specs import MetricSpec
from kreabench.metrics.shared import Purse
from kreabench.metrics.table import row_of
from kreabench.pairing_floors import FloorPair
from kreabench.rundir.writers import ScoreWriter
from kreabench.scoring.chunks import Decoder, Task
from kreabench.scoring.held import floor_applies, state
from kreabench.scoring.images import score_pictures
from kreabench.scoring.opened import Opened
from kreabench.scoring.summary import MetricCounts, Tally


class FloorScores:
    """Floors of one scoring, over as many passes as pictures come."""

    def __init__(
        self,
        held: Mapping[tuple[str, int, str], FloorScoreRecord],
        *,
        writer: ScoreWriter,
        decoder: Decoder,
        purse: Purse,
        again: bool,
    ) -> None:
        """`held` as in `Held.floors`; `again` scores what is held anew."""
        self._held, self._writer, self._decoder, self._purse, self._again = held, writer, decoder, purse, again
        self._pairs: dict[tuple[str, int], FloorPair] = {}
        self._settled: dict[tuple[str, int, str], tuple[str | None, ...]] = {}
        """Request id, image index and metric of each score that this scoring has made → of what."""
        self._tally = Tally()

    def tasks(self, pairs: Sequence[FloorPair], opened: Sequence[Opened], *, drawing: bool) -> list[Task]:
        """What `pairs`, all that there are by now, lack. While `drawing`, what may still come is waited for."""
        self._pairs = {(pair.picture.request_id, pair.picture.image.index): pair for pair in pairs}
        measured = [one for one in opened if _has_floor(one.spec)]
        return [
            Task(
                picture=pair.picture,
                metrics=frozenset(one.name for one in measured if self._is_missing(pair, one, drawing=drawing)),
            )
            for pair in pairs
        ]

    def score(self, chunk: Sequence[Task], opened: Sequence[Opened]) -> None:
        """Score and journal what a chunk of `tasks` lacks."""
        self._decoder.begin(chunk)
        records: list[FloorScoreRecord] = []
        for one in opened:
            pictures = [task.picture for task in chunk if one.name in task.metrics]
            for score in score_pictures(one, pictures, self._decoder, self._purse)[0] if pictures else []:
                pair = self._pairs[score.request_id, score.image_index]
                records.append(
                    FloorScoreRecord(floor=pair.floor, partner_request_id=pair.partner_request_id, score=score)
                )
        self._writer.append_floor_scores(records)
        metrics = {one.name: one for one in opened}
        for record in records:
            what = (record.score.request_id, record.score.image_index)
            self._tally.computed(record.score, what)
            settled = state(self._pairs[what].picture, metrics[record.score.metric])
            self._settled[(*what, record.score.metric)] = settled

    def counts(self, specs: Sequence[MetricSpec]) -> tuple[MetricCounts, ...]:
        """What became of each metric's floors; nothing where there are no pairs."""
        measured = [spec for spec in specs if _has_floor(spec)] if self._pairs else []
        return tuple(replace(self._tally.counts(spec, list(self._pairs)), per="floor") for spec in measured)

    def _is_missing(self, pair: FloorPair, one: Opened, *, drawing: bool) -> bool:
        what = (pair.picture.request_id, pair.picture.image.index)
        if self._settled.get((*what, one.name)) == state(pair.picture, one):
            return False
        anew = self._again and not one.problems
        if not anew and floor_applies(self._held.get((*what, one.name)), pair, one):
            self._tally.reused(one.name, what)
            return False
        return not (drawing and pair.picture.reference_may_come)


def _has_floor(spec: MetricSpec) -> bool:
    """Whether a floor is measured by it: one that costs dollars is not asked for what nobody ordered."""
    row = row_of(spec)
    return spec.per == "image" and row is not None and row.needs_reference and not row.paid
