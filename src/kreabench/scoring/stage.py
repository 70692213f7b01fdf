"""The scoring stage: every metric of every delivered picture and of every set of pictures, once, and only what is
missing.

A score stays as long as its metric's identity and its pictures, for fidelity the reference picture too, stay the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from kreabench.core.errors import BudgetReached
from kreabench.core.planned import Plan
from kreabench.core.records import SampleRecord
from kreabench.core.score_records import ScoreRecord
from kreabench.core.specs import MetricSpec
from kreabench.drops import kept_samples
from kreabench.metrics.shared import Purse, Shared
from kreabench.pairing import Picture, pictures_of
from kreabench.pairing_floors import floor_pairs
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.writers import ScoreWriter
from kreabench.scoring.chunks import Decoder, Task, chunks
from kreabench.scoring.floors import FloorScores
from kreabench.scoring.held import Held, applies, read_held, state
from kreabench.scoring.images import interrupted, portions, score_pictures
from kreabench.scoring.opened import Opened, open_metric, unopened
from kreabench.scoring.sets import PictureSet, SetScores, find_sets
from kreabench.scoring.summary import ScoringSummary, Tally

Progress = Callable[[int, int], None]
"""Told the steps done and to do: a score of a picture or of a pair of the reference's, a picture seen for its set, a
score of a set."""


def score_run(
    run: RunDirectory,
    plan: Plan,
    *,
    metrics: Sequence[MetricSpec],
    writer: ScoreWriter,
    again: bool = False,
    progress: Progress | None = None,
    purse: Purse | None = None,
) -> ScoringSummary:
    """Score what is missing, or everything with `again`, and journal it chunk by chunk; what costs dollars at once.

    A score is missing if there is none, if it failed, or if metric, picture or reference have changed since. A metric
    that cannot be opened costs no other metric a score: what it lacks is recorded as failed, what it has stays. A
    metric that stops at the limit of `purse` leaves the rest of its pictures without a score.

    Pictures of settings that a race dropped are left as they are.

    Raises RunDirectoryError for a run of another plan, StorageError when a write is refused. Whatever was appended
    before an exception or an interrupt stays.
    """
    with Scoring(run, plan, metrics=metrics, writer=writer, again=again, progress=progress, purse=purse) as scoring:
        scoring.score(kept_samples(run))
        return scoring.summary()


class Scoring:
    """Metrics that are opened once, for as many passes as pictures come; see `score_run`. A context manager."""

    def __init__(
        self,
        run: RunDirectory,
        plan: Plan,
        *,
        metrics: Sequence[MetricSpec],
        writer: ScoreWriter,
        again: bool = False,
        progress: Progress | None = None,
        purse: Purse | None = None,
    ) -> None:
        self._run, self._plan, self._specs = run, plan, tuple(metrics)
        self._writer, self._again, self._progress = writer, again, progress
        self._purse = purse or Purse(limit_usd=None)
        self._held = Held()
        self._opened: tuple[Opened, ...] | None = None
        self._pictures: list[Picture] = []
        self._settled: dict[tuple[str, int, str], tuple[str | None, ...]] = {}
        """Request id, image index and metric of each score that this scoring has made → of what."""
        self._decoder = Decoder(run.path)
        self._set_scores = SetScores()
        self._floors = self._floor_scores()
        self._tally = Tally()
        self._stopped: dict[str, str] = {}
        """Metrics that have stopped at the budget, and what they said."""
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._held = read_held(self._run, {spec.name for spec in self._specs})
        self._floors = self._floor_scores()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def score(self, samples: Mapping[str, SampleRecord], *, drawing: bool = False) -> None:
        """Score what `samples` delivered and what is missing of it.

        While `drawing`, what may change is left for later: scores whose reference may still come, scores of sets, and
        those that spend from a limited purse, which drawing spends from too.
        """
        pictures = pictures_of(samples, self._plan, self._run.info.experiment.prompts)
        # A model need not be loaded, or be there at all, to say that it has nothing to look at.
        to_see = any(not picture.obstacle(needs_reference=False) for picture in pictures)
        if not pictures or (drawing and not to_see):
            return
        self._pictures = pictures
        opened = self._open(to_see=to_see)
        sets = self._sets(opened)
        tasks = self._tasks(opened, sets, drawing=drawing)
        pairs = self._floors.tasks(floor_pairs(pictures, samples, self._plan), opened, drawing=drawing)
        total = sum(task.steps for task in (*tasks, *pairs)) + (0 if drawing else len(sets))
        done = 0
        for chunk in chunks(task for task in tasks if task.steps):
            self._tell(done, total)
            self._score_chunk(chunk, opened)
            done += sum(task.steps for task in chunk) - self._left(chunk)
        for chunk in chunks(task for task in pairs if task.steps):
            self._tell(done, total)
            self._floors.score(chunk, opened)
            done += sum(task.steps for task in chunk)
        for one_set in [] if drawing else sets:
            self._score_set(one_set)
        self._tell(done + (0 if drawing else len(sets)), total)

    def summary(self) -> ScoringSummary:
        """What became of all pictures and settings of the last pass."""
        pictures = [(picture.request_id, picture.image.index) for picture in self._pictures]
        settings = list(dict.fromkeys(picture.setting_id for picture in self._pictures))
        return ScoringSummary(
            metrics=tuple(
                self._tally.counts(spec, settings if spec.per == "set" else pictures) for spec in self._specs
            ),
            problems=tuple(problem for one in self._opened or () for problem in one.problems),
            budget_message=next((f"metrics.{name}: {said}" for name, said in self._stopped.items()), None),
            floors=self._floors.counts(self._specs),
        )

    def _floor_scores(self) -> FloorScores:
        return FloorScores(
            self._held.floors, writer=self._writer, decoder=self._decoder, purse=self._purse, again=self._again
        )

    def _tell(self, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress(done, total)

    def _open(self, *, to_see: bool) -> tuple[Opened, ...]:
        if not to_see:
            return tuple(unopened(spec, self._held.last_identity) for spec in self._specs)
        if self._opened is None:
            shared = Shared(environ=os.environ, purse=self._purse)
            self._stack.callback(shared.close)
            known = self._held.last_identity
            self._opened = tuple(open_metric(spec, known, shared, self._stack) for spec in self._specs)
        return self._opened

    def _sets(self, opened: Sequence[Opened]) -> list[PictureSet]:
        """Those that lack a score that holds."""
        lacking = []
        for one_set in find_sets(self._pictures, self._plan, [one for one in opened if one.spec.per == "set"]):
            one, held = one_set.one, self._held.sets.get((one_set.setting_id, one_set.one.name))
            anew = self._again and not one.problems
            if not anew and one_set.is_held(held):
                self._tally.reused(one.name, one_set.setting_id)
            else:
                lacking.append(one_set)
        return lacking

    def _tasks(self, opened: Sequence[Opened], sets: Sequence[PictureSet], *, drawing: bool) -> list[Task]:
        unseen = self._set_scores.lacking(sets)
        images = [one for one in opened if one.spec.per == "image"]
        return [
            Task(
                picture=picture,
                metrics=frozenset(one.name for one in images if self._is_missing(picture, one, drawing=drawing)),
                sets=frozenset(unseen.get(picture.image.sha256, ())) - self._stopped.keys(),
            )
            for picture in self._pictures
        ]

    def _is_missing(self, picture: Picture, one: Opened, *, drawing: bool) -> bool:
        """Whether the picture has no score of this metric, or none that still applies, and is to be scored now."""
        what = (picture.request_id, picture.image.index)
        if self._settled.get((*what, one.name)) == state(picture, one):
            return False
        anew = self._again and not one.problems
        if not anew and applies(self._held.of(picture, one), picture, one):
            self._tally.reused(one.name, what)
            return False
        waits = drawing and (
            (one.needs_reference and picture.reference_may_come) or (one.is_paid and self._purse.limit_usd is not None)
        )
        return not waits and one.name not in self._stopped

    def _score_chunk(self, chunk: Sequence[Task], opened: Sequence[Opened]) -> None:
        """What the chunk lacks, metric by metric; each picture is decoded once, and only if a metric looks at it."""
        self._decoder.begin(chunk)
        records: list[ScoreRecord] = []
        for one in opened:
            pictures = [task.picture for task in chunk if one.name in task.metrics]
            for portion in portions(one, pictures):
                if one.name in self._stopped:
                    break
                scored, stopped = self._ask(one, portion)
                if stopped is not None:
                    self._stopped[one.name] = stopped
                if one.is_paid:  # at once: whatever ends this process next, what was paid is known
                    self._journal(scored, chunk, opened)
                else:
                    records += scored
        self._journal(records, chunk, opened)
        for one in opened:
            self._look(one, [task.picture for task in chunk if one.name in task.sets])

    def _left(self, chunk: Sequence[Task]) -> int:
        """Scores of these pictures that metrics have not made, because they stopped."""
        return sum(
            (task.picture.request_id, task.picture.image.index, name) not in self._settled
            for task in chunk
            for name in task.metrics & self._stopped.keys()
        )

    def _ask(self, one: Opened, pictures: Sequence[Picture]) -> tuple[list[ScoreRecord], str | None]:
        """As `score_pictures`. An interrupt forgets no dollar that was counted."""
        spent_before = self._purse.spent_usd
        try:
            return score_pictures(one, pictures, self._decoder, self._purse)
        except BaseException:
            paid = self._purse.spent_usd - spent_before
            if paid > 0:
                self._writer.append_scores([interrupted(one, pictures[0], paid)])
            raise

    def _journal(self, records: Sequence[ScoreRecord], chunk: Sequence[Task], opened: Sequence[Opened]) -> None:
        self._writer.append_scores(records)
        pictures = {(task.picture.request_id, task.picture.image.index): task.picture for task in chunk}
        metrics = {one.name: one for one in opened}
        for record in records:
            what = (record.request_id, record.image_index)
            self._tally.computed(record, what)
            self._settled[(*what, record.metric)] = state(pictures[what], metrics[record.metric])

    def _look(self, one: Opened, pictures: Sequence[Picture]) -> None:
        if not pictures or one.name in self._stopped:
            return
        try:
            self._set_scores.look(one, pictures, self._decoder)
        except BudgetReached as reached:
            self._stopped[one.name] = reached.message

    def _score_set(self, one_set: PictureSet) -> None:
        if one_set.one.name in self._stopped:
            return
        try:
            record = self._set_scores.compare(one_set)
        except BudgetReached as reached:
            self._stopped[one_set.one.name] = reached.message
            return
        self._writer.append_set_scores([record])
        self._tally.computed(record, one_set.setting_id)
