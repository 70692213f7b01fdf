"""Stable identities: SHA-256 over canonical JSON.

Canonical means: keys sorted, no spaces, no NaN, floats in Python's shortest form, integers of value kept apart from
floats only where the spec's type does. The same spec has the same hash on every machine and Python version.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from typing import Any


def canonical_json(value: Any) -> str:
    """JSON text that is equal for equal values. Raises ValueError for NaN and infinity."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def stable_hash(value: Any, *, length: int = 16) -> str:
    """The first `length` hex digits of the SHA-256 of `value` in canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:length]


def slug(text: str, *, length: int = 40) -> str:
    """A piece of a file name made from untrusted text: lower-case ASCII letters, digits and single hyphens.

    Not unique: whoever builds a path adds a hash.
    """
    cleaned = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return cleaned[:length].strip("-") or "x"
