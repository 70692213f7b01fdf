"""The headline figures of a run."""

from __future__ import annotations

from collections.abc import Sequence

from kreabench.analysis.money import SCORES
from kreabench.analysis.notices import nothing_was_paid
from kreabench.analysis.settings import SettingSummary
from kreabench.core.planned import Plan
from kreabench.core.records import FailureRecord, SampleRecord
from kreabench.core.specs import ExperimentSpec
from kreabench.pricing import list_prices
from kreabench.report.format import ABSENT, count, duration, usd
from kreabench.report.journal import Journal
from kreabench.report.parts import Fact


def headline_facts(
    journal: Journal, experiment: ExperimentSpec, plan: Plan, summaries: Sequence[SettingSummary], dropped: int
) -> tuple[Fact, ...]:
    ok, failed = sum(s.ok for s in summaries), sum(s.failed for s in summaries)
    images = sum(summary.images for summary in summaries)
    left_out = [f"{len(plan.skipped)} skipped"] if plan.skipped else []
    left_out += [f"{plan.excluded} excluded"] if plan.excluded else []
    left_out += [f"{dropped} dropped by the race"] if dropped else []
    prompts, seeds, repeats = len(experiment.prompts), len(experiment.seeds), experiment.repeats
    asked = [count(prompts, "prompt"), count(seeds, "seed")] + ([count(repeats, "repeat")] if repeats > 1 else [])
    asked += [f"{experiment.passes} passes"] if experiment.passes > 1 else []
    return (
        Fact(label="Settings", value=f"{len(plan.settings):,}", detail=", ".join(left_out) or "none skipped"),
        Fact(label="Samples", value=f"{ok:,} of {plan.request_count:,}", detail=" × ".join(asked)),
        Fact(label="Pictures", value=f"{images:,}", detail="delivered"),
        Fact(label="Failed", value=f"{failed:,}", detail=_attempts(journal)),
        _spent(journal, plan),
        _time(journal),
    )


def _attempts(journal: Journal) -> str:
    others = len(journal.failures)
    return f"samples, and {count(others, 'attempt')}" if others else "samples"


def _spent(journal: Journal, plan: Plan) -> Fact:
    """All dollars journalled, with what bought no picture said apart, and what may be on the bill besides."""
    samples = (*journal.samples.values(), *journal.replaced)
    delivered = [s.cost.usd for s in samples if s.status == "ok" and s.cost.usd is not None]
    unsuccessful: tuple[SampleRecord | FailureRecord, ...] = (
        *(s for s in samples if s.status == "failed"),
        *journal.failures,
    )
    lost = [one.cost.usd for one in unsuccessful if one.cost.usd is not None]
    warmups = [warmup.cost.usd for warmup in journal.warmups if warmup.cost.usd is not None]
    money = journal.money
    doubt = (
        f"{count(money.unknown, 'request')} of unknown cost besides, {usd(money.unknown_usd)} by the price list"
        if money.unknown
        else ""
    )
    scores = [total.usd for total in money.totals if total.basis == SCORES]
    everything = delivered + lost + warmups + scores
    if not everything:
        return Fact(label="Spent", value=ABSENT, detail=doubt or ("nothing" if list_prices(plan) else "no price known"))
    parts = [f"warm-ups {usd(sum(warmups))}"] if warmups else []
    parts += [f"failures {usd(sum(lost))}"] if sum(lost) else []
    parts += [f"scores {usd(sum(scores))}"] if scores else []
    detail = f"of it {', '.join(parts)}" if parts else "delivered samples"
    unpaid = "nothing was paid: emulated" if nothing_was_paid(group.target for group in plan.groups) else ""
    return Fact(label="Spent", value=usd(sum(everything)), detail="; ".join(filter(None, (detail, doubt, unpaid))))


def _time(journal: Journal) -> Fact:
    timed = [s.timings.end_to_end_s for s in journal.samples.values() if s.timings is not None]
    if not timed:
        return Fact(label="Time in requests", value=ABSENT, detail="nothing delivered")
    loads = sum(load.load_s for load in journal.loads)
    detail = f"and {duration(loads)} in {count(len(journal.loads), 'load')}" if journal.loads else ""
    return Fact(label="Time in requests", value=duration(sum(timed)), detail=detail)
