"""The accuracy benchmark: every kind of metric has a check, and a check finds a metric that is wrong."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import pytest

from kreabench.metrics.look import Saturation
from kreabench.metrics.luma import Planes
from kreabench.metrics.table import METRICS
from tests.support import ROOT

RIGHT = tuple((float(n), float(n)) for n in range(1, 21))
"""Twenty values of ours and theirs."""


@pytest.fixture
def accuracy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`benchmarks/metrics_accuracy.py`."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("metrics_accuracy")


@pytest.fixture
def check(accuracy: Any) -> Callable[..., Any]:
    def make(*values: tuple[float, float], **changes: Any) -> Any:
        return accuracy.Check(**{"metric": "psnr", "against": "itself", "values": values or RIGHT, **changes})

    return make


def test_every_kind_of_metric_has_a_check(accuracy: Any) -> None:
    assert list(accuracy.CHECKS) == list(METRICS)
    assert all(accuracy.CHECKS.values())
    functions = [make for makes in accuracy.CHECKS.values() for make in makes]
    assert len(set(functions)) == len(functions)


@pytest.mark.parametrize("wrong", [1.002, 0.998, math.nan])
def test_a_metric_that_is_wrong_by_two_thousandths_is_found(
    accuracy: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wrong: float
) -> None:
    """The whole way: the check asks the real metric, the table says NO, and the program fails."""
    assert accuracy.main(["saturation"]) == 0
    measure = Saturation._measure

    def spoilt(metric: Saturation, planes: Planes) -> tuple[float, dict[str, float]]:
        value, details = measure(metric, planes)
        return value * wrong, details

    monkeypatch.setattr(Saturation, "_measure", spoilt)

    assert accuracy.main(["saturation", "clipping"]) == 1
    said = capsys.readouterr().out
    assert [line.split()[-2] for line in said.splitlines() if line.startswith(("saturation", "clipping"))] == [
        *("yes", "NO", "yes")
    ]
    assert "1 of 2 passed" in said


def test_a_picture_without_a_value_fails_its_check(accuracy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(metric: Saturation, planes: Planes) -> tuple[float, dict[str, float]]:
        raise ArithmeticError

    monkeypatch.setattr(Saturation, "_measure", broken)

    assert accuracy.main(["saturation"]) == 1


def test_one_picture_of_many_decides(check: Callable[..., Any]) -> None:
    assert check().passed
    assert check(*RIGHT[1:], (1.0009, 1.0)).passed
    assert not check(*RIGHT[1:], (1.0011, 1.0)).passed
    assert not check(*RIGHT[1:], (math.nan, 1.0)).passed
    assert not check(*RIGHT[1:], (1.0, math.nan)).passed
    assert not check(*RIGHT[1:], (0.001, 0.0)).passed


def test_a_set_is_one_value_of_many_pictures(check: Callable[..., Any]) -> None:
    assert check((2.0, 2.001), pictures=20).passed
    assert not check((2.0, 2.003), pictures=20).passed


@pytest.mark.parametrize(
    ("values", "changes", "said"),
    [
        (RIGHT[1:], {}, "19 pictures are too few"),
        (RIGHT, {"limit": 0.1}, "why is the limit 0.1"),
        ([(0.5, 0.5)] * 20, {}, "all pictures have the value 0.5"),
    ],
)
def test_a_check_that_shows_nothing_is_refused(
    check: Callable[..., Any], values: list[tuple[float, float]], changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        check(*values, **changes)


def test_a_name_without_a_check_lists_those_there_are(accuracy: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        accuracy.main(["psnrr"])

    assert caught.value.code == 2
    assert "no check is named psnrr: there are clip_score, pickscore" in capsys.readouterr().err
