"""What every metric promises, checked over the whole table."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kreabench.core.ids import canonical_json
from kreabench.metrics.base import Metric, ScoreItem
from kreabench.metrics.table import METRICS, metric_class
from tests.support import picture

OFFLINE_OPTIONS: dict[str, dict[str, Any]] = {
    "clip_score": {"model": "builtin:mini", "weights": "random", "device": "cpu", "batch_size": 2}
}
"""Options with which a metric runs on any machine, where its defaults do not."""

ITEMS = (
    ScoreItem(image=picture(seed=1), prompt="a red bicycle", reference=picture(seed=2), lossy=False),
    ScoreItem(image=picture(64, 48), prompt="", reference=picture(64, 48, seed=9), lossy=True),
    ScoreItem(image=picture(40, 40), prompt="a blue house " * 60, reference=picture(40, 40), lossy=False),
)
BAD_ITEMS = {
    "no pixels": ScoreItem(image=Image.new("RGB", (0, 0)), prompt="x", reference=Image.new("RGB", (0, 0)), lossy=False),
    "one pixel": ScoreItem(image=picture(1, 1), prompt="x", reference=picture(1, 1, seed=1), lossy=False),
    "black": ScoreItem(image=Image.new("RGB", (64, 64)), prompt="x", reference=picture(64, 64), lossy=False),
    "sizes differ": ScoreItem(image=picture(64, 48), prompt="x", reference=picture(48, 64), lossy=False),
    "no reference": ScoreItem(image=picture(64, 48), prompt="x", reference=None, lossy=False),
    "a very thin picture": ScoreItem(image=picture(2000, 1), prompt="x", reference=picture(2000, 1), lossy=False),
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KREABENCH_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module", params=list(METRICS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def metric(kind: str, cache: Path) -> Iterator[Metric]:
    metric: Metric = metric_class(kind)(**OFFLINE_OPTIONS.get(kind, {}))
    metric.open()
    yield metric
    metric.close()


def test_importing_a_metric_imports_nothing_heavy(kind: str) -> None:
    module = METRICS[kind].location.partition(":")[0]
    code = f"import json, sys, {module}; print(json.dumps([name for name in sys.modules if '.' not in name]))"

    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert set(json.loads(output)).isdisjoint({"torch", "open_clip", "torchmetrics", "piq", "numpy", "PIL"})


def test_options_have_defaults_that_the_metric_takes(kind: str) -> None:
    row = METRICS[kind]
    defaults = row.options()
    values = {field.name: getattr(defaults, field.name) for field in fields(defaults)}

    assert callable(metric_class(kind)(**values).open)


def test_the_identity_is_the_same_each_time_and_can_be_hashed(kind: str, cache: Path) -> None:
    identities = []
    for _ in range(2):
        metric: Metric = metric_class(kind)(**OFFLINE_OPTIONS.get(kind, {}))
        identities.append(metric.open())
        metric.close()

    assert canonical_json(identities[0]) == canonical_json(identities[1])
    assert "version" in identities[0]


def test_one_score_an_item_within_the_range(kind: str, metric: Metric) -> None:
    scores = metric.score(ITEMS)

    low, high = METRICS[kind].range
    assert len(scores) == len(ITEMS)
    assert [score.status for score in scores][:2] == ["ok", "ok"]
    for score in scores:
        assert (score.status == "ok") == (score.value is not None)
        assert score.value is None or math.isfinite(score.value)
        assert score.value is None or low is None or score.value >= low
        assert score.value is None or high is None or score.value <= high


def test_no_items_give_no_scores(metric: Metric) -> None:
    assert metric.score([]) == []


@pytest.mark.parametrize("name", list(BAD_ITEMS))
def test_a_bad_item_does_not_raise_and_costs_no_other_its_score(metric: Metric, name: str) -> None:
    scores = metric.score([ITEMS[0], BAD_ITEMS[name], ITEMS[0]])

    assert [scores[0].status, scores[2].status] == ["ok", "ok"]
    assert (scores[1].status == "ok") == (scores[1].value is not None)
    assert scores[1].status in {"ok", "infinite"} or scores[1].reason


def test_only_a_metric_that_needs_a_reference_misses_it(kind: str, metric: Metric) -> None:
    without_reference = metric.score([BAD_ITEMS["no reference"]])[0]

    assert without_reference.status == ("not_applicable" if METRICS[kind].needs_reference else "ok")
