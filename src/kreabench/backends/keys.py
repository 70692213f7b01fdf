"""What a key of a hosted service must look like to be sent."""

from __future__ import annotations

import re

_KEY = re.compile(r"[\x21-\x7e]+")


def is_usable_key(key: str) -> bool:
    """Whether a header can hold it. One with a line end would be quoted, escaped, in an error of the client."""
    return _KEY.fullmatch(key) is not None
