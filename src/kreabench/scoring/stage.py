"""The scoring stage: every metric of every delivered picture, once, and only what is missing.

A score stays as long as its metric's identity, its picture and, for fidelity, its reference picture stay the same.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kreabench.core.errors import EnvironmentProblem, Problem, RunDirectoryError
from kreabench.core.ids import stable_hash
from kreabench.core.planned import Plan
from kreabench.core.records import ImageRecord, ScoreRecord
from kreabench.core.specs import MetricSpec
from kreabench.metrics.base import Metric, Score, ScoreItem
from kreabench.metrics.shared import Shared
from kreabench.metrics.table import METRICS, metric_class
from kreabench.pairing import Picture, pictures_of
from kreabench.rundir.directory import RunDirectory, RunWriter
from kreabench.rundir.pictures import read_picture

if TYPE_CHECKING:
    from PIL.Image import Image

CHUNK_IMAGES = 16
CHUNK_PIXELS = 16 * 1024 * 1024
"""Pictures decoded, scored and journalled together: what an interrupt may cost, and how much memory they may take
(4 bytes a pixel, and as much again for references)."""

_REASON_LENGTH = 1000

Progress = Callable[[int, int], None]
Key = tuple[str, int, str]
"""Request id, image index, metric name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricCounts:
    """What became of one metric's scores; together they are all pictures of the run."""

    metric: str
    scored: int = 0
    """Computed now."""
    reused: int = 0
    """Held already, whatever their status; they still applied."""
    not_applicable: int = 0
    infinite: int = 0
    failed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoringSummary:
    """What `score_run` did."""

    metrics: tuple[MetricCounts, ...]
    """In the order asked."""
    problems: tuple[Problem, ...]
    """Why metrics could not be opened; their missing scores are recorded as failed."""

    @property
    def failed(self) -> int:
        return sum(counts.failed for counts in self.metrics)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Opened:
    """A configured metric, ready or not."""

    spec: MetricSpec
    metric: Metric | None
    """None where it could not be opened."""
    identity: str
    untrained: bool = False
    problems: tuple[Problem, ...] = ()

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def needs_reference(self) -> bool:
        return METRICS[self.spec.kind].needs_reference

    def obstacle(self, picture: Picture) -> str:
        """Why the metric does not apply to `picture`; empty where it does."""
        return picture.obstacle(needs_reference=self.needs_reference, needs_prompt=METRICS[self.spec.kind].needs_prompt)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Held:
    """The scores that the run directory holds."""

    records: dict[Key, ScoreRecord]
    last_identity: dict[str, str]
    """Metric → identity that it was last run with; `rundir.table` shows no scores of another one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Task:
    """A picture and the names of the metrics that it lacks."""

    picture: Picture
    metrics: frozenset[str]


def score_run(
    run: RunDirectory,
    plan: Plan,
    *,
    metrics: Sequence[MetricSpec],
    writer: RunWriter,
    again: bool = False,
    progress: Progress | None = None,
) -> ScoringSummary:
    """Score what is missing, or everything with `again`, and journal it chunk by chunk.

    A score is missing if there is none, if it failed, or if metric, picture or reference have changed since. A metric
    that cannot be opened costs no other metric a score: what it lacks is recorded as failed, what it has stays.
    `progress` is told the scores done and to do.

    Raises RunDirectoryError for a run of another plan, StorageError when a write is refused. Whatever was appended
    before an exception or an interrupt stays.
    """
    pictures = pictures_of(run.samples(), plan)
    if not pictures:  # then nothing is worth loading a model for
        return ScoringSummary(metrics=tuple(MetricCounts(metric=spec.name) for spec in metrics), problems=())
    held = _held(run, {spec.name for spec in metrics})
    shared = Shared(environ=os.environ)
    with ExitStack() as stack:
        stack.callback(shared.close)
        # A model need not be loaded, or be there at all, to say that it has nothing to look at.
        applies = any(not picture.obstacle(needs_reference=False) for picture in pictures)
        opened = [_open(spec, held, shared, stack) if applies else _unopened(spec, held) for spec in metrics]
        tasks = [_Task(picture=picture, metrics=_missing(picture, opened, held, again=again)) for picture in pictures]
        tally = Counter((one.name, "reused") for one in opened for task in tasks if one.name not in task.metrics)
        total = sum(len(task.metrics) for task in tasks)
        done = 0
        for chunk in _chunks(task for task in tasks if task.metrics):
            if progress is not None:
                progress(done, total)
            records = _score_chunk(run.path, chunk, opened)
            writer.append_scores(records)
            tally.update((record.metric, record.status) for record in records)
            done += len(records)
        if progress is not None:
            progress(done, total)
    return ScoringSummary(
        metrics=tuple(_counts(spec.name, tally) for spec in metrics),
        problems=tuple(problem for one in opened for problem in one.problems),
    )


def _counts(name: str, tally: Mapping[tuple[str, str], int]) -> MetricCounts:
    return MetricCounts(
        metric=name,
        scored=tally[name, "ok"],
        reused=tally[name, "reused"],
        not_applicable=tally[name, "not_applicable"],
        infinite=tally[name, "infinite"],
        failed=tally[name, "failed"],
    )


def _held(run: RunDirectory, names: Set[str]) -> _Held:
    held = _Held(records={}, last_identity={})
    for record in run.score_lines():
        if record.metric in names:
            held.records[record.request_id, record.image_index, record.metric] = record
            held.last_identity[record.metric] = record.identity
    return held


def _open(spec: MetricSpec, held: _Held, shared: Shared, stack: ExitStack) -> _Opened:
    """The metric of `spec`, to be closed by `stack`; any failure to open it becomes its problems."""
    key = f"metrics.{spec.name}"
    try:
        metric: Metric = metric_class(spec.kind)(**spec.options)
        stack.callback(metric.close)
        identity = metric.open(shared)
    except EnvironmentProblem as error:
        problems = tuple(replace(problem, key=_full_key(key, problem.key)) for problem in error.problems)
    except Exception as error:  # a metric's fault must not cost the other metrics their scores
        problems = (Problem(key=key, found=_one_line(error), expected="a metric that can be opened"),)
    else:
        return _Opened(
            spec=spec,
            metric=metric,
            identity=stable_hash({"kind": spec.kind, "identity": identity}),
            untrained=bool(identity.get("untrained", False)),
        )
    return _unopened(spec, held, problems)


def _unopened(spec: MetricSpec, held: _Held, problems: tuple[Problem, ...] = ()) -> _Opened:
    """A metric that scores nothing: it could not be opened, or has nothing to look at."""
    # What it was last run with, because failures under another identity would void the scores that are held.
    asked = stable_hash({"kind": spec.kind, "options": spec.options})
    return _Opened(spec=spec, metric=None, identity=held.last_identity.get(spec.name, asked), problems=problems)


def _full_key(metric_key: str, key: str) -> str:
    """`options.weights` of a metric is `metrics.NAME.options.weights`; an environment variable is only itself."""
    return f"{metric_key}.{key}" if key.startswith("options") else key


def _missing(picture: Picture, opened: Sequence[_Opened], held: _Held, *, again: bool) -> frozenset[str]:
    """The names of the metrics that have no score of `picture`, or none that still applies."""
    return frozenset(
        one.name
        for one in opened
        if (again and not one.problems)
        or not _applies(held.records.get((picture.request_id, picture.image.index, one.name)), picture, one)
    )


def _applies(record: ScoreRecord | None, picture: Picture, one: _Opened) -> bool:
    """Whether a score that is held says what scoring anew would say."""
    if record is None or record.status == "failed" or record.identity != one.identity:
        return False
    if record.image_sha256 != picture.image.sha256 or record.reference_sha256 != _reference_sha256(picture, one):
        return False
    obstacle = one.obstacle(picture)
    return not obstacle or record.reason == obstacle


def _reference_sha256(picture: Picture, one: _Opened) -> str | None:
    return picture.reference.sha256 if one.needs_reference and picture.reference is not None else None


def _chunks(tasks: Iterable[_Task]) -> Iterator[list[_Task]]:
    """Lists of tasks in the same order, at most CHUNK_IMAGES long and of CHUNK_PIXELS, but at least one."""
    chunk: list[_Task] = []
    pixels = 0
    for task in tasks:
        size = task.picture.image.width * task.picture.image.height
        if chunk and (len(chunk) == CHUNK_IMAGES or pixels + size > CHUNK_PIXELS):
            yield chunk
            chunk, pixels = [], 0
        chunk.append(task)
        pixels += size
    if chunk:
        yield chunk


def _score_chunk(run_path: Path, chunk: Sequence[_Task], opened: Sequence[_Opened]) -> list[ScoreRecord]:
    """What the chunk lacks, metric by metric; each picture is decoded once, and only if a metric needs to see it."""
    decoder = _Decoder(run_path)
    records = []
    for one in opened:
        pictures = [task.picture for task in chunk if one.name in task.metrics]
        prepared = [_prepare(picture, one, decoder) for picture in pictures]
        scores = iter(_scores(one, [entry for entry in prepared if isinstance(entry, ScoreItem)]))
        for picture, entry in zip(pictures, prepared, strict=True):
            records.append(_record(picture, one, next(scores) if isinstance(entry, ScoreItem) else entry))
    return records


class _Decoder:
    """Pictures of one chunk."""

    def __init__(self, run_path: Path) -> None:
        self._run_path = run_path
        self._decoded: dict[str, Image | str] = {}

    def read(self, image: ImageRecord) -> Image | str:
        """The picture as RGB, or why it cannot be read."""
        if image.path not in self._decoded:
            try:
                self._decoded[image.path] = read_picture(self._run_path, image)
            except RunDirectoryError as error:
                self._decoded[image.path] = " ".join(str(error).split())
        return self._decoded[image.path]


def _prepare(picture: Picture, one: _Opened, decoder: _Decoder) -> ScoreItem | Score:
    """What the metric is to look at, or the outcome where there is nothing to look at."""
    if one.metric is None and one.problems:
        reason = f"the metric could not be opened: {'; '.join(map(str, one.problems))}"
        return Score(status="failed", value=None, reason=reason)
    obstacle = one.obstacle(picture)
    if obstacle:
        return Score(status="not_applicable", value=None, reason=obstacle)
    image = decoder.read(picture.image)
    if isinstance(image, str):
        return Score(status="failed", value=None, reason=image)
    if not one.needs_reference or picture.reference is None:
        return ScoreItem(
            image=image,
            prompt=picture.prompt,
            reference=None,
            sha256=picture.image.sha256,
            format=picture.image.format,
        )
    reference = decoder.read(picture.reference)
    if isinstance(reference, str):
        return Score(status="failed", value=None, reason=f"the reference: {reference}")
    return ScoreItem(
        image=image,
        prompt=picture.prompt,
        reference=reference,
        sha256=picture.image.sha256,
        reference_sha256=picture.reference.sha256,
        format=picture.image.format,
        reference_format=picture.reference.format,
    )


def _scores(one: _Opened, items: Sequence[ScoreItem]) -> list[Score]:
    """One valid score an item, whatever the metric does."""
    if one.metric is None or not items:
        return []
    try:
        scores = one.metric.score(items)
        if len(scores) != len(items):
            raise ValueError(f"the metric gave {len(scores)} scores for {len(items)} pictures")
    except Exception as error:  # recorded as failed, and done again by the next scoring
        return [Score(status="failed", value=None, reason=_one_line(error))] * len(items)
    return [_valid(score) for score in scores]


def _valid(score: Score) -> Score:
    """`score`, unless it breaks the rule that a value, a finite one, is there exactly when its status is ok."""
    if score.value is None if score.status != "ok" else score.value is not None and math.isfinite(score.value):
        return score
    reason = f"the metric gave status {score.status} with value {score.value}"
    return Score(status="failed", value=None, reason=reason)


def _record(picture: Picture, one: _Opened, score: Score) -> ScoreRecord:
    return ScoreRecord(
        request_id=picture.request_id,
        image_index=picture.image.index,
        image_sha256=picture.image.sha256,
        metric=one.name,
        identity=one.identity,
        status=score.status,
        value=None if score.value is None else float(score.value),
        reason=score.reason[:_REASON_LENGTH].encode("utf-8", "replace").decode(),  # messages may hold broken text
        reference_sha256=_reference_sha256(picture, one),
        truncated=score.truncated,
        untrained=one.untrained,
        notes=score.notes,
        usd=score.usd,
        details=score.details,
    )


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
