"""How close pictures are to the reference's, and how close the reference's own are to each other: the noise floor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kreabench.analysis.estimates import UNBOUNDED, prompt_mean
from kreabench.analysis.paired import Floats
from kreabench.analysis.scores import delivered_images, untrained_scores
from kreabench.core.planned import Setting
from kreabench.core.score_records import DrawnFloor, FloorScoreRecord
from kreabench.core.specs import MetricSpec
from kreabench.decisions.comparison import Fidelity, FloorKind
from kreabench.decisions.sides import Side
from kreabench.metrics.table import MetricRow, row_of

DRAWN: tuple[DrawnFloor, ...] = ("itself", "another_seed")
_NAMED = ["request_id", "image_index", "image_sha256", "setting_id", "prompt_id"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Closeness:
    """One fidelity metric over pairs of pictures, one entry a pair."""

    values: Floats
    """(pairs,) oriented: more is closer. Infinite for equal pictures where the metric knows no number for them."""
    prompts: NDArray[np.object_]
    """(pairs,) ids."""
    identical: int
    """Pairs of equal files."""
    left_out: int
    """Pairs without a score."""
    untrained: bool
    """The metric's own weights are random."""

    def by_prompt(self, *, generous: bool) -> dict[str, float]:
        """Prompt → mean over its pairs. Where equal pictures have no number, beside others: `generous` takes the prompt
        as infinitely close, else its equal pictures are left out. Both err against whoever is held against it."""
        codes, names = pd.factorize(self.prompts)
        finite = np.isfinite(self.values)
        numbers = np.bincount(codes[finite], minlength=len(names))
        sums = np.bincount(codes[finite], weights=self.values[finite], minlength=len(names))
        equal = np.bincount(codes[~finite], minlength=len(names)) > 0
        infinite = equal if generous else numbers == 0
        means = np.where(infinite, np.inf, sums / np.maximum(numbers, 1))
        return dict(zip(map(str, names), means.tolist(), strict=True))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ReferenceFloor:
    """The noise floor of one reference setting by one metric."""

    reference: Setting
    spec: MetricSpec
    floors: Mapping[FloorKind, Fidelity]
    """Those that were measured."""


class Distances:
    """Closeness by every fidelity metric of a run."""

    def __init__(self, side: Side) -> None:
        self.specs = tuple(spec for spec in side.metrics if is_fidelity(spec))
        images = delivered_images(side.table)
        self._rows: dict[str, NDArray[np.intp]] = {
            str(key): np.asarray(rows) for key, rows in images.groupby("setting_id").indices.items()
        }
        self._prompt_ids = images["prompt_id"].to_numpy(dtype=object)
        self._values = {spec.name: _oriented(images, spec) for spec in self.specs}
        self._untrained = {spec.name: untrained_scores(images, spec) for spec in self.specs}
        wanted = {line.score.request_id for line in side.floor_scores}
        wanted |= {line.partner_request_id for line in side.floor_scores}
        # Of a large table few rows are references: the rest is never looked at one by one.
        paired = images.loc[images["request_id"].isin(list(wanted)), _NAMED].to_numpy(dtype=object).tolist()
        self._prompts = {str(row[0]): str(row[4]) for row in paired}
        self._floors: dict[tuple[str, str, str], list[FloorScoreRecord]] = {}
        for setting_id, record in _current(side, paired):
            self._floors.setdefault((setting_id, record.score.metric, record.floor), []).append(record)

    def to_reference(self, setting_id: str, spec: MetricSpec) -> Closeness:
        """Of the setting's pictures to their references."""
        rows = self._rows.get(setting_id, np.empty(0, dtype=np.intp))
        values = self._values[spec.name][rows]
        known = ~np.isnan(values)
        return Closeness(
            values=values[known],
            prompts=self._prompt_ids[rows][known],
            identical=0,  # known of the pairs of a comparison
            left_out=int((~known).sum()),
            untrained=bool(self._untrained[spec.name][rows].any()),
        )

    def drawn(self, reference_id: str, spec: MetricSpec, floor: DrawnFloor) -> Closeness:
        """Of the reference's own pictures to each other."""
        records = self._floors.get((reference_id, spec.name, floor), [])
        scored = [record.score for record in records if record.score.status in {"ok", "infinite"}]
        sign = sign_of(spec)
        return Closeness(
            values=np.array([np.inf if one.value is None else sign * one.value for one in scored], dtype=float),
            prompts=np.array([self._prompts[one.request_id] for one in scored], dtype=object),
            identical=sum(one.image_sha256 == one.reference_sha256 for one in scored),
            left_out=len(records) - len(scored),
            untrained=any(one.untrained for one in scored),
        )


