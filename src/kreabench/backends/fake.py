"""A back end without a model: pictures drawn from hashes, and faults on demand. For testing everything around it.

Each entry of `options.faults` is a mapping:

    kind              what goes wrong, one of `FAULTS`; required
    prompt_contains   only for prompts that contain this text
    setting_contains  only for settings whose label contains this text
    times             only this often, counted over all workers and resumes; needs `options.state_dir`
    type              of an `error` or `fatal`: one of a record's failure types, `server_error` unless given

The first entry that matches decides. Warm-up calls are calls like any other: a fault that is to hit a sample alone
names a prompt that is not the first of its setting. Targets with counted faults need a `state_dir` each.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import platform
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kreabench.backends.base import GeneratedImage, Generation
from kreabench.backends.fake_faults import is_due, options_problems, times_problems
from kreabench.backends.input_images import read_input
from kreabench.backends.local_steps import local_steps
from kreabench.backends.memory import PeakRss
from kreabench.backends.options import FakeOptions
from kreabench.core.errors import GenerationError, Problem
from kreabench.core.planned import Request, Setting
from kreabench.core.records import FAILURE_TYPES, Memory, Timings
from kreabench.core.registry import suggest
from kreabench.core.specs import AccelerationSpec, TargetSpec

if TYPE_CHECKING:
    from PIL.Image import Image

FAULTS = {
    "crash": "the process ends by SIGKILL",
    "abort": "the process ends by SIGABRT, as after a failed assertion in native code",
    "exit": "the process ends with exit code 3",
    "hang": "the call never returns",
    "error": "a typed failure",
    "fatal": "a typed failure after which the process is of no more use",
    "internal": "an exception that nobody expected",
    "out_of_memory": "memory runs out",
    "device_lost": "the accelerator says that it is gone",
    "bad_image": "the first file is cut in half",
    "load_error": "loading fails with a typed failure",
    "load_crash": "the process ends by SIGKILL while loading",
    "load_hang": "loading never returns",
}
"""Kinds of fault and what they do. Those that start with `load_` take no prompt and no setting."""

_TEXTS = ("prompt_contains", "setting_contains")
_TRANSIENT = frozenset({"rate_limited", "server_error", "network", "timeout"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One valid entry of `options.faults`."""

    kind: str
    prompt_contains: str = ""
    setting_contains: str = ""
    times: int | None = None
    type: str = "server_error"


