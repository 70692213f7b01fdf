"""Options with which the metrics of this family run on any machine."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from kreabench.metrics import random_clip


def clip_state() -> dict[str, Any]:
    """The miniature's weights as open_clip names them, drawn anew in every call."""
    import open_clip
    import torch

    random_clip.register()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_clip.SEED)
        return dict(open_clip.CLIP(**random_clip.CONFIG).state_dict())


def open_clip_file(folder: Path, name: str) -> Path:
    """The miniature in open_clip's layout, pickled or as safetensors, as `name` ends."""
    import torch
    from safetensors.torch import save_file

    path = folder / name
    if path.suffix == ".safetensors":
        save_file({key: value.contiguous() for key, value in clip_state().items()}, path)
    else:
        torch.save(clip_state(), path)
    return path


def hps_file(folder: Path) -> Path:
    """As HPS v2.1 is published: half precision, under `state_dict`."""
    import torch

    path = folder / "hps.pt"
    torch.save({"state_dict": {name: value.half() for name, value in clip_state().items()}}, path)
    return path


def head_file(folder: Path, *, width: int = 64) -> Path:
    """As the head of LAION Aesthetics V2 is published: linear layers with places for dropout between."""
    import torch
    from torch import nn

    path = folder / f"head-{width}.pth"
    dropout = nn.Dropout(0.2)
    first, second = nn.Linear(width, 1024), nn.Linear(1024, 128)
    layers = nn.Sequential(first, dropout, second, dropout, nn.Linear(128, 64), dropout, nn.Linear(64, 16))
    layers.append(nn.Linear(16, 1))
    torch.save({f"layers.{name}": value for name, value in layers.state_dict().items()}, path)
    return path


def transformers_folder(folder: Path) -> Path:
    """A tiny CLIP as transformers saves it, with the tokenizer and preprocessing of the real one."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

    path = folder / "transformers_clip"
    small = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "num_hidden_layers": 2}
    ends = {"bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407}
    text = {**small, **ends, "vocab_size": 49408, "max_position_embeddings": 77}
    config = CLIPConfig(
        text_config=text, vision_config={**small, "image_size": 64, "patch_size": 16}, projection_dim=32
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_clip.SEED)
        CLIPModel(config).save_pretrained(path)
    sizes: dict[str, Any] = {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}}
    CLIPProcessor(CLIPImageProcessor(**sizes), _tokenizer()).save_pretrained(path)
    return path


@cache
def _tokenizer() -> Any:
    """CLIP's own, built from the vocabulary that open_clip brings, so that nothing is downloaded."""
    import open_clip
    from transformers import CLIPTokenizer

    known = open_clip.SimpleTokenizer()
    renamed = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {renamed.get(token, token): number for token, number in known.encoder.items()}
    return CLIPTokenizer(vocab=vocabulary, merges=list(known.bpe_ranks), model_max_length=77)


_RUN: dict[str, Any] = {"device": "cpu", "batch_size": 2}
_MINI: dict[str, Any] = {"model": "builtin:mini-untrained", "untrained": True, **_RUN}

OPTIONS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "clip_score": lambda folder: {**_MINI, "weights": str(open_clip_file(folder, "clip.safetensors"))},
    "clip_iqa": lambda folder: {**_MINI, "weights": str(open_clip_file(folder, "clip.pt"))},
    "aesthetic": lambda folder: {**_MINI, "weights": "random", "head": str(head_file(folder))},
    "hpsv2": lambda folder: {**_MINI, "weights": str(hps_file(folder))},
    "pickscore": lambda folder: {**_RUN, "weights": str(transformers_folder(folder)), "untrained": True},
}
"""Kind of metric → its options, given a folder to keep small weights in; called once a test module."""
