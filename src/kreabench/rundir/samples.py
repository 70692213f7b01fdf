"""What a comparison needs of a run: its table, and what the table does not say of scores and loads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from kreabench.core.planned import Plan
from kreabench.core.records import DropRecord, LoadRecord
from kreabench.core.score_records import FloorScoreRecord
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.join import join
from kreabench.rundir.table import frame_of, read_proven_table

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Samples:
    """A run as it is on disk now."""

    frame: DataFrame
    """See `rundir.table.read_table`."""
    identities: Mapping[str, str]
    """Metric → identity of the scores in `frame`."""
    loads: tuple[LoadRecord, ...]
    drops: tuple[DropRecord, ...]
    floor_scores: tuple[FloorScoreRecord, ...] = ()


def read_samples(run: RunDirectory, plan: Callable[[], Plan]) -> Samples:
    """The samples of `run`: out of samples.parquet where that is provably what the journals say, else joined anew.

    `plan` is asked for only where the table has to be joined. Writes nothing, so it works on a read-only disk.
    Raises RunDirectoryError when the journals are damaged or do not belong to the plan.
    """
    floors = tuple(run.floor_scores())
    proven = read_proven_table(run)
    if proven is not None:
        said = proven.statement
        return Samples(
            frame=proven.frame, identities=said.identities, loads=said.loads, drops=said.drops, floor_scores=floors
        )
    joined = join(run, plan())
    return Samples(
        frame=frame_of(pa.Table.from_batches(joined.batches, joined.schema)),
        identities=joined.identities,
        loads=joined.loads,
        drops=joined.drops,
        floor_scores=floors,
    )


def samples_of(run: RunDirectory, frame: DataFrame) -> Samples:
    """As `read_samples`, of a table that was joined already."""
    records = list(run.records())
    return Samples(
        frame=frame,
        identities={score.metric: score.identity for score in run.score_lines()},
        loads=tuple(record for record in records if isinstance(record, LoadRecord)),
        drops=tuple(record for record in records if isinstance(record, DropRecord)),
        floor_scores=tuple(run.floor_scores()),
    )