class FakeBackend:
    """Draws in `latency_s`, and `batch_share` of it more for each further request of a call; equal requests give equal
    files, whatever is drawn beside them."""

    def __init__(self) -> None:
        self._options = FakeOptions()
        self._faults: tuple[Fault, ...] = ()
        self._inputs: Path | None = None
        self._rss = PeakRss()

    @staticmethod
    def check(target: TargetSpec, accelerations: Sequence[AccelerationSpec]) -> tuple[Problem, ...]:
        """What is wrong with the faults asked for."""
        options = FakeOptions(**target.options)
        return options_problems(target.name, options.faults, options.state_dir, _fault_problems)

    def open(
        self,
        target: TargetSpec,
        accelerations: Sequence[AccelerationSpec],
        settings: Sequence[Setting],
        *,
        inputs: Path | None = None,
    ) -> dict[str, Any]:
        """Take `load_s`, and go wrong where asked to. Raises GenerationError."""
        problems = self.check(target, accelerations)
        if problems:
            raise GenerationError("; ".join(map(str, problems)), type="load_failed", stage="load")
        self._options = FakeOptions(**target.options)
        self._inputs = inputs
        self._faults = tuple(Fault(**fault) for fault in self._options.faults)
        time.sleep(self._options.load_s)
        fault = self._next_fault()
        if fault is not None:
            _go_wrong(fault, stage="load")
        return {
            "model": target.model,
            "revision": target.revision,
            "device": "cpu",
            "versions": {"python": platform.python_version()},
        }

    def generate(self, setting: Setting, request: Request) -> Generation:
        """Draw within `latency_s`, or go wrong where asked to. Raises GenerationError."""
        return self.generate_batch(setting, (request,))[0]

    def generate_batch(self, setting: Setting, requests: Sequence[Request]) -> tuple[Generation, ...]:
        """As `generate`, several requests in one call; a fault that a prompt asks for hits the whole call, but for a
        damaged file. Raises GenerationError."""
        faults = [self._next_fault(setting, request) for request in requests]
        for fault in faults:
            if fault is not None and fault.kind != "bad_image":
                _go_wrong(fault, stage="denoise")
        latency = self._options.latency_s * (1 + self._options.batch_share * (len(requests) - 1))
        steps = local_steps(setting).to_run
        self._rss.reset()
        marks = [time.perf_counter()]
        for seconds in (0.1 * latency, *[0.8 * latency / steps] * steps):
            time.sleep(seconds)
            marks.append(time.perf_counter())
        for image in (image for request in requests for image in request.images):
            read_input(self._inputs or Path(), image)
        pictures = [[draw(setting, request, index) for index in range(setting.num_images)] for request in requests]
        time.sleep(0.1 * latency)
        ended = time.perf_counter()
        memory = Memory(peak_rss_bytes=self._rss.bytes())
        files = [[_encode(picture, setting.output_format) for picture in drawn] for drawn in pictures]
        for mine, fault in zip(files, faults, strict=True):
            if fault is not None:
                mine[0] = mine[0][: len(mine[0]) // 2]
        return tuple(
            Generation(
                images=tuple(
                    GeneratedImage(content=content, seed=request.seed + index, nsfw=None)
                    for index, content in enumerate(mine)
                ),
                timings=_timings(marks, ended),
                memory=memory,
                steps_run=steps,
                hosted=None,
            )
            for request, mine in zip(requests, files, strict=True)
        )

    def close(self) -> None:
        """Nothing is held."""

    def _counter(self, index: int) -> Path | None:
        return None if self._options.state_dir is None else Path(self._options.state_dir) / f"fault-{index}"

    def _next_fault(self, setting: Setting | None = None, request: Request | None = None) -> Fault | None:
        """That of a request; without one that of loading."""
        prompt, label = request.prompt if request else "", setting.label if setting else ""
        for index, fault in enumerate(self._faults):
            if (
                fault.kind.startswith("load_") == (request is None)
                and fault.prompt_contains in prompt
                and fault.setting_contains in label
                and is_due(self._counter(index), fault.times)
            ):
                return fault
        return None


def draw(setting: Setting, request: Request, index: int) -> Image:
    """Picture `index` of a request: a pattern of prompt and seed, from which few steps stray further than many."""
    import PIL.Image

    asked = "\n".join((request.prompt, *(image.sha256 for image in request.images), str(request.seed + index)))
    subject = _pattern(asked, setting)
    stray = _pattern(f"{setting.id}\n{asked}", setting)
    return PIL.Image.blend(subject, stray, 1.0 / (1.0 + (setting.steps or 4)))


def _pattern(key: str, setting: Setting) -> Image:
    import PIL.Image

    coarse = PIL.Image.frombytes("RGB", (8, 8), hashlib.shake_256(key.encode()).digest(8 * 8 * 3))
    return coarse.resize((setting.width, setting.height), PIL.Image.Resampling.BICUBIC)


def _encode(picture: Image, format_: str) -> bytes:
    file = io.BytesIO()
    picture.save(file, format=format_, compress_level=1, quality=95)
    return file.getvalue()


def _timings(marks: Sequence[float], ended: float) -> Timings:
    """`marks`: the start, the end of the text encoding, the end of each step."""
    stages = {"text_encode": marks[1] - marks[0], "denoise": marks[-1] - marks[1], "decode": ended - marks[-1]}
    total = ended - marks[0]
    return Timings(
        end_to_end_s=total,
        stages_s=stages,
        residual_s=total - sum(stages.values()),
        steps_s=tuple(later - earlier for earlier, later in itertools.pairwise(marks[1:])),
    )


def _go_wrong(fault: Fault, stage: str) -> None:
    """Do what the fault says. Returns never, or by raising."""
    kind = fault.kind.removeprefix("load_")
    if kind == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "abort":
        os.abort()
    elif kind == "exit":
        os._exit(3)
    elif kind == "hang":
        while True:
            signal.pause()
    elif kind == "internal":
        raise RuntimeError("something that nobody expected, as asked")
    elif kind == "out_of_memory":
        raise MemoryError("no memory left, as asked")
    elif kind == "device_lost":
        raise RuntimeError("CUDA error: unspecified launch failure\nas asked")
    raise GenerationError(
        f"a fault of kind {fault.kind}, as asked",
        type="load_failed" if stage == "load" else fault.type,
        stage=stage,
        remedy="Ask for no fault.",
        transient=fault.type in _TRANSIENT,
        fatal=kind == "fatal",
    )


def _fault_problems(key: str, fault: Mapping[str, Any], state_dir: str | None) -> list[Problem]:
    """Everything wrong with one entry of `faults`; `key` is where it stands in the configuration."""
    problems = []
    accepted = {"kind": FAULTS, "type": FAILURE_TYPES}
    for name, value in fault.items():
        if name in accepted:
            if value not in accepted[name]:
                expected = suggest(str(value), accepted[name])
                problems.append(Problem(key=f"{key}.{name}", found=repr(value), expected=expected))
        elif name == "times":
            problems += times_problems(f"{key}.times", value, state_dir)
        elif name not in _TEXTS:
            expected = suggest(str(name), (*accepted, "times", *_TEXTS))
            problems.append(Problem(key=f"{key}.{name}", found="an unknown key", expected=expected))
        elif not isinstance(value, str):
            problems.append(Problem(key=f"{key}.{name}", found=repr(value), expected="text"))
    if "kind" not in fault:
        problems.append(Problem(key=f"{key}.kind", found="nothing", expected=suggest("", FAULTS)))
    elif str(fault["kind"]).startswith("load_"):
        problems += [
            Problem(key=f"{key}.{name}", found=repr(fault[name]), expected="no such key for a fault while loading")
            for name in _TEXTS
            if name in fault
        ]
    return problems
