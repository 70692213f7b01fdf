"""Dollars reconciled with the price list, and what a hosted service did, as tables and sentences."""

from __future__ import annotations

from collections.abc import Sequence

from kreabench.analysis.hosted import HostedSummary
from kreabench.analysis.money import SCORES, BasisTotal, Difference, MoneySummary
from kreabench.report.format import ABSENT, count, usd
from kreabench.report.parts import Cell, Column, Notice, Row, Table
from kreabench.report.text import message

BASES = {"billed": "billed", "price_list": "price list", "device_hour": "device hour", "scores": "scores of a service"}
"""Words for the basis of dollars."""

_OBSERVED = {"status_events": "status events", "polling": "polling", "response": "one answer"}


def money_lines(money: MoneySummary) -> list[str]:
    """What was spent, a sentence each; none where nothing has a price."""
    lines = []
    if money.totals:
        lines.append(f"dollars: {', '.join(map(_by_basis, money.totals))}")
    if money.unknown:
        lines.append(f"cost unknown: {count(money.unknown, 'request')}, {usd(money.unknown_usd)} by the price list")
    return lines


def _by_basis(total: BasisTotal) -> str:
    # A score of a service may take several calls, of which only their dollars are known.
    noun = "score" if total.basis == SCORES else "call"
    return f"{usd(total.usd)} by {BASES.get(total.basis, total.basis)} ({count(total.calls, noun)})"


def money_table(money: MoneySummary) -> Table | None:
    """Dollars by basis, what is not known, and how the bill differs from the list."""
    rows = [_row(BASES.get(t.basis, t.basis), f"{t.calls:,}", usd(t.usd), "") for t in money.totals]
    if money.unknown:
        why = "failed after it was sent, or its end was never seen: counted at the list price"
        rows.append(_row("not known", f"{money.unknown:,}", usd(money.unknown_usd), why))
    if money.difference is not None:
        off = money.difference
        rows.append(_row("billed less list", f"{off.requests:,}", _signed(off.usd), _worst(off)))
    if not rows:
        return None
    return Table(
        columns=(
            Column(title="Basis"),
            Column(title="Calls", note="Requests, repeated attempts, warm-ups, scores.", numeric=True),
            Column(title="Dollars", numeric=True),
            Column(title="Remark", prose=True),
        ),
        rows=tuple(rows),
        caption="What was spent, failed requests, warm-ups and scores included.",
    )


def money_notices(money: MoneySummary) -> list[Notice]:
    """A warning where the bill is not what the price list says."""
    off = money.difference
    if off is None:
        return []
    text = (
        f"Billed is not what the price list says: {off.requests:,} of {count(off.billed, 'billed request')} differ, by "
        f"{_signed(off.usd)} together; {_worst(off)}. Correct the pricing (what a megapixel is, or the price) before a "
        "budget relies on it."
    )
    return [Notice(level="warning", text=text)]


def hosted_table(hosted: Sequence[HostedSummary]) -> Table | None:
    """One row a hosted target and number of requests in flight."""
    if not hosted:
        return None
    return Table(
        columns=(
            Column(title="Target"),
            Column(title="In flight", note="Asked; most seen below.", numeric=True),
            Column(title="Requests", note="Delivered.", numeric=True),
            Column(title="Worked on", note="Most at once, as far as it was seen.", numeric=True),
            Column(title="Runners", note="Machines that the service named, and requests that were first on one."),
            Column(title="Seen by", note="How queue and inference were told apart.", prose=True),
            Column(title="Astray", note="Requests and pictures that are no measurement of the model.", prose=True),
        ),
        rows=tuple(Row(cells=_hosted_cells(summary)) for summary in hosted),
        caption="What the service did with the requests.",
    )


def _hosted_cells(summary: HostedSummary) -> tuple[Cell, ...]:
    seen = "" if summary.in_flight is None else f"{summary.in_flight:,} seen"
    limit = "" if summary.limit is None else f"limit {summary.limit:,}"
    how = ", ".join(f"{_OBSERVED.get(name, name)} ({number:,})" for name, number in summary.observed_by)
    return (
        Cell(text=message(summary.target)),
        Cell(text=f"{summary.concurrency:,}", detail=seen),
        Cell(text=f"{summary.requests:,}"),
        _absent() if summary.running is None else Cell(text=f"{summary.running:,}", detail=limit),
        Cell(text=f"{summary.runners:,}", detail=f"first on one: {summary.first_on_runner:,}")
        if summary.runners
        else _absent(),
        Cell(text=how) if how else _absent(),
        Cell(text=_astray(summary) or "nothing"),
    )


def _astray(summary: HostedSummary) -> str:
    said = (
        (summary.retried, "repeated"),
        (summary.rerouted, "rerouted"),
        (summary.recovered, "fetched by a later session"),
        (summary.wrong_size, "of another size"),
        (summary.flagged, "flagged pictures"),
        (summary.black, "black or one-coloured pictures"),
    )
    return ", ".join(f"{number:,} {words}" for number, words in said if number)


def hosted_notices(hosted: Sequence[HostedSummary]) -> list[Notice]:
    """Where connections left nothing to time, and where an account's limit was found."""
    untimed = [
        Notice(
            level="warning",
            text=f"{message(summary.target)}, {summary.concurrency:,} in flight: none of its {summary.requests:,} "
            f"delivered requests is a timing: {summary.first_calls:,} were the first on their connection, and each "
            "request in flight has its own. More requests than are in flight, by seeds or repeats, give timings.",
        )
        for summary in hosted
        if summary.concurrency > 1 and summary.first_calls and not summary.timed
    ]
    return untimed + [
        Notice(
            level="info",
            text=f"{message(summary.target)}: {summary.limit:,} of {summary.in_flight:,} requests in flight "
            f"were worked on at once while others waited: the account's limit, or what the endpoint has, seems to be "
            f"{summary.limit:,}. Time in the queue is waiting for it.",
        )
        for summary in hosted
        if summary.limit is not None and summary.in_flight is not None
    ]


def _worst(off: Difference) -> str:
    return f"the furthest off, {message(off.worst_id, 80)}: billed {usd(off.worst_usd)}, list {usd(off.worst_list_usd)}"


def _signed(value: float) -> str:
    return f"+{usd(value)}" if value > 0 else f"−{usd(-value)}"


def _absent() -> Cell:
    return Cell(text=ABSENT, absent=True)


def _row(*texts: str) -> Row:
    return Row(cells=tuple(Cell(text=text) for text in texts))
