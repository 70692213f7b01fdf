"""Drift is found where it is, and hardly ever where it is not; repeats are compared bit by bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kreabench.analysis.drift import find_drifts
from kreabench.analysis.repeatability import Pixels, difference, pairs_of, repeatability
from kreabench.core.records import LoadRecord


def table(seconds: Any, **columns: Any) -> pd.DataFrame:
    """One group; two settings take turns, the second takes three times as long; a sample every ten seconds."""
    n = len(seconds)
    factor = np.where(np.arange(n) % 2, 3.0, 1.0)
    begin = pd.Timestamp("2026-01-02T03:04:05Z")
    base = {
        "request_id": [f"r{i}" for i in range(n)],
        "setting_id": [f"s{i % 2}" for i in range(n)],
        "group_id": "g",
        "target": "krea_local",
        "status": "ok",
        "timing_valid": True,
        "started_utc": [(begin + pd.Timedelta(seconds=10 * i)).isoformat() for i in range(n)],
        "end_to_end_s": np.asarray(seconds) * factor,
    }
    return pd.DataFrame(base | columns)


def noise(seed: int, n: int = 60) -> Any:
    return np.random.default_rng(seed).normal(1.0, 0.02, n)


def test_a_warming_gpu_is_found_through_settings_that_take_turns() -> None:
    n = 60
    slower = np.linspace(1.0, 1.10, n)
    found = find_drifts(
        table(
            noise(0) * slower,
            sm_clock_mhz=np.linspace(1980, 1800, n) + np.random.default_rng(1).normal(0, 5, n),
            temperature_c=np.linspace(40, 70, n).round(),
        )
    )
    by_name = {drift.what: drift for drift in found}
    assert set(by_name) == {"latency", "SM clock", "temperature"}
    assert by_name["latency"].change == pytest.approx(0.10, abs=0.03)
    assert by_name["SM clock"].change == pytest.approx(-0.09, abs=0.02)
    assert by_name["temperature"].change == pytest.approx(30, abs=3)
    assert by_name["temperature"].text.startswith(
        "krea_local: the temperature drifted by +30 °C over 60 samples (p < 0.0001)"
    )
    assert " %" in by_name["latency"].text


def test_noise_is_hardly_ever_called_drift() -> None:
    assert sum(bool(find_drifts(table(noise(seed)))) for seed in range(200)) <= 4


def test_a_change_that_does_not_matter_is_not_reported() -> None:
    assert find_drifts(table(np.linspace(1.0, 1.005, 60))) == ()


def test_too_little_to_say() -> None:
    assert find_drifts(table(np.linspace(1.0, 2.0, 8))) == ()
    assert find_drifts(table([]).astype({"timing_valid": bool})) == ()
    untimed = table(np.linspace(1.0, 2.0, 60))
    assert find_drifts(untimed.assign(timing_valid=False)) == ()
    assert find_drifts(table(np.ones(60), sm_clock_mhz=np.nan)) == ()


def test_a_resume_hours_later_is_no_drift() -> None:
    """The machine was busy at first; what was loaded after that has a pace of its own."""
    paced = table(np.where(np.arange(60) < 12, 1.5, 1.0) * noise(3))
    late = pd.to_datetime(paced["started_utc"]) + pd.to_timedelta(np.where(np.arange(60) < 12, 0, 36_000), unit="s")
    paced["started_utc"] = [moment.isoformat() for moment in late]
    loads = [loaded("2026-01-02T03:04:00.000Z"), loaded("2026-01-02T13:04:05.000Z")]
    assert find_drifts(paced)
    assert find_drifts(paced, loads) == ()
    (found,) = find_drifts(paced.assign(end_to_end_s=paced["end_to_end_s"] * np.linspace(1.0, 1.2, 60)), loads)
    assert found.n == 48
    assert found.change == pytest.approx(0.15, abs=0.03)


def test_loads_of_another_worker_divide_nothing() -> None:
    slower = table(noise(0) * np.linspace(1.0, 1.10, 60), worker="cuda:0")
    midst = "2026-01-02T03:09:00.000Z"
    assert find_drifts(slower, [loaded(midst, worker="cuda:1")])[0].n == 60
    assert all(found.n == 30 for found in find_drifts(slower, [loaded(midst, worker="cuda:0")]))


def loaded(started_utc: str, worker: str | None = None) -> LoadRecord:
    return LoadRecord(
        group_id="g", target="krea_local", started_utc=started_utc, load_s=1.0, identity={}, worker=worker
    )


def images(*shas: str, groups: tuple[str, ...]) -> pd.DataFrame:
    rows = len(shas)
    return pd.DataFrame(
        {
            "request_id": [f"r{i}" for i in range(rows)],
            "setting_id": "s",
            "prompt_id": "p",
            "seed": 0,
            "image_index": 0,
            "image_sha256": shas,
            "group_id": groups,
            "status": "ok",
            "started_utc": [f"2026-01-02T03:04:0{i}.000Z" for i in range(rows)],
        }
    )


def test_equal_files_need_not_be_read() -> None:
    pairs = pairs_of(images("a", "a", "a", groups=("g", "g-pass2", "g")))
    assert [(pair.again[0], pair.fresh, pair.same_file) for pair in pairs] == [("r1", True, True), ("r2", False, True)]

    def read(where: tuple[str, int]) -> Pixels | None:
        raise AssertionError(where)

    fresh, same = repeatability(pairs, read)
    assert (fresh.fresh, fresh.pairs, fresh.identical, fresh.psnr_db) == (True, 1, 1, None)
    assert not same.fresh


def test_how_far_apart_others_are() -> None:
    flat = np.full((4, 4, 3), 100, dtype=np.uint8)
    near = flat.copy()
    near[0, 0, 0] = 110
    pictures: dict[str, Pixels] = {"r0": flat, "r1": near, "r2": flat}
    pairs = pairs_of(images("a", "b", "c", "d", groups=("g", "h", "h", "h")))
    (found,) = repeatability(pairs, lambda where: pictures.get(where[0]))
    assert (found.pairs, found.identical, found.unreadable, found.largest_difference) == (3, 1, 1, 10)
    expected = 10 * math.log10(255**2 / (100 / 48))
    assert found.psnr_db is not None
    assert found.psnr_db == pytest.approx((expected, expected))


def test_pictures_drawn_once_are_no_pairs() -> None:
    assert pairs_of(images("a", groups=("g",))) == ()
    assert repeatability((), lambda _: None) == ()


def test_differences_of_pixels() -> None:
    black, white = np.zeros((2, 2, 3), dtype=np.uint8), np.full((2, 2, 3), 255, dtype=np.uint8)
    assert difference(black, black) == (math.inf, 0)
    assert difference(black, white) == (0.0, 255)
    assert difference(black, black[:1]) == (0.0, 255)
