"""What every schema of ours is. Apart from `config.model`, whose schemas take longer to build than a gate has time."""

from __future__ import annotations

from pydantic import ConfigDict

STRICT = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, hide_input_in_errors=True)
"""No number is read from a text, no truth from a number, and no number is NaN or infinite."""
