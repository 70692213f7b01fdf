"""Distances of pictures of different runs by a metric that compares with a reference, each measured once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from kreabench.config.resolve import load_metrics
from kreabench.core.errors import ConfigError, EnvironmentProblem, Problem, RunDirectoryError
from kreabench.core.records import ImageRecord
from kreabench.core.registry import suggest
from kreabench.decisions.canary_days import Drawn
from kreabench.decisions.canary_stretch import Distance
from kreabench.metrics.base import ScoreItem
from kreabench.metrics.shared import Shared
from kreabench.rundir.journal import JournalWriter, read_lines
from kreabench.rundir.pictures import read_picture
from kreabench.scoring.opened import Opened, open_metric

if TYPE_CHECKING:
    from PIL.Image import Image

DISTANCES_FILE = "distances.jsonl"
"""In the folder of a canary: distances that were measured once. It can be deleted, and is then made again."""

MEASURES = ("ssim", "ms_ssim", "lpips", "dists", "dino_similarity")
"""Metrics that tell how far a picture is from another one; a likeness counts as 1 less itself."""

LEAST = 1e-9
"""Distance of pictures that differ, where the metric sees nothing: only equal pixels have none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DistanceRecord:
    """One line of the file."""

    first: str
    """SHA-256 of a picture's file; that of the lesser comes first."""
    second: str
    identity: str
    """Of the metric: what was measured with other weights or options does not count."""
    value: float


_DECODER = msgspec.json.Decoder(DistanceRecord)


@contextmanager
def distances(
    folder: Path, measure: str, environ: Mapping[str, str], config_dir: Path | None = None
) -> Iterator[Distance]:
    """Distances by `measure`, remembered in `folder`, until the block ends. The metric is opened when it is needed.

    Raises ConfigError for an unknown measure; the distance itself raises EnvironmentProblem where its weights lack.
    """
    if measure not in MEASURES:
        raise ConfigError([Problem(key="--distance", found=measure, expected=suggest(measure, MEASURES))])
    with ExitStack() as stack:
        shared = Shared(environ=environ)
        stack.callback(shared.close)
        yield _Measured(folder / DISTANCES_FILE, measure, config_dir, shared, stack)


class _Measured:
    """One metric and what it has measured."""

    def __init__(self, path: Path, measure: str, config_dir: Path | None, shared: Shared, stack: ExitStack) -> None:
        self._path, self._measure, self._config_dir = path, measure, config_dir
        self._shared, self._stack = shared, stack
        self._opened: Opened | None = None
        self._known: dict[tuple[str, str], float] = {}

    def __call__(self, pairs: Sequence[tuple[Drawn, Drawn]]) -> list[float | None]:
        found: list[float | None] = []
        fresh: dict[tuple[str, str], float] = {}
        pictures: dict[str, Image | None] = {}
        for first, second in pairs:
            if first.sha256 == second.sha256:
                found.append(0.0)
                continue
            one, other = sorted((first, second), key=lambda drawn: drawn.sha256)
            key = (one.sha256, other.sha256)
            self._open()
            if key not in self._known and (value := self._distance(one, other, pictures)) is not None:
                self._known[key] = fresh[key] = value
            found.append(self._known.get(key))
        self._remember(fresh)
        return found

    def _open(self) -> None:
        if self._opened is not None:
            return
        (spec,) = load_metrics([self._measure], self._config_dir)
        opened = open_metric(spec, {}, self._shared, self._stack)
        if opened.metric is None:
            raise EnvironmentProblem(opened.problems)
        self._opened = opened
        remedy = f"Delete {self._path}: it is made again."
        for record in read_lines(self._path, _DECODER.decode, remedy=remedy):
            if record.identity == opened.identity:
                self._known[record.first, record.second] = record.value

    def _distance(self, one: Drawn, other: Drawn, pictures: dict[str, Image | None]) -> float | None:
        """None where a picture cannot be read any more, or the metric cannot compare the two."""
        first, second = _read(one, pictures), _read(other, pictures)
        if first is None or second is None:
            return None
        if first.tobytes() == second.tobytes():
            return 0.0
        opened = self._opened
        assert opened is not None, "the metric is opened first"  # noqa: S101
        assert opened.metric is not None, "it is a metric of pictures"  # noqa: S101
        item = ScoreItem(
            image=first, prompt="", reference=second, sha256=one.sha256, reference_sha256=other.sha256,
            path=one.path, reference_path=other.path, format=_format(one), reference_format=_format(other),
        )  # fmt: skip
        (score,) = opened.metric.score([item])
        if score.status != "ok" or score.value is None:
            return None
        row = opened.row
        likeness = row is not None and row.better == "higher"
        return max(1.0 - score.value if likeness else score.value, LEAST)

    def _remember(self, fresh: dict[tuple[str, str], float]) -> None:
        if not fresh or self._opened is None:
            return
        identity = self._opened.identity
        records = [
            DistanceRecord(first=first, second=second, identity=identity, value=value)
            for (first, second), value in fresh.items()
        ]
        with closing(JournalWriter(self._path)) as writer:
            writer.append([msgspec.json.encode(record) for record in records])


def _format(drawn: Drawn) -> str:
    return {".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}.get(drawn.path.suffix, "png")


def _read(drawn: Drawn, pictures: dict[str, Image | None]) -> Image | None:
    """Decoded once for all pairs of a call."""
    if drawn.sha256 not in pictures:
        record = ImageRecord(
            index=0, path=drawn.path.name, sha256=drawn.sha256, size_bytes=0, width=drawn.size[0], height=drawn.size[1],
            format=_format(drawn), seed=None, nsfw=None, degenerate=None,
        )  # fmt: skip
        try:
            pictures[drawn.sha256] = read_picture(drawn.path.parent, record)
        except RunDirectoryError:
            pictures[drawn.sha256] = None
    return pictures[drawn.sha256]
