"""Checks of the metrics on CLIP models; see `metrics_accuracy.py`.

Both sides read one file of weights. Theirs makes pictures its input with Pillow and numpy, as written down in
`accuracy_pixels.py`, and computes with open_clip, transformers, torchmetrics or numpy, none of it through kreabench.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image

import accuracy_pixels as pixels
from accuracy_check import Check, item, opened, pictures, scores
from kreabench.metrics import random_clip
from kreabench.metrics.base import ScoreItem

SIZES = ((64, 64), (96, 64), (161, 203), (256, 208), (403, 271), (512, 384))
MINI = {"model": random_clip.RANDOM_CLIP, "untrained": True, "device": "cpu"}
PROMPTS = (
    "a white house with a red roof",
    "three fruits in a blue bowl, natural light, 35 mm",
    "ein Café am Abend — 雨の夜",
    "",
    "a very detailed picture of a street at night, with rain and neon signs, " * 10,
)
"""Of one length, of another script, none at all, and longer than the model reads."""
TEXTS = ("Natural skin texture.", "Waxy plastic skin.")


@cache
def _items() -> tuple[ScoreItem, ...]:
    """Every picture at every size, the prompts in turn."""
    found = enumerate(pictures(SIZES))
    return tuple(item(picture, prompt=PROMPTS[number % len(PROMPTS)]) for number, picture in found)


def _check(metric: str, against: str, ours: list[float], theirs: list[float]) -> Check:
    return Check(metric=metric, against=against, values=tuple(zip(ours, theirs, strict=True)))


def _loaded(path: Path) -> Any:
    """The miniature by open_clip's own loader."""
    import open_clip

    random_clip.register()
    return open_clip.create_model(random_clip.NAME, pretrained=str(path), output_dict=True).eval()


def _tokens(prompts: list[str]) -> torch.Tensor:
    import open_clip

    return torch.as_tensor(open_clip.get_tokenizer(random_clip.NAME)(prompts))


class _Adapter(torch.nn.Module):
    """open_clip's model with the methods that torchmetrics calls; it takes no model of today's transformers."""

    def __init__(self, clip: Any) -> None:
        super().__init__()
        self._clip = clip
        self.config = SimpleNamespace()

    def get_image_features(self, inputs: torch.Tensor) -> Any:
        return self._clip.encode_image(inputs)

    def get_text_features(self, tokens: torch.Tensor, _: torch.Tensor) -> Any:
        return self._clip.encode_text(tokens)


def _for_torchmetrics(path: Path) -> Callable[[], tuple[Any, Any]]:
    """What torchmetrics' classes call for a model and its processor; pictures come in levels or, float, from 0 to 1."""

    def picture(levels: torch.Tensor) -> torch.Tensor:
        levels = (levels * 255).round().byte() if levels.is_floating_point() else levels
        return pixels.clip_input(Image.fromarray(levels.permute(1, 2, 0).numpy()))

    def processor(text: Any = None, images: Any = None, **_: Any) -> dict[str, torch.Tensor]:
        if images is not None:
            return {"pixel_values": torch.stack([picture(image) for image in images])}
        tokens = _tokens(list(text))
        return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}

    return lambda: (_Adapter(_loaded(path)), processor)


