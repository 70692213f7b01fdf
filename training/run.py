"""All stages in their order, each resumable, and what one needs of those before it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from training import aesthetic, assemble, clip, flux, redux, vae
from training.data import pictures, scenes
from training.gate import pass_gate
from training.plan import Plan
from training.stage import Stage, write_log

if TYPE_CHECKING:
    from torch.nn import Module

LATENTS, HEAD, SETTINGS, WEIGHTS = "latents.pt", "aesthetic.pt", "settings.json", "weights"
FILES = {"encode": LATENTS, "aesthetic": HEAD}
"""Of stages that are not trained step by step: each is done when its file is there."""


class NotYet(Exception):
    """A stage was asked for before one that it builds on, or otherwise than it was begun; the message says which."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """One folder of checkpoints, and what was trained into it so far."""

    folder: Path
    seed: int
    threads: int
    plan: Plan = field(default_factory=Plan)
    compiled: bool = False
    """Whether the transformer's blocks are compiled for training, which moves the last digits as threads do."""

    def stage(self, name: str) -> Stage:
        """As planned."""
        return self.plan.stage(name, self.folder, self.seed)

    def is_done(self, name: str) -> bool:
        """Whether there is nothing left to do for it."""
        if name in self.plan.lengths:
            stage = self.stage(name)
            return stage.file.exists() and _saved(stage)["done"] >= stage.steps
        return name in FILES and (self.folder / FILES[name]).exists()

    def finished(self, name: str, model: Module) -> Any:
        """`model` with the weights that the stage `name` ended with. Raises NotYet."""
        if not self.is_done(name):
            raise NotYet(f"the stage {name} is not finished in {self.folder}: run it first (--only {name})")
        model.load_state_dict(_saved(self.stage(name))["averaged"])
        return model.eval().requires_grad_(False)

    @cached_property
    def vae(self) -> Any:
        """The autoencoder, its latents evened out."""
        model = self.finished("vae", vae.build())
        vae.even_out(model, pictures(scenes(self.seed + 3, self.plan.evened_pictures)))
        return model

    @cached_property
    def examples(self) -> flux.Examples:
        """Encoded pictures."""
        return flux.Examples(self.vae, self.seed, self.folder / LATENTS, self.plan.flux_pictures)

    @cached_property
    def undistilled(self) -> flux.Parts:
        """Transformer and text encoders after the second stage."""
        parts: flux.Parts = self.finished("flux", flux.Parts())
        return parts

    @cached_property
    def parts(self) -> flux.Parts:
        """Transformer and text encoders as they ship."""
        parts: flux.Parts = self.finished("distil", flux.Parts())
        return parts

    @cached_property
    def learner(self) -> clip.Learner:
        """The CLIP, with the heads that only training needs."""
        learner: clip.Learner = self.finished("clip", clip.Learner())
        return learner


def _saved(stage: Stage) -> Any:
    return torch.load(stage.file, weights_only=True, mmap=True)


def _vae(training: Training) -> None:
    vae.train(training.stage("vae"), training.plan.vae_pictures, training.plan.held_out_pictures)


def _gate(training: Training) -> None:
    share = pass_gate(training.vae, training.seed, training.plan.gate_pictures, training.plan.least_read)
    write_log(training.folder, {"stage": "gate", "read": round(share, 4)})


def _encode(training: Training) -> None:
    _ = training.examples


def _flux(training: Training) -> None:
    flux.train(training.stage("flux"), training.examples, compiled=training.compiled)


def _distil(training: Training) -> None:
    flux.distil(training.stage("distil"), training.examples, training.undistilled, compiled=training.compiled)


def _clip(training: Training) -> None:
    plan = training.plan
    clip.train(training.stage("clip"), training.vae, plan.clip_pictures, plan.denoised_pictures)


def _aesthetic(training: Training) -> None:
    torch.save(aesthetic.fitted(training.learner, training.vae, training.seed), training.folder / HEAD)


def _redux_words(training: Training) -> None:
    redux.begin(training.stage("redux_words"), training.examples, training.undistilled)


def _redux(training: Training) -> None:
    begun = training.finished("redux_words", redux.Prior())
    redux.train(training.stage("redux"), training.examples, training.parts, begun)


def _assemble(training: Training) -> None:
    weights, examples = training.folder / WEIGHTS, training.examples
    assemble.write_pipeline(weights / "flux", training.vae, training.parts, shift=examples.shift, scale=examples.scale)
    assemble.write_prior(weights / "redux", training.finished("redux", redux.Prior()))
    clip.write(weights / "clip", training.learner)
    aesthetic.write(
        weights / "clip" / "aesthetic_head.safetensors", torch.load(training.folder / HEAD, weights_only=True)
    )
    steps = {name: length.steps for name, length in training.plan.lengths.items()}
    assemble.write_manifest(weights, {"seed": training.seed, "steps": steps})


STAGES: dict[str, Callable[[Training], None]] = {
    "vae": _vae,
    "gate": _gate,
    "encode": _encode,
    "flux": _flux,
    "distil": _distil,
    "clip": _clip,
    "aesthetic": _aesthetic,
    "redux_words": _redux_words,
    "redux": _redux,
    "assemble": _assemble,
}
"""In their order."""


def run(training: Training, only: Iterable[str] = (), say: Callable[[str], None] = lambda line: None) -> None:
    """Every stage, or `only` some, in their order; what is done is not done again. `say` gets a line each.

    Raises NotYet, GateFailed, and KeyboardInterrupt after Ctrl-C, when all is saved.
    """
    training.folder.mkdir(parents=True, exist_ok=True)
    _keep_settings(training)
    torch.set_num_threads(training.threads)
    chosen = set(only) or STAGES.keys()
    for name, do in STAGES.items():
        if name in chosen and not training.is_done(name):
            say(f"{name}: {_length(training, name)}")
            do(training)
        elif name in chosen:
            say(f"{name}: done before")


def _length(training: Training, name: str) -> str:
    length = training.plan.lengths.get(name)
    return f"{length.steps} steps" if length else "begun"


def _keep_settings(training: Training) -> None:
    """A folder has one seed. The number of threads moves the last digits, so the log says with how many it went on."""
    file = training.folder / SETTINGS
    asked = {"seed": training.seed}
    if not file.exists():
        file.write_text(json.dumps(asked) + "\n", encoding="utf-8")
    elif (begun := json.loads(file.read_text(encoding="utf-8"))) != asked:
        raise NotYet(f"{training.folder} was begun with {begun}, not with {asked}: go on with that, or elsewhere")
    write_log(training.folder, {"stage": "begun", "threads": training.threads, "compiled": training.compiled})
