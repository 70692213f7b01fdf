"""One stage of training: so many steps, a schedule, an average of the weights, checkpoints to go on from, a log."""

from __future__ import annotations

import copy
import json
import math
import signal
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from types import FrameType, TracebackType

    from torch import Tensor
    from torch.nn import Module, Parameter

SAVE_EVERY_S = 120
LOG_EVERY = 50
LOG = "log.jsonl"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """What is asked of one stage."""

    name: str
    folder: Path
    seed: int
    steps: int
    learning_rate: float
    warm_up: int = 100
    average: float = 0.999
    """Of the weights: how much of the average stays at each step."""
    check_every: int = 500

    @property
    def file(self) -> Path:
        """Its checkpoint."""
        return self.folder / f"{self.name}.pt"


@dataclass(frozen=True, kw_only=True, slots=True)
class Chance:
    """All that one step may draw from: made from the seed and the step, so that it does not matter what went before."""

    numpy: np.random.Generator
    torch: torch.Generator

    @classmethod
    def of(cls, stage: Stage, step: int) -> Chance:
        """Of one step of one stage."""
        drawn = np.random.default_rng([stage.seed, zlib.crc32(stage.name.encode()), step])
        return cls(numpy=drawn, torch=torch.Generator().manual_seed(int(drawn.integers(2**63))))


class Interrupt:
    """Hears Ctrl-C between steps alone: within one it would leave half a step behind. A second one stops at once."""

    heard = False

    def __enter__(self) -> Interrupt:
        self.before = signal.signal(signal.SIGINT, self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self.before)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.heard:
            raise KeyboardInterrupt
        self.heard = True


class Progress:
    """A model in training, with all that a checkpoint must hold."""

    def __init__(self, stage: Stage, model: Module, evenly: Sequence[Parameter] = ()) -> None:
        """Goes on from the stage's checkpoint where there is one."""
        self.stage, self.model = stage, model
        self.averaged = copy.deepcopy(model).eval().requires_grad_(False)
        self.optimisers = _optimisers(stage, model, evenly)
        self.done, self.seconds = 0, 0.0
        if stage.file.exists():
            saved = torch.load(stage.file, weights_only=True)
            for name in ("model", "averaged"):
                getattr(self, name).load_state_dict(saved[name])
            for optimiser, state in zip(self.optimisers, saved["optimisers"], strict=True):
                optimiser.load_state_dict(state)
            self.done, self.seconds = saved["done"], saved["seconds"]
        self._started = time.monotonic() - self.seconds

    def spent_s(self) -> float:
        """In all calls together."""
        return time.monotonic() - self._started

    def advance(self, step: Callable[[Chance], Tensor]) -> float:
        """One step; its loss."""
        self.model.train()
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self.stage.learning_rate * _schedule(self.done, self.stage)
        loss = step(Chance.of(self.stage, self.done))
        self.model.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
        self.done += 1
        kept = min(self.stage.average, (1 + self.done) / (10 + self.done))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.averaged.parameters()), list(self.model.parameters()), 1 - kept)
        return float(loss.detach())

    def save(self) -> None:
        """The whole file or none of it."""
        state: dict[str, Any] = {name: getattr(self, name).state_dict() for name in ("model", "averaged")}
        state["optimisers"] = [optimiser.state_dict() for optimiser in self.optimisers]
        written = self.stage.file.with_suffix(".tmp")
        torch.save({**state, "done": self.done, "seconds": self.spent_s()}, written)
        written.replace(self.stage.file)


def run_stage(
    stage: Stage,
    model: Module,
    step: Callable[[Chance], Tensor],
    *,
    check: Callable[[Module], dict[str, float]] | None = None,
    evenly: Sequence[Parameter] = (),
) -> Module:
    """Trains `model` and returns the average of its weights. Goes on where an earlier call was stopped.

    `step` draws a batch, from nothing but the chance it is given, and gives its loss: a stage that was stopped ends
    with the same weights as one that ran through. Matrices named in `evenly` are trained by Muon, the rest by AdamW.
    Raises KeyboardInterrupt on Ctrl-C, after saving.
    """
    progress = Progress(stage, model, evenly)
    recent: list[float] = []
    last_saved = time.monotonic()
    with Interrupt() as interrupt:
        while progress.done < stage.steps and not interrupt.heard:
            recent.append(progress.advance(step))
            if progress.done % LOG_EVERY == 0 or progress.done == stage.steps:
                _log(progress, recent, check)
                recent.clear()
            if time.monotonic() - last_saved > SAVE_EVERY_S:
                progress.save()
                last_saved = time.monotonic()
        progress.save()
    if progress.done < stage.steps:
        raise KeyboardInterrupt
    return progress.averaged


def _log(progress: Progress, losses: list[float], check: Callable[[Module], dict[str, float]] | None) -> None:
    stage, done = progress.stage, progress.done
    line: dict[str, Any] = {
        "stage": stage.name,
        "step": done,
        "loss": round(sum(losses) / len(losses), 6),
        "seconds": round(progress.spent_s(), 1),
    }
    if check is not None and (done % stage.check_every == 0 or done == stage.steps):
        line |= {name: round(value, 4) for name, value in check(progress.averaged).items()}
    write_log(stage.folder, line)


def write_log(folder: Path, line: dict[str, Any]) -> None:
    """One line more."""
    with (folder / LOG).open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")


def _optimisers(stage: Stage, model: Module, evenly: Sequence[Parameter]) -> list[torch.optim.Optimizer]:
    """Muon learned the shapes of the drawn world from a fourth of the pictures that AdamW needed."""
    apart = {id(one) for one in evenly}
    rest = [one for one in model.parameters() if one.requires_grad and id(one) not in apart]
    rate, decay = stage.learning_rate, 0.01
    adamw = torch.optim.AdamW(rest, rate, betas=(0.9, 0.99), weight_decay=decay)
    if not evenly:
        return [adamw]
    return [adamw, torch.optim.Muon(evenly, rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw")]


def _schedule(done: int, stage: Stage) -> float:
    if done < stage.warm_up:
        return (done + 1) / stage.warm_up
    share = (done - stage.warm_up) / max(1, stage.steps - stage.warm_up)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share))
