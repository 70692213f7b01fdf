"""A tiny CLIP with random weights, so that the whole path of a real one runs on any machine, offline.

It is written to the cache as an open_clip configuration and a weights file, and loaded from there by open_clip's own
loader, like any other local weights. Its scores say nothing about pictures.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kreabench.core.cache import cache_refused
from kreabench.core.ids import stable_hash

RANDOM_CLIP = "builtin:mini-untrained"
"""The `model` that kreabench builds itself, with `weights: random`."""

NAME = "kreabench-mini-untrained"
"""Its architecture's name in open_clip's registry."""

CONFIG: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
"""The vocabulary and context of CLIP, so that prompts are cut exactly where the real model cuts them."""

SEED = 1
"""Of the weights. Chosen because with it most cosines are above zero, where a CLIP score is not clamped."""


def register() -> None:
    """Make the architecture known to open_clip in this process."""
    add_architecture(NAME, CONFIG)


def add_architecture(name: str, config: Mapping[str, Any]) -> None:
    """Make `name` known to open_clip in this process, unless it is already."""
    import open_clip

    if name in open_clip.list_models():
        return
    with tempfile.TemporaryDirectory(prefix="kreabench-") as folder:
        path = Path(folder) / f"{name}.json"
        path.write_text(json.dumps(config), encoding="utf-8")
        open_clip.add_model_config(path)  # read at once, so the file may go


def weights_file(cache: Path) -> Path:
    """The random weights, drawn and stored under `cache` unless they are there already. Raises EnvironmentProblem."""
    folder = cache / f"mini-clip-{stable_hash([CONFIG, SEED])}"
    path = folder / "open_clip_model.safetensors"
    if path.is_file():
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _draw(path)
    except OSError as error:
        raise cache_refused(cache, error) from error
    return path


def _draw(path: Path) -> None:
    """Write random weights to `path`, whole or not at all: two processes may do so at the same time."""
    import open_clip
    import torch
    from safetensors.torch import save

    with torch.random.fork_rng(devices=[]):  # on the CPU alone: the caller's generators stay as they are
        torch.manual_seed(SEED)
        model = open_clip.CLIP(**CONFIG)
    content = save({name: tensor.contiguous() for name, tensor in model.state_dict().items()})
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".weights-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
