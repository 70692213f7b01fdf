"""The emulator's pipeline mode serves the pictures of the local back end, byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kreabench.backends.fal import FalBackend
from kreabench.core.specs import ServiceSpec
from kreabench.execution.services import start_service
from tests.fal_support import draw, emulated_target, levels, point_client_at
from tests.support import make_request, make_setting


def test_hosted_pictures_are_those_of_the_local_back_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mini_backend: Any
) -> None:
    options = {
        "model": "builtin:mini-untrained",
        "pipeline": {"device": "cpu", "dtype": "float32", "max_sequence_length": 128, "torch_threads": 1},
        "accelerations": {"none": {}, "regular": {}, "high": {"first_block_cache": {"threshold": 0.3}}},
    }
    hosted: dict[str, list[bytes]] = {}
    settings = [make_setting(acceleration=name, steps=8, num_images=2) for name in ("none", "high")]
    with start_service(ServiceSpec(kind="fal-emulator", options=options), tmp_path / "service.log") as environment:
        point_client_at(environment, monkeypatch)
        backend = FalBackend()
        backend.open(emulated_target(), levels("none", "high"), settings, concurrency=1)
        for setting in settings:
            images = draw(backend, setting, make_request(setting, seed=5)).images
            hosted[setting.acceleration] = [image.content for image in images]
        backend.close()
    for setting in settings:
        local = mini_backend.generate(setting, make_request(setting, seed=5)).images
        assert [image.content for image in local] == hosted[setting.acceleration]
    assert hosted["none"] != hosted["high"]
