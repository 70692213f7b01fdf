"""One stage of training: so many steps, a schedule, an average of the weights, checkpoints to go on from, a log."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

SAVE_EVERY_S = 120
LOG_EVERY = 50


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


def run_stage(
    stage: Stage,
    model: Module,
    step: Callable[[], Tensor],
    *,
    check: Callable[[Module], dict[str, float]] | None = None,
) -> Module:
    """Trains `model` and returns the average of its weights. Goes on where an earlier call was stopped.

    `step` draws a batch and gives its loss. A stopped and resumed stage draws other batches than one that ran through.
    """
    file = stage.folder / f"{stage.name}.pt"
    averaged = copy.deepcopy(model).eval().requires_grad_(False)
    optimiser = torch.optim.AdamW(
        [one for one in model.parameters() if one.requires_grad], stage.learning_rate, betas=(0.9, 0.99), weight_decay=0.01
    )
    done, seconds = 0, 0.0
    if file.exists():
        saved = torch.load(file, weights_only=True)
        model.load_state_dict(saved["model"])
        averaged.load_state_dict(saved["averaged"])
        optimiser.load_state_dict(saved["optimiser"])
        done, seconds = saved["done"], saved["seconds"]
    started = last_saved = time.monotonic()
    recent: list[float] = []

    def save() -> None:
        state = {
            "model": model.state_dict(),
            "averaged": averaged.state_dict(),
            "optimiser": optimiser.state_dict(),
            "done": done,
            "seconds": seconds + time.monotonic() - started,
        }
        torch.save(state, file.with_suffix(".tmp"))
        file.with_suffix(".tmp").replace(file)

    while done < stage.steps:
        model.train()
        for group in optimiser.param_groups:
            group["lr"] = stage.learning_rate * _schedule(done, stage)
        loss = step()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        done += 1
        kept = min(stage.average, (1 + done) / (10 + done))
        with torch.no_grad():
            torch._foreach_lerp_(list(averaged.parameters()), list(model.parameters()), 1 - kept)
        recent.append(float(loss.detach()))
        if done % LOG_EVERY == 0 or done == stage.steps:
            line: dict[str, Any] = {
                "stage": stage.name,
                "step": done,
                "loss": round(sum(recent) / len(recent), 6),
                "seconds": round(seconds + time.monotonic() - started, 1),
            }
            recent.clear()
            if check is not None and (done % stage.check_every == 0 or done == stage.steps):
                line |= {name: round(value, 4) for name, value in check(averaged).items()}
            with (stage.folder / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
        if time.monotonic() - last_saved > SAVE_EVERY_S:
            save()
            last_saved = time.monotonic()
    save()
    return averaged


def _schedule(done: int, stage: Stage) -> float:
    if done < stage.warm_up:
        return (done + 1) / stage.warm_up
    share = (done - stage.warm_up) / max(1, stage.steps - stage.warm_up)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share))
