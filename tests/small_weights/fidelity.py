"""Options with which the metrics of this family run on any machine.

The networks of LPIPS and DISTS have one geometry alone: theirs, without the classifier, with random weights.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

SEED = 7


def torchvision_features(architecture: str, folder: Path) -> Path:
    """A state dict of the convolutions of torchvision's `alexnet` or `vgg16`, under torchvision's names."""
    import torch
    import torchvision

    path = folder / f"{architecture}.pth"
    if path.is_file():
        return path
    with torch.device("meta"):
        model = torchvision.models.get_model(architecture, weights=None)
    generator = torch.Generator().manual_seed(SEED)
    state = {}
    for name, weights in model.state_dict().items():
        if name.startswith("features."):
            scale = (2.0 / weights[0].numel()) ** 0.5 if name.endswith("weight") else 0.1
            state[name] = torch.randn(weights.shape, generator=generator) * scale
    torch.save(state, path)
    return path


def dinov2_folder(folder: Path) -> Path:
    """A tiny DINOv2 as the Hub has it: config, preprocessor, safetensors."""
    import torch
    from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

    path = folder / "dinov2"
    if path.is_dir():
        return path
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        config = Dinov2Config(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=70, patch_size=14)
        Dinov2Model(config).save_pretrained(path)
    processor = BitImageProcessor(
        size={"shortest_edge": 64},
        crop_size={"height": 56, "width": 56},
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )
    processor.save_pretrained(path)
    return path


def _network(architecture: str, folder: Path) -> dict[str, Any]:
    return {**UNTRAINED, "weights": str(torchvision_features(architecture, folder))}


UNTRAINED: dict[str, Any] = {"untrained": True, "device": "cpu", "batch_size": 2}

OPTIONS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "lpips": lambda folder: _network("alexnet", folder),
    "dists": lambda folder: _network("vgg16", folder),
    "dino_similarity": lambda folder: {**UNTRAINED, "weights": str(dinov2_folder(folder))},
}
"""Kind of metric → its options, given a folder to keep small weights in; called once a test module."""
