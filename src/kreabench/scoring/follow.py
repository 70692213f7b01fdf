"""Scoring while another process draws: each picture as it comes, the rest when drawing has ended.

At each look of a race the process that draws scores what it needs itself, so whoever follows makes room for it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from kreabench.core.planned import Plan
from kreabench.core.records import DropRecord, SampleRecord
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
) -> ScoringSummary | None:
    """Score pictures until no process draws them any more (see `RunDirectory.is_drawn`) and all have their scores.

    In the end the scores are those of `score_run`. None where it ends before that, as a race has come to a look.
    Raises as `score_run` does.
    """
    purse = purse_of(run, plan)
    tail = run.tail()
    samples: dict[str, SampleRecord] = {}
    dropped: set[str] = set()

    def score_new(scoring: Scoring) -> bool:
        new = tail.new()
        samples.update({record.request_id: record for record in new if isinstance(record, SampleRecord)})
        dropped.update(record.setting_id for record in new if isinstance(record, DropRecord))
        if new:
            scoring.score({key: one for key, one in samples.items() if one.setting_id not in dropped}, drawing=True)
        return bool(new)

    with Scoring(run, plan, metrics=metrics, writer=writer, progress=progress, purse=purse) as scoring:
        while run.is_drawn:
            looked_at = run.is_looked_at  # asked first: nothing is drawn after it was said
            if not score_new(scoring):
                if looked_at:
                    return None
                time.sleep(look_every_s)
        purse.spent_usd = purse_of(run, plan).spent_usd  # drawing has spent too
        scoring.score(kept_samples(run))
        return scoring.summary()


def await_next_round(run: RunDirectory, *, look_every_s: float = LOOK_EVERY_S) -> None:
    """Wait until a race has looked."""
    while run.is_looked_at:
        time.sleep(look_every_s)
