"""Journal parts of one plan become one journal: every record once, in whatever pieces and however often they come.

A record is known by its line, so merging again adds nothing, and a kill at any moment loses nothing: the pictures of a
record are in place before its line is appended, as everywhere in a run directory.

A request that was delivered stays as it was delivered first. A failed one gives way to a later or equal attempt. What
loses is kept as a failure with its cost, as it may have been paid for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kreabench.core.errors import RunDirectoryError
from kreabench.core.planned import Plan
from kreabench.core.records import (
    NEVER_TRIED_STAGES,
    Failure,
    FailureRecord,
    ImageRecord,
    Record,
    SampleRecord,
    SkipRecord,
)
from kreabench.rundir import codec
from kreabench.rundir.directory import JOURNAL_FILE, RunDirectory
from kreabench.rundir.files import bring, make_folders, storage_error, sync_folder
from kreabench.rundir.journal import read_lines
from kreabench.rundir.merge_checks import RecordCheck
from kreabench.rundir.pictures import read_unchanged
from kreabench.rundir.writers import RunWriter

_LINES_AT_ONCE = 200
"""Journalled with one fsync, after their pictures."""

_TWICE = Failure(
    type="duplicate",
    stage="merge",
    message="drawn a second time in another part; what was delivered first counts",
    remedy="",
    transient=False,
)
_GIVEN_UP = Failure(
    type="storage",
    stage="merge",
    message="its picture was missing or damaged when its part was merged",
    remedy="`kreabench resume` draws it again.",
    transient=True,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class PartMerge:
    """What came of one part."""

    path: Path
    records: int
    """Lines that the run's journal did not have yet."""
    delivered: int
    """Samples among them."""
    failed: int
    """Failed samples among them."""
    known: int
    """Lines that the run's journal had already."""
    twice: tuple[str, ...]
    """Requests delivered here that had been delivered before; that of the run stays. Those that are new to it."""
    given_up: tuple[str, ...]
    """Requests whose pictures are missing or damaged, to be drawn again."""
    is_cut: bool
    """Whether the last line is not whole; it is left out."""


@dataclass(slots=True)
class _Steps:
    """What is to be done for one part."""

    lines: list[tuple[bytes, tuple[ImageRecord, ...]]] = field(default_factory=list)
    """Each with the pictures that have to be in place before it."""
    delivered: int = 0
    failed: int = 0
    known: int = 0
    twice: list[str] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)


