"""Options with which the metrics of this family run on any machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_STAND_IN = Path(__file__).parents[1] / "foreign_stand_in.py"


def _judge(folder: Path) -> dict[str, Any]:
    from tests.judge_service import judge_options  # starts a server: only for who asks

    return judge_options()


OPTIONS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "judge": _judge,
    "foreign": lambda folder: {"command": [sys.executable, str(_STAND_IN)], "batch_size": 2, "score_timeout_s": 20.0},
}
"""Kind of metric → its options, given a folder to keep small weights in; called once a test module."""
