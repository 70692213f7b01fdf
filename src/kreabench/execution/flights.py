"""Requests of a hosted load group: those that wait, and those that are under way with a worker."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from kreabench.core.planned import Request
from kreabench.execution.engine import GroupWork


@dataclass(kw_only=True, slots=True)
class Flight:
    """One order that a worker has in hand."""

    request: Request
    attempt: int
    """Number of its submission."""
    sent_s: float
    """On the loop's clock."""
    started_utc: str
    service_id: str | None
    """What the service calls it; None until the worker has said so."""
    fetching: bool
    """An earlier worker submitted it."""
    throttled: bool = False
    """It was sent while the service allowed fewer in flight than were asked for."""
    received: bool = False
    """All that the service had to send is here; its place is free."""


class Requests:
    """What is left to do of one load group, and what is known about each request."""

    def __init__(self, work: GroupWork) -> None:
        unknown = {request_id for request_id, service_id in work.submitted.items() if service_id is None}
        self.known = {key: value for key, value in work.submitted.items() if value is not None}
        """Request id → the service's id of its open submission."""
        self.lost = tuple(request for request in work.pending if request.id in unknown)
        """May have been sent, and nobody can ask about them."""
        rest = [request for request in work.pending if request.id not in unknown]
        # What has been paid for is fetched before anything new is bought.
        rest.sort(key=lambda request: request.id not in self.known)
        self.queue = deque(rest)
        self.flights: dict[str, Flight] = {}
        self.deaths = dict(work.deaths)
        """Request id → workers that died with it in hand."""
        self.refusals: dict[str, int] = {}
        """Request id → how often the service refused it in this session because there were too many."""
        self._tries = dict(work.tries)

    def attempt(self, request: Request) -> int:
        """The number of the submission that is open, or else of the next one."""
        return self._tries.get(request.id, 0) + 1

    def ended(self, flight: Flight) -> None:
        """A submission came to an end, and its request is not final: another one may follow."""
        self._tries[flight.request.id] = flight.attempt

    def in_flight(self) -> int:
        """Requests that take a place at the service."""
        return sum(not flight.received for flight in self.flights.values())

    def is_suspect(self, request: Request) -> bool:
        """Whether a worker has died with it in hand: it is asked for alone, so that the next death has one cause."""
        return self.deaths.get(request.id, 0) > 0

    def put_back(self, requests: Iterable[Request]) -> None:
        """These come first again, in their order."""
        self.queue.extendleft(reversed(list(requests)))

    def land(self, request_id: str | None) -> Flight | None:
        """The flight is over; None where there is none of that request."""
        return self.flights.pop(request_id, None) if request_id is not None else None

    def take_all(self) -> list[Request]:
        """Everything that waits; nothing waits any more."""
        left = list(self.queue)
        self.queue.clear()
        return left
