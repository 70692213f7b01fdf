"""The run directory: what one run asked for and what happened, in files that outlive any crash.

run.json          RunInfo; written last, so it is what makes a folder a run
config.yaml       the composed configuration
journal.jsonl     one record a line
scores.jsonl      one score of a picture a line
set_scores.jsonl  one score of a setting's pictures a line
floor_scores.jsonl  one score of a reference's picture against another one of it a line
votes.jsonl       one blind vote a line, see `rundir.votes`
inputs/           see `rundir.inputs`
images/           see `rundir.images`
parts/            see `rundir.parts`
samples.parquet   see `rundir.table`
driver.lock       pid of the process that may write the journal
drawing.lock      pid of the same process, while it draws
looking.lock      pid of the same process, while it draws nothing and a race decides what goes on
scores.lock       pid of the process that may write scores
votes.lock        pid of the process that may write votes
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from kreabench.core.device_names import device_in_words
from kreabench.core.errors import RunDirectoryError, StorageError
from kreabench.core.records import (
    NEVER_TRIED_STAGES,
    READABLE_VERSIONS,
    SCHEMA_VERSION,
    FailureRecord,
    LoadRecord,
    Record,
    SampleRecord,
    SubmissionRecord,
)
from kreabench.core.score_records import FloorScoreRecord, ScoreRecord, SetScoreRecord
from kreabench.core.specs import ExperimentSpec
from kreabench.rundir import codec
from kreabench.rundir.files import make_folders, storage_error, storage_remedy, write_file
from kreabench.rundir.inputs import Sources, store_inputs
from kreabench.rundir.journal import JournalTail, JournalWriter, read_lines
from kreabench.rundir.lock import hold, is_held
from kreabench.rundir.writers import RunWriter, ScoreWriter

_URL = re.compile(r"([a-z][a-z0-9+.-]+):/{1,3}(.+)")
RUN_FILE = "run.json"
CONFIG_FILE = "config.yaml"
JOURNAL_FILE = "journal.jsonl"
SCORES_FILE = "scores.jsonl"
SET_SCORES_FILE = "set_scores.jsonl"
FLOOR_SCORES_FILE = "floor_scores.jsonl"
TABLE_FILE = "samples.parquet"
IMAGES_FOLDER = "images"
LOCK_FILE = "driver.lock"
DRAWING_LOCK_FILE = "drawing.lock"
LOOKING_LOCK_FILE = "looking.lock"
SCORES_LOCK_FILE = "scores.lock"

DEATHS = frozenset({"crashed", "timeout", "device_lost", "picture_lost"})
"""Types of a failed attempt that a worker, its hold on the device, or the picture that it drew did not survive."""

_OLDEST, *_BETWEEN, _NEWEST = sorted(READABLE_VERSIONS)
_READABLE = f"versions {', '.join(map(str, [_OLDEST, *_BETWEEN]))} and {_NEWEST}"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunInfo:
    """run.json: what was asked, by which versions, where."""

    schema_version: int
    plan_hash: str
    created_utc: str
    experiment: ExperimentSpec
    versions: dict[str, str]
    """Package → version, and the interpreter and kernel."""
    environment: dict[str, str]
    """Variables of `provenance.ENVIRONMENT` that were set."""
    git_revision: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunState:
    """What a resume has to know."""

    samples: dict[str, SampleRecord]
    """Request id → its final state so far."""
    deaths: dict[str, int]
    """Request id → workers that died with it in hand and left it to be tried again; absent without one."""
    tries: dict[str, int]
    """Request id → how often it was tried, whatever came of it; absent where it never was. What may still be fetched
    is a try that has not ended."""
    submitted: dict[str, str | None] = field(default_factory=dict)
    """Request id → what a hosted service calls the request that was sent to it and is not settled; None where only the
    intention to send it is known."""
    devices: dict[str, str] = field(default_factory=dict)
    """Target → kind of device that has drawn pictures of it; absent while there are none."""
    loads: dict[str, frozenset[str]] = field(default_factory=dict)
    """Load group → when each of its loads was begun."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Version:
    schema_version: int


