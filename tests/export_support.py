"""A reader of what W&B's client writes offline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

_BLOCK, _HEAD, _FILE_HEAD = 32768, 7, 7
"""Bytes of a block of LevelDB's log, of a record's head in it, and of what W&B puts before the first."""


def offline_records(file: Path) -> Iterator[Any]:
    """The records of a .wandb file: a log as LevelDB has them (its doc/log_format.md), of protocol buffers."""
    from wandb.proto import wandb_internal_pb2

    content = file.read_bytes()
    assert content[:4] == b":W&B"
    whole, place = b"", _FILE_HEAD
    while place + _HEAD <= len(content):
        left = _BLOCK - place % _BLOCK
        if left < _HEAD:
            place += left
            continue
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        whole += content[place + _HEAD : place + _HEAD + length]
        place += _HEAD + length
        if kind in (1, 4):  # whole, or the last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            whole = b""
            yield record
    assert not whole, "the last record is cut"
