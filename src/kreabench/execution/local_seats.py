"""Seats of this machine: a device each, which is all that its worker sees."""

from __future__ import annotations

import selectors
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kreabench.backends.machine import look
from kreabench.core.engine_spec import PROCESSOR, unfit_together
from kreabench.core.errors import ConfigError, Problem
from kreabench.core.specs import Gpu, TargetSpec
from kreabench.execution.seats import Seat
from kreabench.execution.steps import Ask
from kreabench.execution.supervise import LONGEST_WAIT_S

VISIBLE = "CUDA_VISIBLE_DEVICES"
HERE = "here"

Launch = Callable[..., Any]
"""Makes a worker of `log_path`, `environ` and `label`: `supervise.WorkerProcess`."""


class LocalSeat:
    """A device of this machine, or, without a name, whatever the target asks for."""

    host = HERE
    holds: str | None = None

    def __init__(self, name: str | None, on_processor: bool, environ: Mapping[str, str], launch: Launch) -> None:
        self.name, self.on_processor = name, on_processor
        self._environ, self._launch = environ, launch

    def usable(self) -> bool:
        return True

    def launch(self, log_path: Path, label: str) -> Any:
        return self._launch(log_path=log_path, environ=self._environ, label=label)


class LocalSeats:
    """A fixed number of seats, and one selector for all their workers, which can itself be waited for."""

    def __init__(self, devices: Sequence[str], environ: Mapping[str, str], launch: Launch) -> None:
        self._selector = selectors.EpollSelector()
        self._seats = [LocalSeat(None, False, environ, launch)] if not devices else []
        for device, number in _numbered(devices):
            name = device if number is None else f"{device} #{number}"
            seen = {**environ, VISIBLE: _visible(device, environ)}
            self._seats.append(LocalSeat(name, device == PROCESSOR, seen, launch))

    def taken(self) -> Sequence[Seat]:
        return self._seats

    def wait(self, asks: Sequence[Ask], limit_s: float) -> None:
        self.watch(asks)
        self._selector.select(min(limit_s, LONGEST_WAIT_S))

    def watch(self, asks: Sequence[Ask]) -> None:
        """As `Seats.watch`."""
        workers = {id(ask.worker): ask.worker for ask in asks}
        for key in list(self._selector.get_map().values()):
            if workers.pop(id(key.fileobj), None) is None:
                self._selector.unregister(key.fileobj)
        for worker in workers.values():
            self._selector.register(worker, selectors.EVENT_READ)  # type: ignore[arg-type]

    def fileno(self) -> int:
        return self._selector.fileno()

    def close(self) -> None:
        self._selector.close()


def _numbered(devices: Sequence[str]) -> list[tuple[str, int | None]]:
    """Those that are named more than once are counted."""
    named, seen = Counter(devices), Counter[str]()
    numbered: list[tuple[str, int | None]] = []
    for device in devices:
        seen[device] += 1
        numbered.append((device, seen[device] if named[device] > 1 else None))
    return numbered


def _visible(device: str, environ: Mapping[str, str]) -> str:
    """The value of CUDA_VISIBLE_DEVICES that shows a worker `device` alone, of those that this environment shows."""
    if device == PROCESSOR:
        return ""
    index = int(device.partition(":")[2])
    shown = environ.get(VISIBLE)
    return str(index) if shown is None else [part.strip() for part in shown.split(",")][index]


def device_problems(
    devices: Sequence[str], targets: Sequence[TargetSpec], gpus: Sequence[Gpu] | None = None
) -> list[Problem]:
    """What is wrong with drawing `targets` on `devices` of this machine, whose GPUs are `gpus` (None: look)."""
    if not devices:
        return []
    key, found = "engine.devices", f"[{', '.join(device.removeprefix('cuda:') for device in devices)}]"
    cards = [device for device in devices if device != PROCESSOR]
    if wrong := unfit_together(devices):
        return [Problem(key=key, found=found, expected=wrong)]
    problems = [problem for target in targets if (problem := conflict(target, bool(cards))) is not None]
    gpus = look().gpus if gpus is None and cards else gpus or ()
    absent = [card for card in cards if int(card.partition(":")[2]) >= len(gpus)]
    if absent:
        have = f"GPUs of this machine: {', '.join(map(str, range(len(gpus)))) or 'it has none that CUDA shows'}"
        return [*problems, Problem(key=key, found=found, expected=have)]
    kinds = sorted({gpus[int(card.partition(":")[2])].name for card in cards})
    if len(kinds) > 1:
        expected = "GPUs of one kind: no median is of two kinds of device"
        problems.append(Problem(key=key, found=f"{found}, which are {' and '.join(kinds)}", expected=expected))
    return problems


def conflict(target: TargetSpec, on_gpus: bool, key: str = "engine.devices") -> Problem | None:
    """Where a target's own device is another one than the seats have, as `key` of the configuration says."""
    asked = target.options.get("device")
    fitting = ("auto", "cuda") if on_gpus else ("auto", PROCESSOR)
    if target.hosted or asked is None or asked in fitting:
        return None
    return Problem(
        key=f"target.{target.name}.options.device",
        found=repr(asked),
        expected=f"{' or '.join(fitting)}, as {key} says where workers draw",
    )


def check_devices(devices: Sequence[str], targets: Sequence[TargetSpec]) -> None:
    """Raises ConfigError with everything that `device_problems` finds."""
    if problems := device_problems(devices, targets):
        raise ConfigError(problems)
