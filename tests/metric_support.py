"""What tests of metrics share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from kreabench.metrics.shared import Shared
from tests.small_weights import clip, fidelity, services, sets

_FAMILIES = (clip, fidelity, sets, services)

SCALE = {"ms_ssim": 4}
"""How many times larger than 64 × 48 pixels a picture must be for metrics that need many."""
PROMPT = {"drawn_accuracy": "a red circle"}
"""Of metrics that score no other than prompts of their own."""


def offline_options(kind: str, folder: Path) -> dict[str, Any]:
    """Options with which metric `kind` runs on any machine; none where its defaults do."""
    for family in _FAMILIES:
        if kind in family.OPTIONS:
            options: dict[str, Any] = family.OPTIONS[kind](folder)
            return options
    return {}


def shared() -> Shared:
    """As a scoring makes it."""
    return Shared(environ=os.environ)
