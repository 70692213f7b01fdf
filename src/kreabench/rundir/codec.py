"""Records and specs to JSON lines and back, typed on the way in. msgspec reads stdlib dataclasses as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from kreabench.core.records import (
    DropRecord,
    FailureRecord,
    LoadRecord,
    LookRecord,
    Record,
    SampleRecord,
    SkipRecord,
    SubmissionRecord,
    WarmupRecord,
)
from kreabench.core.score_records import FloorScoreRecord, ScoreRecord, SetScoreRecord

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kind:
    kind: str


_KIND = msgspec.json.Decoder(_Kind)
_RECORDS: dict[str, msgspec.json.Decoder[Any]] = {
    "load": msgspec.json.Decoder(LoadRecord),
    "warmup": msgspec.json.Decoder(WarmupRecord),
    "submission": msgspec.json.Decoder(SubmissionRecord),
    "sample": msgspec.json.Decoder(SampleRecord),
    "failure": msgspec.json.Decoder(FailureRecord),
    "skip": msgspec.json.Decoder(SkipRecord),
    "drop": msgspec.json.Decoder(DropRecord),
    "look": msgspec.json.Decoder(LookRecord),
}
_SCORE = msgspec.json.Decoder(ScoreRecord)
_SET_SCORE = msgspec.json.Decoder(SetScoreRecord)
_FLOOR_SCORE = msgspec.json.Decoder(FloorScoreRecord)


def encode(value: Any) -> bytes:
    """JSON of a spec, record or plain value, on one line without its newline.

    NaN and infinity become null, as JSON has neither; no record of ours may hold them (see `ScoreRecord.status`).
    """
    return msgspec.json.encode(value)


def decode(data: bytes | str, type_: type[T]) -> T:
    """The `type_` in `data`. Raises msgspec.ValidationError or msgspec.DecodeError, naming the field."""
    return msgspec.json.decode(data, type=type_)


def convert(value: Any, type_: type[T]) -> T:
    """Builtins (from an already parsed message) → dataclass `type_`. Raises msgspec.ValidationError."""
    return msgspec.convert(value, type=type_)


def to_builtins(value: Any) -> Any:
    """A spec or record as dicts, lists and scalars, ready to travel inside a message."""
    return msgspec.to_builtins(value)


def decode_record(line: bytes | str) -> Record:
    """One journal line. Raises msgspec.DecodeError for damage and for a kind that this version does not know."""
    kind = _KIND.decode(line).kind
    decoder = _RECORDS.get(kind)
    if decoder is None:
        raise msgspec.DecodeError(f"unknown record kind {kind!r}")
    record: Record = decoder.decode(line)
    return record


def decode_score(line: bytes | str) -> ScoreRecord:
    """One line of scores.jsonl."""
    return _SCORE.decode(line)


def decode_set_score(line: bytes | str) -> SetScoreRecord:
    """One line of set_scores.jsonl."""
    return _SET_SCORE.decode(line)


def decode_floor_score(line: bytes | str) -> FloorScoreRecord:
    """One line of floor_scores.jsonl."""
    return _FLOOR_SCORE.decode(line)
