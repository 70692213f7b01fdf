"""What a gate asks: for each quantity how much worse it may be, and how sure one must be. Data, made by `config/`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MarginKind = Literal["absolute", "relative", "noise_floor"]
"""`absolute`: in the quantity's unit. `relative`: a share of the base's value. `noise_floor`: so many standard
deviations from seed to seed of the base's own pictures of one prompt."""

Cost = Literal["latency", "peak_memory", "energy", "usd_per_image"]
"""Quantities of which the ratio of medians is judged: margins are relative."""
Rate = Literal["failure_rate", "nsfw_rate", "degenerate_rate"]
"""Shares of requests or pictures: margins are absolute."""

COSTS: tuple[Cost, ...] = ("latency", "peak_memory", "energy", "usd_per_image")
RATES: tuple[Rate, ...] = ("failure_rate", "nsfw_rate", "degenerate_rate")


@dataclass(frozen=True, kw_only=True, slots=True)
class MarginSpec:
    """How much worse is still acceptable."""

    kind: MarginKind
    value: float
    """Not negative; 0.05 of a relative margin is 5 %."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckSpec:
    """One quantity of a policy."""

    name: str
    """A metric as configured in the runs, one of COSTS or one of RATES."""
    margin: MarginSpec
    sides: Literal["one", "two"] = "one"
    """`two`: suspiciously better fails as well. Metrics without a better side are always judged on two."""
    required: bool = True
    """Whether it is inconclusive where it was not measured on both sides; else it is left out, and said so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicySpec:
    """A file of `conf/gate/`."""

    name: str
    description: str
    level: float
    """Error rate: of passing a loss as large as the margin, and, over all checks together, of calling equals worse."""
    min_prompts: int
    """Fewer prompts in pairs are inconclusive."""
    max_unpaired_share: float
    """A larger share of pictures or scores without a partner is inconclusive, as those that are left are no fair
    choice; so are costs where more of the requests failed on one side alone."""
    checks: tuple[CheckSpec, ...]
    every_metric: CheckSpec | None = None
    """For each metric that both sides have, has a better side and is not named in `checks`; its name is `*`."""
