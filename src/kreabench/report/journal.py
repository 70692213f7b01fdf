"""The journal of a run, sorted by what its report needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from kreabench.analysis.money import MoneySummary, summarise_money, with_scores
from kreabench.core.planned import Plan
from kreabench.core.records import FailureRecord, LoadRecord, Record, SampleRecord, WarmupRecord
from kreabench.core.score_records import ScoreRecord, SetScoreRecord
from kreabench.pricing import list_prices
from kreabench.report.sets import set_scores_of
from kreabench.rundir.directory import RunDirectory


@dataclass(frozen=True, kw_only=True, slots=True)
class Journal:
    """What was drawn, and what else happened."""

    samples: dict[str, SampleRecord]
    replaced: tuple[SampleRecord, ...]
    """Final states that a resume has overtaken; what they cost was spent all the same."""
    failures: tuple[FailureRecord, ...]
    loads: tuple[LoadRecord, ...]
    warmups: tuple[WarmupRecord, ...]
    money: MoneySummary
    set_scores: tuple[SetScoreRecord, ...]
    identities: Mapping[str, str]
    """Metric → identity of its last score."""


def read_journal(run: RunDirectory, records: Sequence[Record], plan: Plan, shown: Plan) -> Journal:
    """`records` are all those of the run, whose scores are read here.

    `plan` is the whole one, as what was dropped was paid for too; `shown` is what results are about.
    """
    samples: dict[str, SampleRecord] = {}
    replaced: list[SampleRecord] = []
    failures: list[FailureRecord] = []
    loads: list[LoadRecord] = []
    warmups: list[WarmupRecord] = []
    for record in records:
        if isinstance(record, SampleRecord):
            if record.request_id in samples:
                replaced.append(samples[record.request_id])
            samples[record.request_id] = record
        elif isinstance(record, FailureRecord):
            failures.append(record)
        elif isinstance(record, LoadRecord):
            loads.append(record)
        elif isinstance(record, WarmupRecord):
            warmups.append(record)
    identities: dict[str, str] = {}
    money = with_scores(summarise_money(records, list_prices(plan)), _noting(run.score_lines(), identities))
    return Journal(
        samples=samples,
        replaced=tuple(replaced),
        failures=tuple(failures),
        loads=tuple(loads),
        warmups=tuple(warmups),
        set_scores=set_scores_of(run, shown),
        money=money,
        identities=identities,
    )


def _noting(scores: Iterable[ScoreRecord], identities: dict[str, str]) -> Iterator[ScoreRecord]:
    """`scores` as they come, with their identities kept: there may be too many to hold, or to read twice."""
    for score in scores:
        identities[score.metric] = score.identity
        yield score
