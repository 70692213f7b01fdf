"""The local back end on a GPU: times are the device's own, memory is counted, and a full device is a typed failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kreabench.backends.local_diffusers import DiffusersBackend
from kreabench.backends.staging import STAGES
from kreabench.core.errors import GenerationError
from tests.support import make_acceleration, make_request, make_setting

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def backend(mini_target: Callable[..., Any]) -> Iterator[DiffusersBackend]:
    opened = DiffusersBackend()
    identity = opened.open(mini_target(options={"device": "cuda", "dtype": "bfloat16"}), [make_acceleration()], ())
    assert identity["device"] == "cuda:0"
    yield opened
    opened.close()


def test_a_call_is_timed_and_weighed_on_the_device(backend: DiffusersBackend) -> None:
    setting = make_setting(steps=8, width=512, height=512)
    first, second = (backend.generate(setting, make_request(setting)) for _ in range(2))
    timings, memory = second.timings, second.memory
    assert first.images[0].content == second.images[0].content
    assert tuple(timings.stages_s) == tuple(stage for stage in STAGES if stage != "encode_image")
    assert sum(timings.stages_s.values()) + timings.residual_s == pytest.approx(timings.end_to_end_s)
    assert len(timings.steps_s) == 8
    assert all(seconds > 0 for seconds in timings.steps_s)
    assert sum(timings.steps_s) <= timings.stages_s["denoise"]
    assert memory is not None
    assert memory.peak_allocated_bytes is not None
    assert memory.peak_reserved_bytes is not None
    assert 0 < memory.peak_allocated_bytes <= memory.peak_reserved_bytes


def test_a_full_device_is_a_typed_failure(backend: DiffusersBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    assert backend._loaded is not None

    def ask_for_too_much(*_: Any, **__: Any) -> Any:
        return torch.empty(2**50, dtype=torch.uint8, device="cuda")

    monkeypatch.setattr(backend._loaded.pipeline.vae.decoder, "forward", ask_for_too_much)
    setting = make_setting()
    with pytest.raises(GenerationError, match="out of memory") as caught:
        backend.generate(setting, make_request(setting))
    assert (caught.value.type, caught.value.stage) == ("out_of_memory", "decode")
