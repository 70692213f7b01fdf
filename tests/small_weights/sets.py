"""Options with which the metrics of this family run on any machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def inception_file(folder: Path) -> Path:
    """All of Inception's weights, drawn at random, in the published file's format, but half precision to save disk."""
    import torch

    from kreabench.metrics import inception

    path = folder / "inception.pth"
    if not path.exists():
        network = inception._empty_network()
        inception._fill_at_random(network)
        state = {name: value for name, value in network.state_dict().items() if "num_batches_tracked" not in name}
        torch.save({name: value.half() for name, value in state.items()}, path)
    return path


def _inception(folder: Path) -> dict[str, Any]:
    return {"weights": str(inception_file(folder)), "untrained": True, "device": "cpu", "batch_size": 4}


def _clip(_: Path) -> dict[str, Any]:
    return {"model": "builtin:mini-untrained", "weights": "random", "untrained": True, "device": "cpu", "batch_size": 4}


OPTIONS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "kid": _inception,
    "fid": _inception,
    "cmmd": _clip,
    "vendi": lambda folder: {"encoder": "clip", **_clip(folder)},
}
"""Kind of metric → its options, given a folder to keep small weights in; called once a test module."""
