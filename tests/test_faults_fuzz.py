"""Fuzzing for a moment, always with the same inputs; `benchmarks/fuzz.py` goes on for as long as asked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz_targets import TARGETS, run_target

EXAMPLES = {"overrides": 15, "journal": 12, "scores": 8, "run_json": 12, "votes": 8, "fal": 40}
OTHERS = 60


@pytest.mark.parametrize("name", TARGETS)
def test_what_others_wrote_is_read_or_refused(name: str) -> None:
    @settings(
        max_examples=EXAMPLES.get(name, OTHERS),
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def feed(data: st.DataObject) -> None:
        value: Any = data.draw(TARGETS[name].inputs)
        run_target(name, value)

    feed()
