"""The trained miniature as it ships: quick to load, quick to draw, the same every time, and never at a loss."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kreabench.backends.local_diffusers import DiffusersBackend
from kreabench.backends.mini import builtin_revision
from kreabench.config.resolve import load
from kreabench.core.specs import TargetSpec
from kreabench.drawn.captions import parse
from kreabench.drawn.checking import check
from kreabench.drawn.reading import read
from tests.support import ROOT, make_acceleration, make_request, make_setting

LOAD_S = 1.0
PICTURE_S = 0.5
PATIENCE = 3
"""Of these tests with a busy machine; `benchmarks/miniature.py` prints the times themselves."""

PROMPTS = ROOT / "conf" / "prompts" / "miniature.jsonl"
PROMPT = "a large red circle on a white background"


@pytest.fixture(scope="module")
def target() -> TargetSpec:
    """As shipped."""
    return load(["target=[mini_local]"]).experiment.targets[0]


@pytest.fixture(scope="module")
def backend(target: TargetSpec) -> Iterator[DiffusersBackend]:
    backend = DiffusersBackend()
    backend.open(target, [make_acceleration()], ())
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def draw(backend: DiffusersBackend) -> Callable[..., bytes]:
    def draw_one(prompt: str = PROMPT, *, seed: int = 0, **changes: Any) -> bytes:
        setting = make_setting(**({"steps": 8, "width": 48, "height": 48} | changes))
        (image,) = backend.generate(setting, make_request(setting, prompt=prompt, seed=seed)).images
        return image.content

    return draw_one


def pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.float64)


def test_it_loads_in_a_second(target: TargetSpec, backend: DiffusersBackend) -> None:
    """In time of the processor, after the imports, which `backend` has done."""
    again = DiffusersBackend()
    began = time.process_time()
    again.open(target, [make_acceleration()], ())
    took_s = time.process_time() - began
    again.close()
    assert took_s < PATIENCE * LOAD_S


def test_it_draws_in_half_a_second(draw: Callable[..., bytes]) -> None:
    draw()
    began = time.process_time()
    draw(seed=1)
    assert time.process_time() - began < PATIENCE * PICTURE_S


def test_its_identity_is_that_of_the_shipped_files(target: TargetSpec) -> None:
    backend = DiffusersBackend()
    identity = backend.open(target, [make_acceleration()], ())
    backend.close()
    assert (identity["model"], identity["revision"]) == ("builtin:mini", builtin_revision("builtin:mini"))
    assert "untrained" not in identity


def test_the_same_seed_gives_the_same_bytes(draw: Callable[..., bytes], target: TargetSpec) -> None:
    assert draw(seed=3) == draw(seed=3) != draw(seed=4)
    other = DiffusersBackend()
    other.open(target, [make_acceleration()], ())
    setting = make_setting(steps=8, width=48, height=48)
    (image,) = other.generate(setting, make_request(setting, prompt=PROMPT, seed=3)).images
    other.close()
    assert image.content == draw(seed=3)


def test_more_steps_draw_more_of_what_is_asked_and_noise_in_the_weights_less(
    draw: Callable[..., bytes], target: TargetSpec
) -> None:
    prompts = [str(json.loads(line)["prompt"]) for line in PROMPTS.read_text().splitlines()[:16]]
    noisy = DiffusersBackend()
    noisy.open(replace(target, model="builtin:mini-noisy"), [make_acceleration()], ())

    def draw_noisy(prompt: str) -> bytes:
        setting = make_setting(steps=8, width=48, height=48, guidance=3.0)
        (image,) = noisy.generate(setting, make_request(setting, prompt=prompt, seed=0)).images
        return image.content

    good = accuracy(prompts, lambda prompt: draw(prompt, guidance=3.0))
    poor = accuracy(prompts, lambda prompt: draw(prompt, steps=1, guidance=3.0))
    spoilt = accuracy(prompts, draw_noisy)
    noisy.close()
    assert good >= 0.8
    assert poor <= good - 0.2
    assert spoilt <= good - 0.15


def accuracy(prompts: list[str], draw: Callable[[str], bytes]) -> float:
    """Share of what the captions say that the checker reads back."""
    right = []
    for prompt in prompts:
        claims = parse(prompt)
        assert claims is not None
        right.append(np.mean(list(check(claims, read(pixels(draw(prompt)).astype(np.uint8))).values())))
    return float(np.mean(right))


@pytest.mark.parametrize("prompt", ["portrait of an old fisherman, soft window light", "ein rotes Fahrrad", "Ω→∞", ""])
def test_a_prompt_of_another_world_draws_something(draw: Callable[..., bytes], prompt: str) -> None:
    picture = pixels(draw(prompt))
    assert picture.shape == (48, 48, 3)
    assert picture.std() > 1  # something, be it a pale ground
    assert np.abs(picture - pixels(draw())).mean() > 1


@pytest.mark.parametrize(("width", "height"), [(16, 16), (40, 56), (96, 64)])
def test_another_size_draws_something(draw: Callable[..., bytes], width: int, height: int) -> None:
    picture = pixels(draw(width=width, height=height))
    assert picture.shape == (height, width, 3)
    assert picture.std() > 5


def test_more_words_than_it_was_trained_on_draw_something(target: TargetSpec) -> None:
    backend = DiffusersBackend()
    backend.open(replace(target, options=target.options | {"max_sequence_length": 64}), [make_acceleration()], ())
    setting = make_setting(steps=2, width=48, height=48)
    (image,) = backend.generate(setting, make_request(setting, prompt=PROMPT)).images
    backend.close()
    assert pixels(image.content).std() > 5


def test_the_targets_say_what_they_are_and_no_more_that_they_are_untrained() -> None:
    targets = load(
        ["target=[mini_local,mini_fal,mini_local_image_to_image,mini_local_redux]", "prompts=drawn"]
    ).experiment.targets
    for one in targets:
        assert (one.model_note, one.untrained) == ("miniature model on drawn pictures", False)
        assert (one.defaults.size, one.defaults.steps, one.defaults.guidance) == ("48x48", 8, 3.0)
        assert one.limits.min_side_px == 16
    assert len(targets) == 4
