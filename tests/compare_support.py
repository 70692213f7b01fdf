"""Sides of a comparison made of drawn numbers, without a run directory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kreabench.core.planned import Setting
from kreabench.core.specs import MetricSpec
from kreabench.decisions.sides import Side
from tests.support import UTC, make_setting

Scores = Callable[[int, NDArray[np.int64], NDArray[np.int64]], Any]
"""Number of the setting, prompts, seeds → scores."""

CLIP = MetricSpec(name="clip", kind="clip_score", options={})
LPIPS = MetricSpec(name="lpips", kind="lpips", options={})
COLOUR = MetricSpec(name="colour", kind="colourfulness", options={})


def make_side(
    settings: Sequence[Setting] | None = None,
    *,
    name: str = "base",
    prompts: int = 6,
    seeds: Sequence[int] = (0, 1),
    words: Mapping[str, str] | None = None,
    scores: Mapping[str, Scores] | None = None,
    metrics: Sequence[MetricSpec] = (CLIP,),
    change: Callable[[pd.DataFrame], pd.DataFrame] = lambda table: table,
    **changes: Any,
) -> Side:
    """Every request delivered in half a second, of 1 GB, for a cent; `change` may spoil the table."""
    chosen = tuple(settings or (make_setting(),))
    table = pd.concat(
        [_rows(number, setting, prompts, seeds, scores or {}, metrics) for number, setting in enumerate(chosen)],
        ignore_index=True,
    )
    side = Side(
        name=name,
        run_name=name,
        created_utc=UTC,
        table=change(table),
        settings=chosen,
        metrics=tuple(metrics),
        identities={spec.name: "0123456789abcdef" for spec in metrics},
        prompts=words or {f"prompt-{number}": f"words-{number}" for number in range(prompts)},
        facts={"device": "cpu", "reference": "none, default steps"},
        versions={"torch": "2.15.0"},
        requested={setting.id: prompts * len(seeds) for setting in chosen},
        notice=None,
        picture_folder=None,
    )
    return replace(side, **changes)


def _rows(
    number: int,
    setting: Setting,
    prompts: int,
    seeds: Sequence[int],
    scores: Mapping[str, Scores],
    metrics: Sequence[MetricSpec],
) -> pd.DataFrame:
    prompt = np.repeat(np.arange(prompts), len(seeds))
    seed = np.tile(np.asarray(seeds, dtype=np.int64), prompts)
    n = prompt.size
    ids = [f"{setting.id}-{p}-{s}" for p, s in zip(prompt, seed, strict=True)]
    columns: dict[str, Any] = {
        "request_id": ids,
        "setting_id": setting.id,
        "prompt_id": [f"prompt-{p}" for p in prompt],
        "seed": seed,
        "repeat": 0,
        "num_images": setting.num_images,
        "status": "ok",
        "error_type": pd.array([None] * n, dtype="str"),
        "timing_valid": pd.array([True] * n, dtype="boolean"),
        "end_to_end_s": 0.5 + 0.001 * np.arange(n),
        "peak_allocated_bytes": pd.array([None] * n, dtype="Int64"),
        "peak_rss_bytes": pd.array(10**9 + 10**7 * np.arange(n), dtype="Int64"),
        "energy_j": np.nan,
        "service_request_id": pd.array([None] * n, dtype="str"),
        "usd": 0.01,
        "usd_basis": "price_list",
        "image_index": pd.array([0] * n, dtype="Int64"),
        "image_sha256": ids,
        "image_seed": pd.array(seed, dtype="UInt64"),
        "image_width": pd.array([setting.width] * n, dtype="Int64"),
        "image_height": pd.array([setting.height] * n, dtype="Int64"),
        "nsfw": pd.array([None] * n, dtype="boolean"),
        "degenerate": pd.array([None] * n, dtype="str"),
    }
    for spec in metrics:
        make = scores.get(spec.name, _plain)
        columns |= {
            f"score_{spec.name}": make(number, prompt, seed),
            f"score_{spec.name}_status": "ok",
            f"score_{spec.name}_reason": pd.array([None] * n, dtype="str"),
            f"score_{spec.name}_untrained": pd.array([False] * n, dtype="boolean"),
        }
    return pd.DataFrame(columns)


def _plain(number: int, prompts: NDArray[np.int64], seeds: NDArray[np.int64]) -> NDArray[np.float64]:
    return 30.0 + prompts % 7 + 0.1 * seeds