def reference_floors(side: Side) -> tuple[ReferenceFloor, ...]:
    """Of every reference setting, by every fidelity metric, wherever any floor was drawn."""
    distances = Distances(side)
    found = []
    for setting in side.settings:
        for spec in distances.specs if setting.reference_id == setting.id else ():
            drawn = {kind: distances.drawn(setting.id, spec, kind) for kind in DRAWN}
            floors: dict[FloorKind, Fidelity] = {
                kind: fidelity(one, spec) for kind, one in drawn.items() if one.values.size or one.left_out
            }
            if floors:
                found.append(ReferenceFloor(reference=setting, spec=spec, floors=floors))
    return tuple(found)


def fidelity(closeness: Closeness, spec: MetricSpec) -> Fidelity:
    """The mean over prompts of the finite scores, in the metric's unit, and how many pictures are behind it."""
    finite = np.isfinite(closeness.values)
    row = row_of(spec)
    return Fidelity(
        mean=prompt_mean(
            sign_of(spec) * closeness.values[finite],
            closeness.prompts[finite].tolist(),
            bounds=row.range if row else UNBOUNDED,
        ),
        pairs=int(closeness.values.size),
        infinite=int((~finite).sum()),
        identical=closeness.identical,
        left_out=closeness.left_out,
    )


def better_of(spec: MetricSpec) -> Literal["higher", "lower"]:
    """Which side of a fidelity metric is closer."""
    row = row_of(spec)
    return "lower" if row is not None and row.better == "lower" else "higher"


def sign_of(spec: MetricSpec) -> float:
    """What makes its values larger where pictures are closer."""
    return -1.0 if better_of(spec) == "lower" else 1.0


def is_fidelity(spec: MetricSpec) -> bool:
    """Whether it says how close a picture is to its reference."""
    row: MetricRow | None = row_of(spec)
    return row is not None and row.needs_reference and row.per == "image" and row.better != "reference"


def _oriented(images: pd.DataFrame, spec: MetricSpec) -> Floats:
    """One value a row: NaN without a score, infinite where the pictures are equal and the metric has no number."""
    column = f"score_{spec.name}"
    if column not in images.columns:
        return np.full(len(images), np.nan)
    values = sign_of(spec) * pd.to_numeric(images[column]).to_numpy(dtype=float, na_value=np.nan)
    status = images[f"{column}_status"]
    ok = status.isin(["ok"]).to_numpy(dtype=bool) & np.isfinite(values)
    return np.where(ok, values, np.where(status.isin(["infinite"]).to_numpy(dtype=bool), np.inf, np.nan))


def _current(side: Side, paired: Sequence[Sequence[Any]]) -> Iterator[tuple[str, FloorScoreRecord]]:
    """Setting id and score, of those that are of the pictures that are there now and of the metric as last run.

    `paired`: columns _NAMED of these pictures.
    """
    there = {(str(row[0]), int(row[1])): (str(row[2]), str(row[3])) for row in paired}
    for record in side.floor_scores:
        score = record.score
        own = there.get((score.request_id, score.image_index))
        other = there.get((record.partner_request_id, score.image_index))
        same = other is None if score.reference_sha256 is None else other and other[0] == score.reference_sha256
        if own and same and own[0] == score.image_sha256 and side.identities.get(score.metric) == score.identity:
            yield own[1], record
