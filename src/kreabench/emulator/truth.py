"""The truth log: what really happened to each request, for judging how well a client measured it."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

from kreabench.emulator.jobs import Delivered, Job, Moment, Refused

_logger = logging.getLogger(__name__)


def utc(timestamp_s: float) -> str:
    """Seconds since the epoch as ISO 8601 with microseconds."""
    return datetime.fromtimestamp(timestamp_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class TruthLog:
    """Appends JSON lines; with no path it keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        self._lock = threading.Lock()
        # Unbuffered: each line is one write, and after a failed one nothing is left to fail again at the end.
        self._file = None if path is None else path.open("ab", buffering=0)

    def write(self, entry: dict[str, Any]) -> None:
        """One line. A full disk is reported on stderr and spoils no request."""
        line = json.dumps(entry).encode() + b"\n"
        with self._lock:
            if self._file is None:
                return
            try:
                if self._file.write(line) != len(line):
                    raise OSError("only a part of the line was written")
            except OSError as error:
                _logger.error("the truth log lost request %s: %s", entry.get("request_id"), error)

    def __enter__(self) -> TruthLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None


class Books:
    """The account of the emulated service: what was submitted, what became of it, and what it cost."""

    def __init__(self, log: TruthLog) -> None:
        self._log = log
        self._usd = Fraction(0)
        self._finished: Counter[str] = Counter()
        self._bodies: Counter[str] = Counter()
        self._units = 0.0
        self._refused_submits: Counter[str] = Counter()

    def submitted(self, job: Job) -> None:
        """Note a job that was made."""
        text = json.dumps([job.asked.endpoint.id, job.asked.body], sort_keys=True)
        job.body_sha256 = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        job.same_body_before = self._bodies[job.body_sha256]
        self._bodies[job.body_sha256] += 1

    def refused_submit(self, why: str) -> None:
        """Note a submission of which no job was made."""
        self._refused_submits[why] += 1

    def finished(self, job: Job) -> None:
        """Charge a job that is done, whether or not anybody fetches it."""
        if isinstance(job.outcome, Delivered):
            self._usd += job.outcome.bill.usd
            self._units += job.outcome.bill.units
        self._finished[str(_status_code(job))] += 1
        self.settle(job)

    def settle(self, job: Job, *, for_good: bool = False) -> None:
        """Write the job into the truth log once nothing more is expected of it, or `for_good`."""
        if not job.written and (for_good or job.settled):
            job.written = True
            self._log.write(truth_entry(job))

    def totals(self, jobs: Iterable[Job]) -> dict[str, Any]:
        """The account as JSON; `jobs` are those that are still known."""
        open_jobs = Counter(job.state for job in jobs if job.state != "COMPLETED")
        return {
            "jobs": self._bodies.total(),
            "billed_usd": float(self._usd),
            "billed_units": self._units,
            "by_status": {**{state.lower(): count for state, count in open_jobs.items()}, **self._finished},
            "jobs_with_a_body_seen_before": self._bodies.total() - len(self._bodies),
            "refused_submits": dict(self._refused_submits),
        }


def truth_entry(job: Job) -> dict[str, Any]:
    """What really happened to a job; the monotonic times are comparable across processes of one machine."""
    entry: dict[str, Any] = {
        "request_id": job.id,
        "number": job.number,
        "endpoint": job.asked.endpoint.id,
        "via": job.asked.via,
        "state": job.state,
        "fault": job.fault,
        "body_sha256": job.body_sha256,
        "same_body_before": job.same_body_before,
        "runner": job.runner,
        "runners": job.runners,
        "hint": job.asked.hint,
        "disable_fallback": job.asked.disable_fallback,
        "asked_queue_s": job.queue_s,
        "asked_inference_s": job.inference_s,
    }
    for name in ("received", "accepted", "submit_sent", "started", "finished", "result_sent"):
        moment: Moment | None = getattr(job, name)
        entry[f"{name}_monotonic_s"] = None if moment is None else moment.monotonic_s
        entry[f"{name}_utc"] = None if moment is None else utc(moment.utc_s)
    entry["pictures_sent"] = [
        {"index": index, "monotonic_s": moment.monotonic_s, "utc": utc(moment.utc_s)}
        for index, moment in sorted(job.pictures_sent.items())
    ]
    return entry | {"status_code": _status_code(job)} | _outcome_entry(job)


def _status_code(job: Job) -> int | None:
    if isinstance(job.outcome, Refused):
        return job.outcome.status_code
    return None if job.outcome is None else 200


def _outcome_entry(job: Job) -> dict[str, Any]:
    if not isinstance(job.outcome, Delivered):
        error_type = None if job.outcome is None else job.outcome.error_type or _first_type(job.outcome)
        return {"error_type": error_type, "billable_units": 0.0, "usd": 0.0}
    wanted, (width, height) = job.outcome.wanted, job.outcome.size
    return {
        "error_type": None,
        "acceleration": wanted.values.get("acceleration"),
        "steps": wanted.values.get("num_inference_steps"),
        "width": width,
        "height": height,
        "num_images": wanted.num_images,
        "pixels": width * height * wanted.num_images,
        "seed": job.outcome.seed,
        "flagged": list(job.outcome.flagged),
        "inference_s": job.outcome.inference_s,
        "billable_units": job.outcome.bill.units,
        "usd": float(job.outcome.bill.usd),
    }


def _first_type(refused: Refused) -> str | None:
    detail = refused.body.get("detail")
    return detail[0].get("type") if isinstance(detail, list) and detail else None
