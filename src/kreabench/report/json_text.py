"""JSON for scripts: numbers unrounded, what is absent null. JSON knows no NaN and no infinity."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

from kreabench.analysis.estimates import Estimate


def json_text(content: Any) -> str:
    """`content`, whose numbers are finite, with a line feed at its end."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode(errors="backslashreplace").decode()  # half a surrogate pair, as JSON escapes it: UTF-8 has none


def finite(value: Any) -> Any:
    """`value` with null for every number that is none."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value


def estimate_json(value: Estimate | None) -> dict[str, Any] | None:
    """`value` with its interval and n."""
    return None if value is None else finite(asdict(value))
