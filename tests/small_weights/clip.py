"""Options with which the metrics of this family run on any machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

OPTIONS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "clip_score": lambda folder: {
        "model": "builtin:mini",
        "weights": "random",
        "untrained": True,
        "device": "cpu",
        "batch_size": 2,
    },
}
"""Kind of metric → its options, given a folder to keep small weights in; called once a test module."""