class RunDirectory:
    """An existing run. Reading changes nothing and needs no lock."""

    def __init__(self, path: Path, info: RunInfo) -> None:
        """Use `open` or `create`."""
        self.path = path
        self.info = info

    @classmethod
    def create(cls, path: Path, info: RunInfo, config_yaml: str, input_files: Sources | None = None) -> RunDirectory:
        """Make the run directory `path`, with its parents. Until run.json is there, last, it is not a run.

        `input_files`: where each input picture of the experiment is now, to be copied.

        Raises RunDirectoryError where a run, or what is left of one, is already there, or where the folder cannot be
        made; StorageError when the disk refuses a file.
        """
        try:
            make_folders(path)
        except OSError as error:
            reason = "a part of the path is a file" if isinstance(error, FileExistsError) else error.strerror
            raise RunDirectoryError(
                f"cannot make the run directory {path}: {reason}", remedy=storage_remedy(error)
            ) from error
        with hold(path / LOCK_FILE):
            for name in (RUN_FILE, JOURNAL_FILE, SCORES_FILE, SET_SCORES_FILE, FLOOR_SCORES_FILE, IMAGES_FOLDER):
                if (path / name).exists():
                    raise RunDirectoryError(
                        f"{path} already holds {name}", remedy="Choose another folder, or delete this one."
                    )
            store_inputs(path, info.experiment, input_files or {})
            files = {CONFIG_FILE: config_yaml.encode(), RUN_FILE: _encode_info(info)}
            for name, content in files.items():
                try:
                    write_file(path / name, content)
                except OSError as error:
                    raise storage_error(path / name, error) from error
        return cls(path, info)

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """The run at `path`. Raises RunDirectoryError where there is none, or none that this version can read."""
        file = path / RUN_FILE
        try:
            content = file.read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            if url := _URL.match(str(path)):  # a path has lost one of its slashes, or two
                where = f"{url[1]}://{'/' if url[1] == 'file' else ''}{url[2]}"
                raise RunDirectoryError(
                    f"{where} is a URL, and a folder is needed here", remedy=f"First: kreabench pull {where} RUN."
                ) from error
            found = f"{path} has no {RUN_FILE}" if path.is_dir() else f"there is no folder {path}"
            found = f"{path} is a file" if path.is_file() else found
            raise RunDirectoryError(
                f"not a run directory: {found}", remedy="Name the folder that `kreabench run` printed."
            ) from error
        except OSError as error:
            raise RunDirectoryError(
                f"cannot read {file}: {error.strerror}", remedy="Check the disk and the file's permissions."
            ) from error
        return cls(path, _decode_info(file, content))

    def records(self) -> Iterator[Record]:
        """Every record of the journal, in order. Raises RunDirectoryError for a damaged line."""
        return read_lines(self.path / JOURNAL_FILE, codec.decode_record, remedy=self._journal_remedy)

    def tail(self) -> JournalTail[Record]:
        """The journal as another process writes it."""
        return JournalTail(self.path / JOURNAL_FILE, codec.decode_record, remedy=self._journal_remedy)

    @property
    def _journal_remedy(self) -> str:
        return f"Delete that line, which loses its record alone, then `kreabench resume {self.path}`."

    @property
    def _scores_remedy(self) -> str:
        return f"Delete that line, which loses its score alone, then `kreabench score {self.path}`."

    def samples(self) -> dict[str, SampleRecord]:
        """Request id → its final state; of several lines the last."""
        return {record.request_id: record for record in self.records() if isinstance(record, SampleRecord)}

    def loads(self) -> list[LoadRecord]:
        """Every load, in order."""
        return [record for record in self.records() if isinstance(record, LoadRecord)]

    def score_lines(self) -> Iterator[ScoreRecord]:
        """Every line of scores.jsonl, in order. Raises RunDirectoryError for a damaged line."""
        return read_lines(self.path / SCORES_FILE, codec.decode_score, remedy=self._scores_remedy)

    def scores(self) -> Iterator[ScoreRecord]:
        """The scores, one for each request, image and metric: of several lines the last."""
        latest = {(score.request_id, score.image_index, score.metric): score for score in self.score_lines()}
        return iter(latest.values())

    def set_score_lines(self) -> Iterator[SetScoreRecord]:
        """Every line of set_scores.jsonl, in order. Raises RunDirectoryError for a damaged line."""
        return read_lines(self.path / SET_SCORES_FILE, codec.decode_set_score, remedy=self._scores_remedy)

    def set_scores(self) -> list[SetScoreRecord]:
        """The scores of sets that hold: of several lines of a setting and metric the last, under the identity that the
        metric was last run with."""
        lines = list(self.set_score_lines())  # once: another process may append meanwhile
        latest = {(score.setting_id, score.metric): score for score in lines}
        identity = {score.metric: score.identity for score in lines}
        return [score for score in latest.values() if score.identity == identity[score.metric]]

    def floor_score_lines(self) -> Iterator[FloorScoreRecord]:
        """Every line of floor_scores.jsonl, in order. Raises RunDirectoryError for a damaged line."""
        return read_lines(self.path / FLOOR_SCORES_FILE, codec.decode_floor_score, remedy=self._scores_remedy)

    def floor_scores(self) -> list[FloorScoreRecord]:
        """The scores of floors, one for each floor, request, image and metric: of several lines the last."""
        latest = {
            (line.floor, line.score.request_id, line.score.image_index, line.score.metric): line
            for line in self.floor_score_lines()
        }
        return list(latest.values())

    def state(self) -> RunState:
        """What is done and what was tried."""
        samples: dict[str, SampleRecord] = {}
        deaths: Counter[str] = Counter()
        tries: Counter[str] = Counter()
        submitted: dict[str, str | None] = {}
        loaded: dict[str, LoadRecord] = {}
        loads: dict[str, frozenset[str]] = {}
        devices: dict[str, str] = {}
        for record in self.records():
            if isinstance(record, LoadRecord):
                loaded[record.group_id] = record
                loads[record.group_id] = loads.get(record.group_id, frozenset()) | {record.started_utc}
            elif isinstance(record, SubmissionRecord):
                submitted[record.request_id] = record.service_request_id
            elif isinstance(record, SampleRecord):
                samples[record.request_id] = record
                tries[record.request_id] += _was_tried(record)
                _settle(submitted, record.request_id, record)
                if record.status == "ok" and (load := loaded.get(record.group_id)) is not None:
                    devices[load.target] = device_in_words(load.identity)
            elif isinstance(record, FailureRecord) and record.request_id is not None:
                deaths[record.request_id] += record.error.type in DEATHS
                tries[record.request_id] += not record.error.fetch_again
                _settle(submitted, record.request_id, record)
        return RunState(
            samples=samples, deaths=dict(+deaths), tries=dict(+tries), submitted=submitted, devices=devices, loads=loads
        )

    def save_info(self) -> None:
        """Write run.json anew when what is asked has changed in what the plan leaves free (engine, budget, metrics).

        For the holder of the journal alone, who may go on to write what older versions do not know: the schema version
        is today's. Raises StorageError.
        """
        file, content = self.path / RUN_FILE, _encode_info(replace(self.info, schema_version=SCHEMA_VERSION))
        try:
            if file.read_bytes() != content:
                write_file(file, content)
        except OSError as error:
            raise storage_error(file, error) from error

    @contextmanager
    def writer(self) -> Iterator[RunWriter]:
        """The right to write the journal, for one process at a time; an unfinished last line is cut off first.

        Raises RunDirectoryError while another process has it, naming its pid; StorageError when the disk refuses.
        """
        with hold(self.path / LOCK_FILE), closing(JournalWriter(self.path / JOURNAL_FILE)) as journal:
            yield RunWriter(journal)

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Say until the block ends that pictures are still to come; see `is_drawn`. For the holder of the journal."""
        with hold(self.path / DRAWING_LOCK_FILE, waiting=lambda pid: None):  # whoever looks holds it for that instant
            yield

    @property
    def is_drawn(self) -> bool:
        """Whether a process is drawing pictures of this run now."""
        return is_held(self.path / DRAWING_LOCK_FILE)

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Within `drawing`, say until the block ends that a race needs its scores; see `is_looked_at`."""
        with hold(self.path / LOOKING_LOCK_FILE, waiting=lambda pid: None):  # as in `drawing`
            yield

    @property
    def is_looked_at(self) -> bool:
        """Whether drawing waits for a look of a race: who scores beside it hands over the right to write scores."""
        return is_held(self.path / LOOKING_LOCK_FILE)

    @contextmanager
    def score_writer(self, *, waiting: Callable[[str], None] | None = None) -> Iterator[ScoreWriter]:
        """The right to write scores, for one process at a time, whoever draws; unfinished last lines are cut off first.

        While another process has it: with `waiting`, which is told its pid, wait for its end, else raise
        RunDirectoryError, naming the pid. Raises StorageError when the disk refuses.
        """
        with (
            hold(self.path / SCORES_LOCK_FILE, waiting=waiting),
            closing(JournalWriter(self.path / SCORES_FILE)) as scores,
            closing(JournalWriter(self.path / SET_SCORES_FILE)) as set_scores,
            closing(JournalWriter(self.path / FLOOR_SCORES_FILE)) as floor_scores,
        ):
            yield ScoreWriter(scores, set_scores, floor_scores)


