"""The table of targets in small: its rows hold, and a method that is broken does not get through."""

from __future__ import annotations

import gc
import importlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kreabench.analysis.estimates import Estimate
from tests.support import ROOT


@pytest.fixture
def validity(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The modules of the benchmark."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    gc.freeze()  # Holm's correction collects garbage at each call
    names = ("validity", "validity_gate", "validity_intervals", "validity_noise", "validity_rows")
    yield SimpleNamespace(**{name.removeprefix("validity_"): importlib.import_module(name) for name in names})
    gc.unfreeze()


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("kind", ["skewed (gamma, 1.5)", "heavy-tailed (t, 4 df)"])
def test_intervals_of_differences_cover(validity: Any, kind: str) -> None:
    noise = validity.noise.Noise(kind=kind, missing=0.1)
    assert 0.90 <= validity.intervals.difference(rng(), 60, noise=noise).rate <= 0.985  # of 240


def test_an_interval_over_pictures_is_found_out(validity: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mean_of_prompts = validity.intervals.mean_of_prompts

    def naive(values: Any) -> Estimate:
        """As if the four seeds of a prompt were four prompts."""
        found: Estimate = mean_of_prompts(np.repeat(values, 4))
        return found

    monkeypatch.setattr(validity.intervals, "mean_of_prompts", naive)
    assert validity.intervals.difference(rng(), 60, noise=validity.noise.Noise()).rate < 0.85


def test_intervals_of_percentiles_and_ratios_cover(validity: Any) -> None:
    assert validity.intervals.percentile(rng(), 60, n=300).rate >= 0.9
    asked = {"prompts": 25, "seeds": 4, "within": 0.05}
    assert validity.intervals.ratio(rng(), 40, shared=0.1, own=0.05, **asked).rate >= 0.9
    assert validity.intervals.rate(rng(), 60, base=0.0, candidate=0.02, n=400).rate >= 0.92


def test_equals_rarely_fail(validity: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert validity.gate.equals_fail(rng(), 25, kind="normal").rate <= 0.1
    outcomes = importlib.import_module("kreabench.analysis.outcomes")
    monkeypatch.setattr(outcomes, "holm", tuple)  # uncorrected, about one in five fails
    assert validity.gate.equals_fail(rng(), 25, kind="normal").rate > 0.1


def test_a_loss_of_the_margin_rarely_passes(validity: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"noise": validity.noise.Noise(), "prompts": 40}
    assert validity.gate.margin_passes(rng(), 15, **asked).rate <= 0.12
    weigh = importlib.import_module("kreabench.analysis.items").weigh

    def no_difference_found(*arguments: Any, **options: Any) -> Any:
        """The mistake: what is not established is taken for absent."""
        found = weigh(*arguments, **options)
        return replace(found, p_inside=0.0 if found.p_loss > 0.05 else 1.0)

    monkeypatch.setattr("kreabench.analysis.items.weigh", no_difference_found)
    few = asked | {"prompts": 6}
    assert validity.gate.margin_passes(rng(), 10, **few).rate > 0.12


def test_planned_prompts_catch_the_loss_that_they_were_planned_for(validity: Any) -> None:
    assert validity.gate.planned_catches(rng(), 50, noise=validity.noise.Noise()).rate >= 0.7
    assert validity.gate.planned_passes(rng(), 40, noise=validity.noise.Noise()).rate >= 0.7


def test_mishaps_that_come_by_prompt_do_not_pass_as_if_they_came_by_picture(validity: Any) -> None:
    assert validity.gate.mishaps_pass(rng(), 100, prompts=100, margin=0.05).rate <= 0.07


def test_the_table_says_what_is_met_and_what_is_not(
    validity: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def row(name: str, hits: int) -> Any:
        def simulate(rng: np.random.Generator, experiments: int) -> Any:
            return validity.rows.Measured(hits=hits, experiments=experiments)

        return validity.rows.ValidityRow(name=name, at_least=0.0, at_most=0.05, simulate=simulate)

    rows = (row("good", 1), row("bad", 3))
    monkeypatch.setattr(validity.gate, "ROWS", rows)
    monkeypatch.setattr(validity.validity, "MODULES", ("validity_gate",))
    out = tmp_path / "validity.json"
    assert validity.validity.main(["--experiments", "40", "--out", str(out)]) == 1
    text = capsys.readouterr().out
    assert "NOT MET" in text
    assert "1 of 2 rows met" in text
    found = json.loads(out.read_text())["rows"]
    assert [(one["name"], one["rate"], one["met"]) for one in found] == [("good", 0.025, True), ("bad", 0.075, False)]
    assert validity.validity.main(["good", "--experiments", "40", "--out", str(out)]) == 0
    with pytest.raises(SystemExit):
        validity.validity.main(["unknown"])
    with pytest.raises(ModuleNotFoundError):  # promises that are not there are not kept
        validity.validity.rows_of(("validity_of_nothing",))
