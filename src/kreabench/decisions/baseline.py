"""A side of a comparison as a baseline file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from kreabench.core.errors import ConfigError, Problem, RunDirectoryError
from kreabench.core.redaction import redact
from kreabench.core.specs import MetricSpec
from kreabench.decisions.baseline_file import encode_baseline, is_baseline
from kreabench.decisions.baseline_table import rows_of
from kreabench.decisions.sides import Side
from kreabench.metrics.table import METRICS
from kreabench.rundir.files import make_folders, storage_error, write_file


def baseline_of(side: Side, *, unfinished: bool = False) -> bytes:
    """The content of a baseline file; the same for the same side, whenever it is made.

    Raises RunDirectoryError for a side with requests that have no final sample, unless they are accepted by
    `unfinished`.
    """
    if side.unfinished and not unfinished:
        raise RunDirectoryError(
            f"{side.name} is not finished: {side.unfinished} requests have no sample",
            remedy=f"Finish it with `kreabench resume {side.picture_folder or 'RUN'}`, or export it with --unfinished.",
        )
    rows, usual, states = rows_of(side.table, side.settings, [spec.name for spec in side.metrics])
    header = {
        "run_name": side.run_name,
        "created_utc": side.created_utc,
        "notice": side.notice,
        "settings": side.settings,
        "requested": {setting.id: side.requested[setting.id] for setting in side.settings},
        "dropped": _redacted(side.dropped),
        "metrics": tuple(_without_paths(side.metrics)),
        "identities": dict(side.identities),
        "usual": usual,
        "states": states,
        "prompts": dict(side.prompts),
        "facts": _redacted(side.facts),
        "versions": _redacted(side.versions),
    }
    return encode_baseline(header, rows)


def _redacted(texts: Mapping[str, str]) -> dict[str, str]:
    return {name: redact(text) for name, text in texts.items()}


def _without_paths(metrics: Iterable[MetricSpec]) -> Iterator[MetricSpec]:
    """Options name files of weights, programs and services; only those that say how to read a value are kept."""
    for spec in metrics:
        row = METRICS.get(spec.kind)
        kept = row.from_options if row else ()
        yield replace(spec, options={name: value for name, value in spec.options.items() if name in kept})


def write_baseline(path: Path, content: bytes) -> None:
    """Write a baseline file, whole or not at all, over an older one.

    Raises ConfigError where `path` is something else, StorageError when the disk refuses.
    """
    if path.exists() and not (path.is_file() and is_baseline(path)):
        found = "a folder" if path.is_dir() else "a file that is no baseline"
        raise ConfigError([Problem(key=f"--out {path}", found=found, expected="a new file, or a baseline to replace")])
    try:
        make_folders(path.parent)
        write_file(path, content)
    except OSError as error:
        raise storage_error(path, error) from error
