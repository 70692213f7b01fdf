"""Splits one call of a FLUX pipeline into stages, by wrapping attributes of the pipeline for the time of the call.

No forward hooks: those that read a clock break full-graph compilation. Nothing of the tensors is read, as that would
make the host wait for the device within the loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from kreabench.backends.devices import Device, Peaks
from kreabench.core.records import Timings

STAGES = ("encode_text", "encode_image", "prepare", "denoise", "decode", "postprocess")
"""`encode_image`, the work of the VAE or of SigLIP on input pictures, is there only where there are some. `prepare` is
all else before the loop: checks of the input, noise, schedule; `denoise` is the loop, up to the decoder. What comes
after `postprocess` (resetting caches, offloading) is the residual."""

_NEXT = {"encode_text": "prepare", "encode_image": "prepare", "decode": "postprocess", "postprocess": "postprocess"}
"""Where the call is after a stage that is timed by itself."""


class StageClock:
    """One call on one clock: `with clock.watching(pipeline): clock.run(...)`, then `timings()`."""

    def __init__(self, device: Device, now: Callable[[], float] = time.perf_counter) -> None:
        self._device = device
        self._now = now
        self._stages: dict[str, float] = {}
        self._peaks: dict[str, Peaks] = {}
        self._marks: list[Any] = []
        self._border = 0.0
        self._end_to_end = 0.0
        self.stage = "prepare"
        """Where the call is, or where it was when it ended."""

    @contextmanager
    def watching(self, pipeline: Any, encodes_image: tuple[Any, str] | None = None) -> Iterator[None]:
        """Wrap what marks the borders of stages; undone at the end, also after an exception.

        `encodes_image`: owner and name of what encodes input pictures, before the loop.
        """
        with ExitStack() as stack:
            _replace(stack, pipeline, "encode_prompt", lambda call: self._timed("encode_text", call, ends="prepare"))
            if encodes_image is not None:
                owner, name = encodes_image
                _replace(stack, owner, name, lambda call: self._timed("encode_image", call, ends="prepare"))
            _replace(stack, pipeline, "progress_bar", self._beginning_denoise)
            _replace(stack, pipeline.vae, "decode", lambda call: self._timed("decode", call, ends="denoise"))
            _replace(stack, pipeline.image_processor, "postprocess", lambda call: self._timed("postprocess", call))
            yield

    def run(self, call: Callable[[], Any]) -> Any:
        """What `call` returns, timed from an idle device to an idle device."""
        begin = self._border = self._wait()
        result = call()
        self._end_to_end = self._wait() - begin
        return result

    def step_ended(self, pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        """The pipeline's `callback_on_step_end`. Reads none of its arguments, changes no tensor."""
        self._marks.append(self._device.mark())
        return {}

    @property
    def steps_run(self) -> int:
        """Denoising steps that came to their end."""
        return max(0, len(self._marks) - 1)

    def peaks(self) -> dict[str, Peaks]:
        """Stage → peak allocated and reserved bytes in it; of a stage in several pieces the highest."""
        return {stage: self._peaks[stage] for stage in STAGES if stage in self._peaks}

    def timings(self) -> Timings:
        """Seconds of the call that `run` saw."""
        return Timings(
            end_to_end_s=self._end_to_end,
            stages_s={stage: self._stages[stage] for stage in STAGES if stage in self._stages},
            residual_s=self._end_to_end - sum(self._stages.values()),
            steps_s=self._device.seconds_between(self._marks),
        )

    def _timed(self, stage: str, call: Callable[..., Any], *, ends: str | None = None) -> Callable[..., Any]:
        """`call`, timed as `stage`; where `ends` is given, that stage lasts until `call` begins."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            begin = self._close(ends) if ends else self._wait()
            self.stage = stage
            result = call(*args, **kwargs)
            self._border = self._wait()
            self._add(stage, self._border - begin)
            self.stage = _NEXT[stage]
            return result

        return timed

    def _beginning_denoise(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Every diffusers pipeline opens its progress bar exactly where its loop begins."""

        def begin(*args: Any, **kwargs: Any) -> Any:
            self._close("prepare")
            self.stage = "denoise"
            self._marks = [self._device.mark()]
            return call(*args, **kwargs)

        return begin

    def _close(self, stage: str) -> float:
        """End `stage`, which began at the last border, here and now."""
        now = self._wait()
        self._add(stage, now - self._border)
        self._border = now
        return now

    def _add(self, stage: str, seconds: float) -> None:
        self._stages[stage] = self._stages.get(stage, 0.0) + seconds
        before, now = self._peaks.get(stage, (None, None)), self._device.peaks()
        self._peaks[stage] = (_higher(before[0], now[0]), _higher(before[1], now[1]))
        self._device.reset_peaks()

    def _wait(self) -> float:
        self._device.synchronize()
        return self._now()


def _higher(first: int | None, second: int | None) -> int | None:
    return second if first is None else first if second is None else max(first, second)


def _replace(stack: ExitStack, owner: Any, name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put `wrap(owner.name)` in the place of `owner.name` until `stack` closes."""
    original = getattr(owner, name)
    own = name in vars(owner)
    setattr(owner, name, wrap(original))
    if own:
        stack.callback(setattr, owner, name, original)
    else:
        stack.callback(delattr, owner, name)
