"""CLIP score, aesthetics and CLIP-IQA from one pass of the model, beside the plain libraries one after the other.

    python benchmarks/metrics_speed.py [--model NAME] [--images N] [--block N] [--size PIXELS] [--threads N]

Random weights in ViT-L/14's geometry, on the CPU. Ours: three metrics that share an encoder, as in `kreabench score`.
Plain: torchmetrics' CLIPScore a picture (it gives only the mean of what it was shown), torchmetrics' CLIP-IQA, and the
aesthetic predictor's loop, each with a pass of its own; all three hold one model, so that only passes differ. Loading
is excluded from both. Blocks of pictures go A B B A, and both sides' values must agree. The limit is on seconds of CPU,
which other programs on the machine disturb little; with one thread they are the seconds of an idle machine. Peak memory
is that of a process that does nothing but ours, loading included. Exits 1 when a limit is missed.
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from PIL import Image

from kreabench.metrics.aesthetic import Aesthetic
from kreabench.metrics.base import Metric, ScoreItem
from kreabench.metrics.clip_iqa import ClipIqa
from kreabench.metrics.clip_score import ClipScore
from kreabench.metrics.shared import Shared

LIMIT_RATIO = 1.8
LIMIT_GIB = 3.5
TOLERANCE = 1e-3
"""Greatest difference of a value on both sides, relative where it is above 1."""
TEXTS = ("Natural skin texture.", "Waxy plastic skin.")

Values = dict[str, list[float]]


def items(count: int, size: int, first: int = 0) -> list[ScoreItem]:
    """Pictures of noise over gradients, from number `first` on, each with a prompt of its own."""
    made = []
    for index in range(first, first + count):
        gradient = Image.linear_gradient("L").rotate(37 * index).resize((size, size))
        noise = Image.effect_noise((size, size), 20 + 5 * (index % 16))
        image = Image.merge("RGB", (gradient, noise, Image.blend(gradient, noise, 0.5)))
        prompt = f"picture {index}: a fishing boat in the harbour at dawn, photographed on film"
        made.append(ScoreItem(image=image, prompt=prompt, reference=None, sha256=str(index)))
    return made


def write_weights(model: str, folder: Path) -> None:
    """Random weights of the model and of the head, in the formats that are published."""
    import open_clip
    import torch
    from safetensors.torch import save_file
    from torch import nn

    logging.disable(logging.WARNING)  # open_clip warns of what is meant here: no trained weights
    torch.manual_seed(1)
    clip = open_clip.create_model(model).eval()
    with torch.no_grad():
        picture = clip.encode_image(torch.zeros(1, 3, *clip.visual.image_size))
        prompt = clip.encode_text(open_clip.get_tokenizer(model)(["a fishing boat"]))
        if float((picture * prompt).sum()) < 0:  # where a CLIP score is cut off at 0, and nothing could differ
            clip.text_projection.neg_()
    save_file({name: value.contiguous() for name, value in clip.state_dict().items()}, folder / "clip.safetensors")
    layers = predictor(int(open_clip.get_model_config(model)["embed_dim"]))
    nn.init.normal_(layers[-1].weight, std=1.0)  # else every rating would be the same to three places
    torch.save({f"layers.{name}": value for name, value in layers.state_dict().items()}, folder / "head.pth")


def predictor(width: int) -> Any:
    """The aesthetic predictor as its authors wrote it."""
    from torch import nn

    return nn.Sequential(
        *(nn.Linear(width, 1024), nn.Dropout(0.2), nn.Linear(1024, 128), nn.Dropout(0.2)),
        *(nn.Linear(128, 64), nn.Dropout(0.1), nn.Linear(64, 16), nn.Linear(16, 1)),
    )


class Ours:
    """The three metrics, opened as a scoring opens them."""

    def __init__(self, model: str, folder: Path) -> None:
        shared = Shared(environ=os.environ)
        weights: dict[str, Any] = {"model": model, "weights": str(folder / "clip.safetensors"), "untrained": True}
        self._metrics: dict[str, Metric] = {
            "clip_score": ClipScore(**weights, device="cpu"),
            "aesthetic": Aesthetic(**weights, device="cpu", head=str(folder / "head.pth")),
            "clip_iqa": ClipIqa(**weights, device="cpu", positive=TEXTS[0], negative=TEXTS[1]),
        }
        for metric in self._metrics.values():
            if metric.open(shared)["untrained"] is not True:
                raise RuntimeError("random weights must be branded")

    def score(self, pictures: Sequence[ScoreItem]) -> Values:
        values = {}
        for name, metric in self._metrics.items():
            scores = metric.score(pictures)
            values[name] = [score.value for score in scores if score.value is not None]
        return values


class Plain:
    """The libraries, as their documentation uses them."""

    def __init__(self, model: str, folder: Path) -> None:
        import open_clip
        import torch
        from torchmetrics.multimodal import CLIPImageQualityAssessment, CLIPScore
        from torchvision.transforms.functional import to_pil_image

        weights = str(folder / "clip.safetensors")
        self._clip, self._preprocess = open_clip.create_model_from_pretrained(model, pretrained=weights)
        self._clip.eval()
        tokenizer = open_clip.get_tokenizer(model)
        clip, preprocess = self._clip, self._preprocess

        class Adapter(torch.nn.Module):
            config = SimpleNamespace()

            def get_image_features(self, pixels: Any) -> Any:
                return clip.encode_image(pixels)

            def get_text_features(self, tokens: Any, _: Any) -> Any:
                return clip.encode_text(tokens)

        def processor(text: Any = None, images: Any = None, **_: Any) -> Any:
            if images is not None:
                return {"pixel_values": torch.stack([preprocess(to_pil_image(image)) for image in images])}
            tokens = tokenizer(text)
            return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}

        def made() -> Any:
            return Adapter(), processor

        self._score = CLIPScore(model_name_or_path=made)
        with torch.inference_mode():
            self._iqa: Any = CLIPImageQualityAssessment(
                model_name_or_path=made,
                data_range=255,
                prompts=(TEXTS,),
            )
        self._head = predictor(int(open_clip.get_model_config(model)["embed_dim"])).eval()
        state = torch.load(folder / "head.pth", weights_only=True)
        self._head.load_state_dict({name.removeprefix("layers."): value for name, value in state.items()})

    def score(self, pictures: Sequence[ScoreItem]) -> Values:
        import torch

        with torch.inference_mode():
            return {
                "clip_score": [self._fit(item) for item in pictures],
                "aesthetic": [self._rating(item) for item in pictures],
                "clip_iqa": self._quality(pictures),
            }

    def _fit(self, item: ScoreItem) -> float:
        from torchvision.transforms.functional import pil_to_tensor

        self._score.reset()
        self._score.update(pil_to_tensor(item.image), item.prompt)
        return float(self._score.compute())

    def _rating(self, item: ScoreItem) -> float:
        embedding = self._clip.encode_image(self._preprocess(item.image)[None])
        return float(self._head(embedding / embedding.norm(dim=-1, keepdim=True)))

    def _quality(self, pictures: Sequence[ScoreItem]) -> list[float]:
        import torch
        from torchvision.transforms.functional import pil_to_tensor

        self._iqa.reset()
        self._iqa.update(torch.stack([pil_to_tensor(item.image) for item in pictures]).float())
        values: list[float] = self._iqa.compute().tolist()
        return values


def seconds(score: Callable[[Sequence[ScoreItem]], Values], pictures: Sequence[ScoreItem]) -> tuple[float, Values]:
    """Seconds of CPU that `score` takes, and what it gives."""
    start = time.process_time()
    values = score(pictures)
    return time.process_time() - start, values


def differences(ours: Values, plain: Values) -> dict[str, float]:
    """The greatest difference of each metric, relative where values are above 1."""
    found = {}
    for name, expected in plain.items():
        pairs = zip(ours[name], expected, strict=True)
        found[name] = max(abs(one - other) / max(abs(other), 1.0) for one, other in pairs)
    return found


def peak_gib(arguments: argparse.Namespace, folder: Path) -> float:
    """Of a process that scores with ours alone."""
    command = [sys.executable, __file__, "--memory-of", str(folder), "--model", arguments.model]
    command += ["--images", str(arguments.images), "--size", str(arguments.size), "--threads", str(arguments.threads)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure(arguments: argparse.Namespace, folder: Path) -> int:
    """Print what was measured; 1 when a limit is missed."""
    # First, as a child's peak starts with what its parent holds when it forks.
    subprocess.run([sys.executable, __file__, "--weights-to", str(folder), "--model", arguments.model], check=True)
    gib = peak_gib(arguments, folder)
    print(f"peak memory of ours {gib:.2f} GiB (limit {LIMIT_GIB})", flush=True)
    ours, plain = Ours(arguments.model, folder), Plain(arguments.model, folder)
    sides: dict[str, Ours | Plain] = {"ours": ours, "plain": plain}
    for side in sides.values():
        side.score(items(1, 64, first=arguments.images))
    took = dict.fromkeys(sides, 0.0)
    worst = 0.0
    for number, first in enumerate(range(0, arguments.images, arguments.block)):
        pictures = items(min(arguments.block, arguments.images - first), arguments.size, first)
        values: dict[str, Values] = {}
        for name in list(sides)[:: -1 if number % 2 else 1]:
            cpu_s, values[name] = seconds(sides[name].score, pictures)
            took[name] += cpu_s
            print(f"block {number}: {name} {cpu_s:.1f} s of CPU", flush=True)
        apart = differences(values["ours"], values["plain"])
        worst = max(worst, *apart.values())
        print("values differ by " + ", ".join(f"{name} {value:.1e}" for name, value in apart.items()), flush=True)
    ratio = took["plain"] / took["ours"]
    print(f"{arguments.images} pictures of {arguments.size}², {arguments.model}, {arguments.threads} thread(s):")
    print(f"ours {took['ours']:.1f} s, plain {took['plain']:.1f} s: {ratio:.2f} times as fast (limit {LIMIT_RATIO})")
    return int(ratio < LIMIT_RATIO or gib > LIMIT_GIB or worst > TOLERANCE)


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ViT-L-14-quickgelu")
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--block", type=int, default=4)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--weights-to", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.weights_to is not None:
        write_weights(arguments.model, arguments.weights_to)
        return 0
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # before torch is imported
    if arguments.memory_of is not None:
        Ours(arguments.model, arguments.memory_of).score(items(arguments.images, arguments.size))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2)  # Linux counts KiB
        return 0
    with tempfile.TemporaryDirectory(prefix="kreabench-") as folder:
        return measure(arguments, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
