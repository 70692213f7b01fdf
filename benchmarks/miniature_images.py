"""Do image-to-image and redux work on the miniature? Read back from what it draws.

    python benchmarks/miniature_images.py [--seeds 8] [--weights FOLDER]

Image-to-image: prompts that change one thing of a picture (conf/prompts/miniature_images.jsonl, category changed). The
stronger, the more often what is changed must be as the prompt says, and the rest must mostly stay. Redux: pictures
drawn at random, without a word; what they show must be found in the variation. Intervals are over pictures, by
bootstrap, as seeds of one picture are alike. Exit code 1 where a bound of `BOUNDS` is not met.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from draw_miniature_pictures import ROWS, Row, claims_of, drawn
from kreabench.backends.tasks import ImageToImage, Redux
from kreabench.drawn.captions import Claims
from kreabench.drawn.captions import claims_of as claims_of_scene
from kreabench.drawn.checking import check
from kreabench.drawn.reading import read
from kreabench.drawn.render import SIDE_PX, render
from kreabench.drawn.scene import random_scene
from kreabench.miniature.files import WEIGHTS

RESULTS = Path(__file__).parent / "results" / "miniature_images.json"
STRENGTHS = (0.4, 0.6, 0.8)
CALL: dict[str, Any] = {
    "height": SIDE_PX,
    "width": SIDE_PX,
    "num_inference_steps": 8,
    "guidance_scale": 3.0,
    "max_sequence_length": 16,
    "num_images_per_prompt": 1,
}
"""The defaults of the miniature's targets."""
BOUNDS = {"changed, 0.8 over 0.4": 0.2, "unchanged at 0.6": 0.8, "redux": 0.6}
"""The least rise of what was changed; the least shares of the rest at 0.6, and of all things after redux."""
Draw = Callable[[str, Image.Image, int], Image.Image]


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """A mean over pictures, with its interval at 95 %."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.2f} [{self.low:.2f}, {self.high:.2f}]"


def share(values: Sequence[float]) -> Share:
    """Of one value a picture."""
    found = np.asarray(values)
    rng = np.random.default_rng(0)
    means = found[rng.integers(len(found), size=(4000, len(found)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Share(mean=float(found.mean()), low=float(low), high=float(high))


def pixels(picture: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(picture.convert("RGB"))


def followed(claims: Claims, before: Image.Image, after: Image.Image) -> tuple[float, float]:
    """Shares of what a prompt changes, and of what it leaves, that are right in `after`."""
    then, now = check(claims, read(pixels(before))), check(claims, read(pixels(after)))
    changed = [now[name] for name, right in then.items() if not right]
    left = [now[name] for name, right in then.items() if right]
    return float(np.mean(changed)), float(np.mean(left))


def change(rows: Iterable[Row], seeds: int, draw: Draw) -> tuple[Share, Share]:
    """What is changed and what is left, over the rows."""
    changed: list[float] = []
    left: list[float] = []
    for row in rows:
        before, claims = drawn(row), claims_of(row.prompt)
        results = [followed(claims, before, draw(row.prompt, before, seed)) for seed in range(seeds)]
        for into, values in zip((changed, left), zip(*results, strict=True), strict=True):
            into.append(float(np.mean(values)))
    return share(changed), share(left)


def vary(pictures: int, draw: Draw) -> dict[str, Share]:
    """What pictures drawn at random show and their variations show too, by kind of thing, in all, and all at once."""
    rng = np.random.default_rng(2026)
    found: dict[str, list[float]] = {}
    for seed in range(pictures):
        scene = random_scene(rng)
        right = check(claims_of_scene(scene), read(pixels(draw("", Image.fromarray(render(scene)), seed))))
        found.setdefault("in all", []).append(float(np.mean(list(right.values()))))
        found.setdefault("all at once", []).append(float(all(right.values())))
        kinds: dict[str, list[float]] = {}
        for name, is_right in right.items():
            kinds.setdefault(name.rstrip("_12"), []).append(float(is_right))
        for kind, values in kinds.items():  # a value a picture: two shapes of one are not independent
            found.setdefault(kind, []).append(float(np.mean(values)))
    return {name: share(values) for name, values in found.items()}


def load(weights: Path) -> tuple[Any, Any]:
    """The pipeline, and the prior with its text encoders, as the harness loads them."""
    from diffusers import FluxPipeline, FluxPriorReduxPipeline

    pipeline = FluxPipeline.from_pretrained(weights / "flux", dtype=torch.float32)
    shared = {name: getattr(pipeline, name) for name in ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")}
    prior = FluxPriorReduxPipeline.from_pretrained(weights / "redux", dtype=torch.float32, **shared)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline, prior


def image_tasks(weights: Path, seeds: int) -> dict[str, Share]:
    """Everything measured, printed as it comes."""
    pipeline, prior = load(weights)
    to_image, redux = ImageToImage(pipeline), Redux(pipeline, prior)
    shares: dict[str, Share] = {}

    def stronger(strength: float) -> Draw:
        return lambda prompt, picture, seed: to_image.draw(
            {**CALL, "prompt": prompt, "image": [picture], "strength": strength, "generator": generator(seed)}
        ).images[0]

    rows = [row for row in ROWS if row.category == "changed"]
    for strength in STRENGTHS:
        changed, left = change(rows, seeds, stronger(strength))
        shares |= {f"changed at {strength}": changed, f"unchanged at {strength}": left}
        print(f"image-to-image, strength {strength}: changed {changed}   unchanged {left}", flush=True)

    def varied(prompt: str, picture: Image.Image, seed: int) -> Image.Image:
        result = redux.draw({**CALL, "prompt": prompt, "pictures": [picture], "generator": generator(seed)})
        image: Image.Image = result.images[0]
        return image

    for name, found in vary(len(rows) * seeds, varied).items():
        shares[f"redux, {name}"] = found
        print(f"redux without words, {name}: {found}", flush=True)
    return shares


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def missed(shares: dict[str, Share]) -> list[str]:
    """Names of the bounds that are not met."""
    found = {
        "changed, 0.8 over 0.4": shares["changed at 0.8"].mean - shares["changed at 0.4"].mean,
        "unchanged at 0.6": shares["unchanged at 0.6"].mean,
        "redux": shares["redux, in all"].mean,
    }
    return [
        f"{name}: {found[name]:.2f}, must be {bound} or more" for name, bound in BOUNDS.items() if found[name] < bound
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8, help="of each prompt")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="as written by python -m training")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    shares = image_tasks(arguments.weights, arguments.seeds)
    rows = {name: [round(value, 4) for value in (one.mean, one.low, one.high)] for name, one in shares.items()}
    if arguments.weights == WEIGHTS:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps({"seeds": arguments.seeds, "shares": rows}, indent=2) + "\n")
    for line in (lines := missed(shares)):
        print(f"NOT MET {line}")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
