"""The small CLIP that ships with kreabench, trained on drawn pictures, with its tokenizer and an aesthetic head.

It tells such pictures and their captions apart, offline, in the way that the real one does any other, and knows nothing
else of the world. Its files are read by open_clip's own loader, like any other local weights.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from kreabench.core.errors import EnvironmentProblem
from kreabench.metrics.clip_folder import CONFIG_FILE, WEIGHTS_FILE
from kreabench.metrics.random_clip import add_architecture
from kreabench.metrics.weight_sources import BUILTIN_WEIGHTS
from kreabench.miniature.files import shipped_folder

MINI_CLIP = BUILTIN_WEIGHTS
"""The `model`, and the name of its weights, tokenizer and head."""
NAME = "kreabench-mini"
"""Its architecture's name in open_clip's registry."""
WEIGHTS, TOKENIZER, HEAD_FILE = WEIGHTS_FILE, ".", "aesthetic_head.safetensors"
"""In the shipped folder; the tokenizer's files lie beside the weights, where open_clip looks for them."""

_PART = "clip"


def shipped(name: str, *, key: str) -> Path:
    """A file or folder of the shipped model, whole. Raises EnvironmentProblem, of `key`, that names a damaged one."""
    try:
        return shipped_folder(_PART) / name
    except EnvironmentProblem as error:
        raise EnvironmentProblem([replace(problem, key=key) for problem in error.problems]) from error


def register() -> None:
    """Make the architecture known to open_clip in this process. Raises EnvironmentProblem for damaged files."""
    config: dict[str, Any] = json.loads(shipped(CONFIG_FILE, key="options.model").read_bytes())
    add_architecture(NAME, config["model_cfg"])
