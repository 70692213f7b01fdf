"""Every number of report.json once more, out of samples.parquet in a few lines of pandas."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kreabench.report.evidence import gather
from kreabench.report.explorer.encode import encode
from kreabench.report.explorer.fronts import fronts_of
from kreabench.report.explorer.knees import knees_of
from kreabench.report.explorer.quantities import quantities_of
from kreabench.report.explorer.sources import sources_of
from kreabench.rundir.table import read_table
from tests.report_runs import TWO_TARGETS, make_run
from tests.test_report_data import data_of


def awkward(table: pd.DataFrame) -> pd.DataFrame:
    """With all that a mean must leave out or take in: first calls, failures that cost, black pictures, odd scores."""
    random = np.random.default_rng(0)
    table = table.sample(frac=1, random_state=1).reset_index(drop=True)
    size = len(table)
    failed = (table["seed"] == 1) & (table["prompt_id"] == "prompt-2")
    first = ~failed & (random.random(size) < 0.15)
    table = table.assign(
        energy_j=pd.array(random.lognormal(3, 0.4, size), dtype="Float64"),
        floor_s=pd.array(random.lognormal(-6, 0.1, size), dtype="Float64"),
        stage_denoise_allocated_bytes=pd.array(random.integers(1, 2**40, size), dtype="Int64"),
        timing_valid=table["timing_valid"].astype("boolean") & ~failed & ~first,
        status=table["status"].where(~failed, "failed"),
        nsfw=pd.array(random.random(size) < 0.1, dtype="boolean"),
    )
    table.loc[failed, [name for name in map(str, table) if name.startswith(("image_", "score_", "peak_"))]] = None
    table.loc[failed & table["service_request_id"].notna(), "usd"] = 0.025
    lost = random.random(size) < 0.1
    table.loc[lost, ["score_clip", "score_clip_status"]] = None, "failed"
    return table


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("recomputed") / "run"
    own = replace(TWO_TARGETS[0], untrained=False)
    run, plan = make_run(
        folder, targets=(own, TWO_TARGETS[1]), pictures=False, sizes=((128, 128),), steps=(2, 8), seeds=range(6)
    )
    table = awkward(read_table(run))
    return table, json.loads(encode(data_of(gather(run, plan, table))))


def costs(rows: pd.DataFrame) -> dict[str, float]:
    """Of the samples of one setting."""
    delivered = rows[rows["status"] == "ok"]
    requests = delivered.drop_duplicates("request_id")
    timed = requests[requests["timing_valid"].astype(bool)]
    priced = requests[requests["usd"].notna()]
    if (priced["usd_basis"] == "device_hour").all() and len(timed):
        priced = priced[priced["timing_valid"].astype(bool)]
    pictures = delivered["request_id"].isin(priced["request_id"]).sum()
    local = requests[requests["service_request_id"].isna()]
    column = "peak_allocated_bytes" if local["peak_allocated_bytes"].notna().any() else "peak_rss_bytes"
    found = {
        "latency_s": timed["end_to_end_s"].median(),
        "usd_per_image": priced["usd"].sum() / pictures if pictures else np.nan,
        "peak_memory_bytes": local[column].max(),
        "energy_per_image_j": (timed["energy_j"] / timed["num_images"]).median(),
    }
    return {name: float(value) for name, value in found.items() if pd.notna(value)}


def by_prompt(rows: pd.DataFrame, metric: str) -> pd.Series:
    there = rows[(rows["status"] == "ok") & (rows[f"score_{metric}_status"] == "ok")]
    means: pd.Series = there[f"score_{metric}"].astype(float).groupby(there["prompt_id"]).mean()
    return means


def check(table: pd.DataFrame, report: Mapping[str, Any]) -> int:
    """How many numbers were held against their recomputation."""
    metrics = [one["name"] for one in report["quantities"] if one["kind"] != "cost"]
    checked = 0
    for setting in report["settings"]:
        rows = table[table["setting_id"] == setting["id"].partition("/")[2]]
        requests = rows.drop_duplicates("request_id")
        expected = costs(rows) | {name: float(means.mean()) for name in metrics if len(means := by_prompt(rows, name))}
        values = setting["values"]
        assert {name: one["value"] for name, one in values.items()} == pytest.approx(expected, rel=1e-9)
        assert setting["absent"].keys() == {one["name"] for one in report["quantities"]} - expected.keys()
        assert setting["ok"] == (requests["status"] == "ok").sum()
        assert setting["failed"] == (requests["status"] == "failed").sum()
        assert setting["images"] == rows["image_sha256"].notna().sum()
        check_intervals(rows, values, metrics)
        checked += len(expected) + check_stages(requests, rows, setting)
    return checked


def check_intervals(rows: pd.DataFrame, values: Mapping[str, Any], metrics: list[str]) -> None:
    """Student's over prompts, cut at what the metric can be; of the latency two of the timings, by the binomial."""
    for name in metrics:
        means = by_prompt(rows, name)
        if name in values and len(means) > 2:
            assert values[name]["n"] == len(means)
            half = stats.t.ppf(0.975, len(means) - 1) * means.std() / np.sqrt(len(means))
            for told, end in ((values[name]["low"], means.mean() - half), (values[name]["high"], means.mean() + half)):
                assert told == pytest.approx(end) or told in (0.0, 1.0, 100.0), name
    if "latency_s" in values and values["latency_s"]["low"] is not None:
        timed = rows[rows["timing_valid"].astype("boolean").fillna(value=False)].drop_duplicates("request_id")
        times = np.sort(timed["end_to_end_s"].to_numpy(dtype=float))
        low, high = (int(np.argmin(abs(times - values["latency_s"][end]))) for end in ("low", "high"))
        inside = stats.binom.cdf(high, times.size, 0.5) - stats.binom.cdf(low, times.size, 0.5)
        assert 0.95 <= inside < 1


