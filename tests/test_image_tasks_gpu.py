"""image-to-image and redux on a GPU: the same code path, timed by the device, with parts where they belong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kreabench.backends.input_images import describe_input
from kreabench.backends.local_diffusers import DiffusersBackend
from kreabench.backends.staging import STAGES
from tests.support import encode_image, make_acceleration, make_request, make_setting, picture

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize(("task", "strength"), [("image-to-image", 0.6), ("redux", None)])
@pytest.mark.parametrize("weights", ["pretrained", "random"])
def test_a_call_draws_four_pictures_and_sums_up(
    mini_target: Callable[..., Any], tmp_path: Path, task: str, strength: float | None, weights: str
) -> None:
    content = encode_image(picture(300, 200))
    image = describe_input("a.png", content)
    (tmp_path / image.file_name).write_bytes(content)
    options: dict[str, Any] = {"device": "cuda", "dtype": "bfloat16", "weights": weights}
    options |= {"geometry": "mini"} if weights == "random" else {}
    options |= {"redux_model": "builtin:mini-untrained-redux"} if task == "redux" and weights == "pretrained" else {}
    backend = DiffusersBackend()
    try:
        identity = backend.open(mini_target(task=task, options=options), [make_acceleration()], (), inputs=tmp_path)
        setting = make_setting(task=task, strength=strength, steps=8, num_images=4)
        request = make_request(setting, images=(image,))
        first, second = (backend.generate(setting, request) for _ in range(2))
    finally:
        backend.close()
    assert identity["device"] == "cuda:0"
    assert [image.content for image in first.images] == [image.content for image in second.images]
    assert len({image.content for image in second.images}) == 4
    timings = second.timings
    assert tuple(timings.stages_s) == STAGES
    assert sum(timings.stages_s.values()) + timings.residual_s == pytest.approx(timings.end_to_end_s)
    assert second.steps_run == setting.steps_to_run


def test_redux_leaves_offloaded_text_encoders_where_they_are(mini_target: Callable[..., Any], tmp_path: Path) -> None:
    content = encode_image(picture())
    image = describe_input("a.png", content)
    (tmp_path / image.file_name).write_bytes(content)
    target = mini_target(
        task="redux", options={"device": "cuda", "dtype": "bfloat16", "redux_model": "builtin:mini-untrained-redux"}
    )
    backend = DiffusersBackend()
    try:
        backend.open(target, [make_acceleration(features={"offload_model": {}})], (), inputs=tmp_path)
        setting = make_setting(task="redux")
        generations = [backend.generate(setting, make_request(setting, images=(image,))) for _ in range(2)]
    finally:
        backend.close()
    assert generations[0].images == generations[1].images
