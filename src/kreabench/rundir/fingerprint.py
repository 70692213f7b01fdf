"""What samples.parquet says of itself, so that a reader can prove that it is what the journals say."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from kreabench.core.records import DropRecord, LoadRecord
from kreabench.rundir import codec
from kreabench.rundir.columns import schema_of
from kreabench.rundir.directory import JOURNAL_FILE, SCORES_FILE, RunDirectory
from kreabench.rundir.journal import content_hash

LAYOUT = 1
"""Raised when a cell's meaning changes while its column does not."""

_KEY = b"kreabench"


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a table depends on besides the journals."""

    layout: str
    """`LAYOUT` and the columns that every table has."""
    plan_hash: str
    experiment: str
    """SHA-256 of all that was asked: metrics and categories make columns too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Journals:
    """SHA-256 of the files that a table was joined from."""

    journal: str
    scores: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """What is in a table's metadata."""

    asked: Asked
    journals: Journals
    identities: dict[str, str]
    """Metric → identity of its scores."""
    loads: tuple[LoadRecord, ...]
    drops: tuple[DropRecord, ...]


def asked_of(run: RunDirectory, plan_hash: str) -> Asked:
    """What a table of `run` depends on besides the journals."""
    return Asked(
        layout=f"{LAYOUT} {_sha256(str(schema_of((), (), ())).encode())}",
        plan_hash=plan_hash,
        experiment=_sha256(codec.encode(run.info.experiment)),
    )


def journals_of(run: RunDirectory) -> Journals:
    """Reads both files whole. Raises RunDirectoryError where one cannot be read."""
    return Journals(journal=content_hash(run.path / JOURNAL_FILE), scores=content_hash(run.path / SCORES_FILE))


def encode_statement(statement: Statement) -> dict[bytes, bytes]:
    """As a table's metadata."""
    return {_KEY: codec.encode(statement)}


def decode_statement(metadata: Mapping[bytes, bytes] | None) -> Statement | None:
    """The statement in a table's metadata; None where there is none, or one of another version."""
    content = (metadata or {}).get(_KEY)
    if content is None:
        return None
    try:
        return codec.decode(content, Statement)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
