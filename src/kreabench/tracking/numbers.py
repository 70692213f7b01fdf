"""The numbers of a setting under the names of settings.csv, which data_dictionary.csv explains, and units."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from kreabench.analysis.settings import SettingSummary
from kreabench.core.score_records import SetScoreRecord
from kreabench.core.specs import MetricSpec
from kreabench.metrics.table import row_of
from kreabench.report.tables import axes_of, settings_rows

_SIGNS = str.maketrans({"×": "x", "²": "2", "³": "3"})
_NO_NUMBERS = frozenset({"setting_id", "is_reference", "reference_id"})


def metrics_of(summary: SettingSummary, set_scores: Iterable[SetScoreRecord]) -> dict[str, float]:
    """Every number that was measured of a setting; what was not, or is not finite, is absent.

    `set_scores`: those of this setting.
    """
    (row,) = settings_rows([summary])
    beside = {*axes_of(summary.setting), *_NO_NUMBERS}
    found = {name: value for name, value in row.items() if name not in beside}
    for metric in summary.metrics:
        found = _with_unit(found, f"score_{metric.name}_mean", unit_word(metric.spec))
    if summary.cost.usd_per_image is not None:
        found["usd_per_image_n"] = summary.cost.priced_images
    if summary.memory is not None:
        found["peak_memory_n"] = summary.memory.n
    for score in set_scores:
        found |= _of_set(score)
    return numbers(found)


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Those of `values` that are finite numbers; a truth value is none."""
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def unit_word(spec: MetricSpec) -> str:
    """The unit of a metric's values as part of a name: `db`, `100_x_cosine`; empty for a pure number."""
    row = row_of(spec)
    unit = "" if row is None or row.unit == "1" else row.unit
    return re.sub(r"[^a-z0-9]+", "_", unit.lower().translate(_SIGNS)).strip("_")


def _with_unit(values: Mapping[str, Any], name: str, unit: str) -> dict[str, Any]:
    """`values` with the unit behind `name`, before the ends and the n of the estimate."""
    if not unit:
        return dict(values)
    parts = {f"{name}{end}": f"{name}_{unit}{end}" for end in ("", "_low", "_high")}
    return {parts.get(key, key): value for key, value in values.items()}


def _of_set(score: SetScoreRecord) -> dict[str, Any]:
    name = f"set_score_{score.metric}"
    if score.value is None:
        return {}
    return {
        name: score.value,
        f"{name}_standard_error": score.details.get("standard_error"),
        f"{name}_pictures": score.pictures,
        f"{name}_left_out": score.left_out,
    }
