"""A grid of pictures as one PNG, for formats that cannot hold a table of pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from kreabench.report.drawing.style import LIGHT, drawable
from kreabench.report.parts import Grid, Picture

MAX_ROWS, MAX_COLUMNS = 8, 12
"""Of a sheet; the page has the rest."""

PICTURE_PX = 112
"""Longest side of a picture in a sheet: sheets are committed beside reports, and pictures of noise do not compress."""

_GAP, _MARGIN, _HEAD, _FOOT, _SIDE, _LEAST_PX = 6, 16, 40, 30, 150, 64


def draw_sheet(grid: Grid) -> bytes:
    """The first prompts and settings of `grid`, as a PNG with their names at the edges."""
    columns, rows = grid.columns[:MAX_COLUMNS], grid.rows[:MAX_ROWS]
    cell = _cell_size(grid)
    width = _MARGIN * 2 + _SIDE + len(columns) * (cell[0] + _GAP)
    height = _MARGIN * 2 + _HEAD + len(rows) * (cell[1] + _GAP) + (_FOOT if grid.brand else 0)
    sheet = PIL.Image.new("RGB", (width, height), LIGHT.background)
    pen = PIL.ImageDraw.Draw(sheet)
    for number, column in enumerate(columns):
        x = _MARGIN + _SIDE + number * (cell[0] + _GAP)
        _write(pen, (x, _MARGIN), column.title, cell[0], bold=True)
        detail = f"{column.detail} ({column.mark})" if column.mark else column.detail
        _write(pen, (x, _MARGIN + 16), detail, cell[0], colour=LIGHT.muted)
    for line, row in enumerate(rows):
        y = _MARGIN + _HEAD + line * (cell[1] + _GAP)
        _write(pen, (_MARGIN, y + 2), row.title, _SIDE - 10, bold=True)
        _write_lines(pen, (_MARGIN, y + 20), row.prompt, _SIDE - 10, (cell[1] - 20) // 14)
        for number, picture in enumerate(row.cells[:MAX_COLUMNS]):
            _paste(sheet, pen, (_MARGIN + _SIDE + number * (cell[0] + _GAP), y), cell, picture)
    if grid.brand:
        # Lines as short as the narrowest sheet: a label longer than LABEL_CHARACTERS would be cut.
        _write_lines(pen, (_MARGIN, height - _FOOT - _MARGIN // 2), grid.brand, _SIDE + PICTURE_PX, 2)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def _cell_size(grid: Grid) -> tuple[int, int]:
    sizes = [picture.size for row in grid.rows for picture in row.cells if picture.thumbnail is not None]
    width = max((width for width, _ in sizes), default=PICTURE_PX)
    height = max((height for _, height in sizes), default=PICTURE_PX)
    times = PICTURE_PX / max(width, height)
    scale = int(times) if times > 1 else times  # the pixels of an enlarged one are whole squares
    return max(_LEAST_PX, round(width * scale)), max(_LEAST_PX, round(height * scale))


def _paste(
    sheet: PIL.Image.Image, pen: PIL.ImageDraw.ImageDraw, at: tuple[int, int], cell: tuple[int, int], picture: Picture
) -> None:
    if picture.thumbnail is not None:
        with PIL.Image.open(io.BytesIO(picture.thumbnail), formats=("JPEG",)) as image:
            small = image.convert("RGB")
            times = min(cell[0] // small.width, cell[1] // small.height)
            if times > 1:
                small = small.resize((small.width * times, small.height * times), PIL.Image.Resampling.NEAREST)
            else:
                small.thumbnail(cell, PIL.Image.Resampling.LANCZOS)
            sheet.paste(small, at)
        if picture.flag:
            pen.rectangle((at[0], at[1], at[0] + cell[0] - 1, at[1] + 20), fill="#7a1020")
            _write(pen, (at[0] + 4, at[1] + 4), picture.flag, cell[0] - 8, colour="#ffffff", bold=True)
        return
    pen.rectangle((at[0], at[1], at[0] + cell[0] - 1, at[1] + cell[1] - 1), outline=LIGHT.muted)
    _write(pen, (at[0] + 8, at[1] + 8), picture.state, cell[0] - 16, bold=True)
    _write_lines(pen, (at[0] + 8, at[1] + 26), picture.text, cell[0] - 16, (cell[1] - 34) // 14)


def _font(bold: bool = False) -> PIL.ImageFont.FreeTypeFont:
    """The font of the figures, which matplotlib ships."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return PIL.ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / name, 11)


def _write(
    pen: PIL.ImageDraw.ImageDraw,
    at: tuple[int, int],
    text: str,
    width: int,
    *,
    colour: str = LIGHT.ink,
    bold: bool = False,
) -> None:
    """One line, cut to `width` pixels."""
    font, text = _font(bold), drawable(text)
    if font.getlength(text) > width:
        while text and font.getlength(f"{text}…") > width:
            text = text[:-1]
        text = f"{text}…"
    pen.text(at, text, fill=colour, font=font)


def _write_lines(pen: PIL.ImageDraw.ImageDraw, at: tuple[int, int], text: str, width: int, count: int) -> None:
    """As many lines of `text` as fit in `count`, broken at spaces; the last one is cut."""
    for number, line in enumerate(_wrap(text.split(), width, count)):
        _write(pen, (at[0], at[1] + 14 * number), line, width, colour=LIGHT.muted)


def _wrap(words: Sequence[str], width: int, count: int) -> list[str]:
    font, lines = _font(), [""]
    for word in words:
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1] or len(lines) >= count:
            lines[-1] = longer
        else:
            lines.append(word)
        if len(lines[-1]) > 80:
            break
    return lines[: max(count, 0)]
