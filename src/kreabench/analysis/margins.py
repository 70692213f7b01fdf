"""How large a margin of a metric is, in its unit, and how surely: a share or a noise floor is itself estimated.

Said prompt by prompt, an estimated margin goes into every test as the differences do: what is tested is the mean over
prompts of difference + margin, so that the margin's error, and what it shares with the differences, are in the test.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kreabench.analysis.noise import MIN_DEGREES, SeedNoise
from kreabench.analysis.paired import Floats
from kreabench.core.policies import MarginSpec


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Margin:
    """A loss that is allowed, in the metric's unit, not negative."""

    value: float
    """NaN where it is not known."""
    by_prompt: Floats | None = None
    """(prompts,) what each prompt in pairs makes of it, with `value` as mean; None where it is known without error."""
    unknown: str = ""
    """Why it is not known; empty where it is."""

    @property
    def parts(self) -> Floats | float:
        """To be added to the differences of the prompts."""
        return self.value if self.by_prompt is None else self.by_prompt

    @property
    def error(self) -> float:
        """Standard error, in the metric's unit; 0 where it is known."""
        if self.by_prompt is None or self.by_prompt.size < 2:
            return 0.0
        return float(np.std(self.by_prompt, ddof=1)) / math.sqrt(self.by_prompt.size)


def margin_of(spec: MarginSpec, base: Floats, prompts: Sequence[str], noise: SeedNoise | None) -> Margin:
    """`base`, (prompts,), is the base's mean score of each of `prompts`, NaN without a finite one."""
    if spec.kind == "absolute":
        return Margin(value=spec.value)
    if spec.kind == "relative":
        return _relative(spec.value, base)
    if noise is None or noise.known_sd is None:
        degrees = 0 if noise is None else noise.degrees
        return _unknown(
            f"the noise floor is not known: it takes two seeds or more and {MIN_DEGREES} degrees of freedom, each "
            f"prompt's seeds less one, where the base has {degrees}"
        )
    if noise.known_sd == 0.0:
        return _unknown("the noise floor is 0: the base's scores do not change with the seed")
    return Margin(value=spec.value * noise.known_sd, by_prompt=spec.value * noise.by_prompt(prompts))


def _relative(share: float, base: Floats) -> Margin:
    """A share of the mean of `base`; where a prompt has none, it says nothing of that mean."""
    known = base[np.isfinite(base)]
    mean = float(known.mean()) if known.size else 0.0
    if not mean:
        what = "has a mean of 0" if known.size else "has no finite score"
        return _unknown(f"the base {what}: a share of it is no margin")
    parts = share * math.copysign(1.0, mean) * np.where(np.isfinite(base), base, mean)
    return Margin(value=share * abs(mean), by_prompt=parts)


def _unknown(why: str) -> Margin:
    return Margin(value=math.nan, unknown=why)
