"""What a hosted worker says, or fails to say, about its orders, as records: what is settled, and what stays open."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from kreabench.core.planned import LoadGroup, Request
from kreabench.core.records import Failure, FailureRecord, Record, SampleRecord, SubmissionRecord
from kreabench.execution.engine import MAX_WORKER_DEATHS
from kreabench.execution.flights import Flight, Requests
from kreabench.execution.messages import Answer, BatchDone, Done, Failed, Opened, Received, Submitted
from kreabench.execution.outcomes import (
    MAYBE_BILLED,
    Trouble,
    delivered_sample,
    failed_sample,
    failure_cost,
    lost_submission,
    trouble_of_failed,
)
from kreabench.execution.throttle import MAX_TRIES, Throttle

THROTTLED = "fewer in flight than asked for, as the service refused more"
"""Flag of such a sample, which is no timing: its times are those of another concurrency."""

MAX_DENIALS = 5
"""Requests in a row whose key, or whose account, was refused: then nothing more is sent, as it would fare the same."""


class HostedAnswers:
    """Ends flights and writes down how. Whether anything more is sent is decided elsewhere."""

    def __init__(self, group: LoadGroup, requests: Requests, throttle: Throttle, now: Callable[[], str]) -> None:
        self._group = group
        self._settings = {setting.id: setting for setting in group.settings}
        self._requests = requests
        self._throttle = throttle
        self._now = now
        self.closing = False
        """The worker was told to cut short what is in flight."""
        self.storage: Failure | None = None
        """The disk has refused a picture."""
        self.worn = False
        """The worker is still there but must not be asked again."""
        self.settled = 0
        """Orders answered so far."""
        self._denials = 0
        """Requests in a row that were refused for the key."""

    def records(self, answers: Iterable[Answer]) -> list[Record]:
        """What `answers` amount to, in their order."""
        return [record for answer in answers for record in self._record(answer)]

    def none_sent(self, trouble: Trouble, type_: str = "load_failed") -> list[Record]:
        """Every request that waits fails without having been tried; what is open at the service stays open."""
        error = replace(trouble.error, type=type_, stage="load", transient=True)
        records: list[Record] = []
        for request in self._requests.take_all():
            reason = replace(error, fetch_again=request.id in self._requests.known)
            attempt = self._requests.attempt(request)
            records.append(failed_sample(self._group, request, attempt, replace(trouble, error=reason)))
        return records

    def lost(self, requests: Iterable[Request]) -> list[Record]:
        """Requests that an earlier session may have sent, without a trace of what the service calls them."""
        reason = "an earlier session ended while it sent the request"
        trouble = lost_submission(self._now(), reason=reason)
        return [failed_sample(self._group, request, self._requests.attempt(request), trouble) for request in requests]

    def died(self, trouble: Trouble) -> list[Record]:
        """A worker died with everything that is in flight in hand, nobody knows by whose fault."""
        records: list[Record] = []
        again: list[Request] = []
        for flight in self._land_all():
            if flight.service_id is None:
                records.append(self._lost(flight, trouble.error.message))
                continue
            request = flight.request
            deaths = self._requests.deaths.get(request.id, 0) + 1
            self._requests.deaths[request.id] = deaths
            if deaths >= MAX_WORKER_DEATHS:
                # Given up here; what was bought is still there, so whoever tries again fetches it.
                error = replace(trouble.error, transient=False, fetch_again=True)
                records.append(self._failed_sample(flight, replace(trouble, error=error)))
            else:
                error = replace(trouble.error, transient=True, fetch_again=True)
                records.append(self._failure(flight, replace(trouble, error=error)))
                again.append(request)
        self._requests.put_back(again)
        return records

    def expired(self, trouble: Trouble, late: Callable[[Flight], bool]) -> list[Record]:
        """A worker was ended because some flights were `late`; the others are not to blame and go on by their ids."""
        records: list[Record] = []
        again: list[Request] = []
        for flight in self._land_all():
            if flight.service_id is None:
                records.append(self._lost(flight, trouble.error.message, "timeout" if late(flight) else "network"))
            elif late(flight):
                error = replace(trouble.error, transient=True, fetch_again=True)
                records.append(self._failed_sample(flight, replace(trouble, error=error)))
            else:
                again.append(flight.request)
        self._requests.put_back(again)
        return records

    def _record(self, answer: Answer) -> list[Record]:
        if isinstance(answer, Opened | BatchDone):  # neither answers a hosted order to generate
            return []
        if isinstance(answer, Submitted | Received):
            flight = self._requests.flights.get(answer.request_id)
            if flight is None:
                return []
            if isinstance(answer, Received):
                flight.received = True
                return []
            return self._named(flight, answer.service_request_id)
        flight = self._requests.land(answer.request_id)
        if flight is None:
            return []
        self.settled += 1
        if isinstance(answer, Failed):
            return self._failed(flight, answer)
        self._throttle.served(flight.sent_s)
        return self._delivered(flight, answer)

    def _named(self, flight: Flight, service_id: str) -> list[Record]:
        if flight.service_id == service_id:
            return []  # fetched: its name is in the journal already
        self._denials = 0
        flight.service_id = self._requests.known[flight.request.id] = service_id
        return [self.submission(flight)]

    def submission(self, flight: Flight) -> SubmissionRecord:
        """The flight as it now is, for the journal."""
        return SubmissionRecord(
            request_id=flight.request.id,
            setting_id=flight.request.setting_id,
            group_id=self._group.id,
            attempt=flight.attempt,
            at_utc=self._now(),
            service_request_id=flight.service_id,
        )

    def _delivered(self, flight: Flight, answer: Done) -> list[Record]:
        self._denials = 0
        self._requests.known.pop(flight.request.id, None)
        sample = delivered_sample(self._group, flight.request, flight.attempt, answer)
        if flight.throttled or self._throttle.refused_since(flight.sent_s):
            sample = replace(sample, timing_valid=False, flags=(*sample.flags, THROTTLED))
        return [sample]

    def _failed(self, flight: Flight, answer: Failed) -> list[Record]:
        trouble = self._believed(flight, trouble_of_failed(answer))
        error = trouble.error
        if self.closing and self._group.traffic is not None:
            trouble = replace(trouble, elapsed_s=0.0)  # the level did not wait for its answer
        self.worn = self.worn or trouble.fatal
        if error.type == "storage":
            self.storage = self.storage or error
        if error.type == "cancelled" and error.fetch_again and self.closing:
            return []  # stays as the journal has it: submitted
        if self._is_to_follow(flight, error, answer.retry_after_s):
            return [self._failure(flight, trouble)]
        return [self._failed_sample(flight, trouble), *self._denied(flight, trouble)]

    def _denied(self, flight: Flight, trouble: Trouble) -> list[Record]:
        """What a refused key means for those that wait: nothing the first times, as a prompt may be to blame."""
        error = trouble.error
        if error.type != "authentication" or flight.service_id is not None:
            return []
        self._denials += 1
        if self._denials < MAX_DENIALS:
            return []
        message = f"not sent, as {self._denials} requests in a row were refused: {error.message}"
        return self.none_sent(replace(trouble, error=replace(error, message=message)), error.type)

    def _is_to_follow(self, flight: Flight, error: Failure, retry_after_s: float | None) -> bool:
        """Whether another attempt follows, in this session or in the next one; in this one it is put back for that."""
        request = flight.request
        if error.type == "cancelled" and self.closing:
            return True
        if error.type == "cancelled" and flight.fetching and not error.fetch_again:
            # A worker that outlived its driver for a moment cancelled it: it was never drawn, so it is sent anew.
            self._requests.known.pop(request.id, None)
            self._requests.put_back([request])
            return True
        # Under load a refusal is what is measured; to hold back and try again would be another load.
        if error.type != "rate_limited" or flight.service_id is not None or self._group.traffic is not None:
            return False
        self._throttle.refused(flight.sent_s, retry_after_s)
        refusals = self._requests.refusals.get(request.id, 0) + 1
        self._requests.refusals[request.id] = refusals
        if refusals >= MAX_TRIES:
            return False
        self._requests.put_back([request])
        return True

    def _believed(self, flight: Flight, trouble: Trouble) -> Trouble:
        """Only what the service has a name for can be fetched again; a picture that the disk refused always is."""
        error = trouble.error
        if flight.service_id is not None:
            fetch_again = error.fetch_again or error.type == "storage"
            return replace(trouble, error=replace(error, fetch_again=fetch_again))
        if error.fetch_again or (error.type == "storage" and trouble.delivery is not None):
            # Bought, or perhaps bought, and out of reach: sent again by itself, it would be paid twice.
            type_ = "network" if error.type == "cancelled" else error.type
            error = replace(error, type=type_, transient=False, fetch_again=False, remedy=MAYBE_BILLED)
        return replace(trouble, error=error)

    def _failure(self, flight: Flight, trouble: Trouble) -> FailureRecord:
        """An attempt ended, or was only interrupted (`fetch_again`), and its request is not final."""
        if not trouble.error.fetch_again:
            self._requests.ended(flight)
        request = flight.request
        return FailureRecord(
            group_id=self._group.id,
            setting_id=request.setting_id,
            request_id=request.id,
            attempt=flight.attempt,
            started_utc=trouble.started_utc,
            error=trouble.error,
            cost=failure_cost(self._group.target, self._settings[request.setting_id], trouble),
        )

    def _failed_sample(self, flight: Flight, trouble: Trouble) -> SampleRecord:
        cost = failure_cost(self._group.target, self._settings[flight.request.setting_id], trouble)
        return failed_sample(self._group, flight.request, flight.attempt, trouble, cost)

    def _lost(self, flight: Flight, reason: str, type_: str = "network") -> SampleRecord:
        trouble = lost_submission(flight.started_utc, reason=f"{reason} while it sent the request", type_=type_)
        return self._failed_sample(flight, trouble)

    def _land_all(self) -> list[Flight]:
        flights = list(self._requests.flights.values())
        self._requests.flights.clear()
        return flights
