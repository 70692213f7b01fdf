"""What every metric promises, checked over the whole table."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image

from kreabench.core.ids import canonical_json
from kreabench.metrics.base import Member, Metric, ScoreItem, SetMetric
from kreabench.metrics.table import METRICS, metric_class, options_class
from tests.metric_support import PROMPT, SCALE, offline_options, shared
from tests.support import picture


def items_of(kind: str) -> tuple[ScoreItem, ...]:
    scale = SCALE.get(kind, 1)
    wide, square = (64 * scale, 48 * scale), (40 * scale, 40 * scale)
    items = (
        ScoreItem(image=picture(*wide, seed=1), prompt="a red bicycle", reference=picture(*wide, seed=2)),
        ScoreItem(image=picture(*wide), prompt="", reference=picture(*wide, seed=9)),
        ScoreItem(image=picture(*square), prompt="a blue house " * 60, reference=picture(*square)),
    )
    return tuple(understood(kind, item) for item in items)


def understood(kind: str, item: ScoreItem) -> ScoreItem:
    """With a prompt and a square that the metric can score, where it does not take any."""
    side = min(item.image.size)
    return replace(item, prompt=PROMPT[kind], image=item.image.crop((0, 0, side, side))) if kind in PROMPT else item


BAD_ITEMS = {
    "no pixels": ScoreItem(image=Image.new("RGB", (0, 0)), prompt="x", reference=Image.new("RGB", (0, 0))),
    "one pixel": ScoreItem(image=picture(1, 1), prompt="x", reference=picture(1, 1, seed=1)),
    "black": ScoreItem(image=Image.new("RGB", (64, 64)), prompt="x", reference=picture(64, 64)),
    "sizes differ": ScoreItem(image=picture(64, 48), prompt="x", reference=picture(48, 64)),
    "no reference": ScoreItem(image=picture(64, 48), prompt="x", reference=None),
    "a very thin picture": ScoreItem(image=picture(2000, 1), prompt="x", reference=picture(2000, 1)),
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KREABENCH_CACHE", str(folder))
        yield folder


def of(per: str) -> pytest.MarkDecorator:
    """For a test of the metrics of pictures, or of sets, alone."""
    return pytest.mark.parametrize("kind", [name for name, row in METRICS.items() if row.per == per], indirect=True)


@pytest.fixture(scope="module", params=list(METRICS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def options(kind: str, cache: Path) -> dict[str, Any]:
    return offline_options(kind, cache)


@pytest.fixture(scope="module")
def opened(kind: str, options: dict[str, Any]) -> Iterator[Any]:
    metric = metric_class(kind)(**options)
    metric.open(shared())
    yield metric
    metric.close()


@pytest.fixture
def metric(opened: Any) -> Metric:
    return cast("Metric", opened)


@pytest.fixture
def set_metric(opened: Any) -> SetMetric:
    return cast("SetMetric", opened)


@pytest.fixture
def items(kind: str) -> tuple[ScoreItem, ...]:
    return items_of(kind)


def test_importing_a_metric_imports_nothing_heavy(kind: str) -> None:
    module = METRICS[kind].location.partition(":")[0]
    code = f"import json, sys, {module}; print(json.dumps([name for name in sys.modules if '.' not in name]))"

    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert set(json.loads(output)).isdisjoint({"torch", "open_clip", "torchmetrics", "piq", "numpy", "PIL"})


def test_options_have_defaults_that_the_metric_takes(kind: str) -> None:
    defaults = options_class(kind)()
    values = {field.name: getattr(defaults, field.name) for field in fields(defaults)}

    assert callable(metric_class(kind)(**values).open)


def test_the_identity_is_the_same_each_time_and_can_be_hashed(kind: str, options: dict[str, Any]) -> None:
    identities = []
    for _ in range(2):
        metric = metric_class(kind)(**options)
        identities.append(metric.open(shared()))
        metric.close()

    assert canonical_json(identities[0]) == canonical_json(identities[1])
    assert "version" in identities[0]


@of("image")
def test_one_score_an_item_within_the_range(kind: str, metric: Metric, items: tuple[ScoreItem, ...]) -> None:
    scores = metric.score(items)

    low, high = METRICS[kind].range
    assert len(scores) == len(items)
    assert [score.status for score in scores][:2] == ["ok", "ok"]
    for score in scores:
        assert (score.status == "ok") == (score.value is not None)
        assert score.value is None or math.isfinite(score.value)
        assert score.value is None or low is None or score.value >= low
        assert score.value is None or high is None or score.value <= high


@of("image")
def test_no_items_give_no_scores(metric: Metric) -> None:
    assert metric.score([]) == []


@pytest.mark.parametrize("name", list(BAD_ITEMS))
@of("image")
def test_a_bad_item_does_not_raise_and_costs_no_other_its_score(
    kind: str, metric: Metric, items: tuple[ScoreItem, ...], name: str
) -> None:
    scores = metric.score([items[0], understood(kind, BAD_ITEMS[name]), items[0]])

    assert [scores[0].status, scores[2].status] == ["ok", "ok"]
    assert (scores[1].status == "ok") == (scores[1].value is not None)
    assert scores[1].status in {"ok", "infinite"} or scores[1].reason


@of("image")
def test_only_a_metric_that_needs_a_reference_misses_it(kind: str, metric: Metric) -> None:
    without_reference = metric.score([understood(kind, BAD_ITEMS["no reference"])])[0]

    assert without_reference.status == ("not_applicable" if METRICS[kind].needs_reference else "ok")


def test_a_row_says_what_people_must_know(kind: str) -> None:
    row = METRICS[kind]

    assert all((row.unit, row.summary, row.bias, row.weights, row.licence, row.cost))


def test_what_a_metric_needs_is_there_before_it_is_opened(kind: str, options: dict[str, Any]) -> None:
    for need in metric_class(kind)(**options).needs:
        assert need.name
        assert need.problem(os.environ) is None


SET_ITEMS = tuple(
    ScoreItem(image=picture(64, 64, seed=seed), prompt=f"prompt {seed // 4}", reference=None, prompt_id=f"p{seed // 4}")
    for seed in range(8)
)


def members(metric: SetMetric, items: Sequence[ScoreItem]) -> list[Member]:
    rows = metric.features(items)
    return [
        Member(prompt_id=item.prompt_id, seed=number, features=row)
        for number, (item, row) in enumerate(zip(items, rows, strict=True))
        if not isinstance(row, str)
    ]


@of("set")
def test_features_are_rows_of_one_length_and_a_bad_picture_costs_only_its_own(set_metric: SetMetric) -> None:
    empty = ScoreItem(image=Image.new("RGB", (0, 0)), prompt="", reference=None)

    rows = set_metric.features([*SET_ITEMS[:2], empty, SET_ITEMS[2]])

    assert isinstance(rows[2], str)
    vectors = [row for row in rows if not isinstance(row, str)]
    assert len(vectors) == 3
    assert len({(vector.ndim, vector.shape, str(vector.dtype)) for vector in vectors}) == 1
    assert (vectors[0].ndim, str(vectors[0].dtype)) == (1, "float32")
    assert set_metric.features([]) == []


@of("set")
def test_a_set_has_one_score_within_the_range(kind: str, set_metric: SetMetric) -> None:
    pictures = members(set_metric, SET_ITEMS)

    score = set_metric.compare(pictures, pictures[:4] if METRICS[kind].needs_reference else [])

    low, high = METRICS[kind].range
    assert (score.status == "ok") == (score.value is not None)
    assert score.status == "ok" or score.reason
    assert score.value is None or low is None or score.value >= low
    assert score.value is None or high is None or score.value <= high


@of("set")
def test_one_picture_is_no_set(kind: str, set_metric: SetMetric) -> None:
    pictures = members(set_metric, SET_ITEMS[:1])

    score = set_metric.compare(pictures, pictures if METRICS[kind].needs_reference else [])

    assert (score.status, score.value) == ("not_applicable", None)
    assert score.reason
