"""How long each stage is trained, and on how much. One table, which is all there is to turn."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from training.stage import Stage


@dataclass(frozen=True, kw_only=True, slots=True)
class Length:
    """Of one stage. How many pictures a step sees is a constant of the stage's own module."""

    steps: int
    learning_rate: float
    warm_up: int = 100
    average: float = 0.999
    """Of the weights: how much of the average stays at each step."""


LENGTHS: dict[str, Length] = {
    "vae": Length(steps=2500, learning_rate=2e-3),
    "flux": Length(steps=12000, learning_rate=1.5e-3, warm_up=300, average=0.999),
    "distil": Length(steps=1500, learning_rate=5e-4),
    "clip": Length(steps=3500, learning_rate=2e-3),
    "redux_words": Length(steps=4000, learning_rate=2e-3),
    "redux": Length(steps=1500, learning_rate=5e-4, average=0.995),
}
"""Name of a stage, which its checkpoint and its lines of the log have → its length."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Of a whole training."""

    lengths: dict[str, Length] = field(default_factory=LENGTHS.copy)
    vae_pictures: int = 20_000
    held_out_pictures: int = 256
    """On which the autoencoder is measured."""
    evened_pictures: int = 2_000
    """From which it is seen how the latents vary."""
    flux_pictures: int = 48_000
    clip_pictures: int = 12_000
    denoised_pictures: int = 4_096
    """Of those for CLIP, as many are also shown as the autoencoder has them."""
    gate_pictures: int = 500
    least_read: float = 0.95
    """Share of what pictures show that must still be read after the autoencoder, or all that follows is in vain."""

    def stage(self, name: str, folder: Path, seed: int) -> Stage:
        """One of its stages, in a folder."""
        length = self.lengths[name]
        return Stage(
            name=name,
            folder=folder,
            seed=seed,
            steps=length.steps,
            learning_rate=length.learning_rate,
            warm_up=length.warm_up,
            average=length.average,
        )
