"""How many threads torch takes for small work: several that wait for each other cost more than they save."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

SMALL_PIXELS = 256 * 256
"""Up to here a metric without a model takes milliseconds on one thread."""


@contextmanager
def threads_for(pixels: int) -> Iterator[None]:
    """One thread of the processor for pictures of at most `SMALL_PIXELS`, as many as before for larger ones.

    Where other processes share the processor, two threads take 40 times as long for an SSIM of 64² as one.
    """
    import torch

    before = torch.get_num_threads()
    if pixels > SMALL_PIXELS or before == 1:
        yield
        return
    torch.set_num_threads(1)  # a setting of the whole process
    try:
        yield
    finally:
        torch.set_num_threads(before)
