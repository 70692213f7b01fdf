"""The clock of the machine is set during a run: durations hold, a record says so, and no drift is made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kreabench.analysis.device import summarise_device
from kreabench.analysis.drift import find_drifts
from kreabench.core.records import CLOCK_SET
from kreabench.execution.clock import TOLERANCE_S, ClockWatch
from kreabench.execution.messages import Order
from tests.engine_support import InThisProcess, run, samples
from tests.support import make_group

HOUR_S = 3600.0


class Clocks:
    """A wall clock that can be set, and one that only counts on."""

    def __init__(self) -> None:
        self.steady_s, self.set_s = 1000.0, 1_700_000_000.0

    def wall(self) -> float:
        return self.steady_s + self.set_s

    def steady(self) -> float:
        return self.steady_s

    def watch(self) -> ClockWatch:
        return ClockWatch(self.wall, self.steady)


@pytest.mark.parametrize(("step_s", "words"), [(-HOUR_S, "back by 3600.0 s"), (90.0, "forward by 90.0 s")])
def test_a_clock_that_is_set_is_told_once(step_s: float, words: str) -> None:
    clocks = Clocks()
    watch = clocks.watch()
    clocks.steady_s += 10 * HOUR_S
    assert watch.flags() == ()
    clocks.set_s += step_s
    (flag,) = watch.flags()
    assert flag.startswith(CLOCK_SET)
    assert words in flag
    assert watch.flags() == ()


def test_a_clock_that_is_slewed_is_none_that_was_set() -> None:
    clocks = Clocks()
    watch = clocks.watch()
    for _ in range(50):  # the fastest slewing there is, seen once in 20 minutes
        clocks.steady_s += 1200.0
        clocks.set_s -= 1200.0 * 0.0005
        assert watch.flags() == ()
    clocks.set_s -= TOLERANCE_S * 1.01
    assert watch.flags()


def test_a_run_through_a_clock_that_is_set_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's own clock is set an hour back before the third picture."""
    clocks, taken = Clocks(), 0

    class Worker(InThisProcess):
        def __init__(self, **_: Any) -> None:
            super().__init__()
            self._worker._answering.watch = clocks.watch()
            self._worker._answering.now = lambda: pd.Timestamp(clocks.wall(), unit="s", tz="UTC").isoformat()

        def begin(self, order: Order, limit_s: float) -> None:
            nonlocal taken
            taken += 1
            clocks.steady_s += 2.0
            clocks.set_s -= HOUR_S * (taken == 4)  # the load is the first
            super().begin(order, limit_s)

    monkeypatch.setattr("kreabench.execution.local.WorkerProcess", Worker)
    drawn = list(samples(run(make_group(prompts=5), tmp_path)).values())
    assert [bool(sample.flags) for sample in drawn] == [False, False, True, False, False]
    assert drawn[2].started_utc < drawn[1].started_utc
    assert CLOCK_SET in drawn[2].flags[0]
    for sample in drawn:
        assert sample.timings is not None
        assert 0 < sample.timings.end_to_end_s < 60
        assert sample.timings.residual_s > -0.001
        assert all(seconds >= 0 for seconds in sample.timings.stages_s.values())
    assert [sample.timing_valid for sample in drawn[1:]] == [True] * 4


def drawn_table(flag: str | None) -> pd.DataFrame:
    n = 60
    begin = pd.Timestamp("2026-01-02T03:04:05Z")
    return pd.DataFrame(
        {
            "request_id": [f"r{i}" for i in range(n)],
            "setting_id": "s",
            "group_id": "g",
            "target": "krea_local",
            "status": "ok",
            "timing_valid": True,
            "started_utc": [(begin + pd.Timedelta(seconds=10 * i)).isoformat() for i in range(n)],
            "end_to_end_s": np.linspace(1.0, 1.2, n),
            "flags": [flag if i == 30 else None for i in range(n)],
        }
    )


def test_no_drift_is_judged_where_nobody_knows_the_order() -> None:
    assert find_drifts(drawn_table(None))
    assert find_drifts(drawn_table("a neighbour computed on the device"))
    assert find_drifts(drawn_table(f"a neighbour; {CLOCK_SET} back by 5.0 s")) == ()


def test_the_summary_of_a_setting_says_so() -> None:
    table = drawn_table(f"{CLOCK_SET} back by 3600.0 s: durations hold")
    summary = summarise_device(table, table)
    assert summary is not None
    assert summary.flags == ((f"{CLOCK_SET} back by 3600.0 s: durations hold", 1),)
