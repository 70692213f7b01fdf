"""image-to-image and redux on the miniature: what a picture depends on, what is timed, and diffusers' traps."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kreabench.backends.base import Generation
from kreabench.backends.input_images import describe_input
from kreabench.backends.local_diffusers import DiffusersBackend
from kreabench.backends.staging import STAGES
from kreabench.core.errors import GenerationError
from kreabench.core.specs import InputImage
from tests.support import encode_image, make_acceleration, make_request, make_setting, picture

WEIGHTS_SHA256 = "dcaf444b3ac66cfc974513db1156c7b08b09d24b2d133ac1072fa860987f221f"
"""Of the recipe's present revision, on every machine. When it changes, raise the recipe's `rule`."""

CACHES = {
    "none": {},
    "exact": {"first_block_cache": {"threshold": 0.0}},
    "high": {"first_block_cache": {"threshold": 0.3}},
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("inputs")


@pytest.fixture(scope="module")
def stored(inputs: Path) -> tuple[InputImage, ...]:
    """Three pictures of other sizes than any that is drawn."""

    def store(seed: int) -> InputImage:
        content = encode_image(picture(300, 200, seed=seed))
        image = describe_input(f"{seed}.png", content)
        (inputs / image.file_name).write_bytes(content)
        return image

    return tuple(map(store, range(3)))


Open = Callable[..., DiffusersBackend]


@pytest.fixture(scope="module")
def open_task(inputs: Path, mini_model: Path, mini_target: Callable[..., Any]) -> Iterator[Open]:
    opened: list[DiffusersBackend] = []

    def open_(task: str, features: dict[str, Any] | None = None, **options: Any) -> DiffusersBackend:
        redux = {"redux_model": "builtin:mini-untrained-redux"} if task == "redux" and "weights" not in options else {}
        accelerations = [
            make_acceleration(name=name, features=value) for name, value in (features or {"none": {}}).items()
        ]
        backend = DiffusersBackend()
        opened.append(backend)
        target = mini_target(task=task, options=redux | options)
        assert DiffusersBackend.check(target, accelerations) == ()
        backend.identity = backend.open(target, accelerations, (), inputs=inputs)  # type: ignore[attr-defined]
        return backend

    yield open_
    for backend in opened:
        backend.close()


@pytest.fixture(scope="module")
def changing(open_task: Open) -> DiffusersBackend:
    return open_task("image-to-image", CACHES)


@pytest.fixture(scope="module")
def varying(open_task: Open) -> DiffusersBackend:
    return open_task("redux", CACHES)


def generate(
    backend: DiffusersBackend, *images: InputImage, prompt: str = "a red bicycle", seed: int = 0, **changes: Any
) -> Generation:
    setting = make_setting(**({"steps": 6} | changes))
    return backend.generate(setting, make_request(setting, prompt=prompt, seed=seed, images=images))


def change(backend: DiffusersBackend, image: InputImage, **changes: Any) -> Generation:
    asked: dict[str, Any] = {"task": "image-to-image", "strength": 0.6}
    return generate(backend, image, **(asked | changes))


def vary(backend: DiffusersBackend, *images: InputImage, **changes: Any) -> Generation:
    asked: dict[str, Any] = {"task": "redux"}
    return generate(backend, *images, **(asked | changes))


def pixels(generation: Generation, index: int = 0) -> np.ndarray:
    with Image.open(io.BytesIO(generation.images[index].content)) as opened:
        return np.asarray(opened.convert("RGB"), dtype=np.float64)


def distance(first: Generation, second: Generation) -> float:
    return float(np.abs(pixels(first) - pixels(second)).mean())


@pytest.mark.parametrize("task", ["image-to-image", "redux"])
def test_stages_and_the_residual_sum_to_the_whole(
    task: str, changing: DiffusersBackend, varying: DiffusersBackend, stored: tuple[InputImage, ...]
) -> None:
    generation = change(changing, stored[0]) if task == "image-to-image" else vary(varying, stored[0])
    timings = generation.timings
    assert tuple(timings.stages_s) == STAGES
    assert all(seconds > 0 for seconds in timings.stages_s.values())
    assert sum(timings.stages_s.values()) + timings.residual_s == pytest.approx(timings.end_to_end_s)
    assert 0 < timings.residual_s < 0.2 * timings.end_to_end_s
    assert generation.steps_run == len(timings.steps_s)


def test_the_same_request_is_the_same_picture_after_another_load(
    changing: DiffusersBackend, varying: DiffusersBackend, open_task: Open, stored: tuple[InputImage, ...]
) -> None:
    again = open_task("image-to-image")
    assert change(again, stored[0]).images == change(changing, stored[0]).images
    again = open_task("redux")
    assert vary(again, stored[0]).images == vary(varying, stored[0]).images


@pytest.mark.parametrize("steps", [1, 4, 20, 28])
@pytest.mark.parametrize("strength", [0.01, 0.3, 0.55, 0.6, 0.75, 0.95, 1.0])
def test_the_steps_that_run_are_those_of_diffusers(changing: DiffusersBackend, steps: int, strength: float) -> None:
    assert changing._loaded is not None
    pipeline = changing._loaded.pipeline
    pipeline.scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=1.0)
    timesteps, count = pipeline.get_timesteps(steps, strength, "cpu")
    assert make_setting(steps=steps, strength=strength).steps_to_run == count == len(timesteps) >= 1


def test_the_steps_that_ran_are_recorded(changing: DiffusersBackend, stored: tuple[InputImage, ...]) -> None:
    setting = make_setting(steps=4, strength=0.75)
    assert change(changing, stored[0], steps=4, strength=0.75).steps_run == setting.steps_to_run == 3


def test_more_strength_keeps_less_of_the_picture(changing: DiffusersBackend, stored: tuple[InputImage, ...]) -> None:
    little, more, nothing = (
        distance(*(change(changing, image, strength=strength, steps=8) for image in stored[:2]))
        for strength in (0.125, 0.5, 1.0)
    )
    assert little > more > nothing
    assert little > 5
    assert nothing < 1  # drawn from noise alone


@pytest.mark.parametrize("what", [{"seed": 1}, {"prompt": "a misty harbour at dawn"}, {"guidance": 1.0}])
def test_every_parameter_shows(
    changing: DiffusersBackend, varying: DiffusersBackend, stored: tuple[InputImage, ...], what: dict[str, Any]
) -> None:
    assert distance(change(changing, stored[0]), change(changing, stored[0], **what)) > 0.2
    assert distance(vary(varying, stored[0]), vary(varying, stored[0], **what)) > 0.2


@pytest.mark.parametrize("task", ["image-to-image", "redux"])
def test_image_k_is_that_of_seed_plus_k(
    task: str, changing: DiffusersBackend, varying: DiffusersBackend, stored: tuple[InputImage, ...]
) -> None:
    def draw(**changes: Any) -> Generation:
        return (
            change(changing, stored[0], **changes) if task == "image-to-image" else vary(varying, stored[0], **changes)
        )

    together = draw(num_images=4, seed=7)
    assert [image.seed for image in together.images] == [7, 8, 9, 10]
    assert len({image.content for image in together.images}) == 4
    for index in range(4):
        alone = draw(seed=7 + index)
        assert np.abs(pixels(together, index) - pixels(alone)).max() <= 2  # a batch adds in another order


def test_the_picture_has_the_size_of_the_setting_not_of_the_input(
    changing: DiffusersBackend, varying: DiffusersBackend, stored: tuple[InputImage, ...]
) -> None:
    assert pixels(change(changing, stored[0], width=192, height=64)).shape == (64, 192, 3)
    assert pixels(vary(varying, stored[0], width=192, height=64)).shape == (64, 192, 3)


def test_redux_draws_from_every_picture_and_without_words(
    varying: DiffusersBackend, stored: tuple[InputImage, ...]
) -> None:
    alone = [vary(varying, image, prompt="") for image in stored]
    assert distance(alone[0], alone[1]) > 0.2
    both = vary(varying, stored[0], stored[1], prompt="")
    assert all(distance(both, one) > 0.05 for one in alone[:2])
    assert distance(both, vary(varying, stored[1], stored[0], prompt="")) < 0.5  # a mean has no order
    assert pixels(vary(varying, *stored)).std() > 5


def test_one_picture_twice_is_no_louder_than_once(varying: DiffusersBackend, stored: tuple[InputImage, ...]) -> None:
    """The prior sums embeddings; with its own weights everything would be doubled."""
    once, twice = vary(varying, stored[0]), vary(varying, stored[0], stored[0])
    assert np.abs(pixels(once) - pixels(twice)).max() <= 2


def test_the_length_of_the_prompt_is_the_targets_not_the_priors(
    varying: DiffusersBackend, open_task: Open, stored: tuple[InputImage, ...]
) -> None:
    seen: list[int] = []
    assert varying._loaded is not None
    transformer = varying._loaded.pipeline.transformer
    handle = transformer.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["encoder_hidden_states"].shape[1]), with_kwargs=True
    )
    try:
        vary(varying, stored[0])
    finally:
        handle.remove()
    assert set(seen) == {128 + 4}, "128 tokens of words, and four patches of the picture"


@pytest.mark.parametrize("task", ["image-to-image", "redux"])
def test_a_cache_works_and_leaves_nothing_behind(
    task: str, changing: DiffusersBackend, varying: DiffusersBackend, stored: tuple[InputImage, ...]
) -> None:
    def draw(acceleration: str) -> Generation:
        if task == "image-to-image":
            return change(changing, stored[0], acceleration=acceleration, steps=8, strength=1.0)
        return vary(varying, stored[0], acceleration=acceleration, steps=8)

    plain = draw("none").images
    assert draw("exact").images == plain
    assert draw("high").images != plain
    assert draw("none").images == plain


def test_nothing_stays_wrapped_after_an_aborted_call(
    changing: DiffusersBackend, monkeypatch: pytest.MonkeyPatch, stored: tuple[InputImage, ...]
) -> None:
    before = change(changing, stored[0]).images
    assert changing._loaded is not None
    pipeline = changing._loaded.pipeline
    attributes = set(vars(pipeline)), set(vars(pipeline.vae))
    with monkeypatch.context() as patch:

        def break_off(*args: Any, **kwargs: Any) -> Any:
            raise ZeroDivisionError("made up")

        patch.setattr(pipeline.scheduler, "step", break_off)
        with pytest.raises(ZeroDivisionError):
            change(changing, stored[0])
    assert (set(vars(pipeline)), set(vars(pipeline.vae))) == attributes
    assert change(changing, stored[0]).images == before


def test_load_features_act_on_the_pipeline_that_is_called(
    open_task: Open, changing: DiffusersBackend, varying: DiffusersBackend, stored: tuple[InputImage, ...]
) -> None:
    features: dict[str, Any] = {"none": {"fuse_qkv": {}}}
    assert change(open_task("image-to-image", features), stored[0]).images == change(changing, stored[0]).images
    assert vary(open_task("redux", features), stored[0]).images == vary(varying, stored[0]).images


def test_parts_keep_their_dtype(open_task: Open, stored: tuple[InputImage, ...]) -> None:
    """`from_pipe` would have cast them to float32."""
    import torch

    for task, strength in (("image-to-image", 0.6), ("redux", None)):
        backend = open_task(task, dtype="bfloat16")
        assert backend._loaded is not None
        assert backend._loaded.pipeline.transformer.dtype == torch.bfloat16
        generation = generate(backend, stored[0], task=task, strength=strength)
        assert np.isfinite(pixels(generation)).all()
        assert pixels(generation).std() > 5


def test_random_weights_of_the_miniatures_geometry_draw_both_tasks(
    open_task: Open, stored: tuple[InputImage, ...]
) -> None:
    for task, strength in (("image-to-image", 0.6), ("redux", None)):
        backend = open_task(task, weights="random", geometry="mini")
        assert len(generate(backend, stored[0], task=task, strength=strength).images) == 1


def test_the_identity_names_both_models(varying: DiffusersBackend, changing: DiffusersBackend) -> None:
    redux = varying.identity["redux"]  # type: ignore[attr-defined]
    assert redux["model"] == "builtin:mini-untrained-redux"
    assert redux["weights_sha256"] == WEIGHTS_SHA256
    assert set(redux["parameters"]) == {"image_encoder", "image_embedder"}
    assert changing.identity["pipeline"] == "FluxImg2ImgPipeline"  # type: ignore[attr-defined]
    assert "redux" not in changing.identity  # type: ignore[attr-defined]


def test_a_redux_model_of_another_width_is_refused(
    mini_target: Callable[..., Any], tmp_path: Path, inputs: Path
) -> None:
    from diffusers import FluxPriorReduxPipeline
    from diffusers.pipelines.flux.modeling_flux import ReduxImageEncoder

    from kreabench.backends.mini import resolve_model

    prior = FluxPriorReduxPipeline.from_pretrained(resolve_model("builtin:mini-untrained-redux"), local_files_only=True)
    prior.register_modules(image_embedder=ReduxImageEncoder(redux_dim=24, txt_in_features=16))
    prior.save_pretrained(tmp_path)
    backend = DiffusersBackend()
    target = mini_target(task="redux", options={"redux_model": str(tmp_path)})
    with pytest.raises(GenerationError, match=r"16 wide; expected one for this pipeline: 32 wide") as caught:
        backend.open(target, [make_acceleration()], (), inputs=inputs)
    backend.close()
    assert caught.value.stage == "load"
