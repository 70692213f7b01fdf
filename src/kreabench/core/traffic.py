"""A load run as it is asked for: how requests arrive at a service or at workers of ours, how many, for how long."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Arrivals = Literal["poisson", "fixed", "closed"]
"""Open loop at a rate, at random or evenly spaced instants; or closed: always so many in flight."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrafficSpec:
    """Levels of load, each a setting of its own; they are run one after the other, the lightest first."""

    arrivals: Arrivals
    rate_per_s: tuple[float, ...]
    """Requests a second, ascending; of an open loop."""
    in_flight: tuple[int, ...]
    """Requests in flight, ascending; of a closed loop."""
    duration_s: float
    """Of the arrivals of one level."""
    drain_s: float
    """How long answers are waited for after the last arrival of a level; what is unanswered then is cut short."""
    max_requests: int
    """Of one level, whatever rate times duration says."""
    max_in_flight: int
    """Of an open loop at a hosted target: more than so many wait within the client, which is measured as part of their
    latency. In front of local workers any number waits."""
    objective_s: float | None
    """A request that takes longer from its intended start is no good; None: every delivered one is good."""
    objective_share: float
    """Share of a level's requests that have to be good for the level to meet the objective."""
    seed: int
    """Of the random instants."""
    batch_size: tuple[int, ...] = (1,)
    """Requests that a local worker draws in one call, at most, ascending; each is a series of levels of its own."""
    replicas: int = 1
    """Local workers that share the queue; 1 where no target is local."""

    @property
    def is_open(self) -> bool:
        """Whether requests come whatever has become of those before them."""
        return self.arrivals != "closed"

    @property
    def levels(self) -> tuple[tuple[float | None, int], ...]:
        """Rate (None in a closed loop) and requests in flight that a setting of the level has."""
        if self.is_open:
            return tuple((rate, 1) for rate in self.rate_per_s)
        return tuple((None, in_flight) for in_flight in self.in_flight)

    def identity(self) -> dict[str, Any]:
        """What two load runs must have in common to be one. What came later is left out while it is at its default, so
        that the runs before are still the same."""
        values = asdict(self)
        later = {"batch_size": (1,), "replicas": 1}
        return {key: value for key, value in values.items() if key not in later or value != later[key]}
