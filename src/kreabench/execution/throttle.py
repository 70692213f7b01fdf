"""How many requests a hosted service is sent at once: as many as asked for, until it refuses some (HTTP 429).

Additive increase, multiplicative decrease: a refusal halves the number and holds everything back for a while; as many
successes in a row as are in flight raise it by one. What an account allows is found in this way, not configured.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

MAX_TRIES = 8
"""Refusals of one request in one session before it fails; `resume` tries it again."""
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
"""Where the service does not say how long to wait: doubled from the first to the longest, with jitter."""
LONGEST_ASKED_S = 300.0
"""The longest that a service's own word holds a run back; whoever is to wait for longer had better resume later."""
JITTER = 0.25
"""Share by which a pause may be longer, so that several clients of one account do not come back together."""


class Throttle:
    """Decides how many may be in flight and when the next one may be sent. Seconds are those of `clock`."""

    def __init__(
        self,
        concurrency: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`chance` gives numbers from 0 to 1, for the jitter."""
        self.limit = concurrency
        """Requests that may be in flight now."""
        self._most = concurrency
        self._clock = clock
        self._chance = chance
        self._lowered_at = self._paused_until = float("-inf")
        self._refusals = 0
        """Times in a row that the limit was lowered."""
        self._successes = 0
        """Since the limit last changed."""

    def free(self, in_flight: int) -> int:
        """How many may be sent now, while `in_flight` are under way."""
        return 0 if self.pause_s() > 0 else max(0, self.limit - in_flight)

    def pause_s(self) -> float:
        """Seconds until anything may be sent; 0 where nothing holds it back."""
        return max(0.0, self._paused_until - self._clock())

    def refused(self, sent_s: float, retry_after_s: float | None) -> None:
        """A request sent at `sent_s` was refused. Those that were sent together count as one refusal."""
        now = self._clock()
        if sent_s >= self._lowered_at:
            self._lowered_at = now
            self._refusals += 1
            self._successes = 0
            self.limit = max(1, self.limit // 2)
        # The exponent is bounded, as 2.0 ** 1024 is an error.
        pause = min(FIRST_PAUSE_S * 2.0 ** min(self._refusals - 1, 10), LONGEST_PAUSE_S)
        wanted = pause if retry_after_s is None else min(max(0.0, retry_after_s), LONGEST_ASKED_S)
        self._paused_until = max(self._paused_until, now + wanted * (1.0 + JITTER * self._chance()))

    def refused_since(self, sent_s: float) -> bool:
        """Whether others were refused after that moment, so that what was sent then had fewer beside it."""
        return sent_s < self._lowered_at

    def served(self, sent_s: float) -> None:
        """A request sent at `sent_s` was carried out."""
        if sent_s < self._lowered_at:
            return  # it says nothing about what is allowed now
        self._refusals = 0
        self._successes += 1
        if self._successes >= self.limit < self._most:
            self.limit += 1
            self._successes = 0
