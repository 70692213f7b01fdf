"""Whether what the decoder gave was numbers: pictures of 8 bits no longer show it, as NaN becomes black in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class FiniteWatch:
    """One call of a pipeline: `with watch.watching(pipeline): …`, then `not_finite`.

    While the clock runs it only remembers the decoded tensor, which is alive then anyway: reading it would make the
    host wait for the device. It is read afterwards, when time, memory and energy have been taken.
    """

    def __init__(self) -> None:
        self._decoded: list[Any] = []

    @contextmanager
    def watching(self, pipeline: Any) -> Iterator[None]:
        """Look on as `pipeline` turns what was decoded into pictures; undone at the end, also after an exception."""
        processor = pipeline.image_processor
        original: Callable[..., Any] = processor.postprocess

        def postprocess(image: Any, *args: Any, **kwargs: Any) -> Any:
            self._decoded.append(image)
            return original(image, *args, **kwargs)

        processor.postprocess = postprocess
        try:
            yield
        finally:
            del processor.postprocess

    def not_finite(self, count: int) -> tuple[bool, ...]:
        """For each of `count` pictures whether it holds NaN or infinity; lets go of the tensors."""
        decoded, self._decoded = self._decoded, []
        found = [not bool(picture.isfinite().all()) for batch in decoded for picture in batch]
        if len(found) != count:
            raise RuntimeError(f"the pipeline decoded {len(found)} pictures and gave {count}")
        return tuple(found)
