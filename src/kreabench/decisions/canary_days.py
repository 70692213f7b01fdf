"""The days of a canary: every run below one folder that asked the same of the same target, as it is compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from kreabench.analysis.estimates import Estimate, median
from kreabench.core.errors import ConfigError, Problem, RunDirectoryError
from kreabench.decisions.history_runs import with_prompts
from kreabench.decisions.sides import Side, open_side
from kreabench.rundir.directory import RUN_FILE

Asked = tuple[str, int, int]
"""Prompt id, seed and index of a picture: what is drawn anew every day."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """One delivered picture."""

    sha256: str
    path: Path
    size: tuple[int, int]
    """Width and height in pixels, as delivered."""
    degenerate: bool
    """Black, of one colour or noise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Priced:
    """What a request cost."""

    usd: float
    """Of one picture."""
    basis: str
    """`billed` or `price list`."""
    units: float | None
    """Billed for the request, as the service said; None where it did not."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Day:
    """One run of the canary."""

    name: str
    """Of its folder."""
    created_utc: str
    side: Side
    """Everything of it, as the gate compares it."""
    drawn: Mapping[Asked, tuple[Drawn, ...]]
    """What was delivered, in the order of repeats."""
    requests: int
    """Planned."""
    delivered: int
    failures: Mapping[str, int]
    """Type of failure → requests."""
    latency: Estimate | None
    """Median of the samples fit for timing, end to end, in seconds; None where there is none."""
    queue_s: float | None
    """Median of the same samples, as the service reports it; likewise `inference_s`."""
    inference_s: float | None
    prices: Mapping[Asked, Priced]
    """Of the first repeat with a known price; the picture's index is 0."""
    runners: tuple[str, ...]
    """Machines that the service named."""

    @property
    def failed(self) -> int:
        """Requests that failed for good, or were never drawn."""
        return self.requests - self.delivered


def open_days(folder: Path, opened: dict[Path, Side] | None = None) -> tuple[tuple[Day, ...], tuple[str, ...]]:
    """The days below `folder`, oldest first, and what was left out of them, in sentences.

    `opened` are runs that were read before and have ended since; those read now are added.

    The newest run says what is asked: one that asked another thing (another setting, other words of every prompt) is
    left out, as is one that cannot be read. Raises ConfigError where no run is left or the newest has several settings.
    """
    sides, notices = _sides(folder, {} if opened is None else opened)
    if not sides:
        found = "; ".join(notices) or "no run"
        raise ConfigError([Problem(key=str(folder), found=found, expected="a folder with a run of the canary in it")])
    newest = sides[-1]
    if len(newest.settings) != 1:
        found = f"{len(newest.settings)} settings in {newest.name}"
        raise ConfigError([Problem(key=str(folder), found=found, expected="one setting to draw every day")])
    days = []
    for side in sides:
        shared = frozenset(key for key, text in newest.prompts.items() if side.prompts.get(key) == text)
        if [one.id for one in side.settings] == [newest.settings[0].id] and shared:
            days.append(_day(side, shared))
        else:
            notices.append(f"{Path(side.name).name} asked for something else and does not count")
    return tuple(days), tuple(notices)


def _sides(folder: Path, opened: dict[Path, Side]) -> tuple[list[Side], list[str]]:
    """By date."""
    sides: list[Side] = []
    notices: list[str] = []
    for path in sorted(file.parent for file in folder.glob(f"*/{RUN_FILE}")):
        try:
            if path not in opened:
                opened[path] = open_side(str(path))
            sides.append(opened[path])
        except RunDirectoryError as error:
            notices.append(f"{path.name} cannot be read and does not count: {error.message}")
    return sorted(sides, key=lambda side: (side.created_utc, side.name)), notices


def _day(side: Side, prompts: frozenset[str]) -> Day:
    """With nothing but these prompts."""
    planned = side.requested[side.settings[0].id] * len(prompts) // len(side.prompts)
    side = with_prompts(side, prompts)
    samples = side.table.drop_duplicates("request_id")
    ok = samples[samples["status"] == "ok"]
    timed = ok[ok["timing_valid"].isin([True])]
    return Day(
        name=Path(side.name).name,
        created_utc=side.created_utc,
        side=side,
        drawn=_drawn(side),
        requests=planned,
        delivered=len(ok),
        failures=Counter(map(str, samples.loc[samples["status"] != "ok", "error_type"])),
        latency=median(_numbers(timed, "end_to_end_s")),
        queue_s=_median(timed, "queue_s"),
        inference_s=_median(timed, "inference_s"),
        prices=dict(_prices(ok)),
        runners=tuple(sorted({str(name) for name in ok["runner"].dropna()})),
    )


def _drawn(side: Side) -> dict[Asked, tuple[Drawn, ...]]:
    images = side.table[(side.table["status"] == "ok") & side.table["image_index"].notna()]
    found: dict[Asked, list[Drawn]] = {}
    assert side.picture_folder is not None, "a day is a run directory"  # noqa: S101
    for row in images.sort_values(["repeat", "image_index"], kind="stable").to_dict("records"):
        asked = (str(row["prompt_id"]), int(row["seed"]), int(row["image_index"]))
        drawn = Drawn(
            sha256=str(row["image_sha256"]),
            path=side.picture_folder / str(row["image_path"]),
            size=(int(row["image_width"]), int(row["image_height"])),
            degenerate=isinstance(row["degenerate"], str),
        )
        found.setdefault(asked, []).append(drawn)
    return {asked: tuple(drawings) for asked, drawings in found.items()}


def _prices(ok: pd.DataFrame) -> Iterator[tuple[Asked, Priced]]:
    seen: set[Asked] = set()
    for row in ok[ok["usd"].notna()].sort_values("repeat", kind="stable").to_dict("records"):
        asked = (str(row["prompt_id"]), int(row["seed"]), 0)
        if asked not in seen:
            seen.add(asked)
            units = row["billable_units"]
            yield (
                asked,
                Priced(
                    usd=float(row["usd"]) / int(row["num_images"]),
                    basis=str(row["usd_basis"]).replace("_", " "),
                    units=None if pd.isna(units) else float(units),
                ),
            )


def _numbers(samples: pd.DataFrame, column: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.asarray(pd.to_numeric(samples[column]).to_numpy(dtype=float, na_value=np.nan))


def _median(samples: pd.DataFrame, column: str) -> float | None:
    found = median(_numbers(samples, column))
    return None if found is None else found.value


def once(days: Sequence[Day], day: Day) -> Side:
    """`day` for the gate, as all of `days` can be compared: only the first drawing of what they all asked for."""
    shared = set(day.side.prompts).intersection(*(other.side.prompts for other in days))
    side = with_prompts(day.side, frozenset(shared))
    table = side.table[side.table["repeat"] == 0]
    return replace(side, table=table, requested={side.settings[0].id: table["request_id"].nunique()})