def _was_tried(sample: SampleRecord) -> bool:
    """Whether a try of the request has ended: where loading or warming up fails, all that waited for it fail too."""
    error = sample.error
    return error is None or not (error.stage in NEVER_TRIED_STAGES or error.fetch_again)


def _settle(submitted: dict[str, str | None], request_id: str, record: SampleRecord | FailureRecord) -> None:
    """Strike the request off what is open at a service, unless `record` says that it can be fetched again."""
    if record.error is None or not record.error.fetch_again:
        submitted.pop(request_id, None)
    elif isinstance(record, SampleRecord) and record.hosted is not None and record.hosted.service_request_id:
        submitted[request_id] = record.hosted.service_request_id


def _encode_info(info: RunInfo) -> bytes:
    return msgspec.json.format(codec.encode(info), indent=2) + b"\n"


def _decode_info(file: Path, content: bytes) -> RunInfo:
    """The content of run.json. Raises RunDirectoryError for damage and for a version that is not ours."""
    try:
        version = codec.decode(content, _Version).schema_version
        if version in READABLE_VERSIONS:
            return codec.decode(content, RunInfo)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RunDirectoryError(
            f"{file} is damaged: {error}",
            remedy="Restore it from a copy of the run, or start the run anew in another folder.",
        ) from error
    raise RunDirectoryError(
        f"{file} has schema version {version}; this kreabench reads {_READABLE}",
        remedy=f"Read the run with the kreabench that wrote it, or {_instead(version)}.",
    )


def _instead(version: int) -> str:
    return "a newer one" if version > _NEWEST else f"draw it anew with this one: {CONFIG_FILE} says what was asked"


def spare_run(out: Path) -> None:
    """Raises StorageError where `out`, the folder of a report, is a run directory: both have files of one name."""
    if (out / RUN_FILE).exists():
        found = f"{out} holds a run, of which a report would replace files"
        raise StorageError(found, remedy="Choose another folder.")
