"""Results by webhook, to this machine alone."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from kreabench.emulator.jobs import Delivered, Job, Refused

ATTEMPTS = 5
"""The real service tries ten times within two hours."""
_FIRST_DELAY_S = 0.2
_TIMEOUT_S = 15.0

_logger = logging.getLogger(__name__)


def is_loopback(url: str) -> bool:
    """Whether `url` is an http(s) address of this machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
        if parts.scheme not in {"http", "https"} or host is None:
            return False
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Webhooks:
    """Delivers the outcome of each job that asked for it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self.body_of: Callable[[Job, Delivered], dict[str, Any]] = lambda _job, _delivered: {}
        """Makes the result's body; set by the application, which knows its addresses."""

    def finished(self, job: Job) -> None:
        """Start the delivery, where one was asked for."""
        if job.asked.webhook is not None:
            task = asyncio.get_running_loop().create_task(self._deliver(job, job.asked.webhook))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up what is not delivered yet."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _deliver(self, job: Job, url: str) -> None:
        import httpx

        reason = ""
        async with httpx.AsyncClient(trust_env=False, timeout=_TIMEOUT_S) as client:
            for attempt in range(ATTEMPTS):
                try:
                    answer = await client.post(url, json=self._payload(job))
                    if answer.status_code < 300:
                        return
                    reason = f"HTTP {answer.status_code}"
                except (httpx.HTTPError, OSError) as error:
                    reason = str(error) or type(error).__name__
                if attempt + 1 < ATTEMPTS:
                    await asyncio.sleep(_FIRST_DELAY_S * 2**attempt)
        _logger.warning("the webhook of request %s was not delivered: %s", job.id, reason)

    def _payload(self, job: Job) -> dict[str, Any]:
        head = {"request_id": job.id, "gateway_request_id": job.id}
        if isinstance(job.outcome, Delivered):
            return {**head, "status": "OK", "error": None, "payload": self.body_of(job, job.outcome)}
        assert isinstance(job.outcome, Refused), "a finished job has an outcome"  # noqa: S101
        error = f"Invalid status code: {job.outcome.status_code}"
        return {**head, "status": "ERROR", "error": error, "payload": job.outcome.body}
