"""A side's table as arrays, sorted once, so that settings are compared by slices of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kreabench.analysis.paired import Floats, Ints
from kreabench.core.specs import MetricSpec

Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class KeySpace:
    """Every prompt, seed, repeat and picture's index of both sides, so that a picture's key is one whole number."""

    prompts: NDArray[np.object_]
    seeds: Ints
    repeats: Ints
    indices: Ints

    def keys(self, prompts: Ints, seeds: Ints, repeats: Ints, indices: Ints) -> Ints:
        """Of codes of prompts and values of the rest; equal for two pictures of one request, once more."""
        key = prompts * len(self.seeds) + np.searchsorted(self.seeds, seeds)
        key = key * len(self.repeats) + np.searchsorted(self.repeats, repeats)
        return key * len(self.indices) + np.searchsorted(self.indices, indices)

    def request_of(self, keys: Ints) -> Ints:
        """Equal for pictures of one request."""
        return keys // len(self.indices)

    def prompt_of(self, keys: Ints) -> Ints:
        """Codes of the prompts."""
        return keys // (len(self.indices) * len(self.repeats) * len(self.seeds))

    def parts(self, key: int) -> tuple[str, int, int, int]:
        """Prompt, seed, repeat and index of the picture."""
        rest, index = divmod(key, len(self.indices))
        rest, repeat = divmod(rest, len(self.repeats))
        prompt, seed = divmod(rest, len(self.seeds))
        return str(self.prompts[prompt]), int(self.seeds[seed]), int(self.repeats[repeat]), int(self.indices[index])


def key_space(*tables: pd.DataFrame) -> KeySpace:
    """Of all rows of `tables`."""

    def values(column: str) -> Ints:
        found = [table[column].dropna().unique() for table in tables]
        whole = np.concatenate([np.asarray(one, dtype=np.int64) for one in found])
        return np.unique(whole) if whole.size else np.zeros(1, dtype=np.int64)

    prompts = sorted({str(name) for table in tables for name in table["prompt_id"].unique()})
    return KeySpace(
        prompts=np.array(prompts, dtype=object),
        seeds=values("seed"),
        repeats=values("repeat"),
        indices=values("image_index"),
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Reasons:
    """Why scores are missing, a code a row; -1 where none is."""

    codes: NDArray[np.intp]
    texts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Pictures:
    """The delivered pictures of one setting, sorted by key."""

    keys: Ints
    sizes: Ints
    """Equal for pictures of equal width and height."""
    hashes: NDArray[np.object_]
    drawn_with: Floats
    """Seed of the picture itself."""
    nsfw: Floats
    """1, 0, or NaN where no safety checker looked."""
    degenerate: Bools
    scores: dict[str, Floats]
    """Metric → NaN without a score, infinite where the metric knows no number for equal pictures."""
    untrained: dict[str, Bools]
    reasons: dict[str, Reasons]

    def cut(self, part: slice) -> Pictures:
        """Some of the rows."""
        return Pictures(
            keys=self.keys[part],
            sizes=self.sizes[part],
            hashes=self.hashes[part],
            drawn_with=self.drawn_with[part],
            nsfw=self.nsfw[part],
            degenerate=self.degenerate[part],
            scores={name: values[part] for name, values in self.scores.items()},
            untrained={name: values[part] for name, values in self.untrained.items()},
            reasons={name: Reasons(codes=one.codes[part], texts=one.texts) for name, one in self.reasons.items()},
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Requests:
    """The final states of the requests of one setting, sorted by request."""

    keys: Ints
    """See `KeySpace.request_of`."""
    places: Ints
    """In the table, which has the requests of a setting in the order of the plan, and so of time."""
    prompts: Ints
    ok: Bools
    timing_valid: Bools
    local: Bools
    error_type: NDArray[np.object_]
    usd_basis: NDArray[np.object_]
    values: dict[str, Floats]
    """Column of the table → NaN where it was not measured."""

    def cut(self, part: slice) -> Requests:
        """Some of the rows."""
        return Requests(
            keys=self.keys[part],
            places=self.places[part],
            prompts=self.prompts[part],
            ok=self.ok[part],
            timing_valid=self.timing_valid[part],
            local=self.local[part],
            error_type=self.error_type[part],
            usd_basis=self.usd_basis[part],
            values={name: values[part] for name, values in self.values.items()},
        )


MEASURED = ("end_to_end_s", "peak_allocated_bytes", "peak_rss_bytes", "energy_j", "usd", "num_images")
"""Columns behind costs."""


class Columns:
    """One side, setting by setting."""

    def __init__(self, table: pd.DataFrame, metrics: Sequence[MetricSpec], space: KeySpace) -> None:
        self.space = space
        codes, names = pd.factorize(table["setting_id"], sort=True)
        position = {str(name): number for number, name in enumerate(names)}
        prompts = _prompt_codes(table, space)
        delivered = ((table["status"] == "ok") & table["image_index"].notna()).to_numpy(dtype=bool)
        self._pictures, picture_bounds = _pictures(table, np.flatnonzero(delivered), codes, prompts, metrics, space)
        first = np.flatnonzero(~table["request_id"].duplicated().to_numpy(dtype=bool))
        self._requests, request_bounds = _requests(table, first, codes, prompts, space)
        self._slices = {
            name: (slice(*picture_bounds[number : number + 2]), slice(*request_bounds[number : number + 2]))
            for name, number in position.items()
        }

    def pictures(self, setting_id: str) -> Pictures:
        """Its delivered pictures."""
        return self._pictures.cut(self._slices.get(setting_id, (slice(0, 0), slice(0, 0)))[0])

    def requests(self, setting_id: str) -> Requests:
        """Its requests with a final state."""
        return self._requests.cut(self._slices.get(setting_id, (slice(0, 0), slice(0, 0)))[1])

    def all_requests(self) -> Ints:
        """Keys of the requests with a final state at any setting."""
        return np.unique(self._requests.keys)


def _pictures(
    table: pd.DataFrame,
    rows: NDArray[np.intp],
    codes: NDArray[np.intp],
    prompts: Ints,
    metrics: Sequence[MetricSpec],
    space: KeySpace,
) -> tuple[Pictures, NDArray[np.intp]]:
    seeds, repeats, indices = (_whole(table[name], rows) for name in ("seed", "repeat", "image_index"))
    keys = space.keys(prompts[rows], seeds, repeats, indices)
    order = np.lexsort((keys, codes[rows]))
    rows, keys = rows[order], keys[order]
    bounds = np.searchsorted(codes[rows], np.arange(codes.max(initial=-1) + 2))
    drawn_with = (seeds + indices)[order]
    own = _optional(table, "image_seed", rows)
    names = [spec.name for spec in metrics if f"score_{spec.name}" in table.columns]
    pictures = Pictures(
        keys=keys,
        sizes=_whole(table["image_width"], rows) * 2**32 + _whole(table["image_height"], rows),
        hashes=np.asarray(table["image_sha256"].to_numpy(dtype=object)[rows]),
        drawn_with=np.where(np.isnan(own), drawn_with, own),
        nsfw=_optional(table, "nsfw", rows),
        degenerate=table["degenerate"].notna().to_numpy(dtype=bool)[rows],
        scores={name: _scores(table, name, rows) for name in names},
        untrained={name: _flags(table, f"score_{name}_untrained", rows) for name in names},
        reasons={name: _reasons(table, f"score_{name}_reason", rows) for name in names},
    )
    return pictures, bounds


def _requests(
    table: pd.DataFrame, rows: NDArray[np.intp], codes: NDArray[np.intp], prompts: Ints, space: KeySpace
) -> tuple[Requests, NDArray[np.intp]]:
    nought = np.full(rows.size, space.indices[0], dtype=np.int64)
    seeds, repeats = (_whole(table[name], rows) for name in ("seed", "repeat"))
    pictures = space.keys(prompts[rows], seeds, repeats, nought)
    keys = space.request_of(pictures)
    order = np.lexsort((keys, codes[rows]))
    rows, keys = rows[order], keys[order]
    bounds = np.searchsorted(codes[rows], np.arange(codes.max(initial=-1) + 2))
    hosted = table["service_request_id"].notna().to_numpy(dtype=bool)[rows] if "service_request_id" in table else False
    requests = Requests(
        keys=keys,
        places=rows.astype(np.int64),
        prompts=prompts[rows],
        ok=(table["status"] == "ok").to_numpy(dtype=bool)[rows],
        timing_valid=_flags(table, "timing_valid", rows),
        local=np.broadcast_to(~np.asarray(hosted, dtype=bool), rows.shape),
        error_type=_texts(table, "error_type", rows),
        usd_basis=_texts(table, "usd_basis", rows),
        values={name: _optional(table, name, rows) for name in MEASURED},
    )
    return requests, bounds


def _prompt_codes(table: pd.DataFrame, space: KeySpace) -> Ints:
    codes, names = pd.factorize(table["prompt_id"])
    if not len(names):
        return np.zeros(0, dtype=np.int64)
    return np.searchsorted(space.prompts.astype(str), np.asarray(names, dtype=str))[codes].astype(np.int64)


def _whole(column: Any, rows: NDArray[np.intp]) -> Ints:
    return np.asarray(column.to_numpy(dtype=np.int64, na_value=0)[rows] if len(column) else np.zeros(0, dtype=np.int64))


def _optional(table: pd.DataFrame, name: str, rows: NDArray[np.intp]) -> Floats:
    """NaN where there is no value; tables of older runs, and baselines, lack some columns."""
    if name not in table.columns:
        return np.full(rows.size, np.nan)
    values = pd.to_numeric(table[name]).to_numpy(dtype=float, na_value=np.nan)[rows]
    return np.asarray(np.where(np.isfinite(values), values, np.nan))


def _flags(table: pd.DataFrame, name: str, rows: NDArray[np.intp]) -> Bools:
    if name not in table.columns:
        return np.zeros(rows.size, dtype=bool)
    return np.asarray(table[name].isin([True]).to_numpy(dtype=bool)[rows])


def _texts(table: pd.DataFrame, name: str, rows: NDArray[np.intp]) -> NDArray[np.object_]:
    if name not in table.columns:
        return np.full(rows.size, None, dtype=object)
    values = np.asarray(table[name].to_numpy(dtype=object)[rows])
    values[table[name].isna().to_numpy(dtype=bool)[rows]] = None
    return values


def _scores(table: pd.DataFrame, name: str, rows: NDArray[np.intp]) -> Floats:
    status = table[f"score_{name}_status"]
    values = pd.to_numeric(table[f"score_{name}"]).to_numpy(dtype=float, na_value=np.nan)[rows]
    ok = status.isin(["ok"]).to_numpy(dtype=bool)[rows] & np.isfinite(values)
    infinite = status.isin(["infinite"]).to_numpy(dtype=bool)[rows]
    return np.where(ok, values, np.where(infinite, np.inf, np.nan))


def _reasons(table: pd.DataFrame, name: str, rows: NDArray[np.intp]) -> Reasons:
    if name not in table.columns or table[name].isna().all():
        return Reasons(codes=np.full(rows.size, -1, dtype=np.intp), texts=())
    codes, texts = pd.factorize(table[name])
    return Reasons(codes=codes[rows], texts=tuple(map(str, texts)))
