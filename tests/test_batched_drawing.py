"""Several requests in one call: each gets the picture of its own prompt and seed, as if it had been alone."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kreabench.backends.accelerations.features import FEATURES
from kreabench.backends.base import Generation
from kreabench.backends.batching import reject_batch
from kreabench.backends.call_parts import device_part, work_part
from kreabench.backends.local_diffusers import DiffusersBackend
from kreabench.core.planned import Request, Setting
from kreabench.core.records import DeviceState, Work
from tests.support import make_acceleration, make_request, make_setting, make_target
from tests.test_acceleration_effects import CACHES

PROMPTS = ("a red bicycle", "a green house beside a tree, at night", "two yellow cups", "a blue circle")
CLOSE_DB = 40.0
"""PSNR that other sums in another order leave far behind, and another seed or prompt never reaches."""


def requests_of(setting: Setting) -> list[Request]:
    return [
        make_request(setting, id=f"request-{number}", prompt=prompt, seed=10 * number)
        for number, prompt in enumerate(PROMPTS)
    ]


def pixels(generation: Generation, index: int = 0) -> np.ndarray:
    with Image.open(io.BytesIO(generation.images[index].content)) as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.float64)


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    error = float(((first - second) ** 2).mean())
    return 99.0 if error == 0 else 10 * np.log10(255**2 / error)


@pytest.fixture(scope="module")
def backend(open_mini: Callable[..., DiffusersBackend]) -> DiffusersBackend:
    opened: DiffusersBackend = open_mini({"none": {}, **{name: {name: values} for name, values in CACHES.items()}})
    return opened


def test_every_picture_of_a_batch_is_that_of_its_own_prompt_and_seed(backend: DiffusersBackend) -> None:
    setting = make_setting(steps=4)
    requests = requests_of(setting)
    alone = [backend.generate(setting, request) for request in requests]
    together = backend.generate_batch(setting, requests)
    for number, (one, many) in enumerate(zip(alone, together, strict=True)):
        assert [image.seed for image in many.images] == [requests[number].seed]
        found = [psnr(pixels(one), pixels(other)) for other in together]
        assert found[number] > CLOSE_DB
        assert max(found[:number] + found[number + 1 :]) < CLOSE_DB - 10, "this test could not tell pictures apart"
        assert many.timings == together[0].timings
        assert many.steps_run == one.steps_run


def test_several_pictures_a_request_stay_with_it(backend: DiffusersBackend) -> None:
    setting = make_setting(steps=2, num_images=2)
    requests = requests_of(setting)[:2]
    alone = [backend.generate(setting, request) for request in requests]
    together = backend.generate_batch(setting, requests)
    for one, many in zip(alone, together, strict=True):
        assert [image.seed for image in many.images] == [image.seed for image in one.images]
        assert min(psnr(pixels(one, index), pixels(many, index)) for index in range(2)) > CLOSE_DB


@pytest.mark.parametrize("name", CACHES)
def test_a_cache_may_share_a_call_only_if_what_it_skips_does_not_depend_on_the_others(
    backend: DiffusersBackend, name: str
) -> None:
    setting = make_setting(steps=8, acceleration=name)
    requests = requests_of(setting)
    alone = [backend.generate(setting, request) for request in requests]
    together = backend.generate_batch(setting, requests)
    close = min(psnr(pixels(one), pixels(many)) for one, many in zip(alone, together, strict=True)) > CLOSE_DB
    refused = reject_batch(make_target(backend="diffusers"), make_acceleration(features={name: {}}), 4)
    assert close or refused is not None
    assert (refused is not None) == FEATURES[name].couples


def test_energy_and_work_are_shared_out_and_the_share_of_the_floor_is_that_of_the_call() -> None:
    state = DeviceState(
        energy_j=100.0,
        sm_clock_mhz=1000.0,
        sm_clock_min_mhz=900.0,
        temperature_c=60.0,
        throttle_reasons=(),
        foreign_processes=0,
        readings=3,
    )
    part = device_part(state, 4)
    assert part is not None
    assert (part.energy_j, part.temperature_c) == (25.0, 60.0)
    assert device_part(None, 4) is None
    work = Work(reference_tflop=8.0, done_tflop=None, stages_tflop={"denoise": 4.0}, floor_s=2.0, share_of_floor=0.5)
    assert work_part(work, 4) == Work(
        reference_tflop=2.0, done_tflop=None, stages_tflop={"denoise": 1.0}, floor_s=0.5, share_of_floor=0.5
    )


def test_a_batch_takes_the_arithmetic_of_all_its_pictures(backend: DiffusersBackend) -> None:
    setting = make_setting(steps=2)
    requests = requests_of(setting)
    one, many = backend.generate(setting, requests[0]).work, backend.generate_batch(setting, requests)[0].work
    assert one is not None
    assert many is not None
    assert many.reference_tflop == pytest.approx(one.reference_tflop)
    assert many.done_tflop == pytest.approx(one.done_tflop)


@pytest.mark.parametrize(
    ("target", "features", "said"),
    [
        ({"backend": "diffusers"}, {}, None),
        ({"backend": "fake"}, {}, None),
        ({"backend": "diffusers"}, {"compile_regional": {}, "fp8_dynamic": {}}, None),
        ({"backend": "diffusers"}, {"first_block_cache": {}}, "first_block_cache"),
        ({"backend": "diffusers", "task": "redux"}, {}, "one redux request a call"),
        ({"backend": "diffusers", "task": "image-to-image"}, {}, "one image-to-image request a call"),
        ({"backend": "fal", "hosted": True}, {}, "hosted"),
    ],
)
def test_what_cannot_be_drawn_together_is_refused(target: dict[str, Any], features: dict[str, Any], said: str) -> None:
    acceleration = make_acceleration(features=features)
    reason = reject_batch(make_target(**target), acceleration, 2)
    assert reason is None if said is None else said in str(reason)
    assert reject_batch(make_target(**target), acceleration, 1) is None
