"""What the table of samples says of one metric, taken out of it once: to ask a data frame for each setting is slow."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kreabench.core.specs import MetricSpec


class ScoreColumn:
    """One value a picture; a metric that has not scored yet, or a table of an older run, lacks some or all columns."""

    def __init__(self, images: pd.DataFrame, spec: MetricSpec) -> None:
        self._images, self._name, size = images, f"score_{spec.name}", len(images)
        self.value = np.full(size, np.nan)
        if self._name in images:
            self.value = pd.to_numeric(images[self._name]).to_numpy(dtype=float, na_value=np.nan)
        self.status = self._texts("status")
        self.finite = np.asarray(self.status == "ok", dtype=bool) & np.isfinite(self.value)
        self.truncated, self.untrained = self._flags("truncated"), self._flags("untrained")
        self._reasons, self._notes = self._texts("reason"), self._texts("notes")

    def reasons(self, rows: NDArray[np.intp]) -> tuple[str, ...]:
        """Why scores of these rows are missing, commonest first."""
        absent = (self._reasons[row] for row in rows if self.status[row] in ("not_applicable", "failed"))
        return tuple(text for text, _ in Counter(str(text) for text in absent if text).most_common())

    def notes(self, rows: NDArray[np.intp]) -> tuple[tuple[str, int], ...]:
        """As in `MetricSummary`."""
        return tuple(Counter(n for text in self._notes[rows] if text for n in text.split("; ")).most_common())

    def _texts(self, part: str) -> NDArray[Any]:
        """None where there is none."""
        name = f"{self._name}_{part}"
        if name not in self._images:
            return np.full(len(self._images), None, dtype=object)
        values = self._images[name].to_numpy(dtype=object)
        found: NDArray[Any] = values.copy()
        found[pd.isna(found)] = None
        return found

    def _flags(self, part: str) -> NDArray[np.bool_]:
        name = f"{self._name}_{part}"
        if name not in self._images:
            return np.zeros(len(self._images), dtype=bool)
        return np.asarray(self._images[name].isin([True]), dtype=bool)
