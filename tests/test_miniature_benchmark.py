"""The parts of the miniature's benchmark that decide what it says; `benchmarks/miniature.py` runs the whole."""

from __future__ import annotations

import importlib
import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kreabench.analysis.estimates import Estimate
from kreabench.drawn.captions import caption, parse
from tests.support import ROOT


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The modules of the benchmark."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    names = ("agreement", "gates", "prompts", "tables", "versions")
    return SimpleNamespace(**{name: importlib.import_module(f"miniature_{name}") for name in names})


def test_captions_are_different_full_and_balanced(bench: Any) -> None:
    claims = bench.prompts.balanced_captions(60)
    assert claims[:20] == bench.prompts.balanced_captions(20)
    assert len({caption(one) for one in claims}) == 60
    assert all(parse(caption(one)) == one and one.background and one.texture for one in claims)
    assert sum(one.relation is not None for one in claims) == 30
    for words in (Counter(one.background for one in claims), Counter(one.texture for one in claims)):
        assert max(words.values()) - min(words.values()) <= 2
    shapes = Counter(shape for one in claims for _, shape in one.items)
    assert max(shapes.values()) <= 1.5 * min(shapes.values())


def test_a_prompt_set_numbers_its_captions(bench: Any, tmp_path: Path) -> None:
    file = bench.prompts.write_prompts(tmp_path / "set.jsonl", bench.prompts.balanced_captions(4), first=7)
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row["id"] for row in rows] == [f"caption-{number:04}" for number in (7, 8, 9, 10)]
    assert {row["category"] for row in rows} == {"one shape", "two shapes"}


def test_preference_counts_pairs_that_differ_in_truth(bench: Any) -> None:
    truth = np.array([1.0, 0.5, 0.5])
    assert bench.agreement.preference(truth, np.array([3.0, 1.0, 2.0])) == 1.0
    assert bench.agreement.preference(truth, np.array([2.0, 2.0, 3.0])) == 0.25  # one tie, one wrong
    assert np.isnan(bench.agreement.preference(np.ones(3), np.arange(3.0)))


def test_rank_correlation_leaves_out_what_is_unknown(bench: Any) -> None:
    truth, value = np.array([1.0, 2.0, 3.0, 9.0]), np.array([10.0, 20.0, 40.0, np.nan])
    assert bench.agreement.rank_correlation(truth, value) == pytest.approx(1.0)
    assert bench.agreement.rank_correlation(truth, -value) == pytest.approx(-1.0)
    assert np.isnan(bench.agreement.rank_correlation(truth, np.ones(4)))


@pytest.mark.parametrize(
    ("low", "high", "verdict", "deserved", "met"),
    [
        (-0.30, -0.20, "regressed", "regressed", "yes"),
        (-0.30, -0.20, "passed", "regressed", "NO"),
        (-0.30, -0.20, "inconclusive", "regressed", "undecided"),
        (-0.04, 0.02, "passed", "passed", "yes"),
        (-0.04, 0.02, "regressed", "passed", "NO"),
        (-0.15, -0.05, "regressed", "", "either"),
        (-0.04, -0.01, "regressed", "", "either"),
    ],
)
def test_a_verdict_is_held_against_the_truth(
    bench: Any, low: float, high: float, verdict: str, deserved: str, met: str
) -> None:
    change = Estimate(value=(low + high) / 2, low=low, high=high, n=100)
    judged = bench.gates.Judged(name="one", change=change, truth_known=True, margin=0.1, verdict=verdict, others="–")
    assert (judged.deserved, judged.met) == (deserved, met)


def test_a_refused_gate_is_wrong(bench: Any) -> None:
    change = Estimate(value=-0.3, low=-0.33, high=-0.27, n=100)
    judged = bench.gates.Judged(name="one", change=change, truth_known=True, margin=None, verdict="refused", others="–")
    assert judged.met == "NO"


def test_equal_pictures_deserve_to_pass(bench: Any) -> None:
    judged = bench.gates.Judged(name="one", change=None, truth_known=True, margin=0.1, verdict="regressed", others="–")
    assert (judged.deserved, judged.met) == ("passed", "NO")


def test_versions_change_what_they_say_and_nothing_else(bench: Any, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    (tmp_path / "transformer").mkdir()
    (tmp_path / "vae").mkdir()
    matrix, bias = torch.randn(64, 64, generator=torch.Generator().manual_seed(1)), torch.ones(64)
    file = tmp_path / "transformer" / "model.safetensors"
    save_file({"matrix": matrix.half(), "bias": bias.half()}, file)
    bench.versions.noise(tmp_path, part="transformer", deviations=0.1)
    found = load_file(file)
    assert torch.equal(found["bias"], bias.half())
    assert found["matrix"].dtype == torch.float16
    assert float((found["matrix"].float() - matrix).std()) == pytest.approx(0.1, rel=0.1)
    (tmp_path / "vae" / "config.json").write_text('{"scaling_factor": 2.0, "shift_factor": 0.5}')
    bench.versions.vae_setting(tmp_path, name="scaling_factor", factor=1.3)
    assert json.loads((tmp_path / "vae" / "config.json").read_text()) == {"scaling_factor": 2.6, "shift_factor": 0.5}
    bench.versions.stored_as(tmp_path, dtype="float32")
    assert load_file(file)["matrix"].dtype == torch.float32


def test_tables_are_printed_and_written(bench: Any) -> None:
    found = bench.tables.percent(Estimate(value=0.5, low=0.41, high=0.593, n=9))
    table = bench.tables.Table(title="T", note="How.", header=("", "share"), rows=(("a", found), ("b", "–")))
    assert "50.0 (41.0 to 59.3)" in table.as_text()
    assert table.as_markdown().splitlines()[4:6] == ["|  | share |", "| --- | ---: |"]
    assert bench.tables.points(Estimate(value=-0.021, low=None, high=None, n=1)) == "−2.1"
    assert bench.tables.percent(None) == "–"
    assert bench.tables.percent(Estimate(value=1.0, low=1.0, high=1.0, n=100)) == "100.0 (96.4 to 100.0)"
    assert bench.tables.percent(Estimate(value=0.0, low=0.0, high=0.0, n=50)) == "0.0 (0.0 to 7.1)"