class Merger:
    """Brings parts into the run whose journal `writer` writes. After an error it takes no more."""

    def __init__(self, run: RunDirectory, plan: Plan, writer: RunWriter) -> None:
        """Reads the run's journal. Raises RunDirectoryError where that is damaged."""
        self._run, self._writer = run, writer
        self._check = RecordCheck(plan)
        self._lines: set[bytes] = set()
        self._final: dict[str, tuple[bool, int]] = {}
        """Request id → whether it is delivered, and by which attempt it came to its final state."""
        self._fetched: dict[str, str] = {}
        """Request id → what the service calls the delivered one: fetched twice, it was bought once."""
        for _, line, record in _lines_of(run.path, f"Delete that line, then `kreabench merge {run.path}` again."):
            self._note(line, record)

    def merge(self, part: RunDirectory, *, give_up_missing: bool = False) -> PartMerge:
        """Take over what `part` holds and the run lacks. All of it is checked before any of it is written.

        Raises RunDirectoryError, naming file and line, for damage, for what the plan does not hold, and, unless
        `give_up_missing`, for pictures that are gone or changed; StorageError when the disk refuses.
        """
        path = part.path
        steps, missing = _Steps(), []
        remedy = f"Delete that line, which loses its record alone, then `kreabench merge {self._run.path}` again."
        for number, line, record in _lines_of(path, remedy):
            if isinstance(record, SkipRecord):
                continue  # the run says itself what it does not do
            if _digest(line) in self._lines:
                steps.known += 1
                continue
            self._check(record, f"{path / JOURNAL_FILE}, line {number},")
            if not isinstance(record, SampleRecord):
                self._take(steps, line, record)
                continue
            lacking = self._take_sample(steps, path, line, record, give_up_missing)
            if lacking is not None:
                missing.append(lacking)
        if missing:
            raise _missing_pictures(path, self._run.path, missing)
        self._write(path, steps)
        return PartMerge(
            path=path,
            records=len(steps.lines),
            delivered=steps.delivered,
            failed=steps.failed,
            known=steps.known,
            twice=tuple(steps.twice),
            given_up=tuple(steps.given_up),
            is_cut=_is_cut(path / JOURNAL_FILE),
        )

    def _take_sample(
        self, steps: _Steps, path: Path, line: bytes, record: SampleRecord, give_up_missing: bool
    ) -> str | None:
        """Why it cannot be taken; None where it is, or need not be."""
        if self._is_overtaken(record):
            if self._is_fetched_again(record):
                steps.known += 1
            elif self._take_as_failure(steps, record, _TWICE) and record.status == "ok":
                steps.twice.append(record.request_id)
            return None
        if self._is_known(_as_failure(record, _GIVEN_UP)):
            steps.known += 1  # given up once; to count it now would count what it cost twice
            return None
        lacking = _lacking(path, record)
        if lacking is None:
            self._take(steps, line, record)
        elif give_up_missing:
            self._take_as_failure(steps, record, _GIVEN_UP)
            steps.given_up.append(record.request_id)
            return None
        return lacking

    def _is_overtaken(self, record: SampleRecord) -> bool:
        is_delivered, attempt = self._final.get(record.request_id, (False, 0))
        return is_delivered or attempt > record.attempt

    def _is_fetched_again(self, record: SampleRecord) -> bool:
        """Whether it is the delivered one once more: a job and a resume may both fetch what the service has made."""
        service_id = record.hosted.service_request_id if record.hosted is not None else ""
        return bool(service_id) and self._fetched.get(record.request_id) == service_id

    def _take(self, steps: _Steps, line: bytes, record: Record) -> None:
        images = record.images if isinstance(record, SampleRecord) else ()
        steps.lines.append((line, images))
        if isinstance(record, SampleRecord):
            steps.delivered += record.status == "ok"
            steps.failed += record.status == "failed"
        self._note(line, record)

    def _take_as_failure(self, steps: _Steps, record: SampleRecord, error: Failure) -> bool:
        """Keep `record` as an attempt that failed, or was one too many. Returns whether that is new."""
        if record.error is not None:
            if record.error.stage in NEVER_TRIED_STAGES:
                return False  # nothing was drawn, and nothing bought
            error = record.error
        attempt = _as_failure(record, error)
        if self._is_known(attempt):
            steps.known += 1
            return False
        self._take(steps, codec.encode(attempt), attempt)
        return True

    def _is_known(self, record: Record) -> bool:
        return _digest(codec.encode(record)) in self._lines

    def _note(self, line: bytes, record: Record) -> None:
        """The run's journal has `line`, or will have it before anything that comes later."""
        self._lines.add(_digest(line))
        if isinstance(record, SampleRecord):
            self._final[record.request_id] = (record.status == "ok", record.attempt)
            if record.status == "ok" and record.hosted is not None:
                self._fetched[record.request_id] = record.hosted.service_request_id
            self._check.owns(record)

    def _write(self, path: Path, steps: _Steps) -> None:
        for start in range(0, len(steps.lines), _LINES_AT_ONCE):
            chunk = steps.lines[start : start + _LINES_AT_ONCE]
            self._bring(path, [image for _, images in chunk for image in images])
            self._writer.append_lines([line for line, _ in chunk])

    def _bring(self, path: Path, images: list[ImageRecord]) -> None:
        """Have the pictures of a part in the run too, durably."""
        folders = dict.fromkeys((self._run.path / image.path).parent for image in images)
        target = self._run.path
        try:
            for folder in folders:
                make_folders(folder)
            for image in images:
                target = self._run.path / image.path
                bring(path / image.path, target)
            for folder in folders:
                sync_folder(folder)
        except OSError as error:
            raise storage_error(target, error) from error


def _lacking(path: Path, record: SampleRecord) -> str | None:
    """Why the pictures of `record` cannot be taken over; None where all are as they were stored."""
    for image in record.images:
        try:
            read_unchanged(path, image)
        except RunDirectoryError as error:
            return error.message
    return None


def _as_failure(record: SampleRecord, error: Failure) -> FailureRecord:
    return FailureRecord(
        group_id=record.group_id,
        setting_id=record.setting_id,
        request_id=record.request_id,
        attempt=record.attempt,
        started_utc=record.started_utc,
        error=error,
        cost=record.cost,
    )


def _lines_of(run_path: Path, remedy: str) -> Iterator[tuple[int, bytes, Record]]:
    """Number, bytes and meaning of each whole line of a journal. Raises RunDirectoryError for a damaged one."""

    def decode(line: bytes) -> tuple[bytes, Record]:
        return line.removesuffix(b"\n"), codec.decode_record(line)

    for number, (line, record) in enumerate(read_lines(run_path / JOURNAL_FILE, decode, remedy=remedy), 1):
        yield number, line, record


def _digest(line: bytes) -> bytes:
    return hashlib.blake2b(line, digest_size=16).digest()


def _is_cut(journal: Path) -> bool:
    try:
        with journal.open("rb") as file:
            return file.seek(0, 2) > 0 and file.seek(-1, 2) >= 0 and file.read(1) != b"\n"
    except FileNotFoundError:
        return False


def _missing_pictures(path: Path, run_path: Path, missing: list[str]) -> RunDirectoryError:
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return RunDirectoryError(
        f"{path} lacks pictures that its journal names: {missing[0]}{more}",
        remedy="Nothing of this part was merged. Copy it whole and merge again; or draw these requests again: "
        f"`kreabench merge {run_path} --give-up-missing`.",
    )
