"""Pictures for runs that are exported, and a reader of what W&B's client writes offline."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from kreabench.core.records import ImageRecord
from tests.support import encode_image, make_image_record, picture

_BLOCK, _HEAD, _FILE_HEAD = 32768, 7, 7
"""Bytes of a block of LevelDB's log, of a record's head in it, and of what W&B puts before the first."""


def with_pictures(run_path: Path) -> Callable[..., ImageRecord]:
    """In the place of `make_image_record`: each picture is a file of the run."""
    numbers = count()

    def stored(**changes: Any) -> ImageRecord:
        content = encode_image(picture(seed=next(numbers)))
        relative = f"images/setting/{next(numbers)}.png"
        (run_path / relative).parent.mkdir(parents=True, exist_ok=True)
        (run_path / relative).write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        return make_image_record(**changes | {"path": relative, "sha256": sha256, "size_bytes": len(content)})

    return stored


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
