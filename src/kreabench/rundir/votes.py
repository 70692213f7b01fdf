"""votes.jsonl: what people said of a run's pictures, written by one vote server at a time.

votes.lock holds the pid of that server. Reading needs no lock, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from kreabench.core.vote_records import VOTES_VERSION, UndoRecord, VoteRecord
from kreabench.rundir import codec
from kreabench.rundir.journal import JournalWriter, read_lines
from kreabench.rundir.lock import hold

VOTES_FILE = "votes.jsonl"
VOTES_LOCK_FILE = "votes.lock"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Head:
    kind: str
    version: int


def decode_vote(line: bytes | str) -> VoteRecord | UndoRecord:
    """One line of votes.jsonl. Raises msgspec.DecodeError for damage, and for what this version does not know."""
    head = codec.decode(line, _Head)
    if head.version != VOTES_VERSION:
        raise msgspec.DecodeError(
            f"a vote of version {head.version}; this kreabench reads version {VOTES_VERSION}: "
            "read the run with the kreabench that wrote it, or a newer one"
        )
    if head.kind == "vote":
        return codec.decode(line, VoteRecord)
    if head.kind == "undo":
        return codec.decode(line, UndoRecord)
    raise msgspec.DecodeError(f"unknown record kind {head.kind!r}")


def read_votes(run_path: Path) -> list[VoteRecord]:
    """The votes that stand, in the order they were given; none where nobody voted.

    Raises RunDirectoryError for a damaged line, and for one of another version.
    """
    standing: dict[str, VoteRecord] = {}
    remedy = "Delete that line, which loses its vote alone; a line of a newer kreabench is read by that one."
    for record in read_lines(run_path / VOTES_FILE, decode_vote, remedy=remedy):
        if isinstance(record, VoteRecord):
            standing[record.id] = record
        else:
            standing.pop(record.id, None)
    return list(standing.values())


class VoteWriter:
    """Appends to votes.jsonl; see `vote_writer`."""

    def __init__(self, journal: JournalWriter) -> None:
        self._journal = journal

    def append(self, record: VoteRecord | UndoRecord) -> None:
        """Write `record`; durable on return. Raises StorageError; ValueError for what would read back differently."""
        line = codec.encode(record)
        try:
            same = decode_vote(line) == record
        except msgspec.DecodeError as error:
            raise ValueError(f"{record} cannot be read back: {error}") from error
        if not same:
            raise ValueError(f"{record} would be read back differently")
        self._journal.append([line])


@contextmanager
def vote_writer(run_path: Path) -> Iterator[VoteWriter]:
    """The right to write votes, for one process at a time; an unfinished last line is cut off first.

    Raises RunDirectoryError while another process has it, naming its pid, and where the folder cannot be written;
    StorageError when the disk refuses.
    """
    with hold(run_path / VOTES_LOCK_FILE), closing(JournalWriter(run_path / VOTES_FILE)) as journal:
        yield VoteWriter(journal)
