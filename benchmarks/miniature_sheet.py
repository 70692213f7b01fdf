"""The contact sheet: captions by steps and accelerations, each picture enlarged without smoothing."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from miniature_curves import CACHE_THRESHOLDS, profile_words
from miniature_prompts import balanced_captions, write_prompts
from miniature_runs import ACCURACY, METRIC, STEPS, chosen, pictures

if TYPE_CHECKING:
    from miniature_runs import Bench

FILE = Path(__file__).parent.parent / "src" / "kreabench" / "miniature" / "contact_sheet.png"
MOST_BYTES = 400_000
COLOURS = 256
"""Of the file: half the bytes, and no difference that an eye sees."""
CAPTIONS = 8
SEED = 20_260
STEP_COUNTS = (1, 2, 4, 8, 28)
PROFILES = (
    "int8_weight_only",
    "first_block_cache",
    "cache_40",
    "cache_80",
    "taylorseer",
    "pab",
    "magcache",
    "fastercache",
)
TIMES = 2
"""Picture elements a side of each of the model's."""
CELL, GAP, BLOCK_GAP = 48 * TIMES, 10, 34
LEFT, TOP, BOTTOM, RIGHT = 232, 118, 60, 28
BAR, BAR_GAP = 3, 3
PAPER, INK, QUIET, GOOD, POOR, EMPTY = "#fbfaf7", "#22252b", "#6d7280", "#2f8f6b", "#d9822b", "#e3e1da"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One picture and what the checker says of it."""

    levels: NDArray[np.uint8]
    share: float
    """Of its attributes that are right."""


def draw_sheet(bench: Bench, out: Path = FILE) -> Path:
    """Draw the pictures with the tool, then the sheet. Raises RuntimeError where the file is too large."""
    captions, blocks = _blocks(bench)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure = _figure(captions, blocks)
    figure.savefig(out, dpi=100, facecolor=PAPER)
    with Image.open(out) as image:
        small = image.convert("RGB").quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    small.save(out, optimize=True)
    if out.stat().st_size > MOST_BYTES:
        raise RuntimeError(f"{out}: {out.stat().st_size:,} bytes; expected at most {MOST_BYTES:,}")
    return out


def _blocks(bench: Bench) -> tuple[list[str], list[tuple[str, list[tuple[str, list[Cell | None]]]]]]:
    """Captions, and title → columns, each with its heading and a cell a caption."""
    file = write_prompts(bench.folder / "sheet.jsonl", balanced_captions(CAPTIONS, SEED))
    common = {"metrics": (METRIC,), "seeds": 1}
    by_steps = _drawn(bench, "sheet-steps", file, f"axes.steps={list(STEP_COUNTS)}", **common)
    by_profile = _drawn(bench, "sheet-accelerations", file, *profile_words(PROFILES), **common)
    names = by_steps.drop_duplicates("prompt_id").sort_values("prompt_id")
    ids = list(names["prompt_id"])
    steps = [(f"{n} step{'s' if n > 1 else ''}", _column(chosen(by_steps, steps=n), ids)) for n in STEP_COUNTS]
    profiles = [(_heading(name), _column(chosen(by_profile, acceleration=name), ids)) for name in PROFILES]
    return list(names["prompt"]), [
        ("More steps, no acceleration", steps),
        (f"Accelerations at {STEPS} steps", profiles),
    ]


def _drawn(bench: Bench, name: str, file: Path, *words: str, **common: Any) -> pd.DataFrame:
    run = bench.draw(name, *bench.words(name, f"prompts.file={file}", *words, **common))
    rows = pictures(run)
    rows["file"] = [run.path / path for path in rows["image_path"]]
    return rows


def _heading(profile: str) -> str:
    if profile in CACHE_THRESHOLDS:
        return f"first block\ncache {CACHE_THRESHOLDS[profile]:g}"
    return {"int8_weight_only": "int8\nweights", "first_block_cache": "first block\ncache 0.12"}.get(profile, profile)


def _column(rows: pd.DataFrame, ids: list[str]) -> list[Cell | None]:
    found = {
        str(id_): _cell(Path(file), float(share))
        for id_, file, share in zip(rows["prompt_id"], rows["file"], rows[ACCURACY], strict=True)
    }
    return [found.get(id_) for id_ in ids]


def _cell(file: Path, share: float) -> Cell:
    with Image.open(file) as image:
        return Cell(levels=np.asarray(image.convert("RGB"), dtype=np.uint8), share=share)


def _figure(captions: list[str], blocks: list[tuple[str, list[tuple[str, list[Cell | None]]]]]) -> Any:
    from matplotlib.figure import Figure

    columns = sum(len(block) for _, block in blocks)
    width = LEFT + columns * (CELL + GAP) - GAP + (len(blocks) - 1) * (BLOCK_GAP - GAP) + RIGHT
    row_height = CELL + BAR_GAP + BAR + GAP
    height = TOP + len(captions) * row_height - GAP + BOTTOM
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor=PAPER)
    page = _Page(figure, width, height)
    page.text(24, 34, "The miniature", size=17, weight="bold")
    page.text(24, 58, "one seed a caption", size=10, colour=QUIET)
    for row, caption in enumerate(captions):
        middle = TOP + row * row_height + CELL / 2
        page.text(24, middle, textwrap.fill(caption, 30), size=9.5, spacing=1.35)
    x = LEFT
    for title, block in blocks:
        span = len(block) * (CELL + GAP) - GAP
        page.text(x, 34, title, size=12, weight="bold")
        page.rule(x, 52, span, EMPTY, 2)
        for heading, cells in block:
            page.text(x + CELL / 2, 88, heading, size=9, colour=QUIET, align="center")
            for row, cell in enumerate(cells):
                page.cell(x, TOP + row * row_height, cell)
            x += CELL + GAP
        x += BLOCK_GAP - GAP
    page.text(
        LEFT,
        height - 26,
        "The line below a picture is the share of the caption's attributes that the checker reads back from its "
        "pixels.",
        size=9.5,
        colour=QUIET,
    )
    return figure


class _Page:
    """A figure in pixels from its upper left corner."""

    def __init__(self, figure: Any, width: int, height: int) -> None:
        self._figure, self._width, self._height = figure, width, height

    def text(
        self, x: float, y: float, words: str, *, size: float, colour: str = INK, weight: str = "normal",
        align: str = "left", spacing: float = 1.2,
    ) -> None:  # fmt: skip
        """Centred on `y`."""
        self._figure.text(
            x / self._width, 1 - y / self._height, words, fontsize=size, color=colour, fontweight=weight,
            ha=align, va="center", linespacing=spacing,
        )  # fmt: skip

    def rule(self, x: float, y: float, width: float, colour: str, thick: float) -> None:
        """A filled strip whose upper edge is at `y`."""
        from matplotlib.patches import Rectangle

        left, bottom = x / self._width, 1 - (y + thick) / self._height
        size = (width / self._width, thick / self._height)
        self._figure.add_artist(Rectangle((left, bottom), *size, color=colour, linewidth=0))

    def cell(self, x: int, y: int, cell: Cell | None) -> None:
        """A picture, each of its elements a square, and its share below."""
        if cell is None:
            self.rule(x, y, CELL, EMPTY, CELL)
            self.text(x + CELL / 2, y + CELL / 2, "none", size=9, colour=QUIET, align="center")
            return
        large = cell.levels.repeat(TIMES, axis=0).repeat(TIMES, axis=1)
        self._figure.figimage(large, xo=x, yo=self._height - y - CELL, origin="upper")
        below = y + CELL + BAR_GAP
        self.rule(x, below, CELL, EMPTY, BAR)
        self.rule(x, below, CELL * cell.share, GOOD if cell.share >= 1 else POOR, BAR)