def check_stages(requests: pd.DataFrame, rows: pd.DataFrame, setting: Mapping[str, Any]) -> int:
    timed = requests[requests["timing_valid"].astype("boolean").fillna(value=False)]
    stages = {one["name"]: one for one in setting["stages"]}
    told = {name: one["mean_s"] for name, one in stages.items() if one["mean_s"] is not None}
    columns = {
        name.removeprefix("stage_").removesuffix("_s"): name
        for name in map(str, rows)
        if name.startswith("stage_") and name.endswith("_s")
    } | {"unexplained": "residual_s"}
    expected = {
        name: float(timed[column].sum()) / len(timed) for name, column in columns.items() if timed[column].notna().any()
    }
    assert told == pytest.approx(expected)
    if told:
        assert sum(told.values()) == pytest.approx(timed["end_to_end_s"].mean())
    for name, one in stages.items():
        for kind in ("allocated", "reserved"):
            column = f"stage_{name}_{kind}_bytes"
            peak = rows.loc[rows["status"] == "ok", column].max() if column in rows else None
            assert one[f"{kind}_bytes"] == (None if peak is None or pd.isna(peak) else int(peak))
    if setting["floor_s"] is not None:
        assert setting["floor_s"] == pytest.approx(timed["floor_s"].median())
    return len(expected)


def test_every_value_is_what_a_few_lines_of_pandas_say(made: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    table, report = made
    assert check(table, report) > 100
    assert any(one["failed"] for one in report["settings"])
    assert {one["name"] for one in report["quantities"] if one["kind"] == "cost"} == {
        "latency_s",
        "usd_per_image",
        "peak_memory_bytes",
        "energy_per_image_j",
    }


def test_the_chance_of_being_on_a_front_is_what_redrawn_prompts_say(made: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    """Prompts are drawn anew, all numbers made again from their samples, and every pair of settings compared."""
    table, report = made
    front = next(one for one in report["fronts"] if (one["x"], one["y"]) == ("latency_s", "clip"))
    ids = list(front["chance"])
    prompts, random, draws = sorted(table["prompt_id"].unique()), np.random.default_rng(5), 300
    timed = table[table["timing_valid"].astype(bool)]
    scored = table[table["score_clip_status"] == "ok"]
    times = {key: group["end_to_end_s"].to_numpy() for key, group in timed.groupby(["setting_id", "prompt_id"])}
    scores = scored.groupby(["setting_id", "prompt_id"])["score_clip"].mean()
    on = dict.fromkeys(ids, 0)
    for _ in range(draws):
        drawn = random.choice(prompts, len(prompts))
        points = {}
        for id_ in ids:
            key = id_.partition("/")[2]
            each = np.concatenate([times.get((key, prompt), np.empty(0)) for prompt in drawn])
            points[id_] = (np.median(each), -np.mean([scores[key, prompt] for prompt in drawn]))
        for id_, (x, y) in points.items():
            on[id_] += not any(a <= x and b <= y and (a, b) != (x, y) for a, b in points.values())
    for id_ in ids:
        assert front["chance"][id_] == pytest.approx(on[id_] / draws, abs=0.12), id_
    assert len({round(share, 1) for share in front["chance"].values()}) > 2


def test_a_metric_of_which_less_is_better_gives_the_same_fronts_and_knees(tmp_path: Path) -> None:
    """The mirror image of one of which more is better, in data and in direction."""
    run, plan = make_run(tmp_path / "run", pictures=False, targets=TWO_TARGETS[:1], steps=(1, 2, 4, 8, 16))
    table = read_table(run)
    curve = 1 - np.exp(-table["steps"].astype(float) / 3)
    noise = np.random.default_rng(0).normal(0, 0.01, len(table))
    straight = table.assign(score_clip=pd.array(10 + 5 * curve + noise, dtype="Float64"))
    told = []
    for sign, better in ((1, "higher"), (-1, "lower")):
        evidence = gather(run, plan, straight.assign(score_clip=sign * straight["score_clip"]))
        sources = sources_of([evidence])
        quantities = [
            replace(one, better=better) if one.name == "clip" else one  # type: ignore[arg-type]
            for one in quantities_of(sources)
            if one.name in {"clip", "latency_s"}
        ]
        knees = [(one.axes, one.setting, one.steps, one.note) for one in knees_of(sources, quantities)]
        told.append((fronts_of(sources, quantities), knees))
    assert told[0] == told[1]
    (front,), knees = told[0]
    assert len(front.on) > 1
    assert {steps for _, _, steps, _ in knees} <= {2, 4, 8}
    assert knees
