"""Reads the pictures that were drawn more than once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from kreabench.analysis.repeatability import Pixels, Repeatability, pairs_of, repeatability
from kreabench.core.errors import RunDirectoryError
from kreabench.core.records import SampleRecord
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.pictures import read_picture


def repeats_of(
    run: RunDirectory, table: pd.DataFrame, samples: Mapping[str, SampleRecord] | None = None
) -> tuple[Repeatability, ...]:
    """How far apart pictures of the same request are; empty where every request was drawn once.

    `samples` are those of the run where they were read already.

    Only pictures whose files differ are read. Those that are gone from the run are counted as unreadable.
    """
    pairs = pairs_of(table)
    if not pairs:
        return ()
    known = run.samples() if samples is None else samples
    records = {(sample.request_id, image.index): image for sample in known.values() for image in sample.images}

    def read(where: tuple[str, int]) -> Pixels | None:
        try:
            return np.asarray(read_picture(run.path, records[where]), dtype=np.uint8)
        except RunDirectoryError:
            return None

    return repeatability(pairs, read)
