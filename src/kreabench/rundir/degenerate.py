"""What a broken decoder, a safety filter or a broken model delivers instead of a picture.

Noise means white noise, pixel by pixel: neighbours know nothing of each other, and averages over blocks are as flat as
those of independent pixels. Anything that shows something fails the second test by far, also gravel, film grain and
dithering. Noise of the latents is another thing: decoded by a VAE it is blobs with smooth borders, which is also what
an untrained model draws and what some prompts ask for, so it cannot be told from a picture here and is not flagged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from PIL.Image import Image

NOISE_MIN_SIDE_PX = 64
"""Smaller pictures have too few pixels to tell."""
NOISE_MIN_DEVIATION = 8.0
"""Levels of the luma; fainter noise is the grain of an empty scene."""
NOISE_MAX_CORRELATION = 0.12
"""With the next pixel, in size, in all four directions. JPEG of quality 75 brings it to 0.07; gravel has 0.3."""
NOISE_MAX_BLOCKS = 2.0
"""Variance of the means of blocks of 8 × 8 pixels, of what independent pixels would have: 1 for noise, at 64² up to
1.6 by chance."""

_BLOCK_PX = 8
_FIRST_LOOK_PX = 256
"""Side of the centre, which nearly every picture passes by not being noise there."""


def degenerate_kind(picture: Image) -> str | None:
    """`black`, `constant`, `noise` or None for a decoded picture of any mode.

    Level 1 counts as black, because lossy WebP does not keep 0; a constant colour is found where it is kept exactly,
    as PNG and JPEG do.
    """
    colours = picture if picture.mode == "RGB" else picture.convert("RGB")
    extrema = cast("tuple[tuple[int, int], ...]", colours.getextrema())
    if all(high <= 1 for _, high in extrema):
        return "black"
    if all(low == high for low, high in extrema):
        return "constant"
    return "noise" if is_noise(colours) else None


def is_noise(picture: Image) -> bool:
    """Whether an RGB picture is white noise, all of it."""
    width, height = picture.size
    if min(width, height) < NOISE_MIN_SIDE_PX:
        return False
    if max(width, height) > _FIRST_LOOK_PX:
        across, down = min(width, _FIRST_LOOK_PX), min(height, _FIRST_LOOK_PX)
        left, top = (width - across) // 2, (height - down) // 2
        if not _is_white(picture.crop((left, top, left + across, top + down))):
            return False
    return _is_white(picture)


def _is_white(picture: Image) -> bool:
    import numpy as np

    x = np.asarray(picture.convert("L"), dtype=np.float32)
    x -= x.mean(dtype=np.float64)
    variance = float(np.square(x).mean(dtype=np.float64))
    if variance < NOISE_MIN_DEVIATION**2:
        return False
    rows, columns = (length // _BLOCK_PX for length in x.shape)
    blocks = x[: rows * _BLOCK_PX, : columns * _BLOCK_PX].reshape(rows, _BLOCK_PX, columns, _BLOCK_PX)
    means = blocks.mean(axis=(1, 3))
    if float(np.square(means).mean()) * _BLOCK_PX**2 > NOISE_MAX_BLOCKS * variance:
        return False
    neighbours = (
        (x[:, 1:], x[:, :-1]),
        (x[1:], x[:-1]),
        (x[1:, 1:], x[:-1, :-1]),
        (x[1:, :-1], x[:-1, 1:]),
    )
    return all(
        abs(float((one * other).mean(dtype=np.float64))) <= NOISE_MAX_CORRELATION * variance
        for one, other in neighbours
    )
