"""A canary in words: one headline, a row for each thing that is watched, and the days at a glance."""

from __future__ import annotations

from collections.abc import Iterator

from kreabench.decisions.canary import Alarm, CanaryResult

ALARMS: dict[Alarm, str] = {
    "pictures": "the hosted model changed",
    "scores": "its pictures score worse",
    "latency": "it got slower",
    "price": "its price changed",
}

STATES = {
    "first": "the first day of this canary: later ones are compared with it",
    "identical": "no change: the same pictures bit by bit",
    "within": "no change: pictures as far apart as the service's own repeats",
    "changed": "the hosted model changed",
    "undecided": "undecided: too little is known of the service's own noise",
    "failed": "the day failed: its pictures say nothing of a change",
}

MARKS = {"first": "*", "identical": "=", "within": "~", "changed": "C", "undecided": "?", "failed": "x"}
"""State of a day's pictures → its mark in the line of days."""

SHOWN_DAYS = 30


def headline(result: CanaryResult) -> str:
    """What happened, most important first."""
    alarms = "; ".join(ALARMS[alarm] for alarm in result.alarms)
    state = STATES[result.pictures[-1].state]
    if result.begun_anew:
        state = "no earlier day asked for the same, so none was compared: the watch begins anew"
    said = alarms if "pictures" in result.alarms else "; ".join(part for part in (alarms, state) if part)
    if result.day.failed and result.pictures[-1].state != "failed":
        said += f"; {result.day.failed} of {result.day.requests} requests failed"
    return said


def rows(result: CanaryResult) -> Iterator[tuple[str, str, str]]:
    """What is watched, its state and why."""
    pictures, latency, price = result.pictures[-1], result.latency[-1], result.prices[-1]
    yield "pictures", pictures.state, pictures.reason
    gate = result.scores.gate
    yield "scores", "" if gate is None else gate.outcome, _scores(result)
    yield "latency", latency.state, latency.reason
    yield "price", price.state, price.reason
    yield "requests", "failed" if result.day.failed else "delivered", _requests(result)


def _scores(result: CanaryResult) -> str:
    scores = result.scores
    if scores.gate is None or scores.base is None:
        return scores.reason
    worse = scores.gate.of("regressed")
    if worse:
        named = "; ".join(f"{check.name}: {check.judgement.reason}" for check in worse)
        return f"against {scores.base.name}: {named}"
    identical = [check for check in scores.gate.checks if check.judgement.reason == "the pictures are identical"]
    if identical and len(identical) == len(scores.gate.checks):
        return f"as on {scores.base.name}: the pictures are identical"
    return f"no loss is established against {scores.base.name} ({len(scores.gate.checks)} checks)"


def _requests(result: CanaryResult) -> str:
    day = result.day
    if not day.failed:
        return f"all {day.requests}"
    never = day.failed - sum(day.failures.values())
    kinds = [f"{number} {kind}" for kind, number in sorted(day.failures.items())]
    kinds += [f"{never} never drawn"] if never else []
    return f"{day.delivered} of {day.requests} delivered; {', '.join(kinds)}"


def course(result: CanaryResult) -> str:
    """Every day a mark, oldest first."""
    marks = [MARKS[verdict.state] for verdict in result.pictures]
    cut = "…" if len(marks) > SHOWN_DAYS else ""
    return cut + "".join(marks[-SHOWN_DAYS:])


def legend(result: CanaryResult) -> str:
    """Of the marks that `course` has."""
    words = {
        "first": "first day", "identical": "same pictures", "within": "within the service's repeatability",
        "changed": "changed", "undecided": "undecided", "failed": "failed day",
    }  # fmt: skip
    there = {verdict.state for verdict in result.pictures[-SHOWN_DAYS:]}
    return ", ".join(f"{MARKS[state]} {word}" for state, word in words.items() if state in there)
