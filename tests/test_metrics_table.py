"""The report says of each metric what it loads, and which of it could change unseen."""

from __future__ import annotations

from typing import Any

import pytest

from kreabench.core.specs import MetricSpec
from kreabench.metrics.table import METRICS
from kreabench.report.details import metrics_table

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def told(kind: str, **options: Any) -> dict[str, str]:
    """The metric's line, by column."""
    table = metrics_table([MetricSpec(name="mine", kind=kind, options=options, per=METRICS[kind].per)])
    assert table is not None
    (row,) = table.rows
    return dict(zip((column.title for column in table.columns), (cell.text for cell in row.cells), strict=True))


def test_a_metric_without_weights_needs_no_licence() -> None:
    line = told("psnr")

    assert (line["Metric"], line["Range"], line["Weights"]) == ("mine", "from 0", "none")
    assert line["Their licence"] == "none needed"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (f"hub:owner/name@{COMMIT}", f"; hub:owner/name@{COMMIT}"),
        ("hub:owner/name@main", "; hub:owner/name@main (not pinned)"),
        ("https://example.org/x.pt", "; https://example.org/x.pt (not pinned)"),
        ("/home/me/x.pt", ""),
    ],
)
def test_where_weights_came_from_and_whether_that_is_pinned(source: str, said: str) -> None:
    line = told("aesthetic", weights=source)

    assert line["Weights"] == METRICS["aesthetic"].weights + said
    assert line["Their licence"] == METRICS["aesthetic"].licence


def test_untrained_weights_are_said_to_be_random() -> None:
    assert told("aesthetic", weights="random", untrained=True)["Weights"] == "random, untrained"