def _levels(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def clip_score() -> Check:
    """Against torchmetrics' class, shown one picture at a time, as it gives only the mean."""
    from tests.small_weights.clip import open_clip_file
    from torchmetrics.multimodal import CLIPScore

    with tempfile.TemporaryDirectory() as folder:
        path = open_clip_file(Path(folder), "clip.safetensors")
        ours = scores(opened("clip_score", weights=str(path), **MINI), _items())
        metric: Any = CLIPScore(model_name_or_path=_for_torchmetrics(path))
    theirs = []
    for one in _items():
        metric.reset()
        metric.update(_levels(one.image), one.prompt)
        theirs.append(float(metric.compute()))
    return _check("clip_score", "torchmetrics' CLIPScore, fed with open_clip", ours, theirs)


def clip_iqa() -> Check:
    """Against torchmetrics' class, with texts of one's own."""
    from tests.small_weights.clip import open_clip_file
    from torchmetrics.multimodal import CLIPImageQualityAssessment

    with tempfile.TemporaryDirectory() as folder:
        path = open_clip_file(Path(folder), "clip.pt")
        metric = opened("clip_iqa", weights=str(path), positive=TEXTS[0], negative=TEXTS[1], **MINI)
        ours = scores(metric, _items())
        made: Any = _for_torchmetrics(path)
        with torch.inference_mode():
            library: Any = CLIPImageQualityAssessment(model_name_or_path=made, data_range=255, prompts=(TEXTS,))
    with torch.inference_mode():
        for one in _items():  # of several sizes, which make no batch
            library.update(_levels(one.image)[None].float())
        theirs = library.compute().flatten().tolist()
    return _check("clip_iqa", "torchmetrics' CLIP-IQA, fed with open_clip", ours, theirs)


def aesthetic() -> Check:
    """Against the published layers in numpy, in double precision, on open_clip's embeddings."""
    from tests.small_weights.clip import head_file, open_clip_file

    with tempfile.TemporaryDirectory() as folder:
        path, head = open_clip_file(Path(folder), "clip.safetensors"), head_file(Path(folder))
        ours = scores(opened("aesthetic", weights=str(path), head=str(head), **MINI), _items())
        clip, state = _loaded(path), torch.load(head, weights_only=True)
    weights = {name: value.double().numpy() for name, value in state.items()}
    theirs = []
    for one in _items():
        with torch.inference_mode():
            x = clip.encode_image(pixels.clip_input(one.image)[None])[0].double().numpy()
        x = x / np.linalg.norm(x)
        for layer in (0, 2, 4, 6, 7):  # dropout, off when not training, is at 1, 3 and 5; there are no activations
            x = weights[f"layers.{layer}.weight"] @ x + weights[f"layers.{layer}.bias"]
        theirs.append(float(x[0]))
    return _check("aesthetic", "the published layers, in numpy", ours, theirs)


def pickscore() -> Check:
    """Against the model card's formula with transformers, a pair at a time."""
    from tests.small_weights.clip import transformers_folder
    from transformers import CLIPModel, CLIPTokenizer

    with tempfile.TemporaryDirectory() as folder:
        path = transformers_folder(Path(folder))
        ours = scores(opened("pickscore", weights=str(path), untrained=True, device="cpu"), _items())
        model, tokenizer = CLIPModel.from_pretrained(path).eval(), CLIPTokenizer.from_pretrained(path)
    theirs = []
    with torch.inference_mode():
        for one in _items():
            text = tokenizer(one.prompt, padding=True, truncation=True, max_length=77, return_tensors="pt")
            text_embs = model.get_text_features(**text).pooler_output
            text_embs = text_embs / torch.norm(text_embs, dim=-1, keepdim=True)
            image_embs = model.get_image_features(pixel_values=pixels.pickscore_input(one.image)[None]).pooler_output
            image_embs = image_embs / torch.norm(image_embs, dim=-1, keepdim=True)
            theirs.append(float(model.logit_scale.exp() * (text_embs @ image_embs.T)[0, 0]))
    return _check("pickscore", "the model card's formula, with transformers", ours, theirs)


def hpsv2() -> Check:
    """Against the package's formula with open_clip's own forward, a pair at a time."""
    from tests.small_weights.clip import hps_file

    with tempfile.TemporaryDirectory() as folder:
        path = hps_file(Path(folder))
        ours = scores(opened("hpsv2", weights=str(path), **MINI), _items())
        clip = _loaded(path)
    theirs = []
    with torch.inference_mode():
        for one in _items():
            outputs = clip(pixels.hps_input(one.image)[None], _tokens([one.prompt]))
            theirs.append(float(torch.diagonal(outputs["image_features"] @ outputs["text_features"].T)[0]))
    return _check("hpsv2", "the package's formula, with open_clip", ours, theirs)
