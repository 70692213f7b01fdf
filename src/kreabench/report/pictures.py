"""The grids of pictures: prompts down, settings across, one grid for each target and size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from kreabench.core.planned import Plan, Setting
from kreabench.core.specs import ExperimentSpec, Prompt
from kreabench.metrics.table import has_direction, per_image
from kreabench.report.format import count, significant
from kreabench.report.labels import differing_axes
from kreabench.report.parts import Grid, GridColumn, GridRow, Picture, Pictures
from kreabench.report.picture_rows import failure_of, flags_of, is_there
from kreabench.report.text import shorten, visible
from kreabench.report.thumbnails import Thumbnail, thumbnail

MAX_THUMBNAILS = 96
"""Of one report: a sheet of 8 prompts and 12 settings. The page to explore has more."""

PROMPT_CHARACTERS = 280
"""Shown of a prompt; the whole text is in samples.csv."""

UNTRAINED_MARK = "†"
"""After a score made with untrained weights."""

INPUT = "input"
"""Head of the column with input pictures."""

Rows = Mapping[tuple[str, str], Mapping[str, Any]]
"""(setting id, prompt id) → the table's row of the picture to show."""


def build_pictures(
    run_path: Path,
    experiment: ExperimentSpec,
    plan: Plan,
    table: pd.DataFrame,
    brand: str = "",
    thumbnails: Mapping[str, Thumbnail] | None = None,
    most: int = MAX_THUMBNAILS,
) -> Pictures:
    """First seed, first repeat, first picture of every prompt and setting, as far as `most` goes.

    `thumbnails`: those that were made already, by the SHA-256 of their picture.
    """
    seed = experiment.seeds[0]
    chosen = table[(table["seed"] == seed) & (table["repeat"] == 0)]
    chosen = chosen[chosen["image_index"].isna() | (chosen["image_index"] == 0)]
    rows: Rows = {(str(row["setting_id"]), str(row["prompt_id"])): row for row in _records(chosen)}
    settings = plan.settings[:most]
    prompts = experiment.prompts[: max(1, most // max(1, len(settings)))]
    metrics = [metric.name for metric in per_image(experiment.metrics) if has_direction(metric)]
    grids: list[Grid] = []
    for members in _by_target_and_size(settings):
        columns = _columns(members)
        before = (GridColumn(title=INPUT, detail="as given"),) if members[0].task != "text-to-image" else ()
        lines = []
        for prompt in prompts:
            cells = tuple(_input(run_path, prompt) for _ in before)
            cells += tuple(
                picture_of(
                    run_path,
                    rows.get((setting.id, prompt.id)),
                    metrics,
                    f"{_said(column)}, prompt {prompt.id}",
                    thumbnails,
                )
                for setting, column in zip(members, columns, strict=True)
            )
            text = shorten(visible(prompt.text), PROMPT_CHARACTERS)
            lines.append(GridRow(title=visible(prompt.id), prompt=text, cells=cells))
        first = members[0]
        title = f"{first.target}, {first.width} × {first.height} px"
        name = f"pictures-{len(grids) + 1}"
        heads = (*before, *columns)
        grids.append(Grid(name=name, title=title, columns=heads, rows=tuple(lines), sheet=True, brand=brand))
    return Pictures(
        caption=f"Seed {seed}" + (", first picture of each request" if _many(settings) else "") + ".",
        grids=tuple(grids),
        notes=_notes(grids, plan, experiment, len(settings), len(prompts)),
    )


def _records(frame: pd.DataFrame) -> Iterable[dict[str, Any]]:
    return (dict(zip(map(str, frame.columns), values, strict=True)) for values in frame.itertuples(index=False))


def _by_target_and_size(settings: Sequence[Setting]) -> list[list[Setting]]:
    groups: dict[tuple[str, int, int], list[Setting]] = {}
    for setting in settings:
        groups.setdefault((setting.target, setting.width, setting.height), []).append(setting)
    return list(groups.values())


def _many(settings: Sequence[Setting]) -> bool:
    return any(setting.num_images > 1 for setting in settings)


def _columns(members: Sequence[Setting]) -> tuple[GridColumn, ...]:
    """Names what differs between the settings of a grid, and always acceleration and steps."""
    varied = differing_axes(members)
    columns = []
    for setting in members:
        # First, as the sheets cut what is long.
        parts = [f"strength {setting.strength:g}"] if "strength" in varied and setting.strength is not None else []
        parts += [count(setting.steps, "step")] if setting.steps is not None else []
        parts += [f"guidance {setting.guidance:g}"] if "guidance" in varied and setting.guidance is not None else []
        parts += [f"× {setting.num_images}"] if "num_images" in varied else []
        parts += [setting.output_format] if "output_format" in varied else []
        parts += [f"batches of {setting.batch_size}"] if "batch_size" in varied else []
        parts += [f"{setting.concurrency} in flight"] if "concurrency" in varied else []
        parts += [f"at {setting.rate_per_s:g}/s"] if "rate_per_s" in varied and setting.rate_per_s is not None else []
        mark = "reference" if setting.reference_id == setting.id else ""
        columns.append(GridColumn(title=setting.acceleration, detail=", ".join(parts), mark=mark))
    return tuple(columns)


def _said(column: GridColumn) -> str:
    return ", ".join(part for part in (column.title, column.detail) if part)


def picture_of(
    run_path: Path,
    row: Mapping[str, Any] | None,
    metrics: Sequence[str],
    alt: str,
    thumbnails: Mapping[str, Thumbnail] | None = None,
) -> Picture:
    """The picture of a row of the table of samples, with its scores, or why there is none."""
    if row is None:
        return Picture(state="pending", text="not run yet")
    if row["status"] == "failed":
        return Picture(state="failed", text=failure_of(row))
    try:
        known = (thumbnails or {}).get(str(row["image_sha256"]))
        small = known or thumbnail(run_path, str(row["image_path"]))
    except FileNotFoundError:
        return Picture(state="missing", text="its file is not beside the run")
    except ValueError as error:
        return Picture(state="unreadable", text=str(error))
    return Picture(
        state="shown",
        scores=tuple(_scores(row, metrics)),
        flag=", ".join(flags_of(row)),
        alt=alt,
        thumbnail=small.content,
        size=small.size,
    )


def _input(run_path: Path, prompt: Prompt) -> Picture:
    """What image-to-image or redux started from."""
    if not prompt.images:
        return Picture(state="missing", text="no input picture")
    image, number = prompt.images[0], len(prompt.images)
    try:
        small = thumbnail(run_path, f"inputs/{image.file_name}")
    except FileNotFoundError:
        return Picture(state="missing", text="its file is not beside the run")
    except ValueError as error:
        return Picture(state="unreadable", text=str(error))
    return Picture(
        state="shown",
        flag=f"first of {number}" if number > 1 else "",
        alt=f"input picture of prompt {prompt.id}",
        thumbnail=small.content,
        size=small.size,
    )


def _scores(row: Mapping[str, Any], metrics: Sequence[str]) -> Iterable[str]:
    for name in metrics:
        status = row.get(f"score_{name}_status")
        if status == "ok" and is_there(row[f"score_{name}"]):
            yield f"{name} {significant(float(row[f'score_{name}']))}{UNTRAINED_MARK if _untrained(row, name) else ''}"
        elif status == "infinite":
            yield f"{name}: identical"


def _untrained(row: Mapping[str, Any], metric: str) -> bool:
    flag = row[f"score_{metric}_untrained"]
    return is_there(flag) and bool(flag)


def _notes(
    grids: Sequence[Grid], plan: Plan, experiment: ExperimentSpec, settings: int, prompts: int
) -> tuple[str, ...]:
    cells = [cell for grid in grids for row in grid.rows for cell in row.cells]
    missing = sum(cell.state == "missing" for cell in cells)
    notes = []
    if any(score.endswith(UNTRAINED_MARK) for cell in cells for score in cell.scores):
        notes.append(f"{UNTRAINED_MARK} scored with untrained weights: the value shows plumbing only.")
    if missing:
        notes.append(
            f"{count(missing, 'picture')} of those asked for here {'is' if missing == 1 else 'are'} not on this disk: "
            "the report was made from a run directory without its images folder, or with a part of it."
        )
    if prompts < len(experiment.prompts):
        notes.append(f"The first {prompts} of {len(experiment.prompts)} prompts are shown, to keep the page small.")
    if settings < len(plan.settings):
        notes.append(f"The first {settings} of {len(plan.settings)} settings are shown, to keep the page small.")
    if len(experiment.seeds) > 1:
        notes.append(f"Each prompt was drawn with {len(experiment.seeds)} seeds; the other pictures are in the run.")
    return tuple(notes)
