"""`kreabench show`: the state of a run on a terminal, its verdict first."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from rich.console import Console

from kreabench.cli.load_table import print_load
from kreabench.cli.run_table import print_failures, print_left_out, print_tables, standing_in_words
from kreabench.cli.terminal import say
from kreabench.core.planned import Plan
from kreabench.report.evidence import Evidence, gather
from kreabench.report.explorer.data import VerdictData
from kreabench.report.explorer.sources import sources_of
from kreabench.report.explorer.verdict import verdict_of
from kreabench.report.floors import floors_words
from kreabench.report.hosted import money_lines
from kreabench.report.notices import notices_of
from kreabench.report.votes import votes_line
from kreabench.rundir.batches import jobs_in_words
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.elsewhere import url_of
from kreabench.rundir.table import join_table

SHOWN_REGRESSIONS = 10
"""Printed; the report has all."""


def print_run(out: Console, run: RunDirectory, plan: Plan, today: date | None = None) -> None:
    """The state of a run in one page. `today` as in `notices_of`."""
    evidence = gather(run, plan, join_table(run, plan))
    if evidence.brand:
        say(out, f"! {evidence.brand}", "bold yellow", wrap=True)
    _print_verdict(out, run, verdict_of(sources_of([evidence])))
    print_tables(out, evidence.summaries, evidence.journal.set_scores, evidence.experiment.metrics)
    print_load(out, evidence.load)
    scored = evidence.side.floor_scores
    if scored and (floors := floors_words(evidence.fidelity.floors)):
        say(out, floors, "bold", wrap=True)
    if evidence.votes is not None:
        say(out, votes_line(evidence.votes), wrap=True)
    print_left_out(out, plan, evidence.dropped)
    for found in notices_of(evidence, today):
        if found.text != evidence.brand:
            warns = found.level == "warning"
            say(out, f"! {found.text}" if warns else found.text, "yellow" if warns else None, wrap=True)
    _print_state(out, evidence)


def _print_verdict(out: Console, run: RunDirectory, verdict: VerdictData) -> None:
    say(out, verdict.sentence, "bold", wrap=True)
    for text in filter(None, (verdict.sureness, verdict.regressions_note)):
        say(out, text, wrap=True)
    for regression in verdict.regressions[:SHOWN_REGRESSIONS]:
        say(out, f"! worse: {regression.sentence}", "yellow", wrap=True)
    if len(verdict.regressions) > SHOWN_REGRESSIONS:
        say(out, f"… {len(verdict.regressions) - SHOWN_REGRESSIONS} more regressions in the report")
    say(out, f"more: kreabench recommend {url_of(run.path) or run.path}")
    out.print()


def _print_state(out: Console, evidence: Evidence) -> None:
    """What was drawn, what it cost, what failed, and how to go on."""
    run, dropped, stands = evidence.run, evidence.dropped, evidence.standing
    failed = [sample for sample in evidence.journal.samples.values() if sample.status == "failed"]
    done = ", ".join(standing_in_words(stands))
    text = f"{evidence.experiment.name}: {done}, {stands.left} not done; begun {run.info.created_utc}"
    say(out, text, wrap=True)
    for line in money_lines(evidence.journal.money):
        say(out, line, wrap=True)
    url, loaded = url_of(run.path), evidence.experiment.traffic is not None
    print_failures(out, run.path if url is None else Path("RUN"), failed, dropped, loaded=loaded)
    if url is not None and (stands.left or failed):
        say(out, f"go on, after `kreabench pull {url} RUN`, with: kreabench resume RUN")
    elif given_out := jobs_in_words(run.path):
        say(out, f"given out to jobs ({given_out}): kreabench merge {run.path}")
    elif stands.left and not run.is_drawn:
        say(out, f"go on with: kreabench resume {run.path}")
