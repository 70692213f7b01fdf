"""Scoring while another process draws: each picture as it comes, the rest when drawing has ended."""

from __future__ import annotations

import time
from collections.abc import Sequence

from kreabench.core.planned import Plan
from kreabench.core.records import SampleRecord
from kreabench.core.specs import MetricSpec
from kreabench.drops import kept_samples
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.writers import ScoreWriter
from kreabench.scoring.spending import purse_of
from kreabench.scoring.stage import Progress, Scoring
from kreabench.scoring.summary import ScoringSummary

LOOK_EVERY_S = 0.5


def follow_run(
    run: RunDirectory,
    plan: Plan,
    *,
    metrics: Sequence[MetricSpec],
    writer: ScoreWriter,
    progress: Progress | None = None,
    look_every_s: float = LOOK_EVERY_S,
) -> ScoringSummary:
    """Score pictures until no process draws them any more (see `RunDirectory.is_drawn`) and all have their scores.

    In the end the scores are those of `score_run`. Raises as it does.
    """
    purse = purse_of(run, plan)
    tail = run.tail()
    samples: dict[str, SampleRecord] = {}
    with Scoring(run, plan, metrics=metrics, writer=writer, progress=progress, purse=purse) as scoring:
        while run.is_drawn:
            new = [record for record in tail.new() if isinstance(record, SampleRecord)]
            samples |= {record.request_id: record for record in new}
            if new:
                scoring.score(samples, drawing=True)
            else:
                time.sleep(look_every_s)
        purse.spent_usd = purse_of(run, plan).spent_usd  # drawing has spent too
        scoring.score(kept_samples(run))
        return scoring.summary()
