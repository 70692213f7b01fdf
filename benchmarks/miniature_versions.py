"""Versions of the miniature, damaged on purpose or changed without harm: copies of its folder, one thing changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kreabench.backends.mini import resolve_model

Change = Callable[[Path], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """A version of the miniature."""

    name: str
    change: Change | None = None
    """Of a copy of the model's folder; None leaves the model as it is."""
    model: str = ""
    """Another model in its place."""
    words: tuple[str, ...] = ()
    """Overrides of its run."""

    @property
    def slug(self) -> str:
        """For names of files and runs."""
        return "".join(letter if letter.isalnum() else "-" for letter in self.name).strip("-")


def noise(model: Path, *, part: str, deviations: float) -> None:
    """Noise in every matrix of a part, in standard deviations of that matrix."""
    import torch
    from safetensors.torch import load_file, save_file

    file = next((model / part).glob("*.safetensors"))
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for name, value in sorted(load_file(file).items()):
        if value.dim() > 1:
            own = value.float()
            value = (own + deviations * own.std() * torch.randn(own.shape, generator=generator)).to(value.dtype)
        weights[name] = value
    save_file(weights, file, metadata={"format": "pt"})


def vae_setting(model: Path, *, name: str, factor: float) -> None:
    """A number in the VAE's configuration, times `factor`."""
    file = model / "vae" / "config.json"
    config = json.loads(file.read_text())
    config[name] *= factor
    file.write_text(json.dumps(config))


def stored_as(model: Path, *, dtype: str) -> None:
    """All weights, kept in other numbers."""
    import torch
    from safetensors.torch import load_file, save_file

    wanted = getattr(torch, dtype)
    for file in model.rglob("*.safetensors"):
        weights = {
            name: value.to(wanted) if value.is_floating_point() else value for name, value in load_file(file).items()
        }
        save_file(weights, file, metadata={"format": "pt"})


DAMAGED = (
    *(
        Version(
            name=f"noise of {deviations} deviations in the transformer",
            change=partial(noise, part="transformer", deviations=deviations),
        )
        for deviations in (0.05, 0.1, 0.2, 0.3, 0.5)
    ),
    *(
        Version(name=f"VAE {name.replace('_', ' ')} × {factor}", change=partial(vae_setting, name=name, factor=factor))
        for name in ("scaling_factor", "shift_factor")
        for factor in (0.7, 0.9, 1.1, 1.3)
    ),
    *(Version(name=f"{steps} steps for 8", words=(f"axes.steps=[{steps}]",)) for steps in (1, 2, 4)),
    *(
        Version(
            name=f"noise of {deviations} deviations in {'T5' if part.endswith('2') else 'CLIP'}",
            change=partial(noise, part=part, deviations=deviations),
        )
        for part, deviations in (("text_encoder_2", 0.3), ("text_encoder_2", 1.0), ("text_encoder", 1.0))
    ),
)
HARMLESS = (
    Version(name="drawn again"),
    Version(name="recompiled (compile_regional)", words=("acceleration=[compile_regional]",)),
    Version(name="fused projections (fuse_qkv)", words=("acceleration=[fuse_qkv]",)),
    Version(name="stored in float32", change=partial(stored_as, dtype="float32")),
    Version(name="stored in bfloat16", change=partial(stored_as, dtype="bfloat16")),
)


def versions_of(model: str, retrained: Path | None) -> tuple[Version, ...]:
    """All that are judged. The built-in damaged one belongs to the built-in model alone."""
    noisy = (Version(name="builtin:mini-noisy", model="builtin:mini-noisy"),) if model == "builtin:mini" else ()
    if retrained is None:
        return (*DAMAGED, *noisy, *HARMLESS)
    other = Version(name=f"retrained: {retrained.name}", model=str(retrained))
    return (*DAMAGED, *noisy, *HARMLESS, other)


def made(version: Version, model: str, folder: Path) -> str:
    """The version's model: `model` itself, another one, or a changed copy in `folder`."""
    if version.change is None:
        return version.model or model
    copy = folder / version.slug
    if not copy.exists():
        unfinished = folder / f"{version.slug}.part"
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(resolve_model(model), unfinished, copy_function=shutil.copyfile)
        version.change(unfinished)
        unfinished.rename(copy)
    return str(copy)
