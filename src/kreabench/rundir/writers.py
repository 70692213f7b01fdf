"""Appending to the files of a run: who holds one of these may write; see `rundir.directory`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from kreabench.core.records import LoadRecord, Record
from kreabench.core.score_records import FloorScoreRecord, ScoreRecord, SetScoreRecord
from kreabench.rundir import codec
from kreabench.rundir.journal import JournalWriter

AnyRecord = Record | ScoreRecord | SetScoreRecord | FloorScoreRecord


class RunWriter:
    """Appends to the journal; see `RunDirectory.writer`."""

    def __init__(self, journal: JournalWriter) -> None:
        self._journal = journal

    def append(self, *records: Record) -> None:
        """Journal `records`, all or none, with one fsync; durable on return.

        Raises StorageError; ValueError for what would read back differently.
        """
        if records:
            self._journal.append([_line(record, codec.decode_record) for record in records])

    def append_lines(self, lines: Sequence[bytes]) -> None:
        """Journal `lines`, without their newlines, as another journal has them. Raises StorageError."""
        if lines:
            self._journal.append(lines)


class ScoreWriter:
    """Appends to the three files of scores; see `RunDirectory.score_writer`."""

    def __init__(self, scores: JournalWriter, set_scores: JournalWriter, floor_scores: JournalWriter) -> None:
        self._scores = scores
        self._set_scores = set_scores
        self._floor_scores = floor_scores

    def append_scores(self, records: Iterable[ScoreRecord]) -> None:
        """Journal `records`, all or none, with one fsync. Raises as `RunWriter.append` does."""
        lines = [_line(record, codec.decode_score) for record in records]
        if lines:
            self._scores.append(lines)

    def append_set_scores(self, records: Iterable[SetScoreRecord]) -> None:
        """Journal `records`, all or none, with one fsync. Raises as `RunWriter.append` does."""
        lines = [_line(record, codec.decode_set_score) for record in records]
        if lines:
            self._set_scores.append(lines)

    def append_floor_scores(self, records: Iterable[FloorScoreRecord]) -> None:
        """Journal `records`, all or none, with one fsync. Raises as `RunWriter.append` does."""
        lines = [_line(record, codec.decode_floor_score) for record in records]
        if lines:
            self._floor_scores.append(lines)


def _line(record: AnyRecord, decode: Callable[[bytes], AnyRecord]) -> bytes:
    """`record` in JSON. Raises ValueError for NaN and the like, which JSON would turn into "absent", or worse."""
    line = codec.encode(record)
    try:
        same = decode(line) == record or isinstance(record, LoadRecord)  # an identity may hold tuples
    except msgspec.DecodeError as error:
        raise ValueError(f"{record} cannot be read back: {error}") from error
    if not same:
        raise ValueError(f"{record} would be read back as {decode(line)}")
    return line
