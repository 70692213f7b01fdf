"""The fake back end keeps its promises: other tests stand on them."""

from __future__ import annotations

import io
import resource
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops

from kreabench.backends.fake import FAULTS, FakeBackend
from kreabench.backends.table import BACKENDS, backend_class
from kreabench.core.errors import GenerationError
from kreabench.core.planned import Request, Setting
from tests.support import make_acceleration, make_request, make_setting, make_target


def opened(**options: Any) -> FakeBackend:
    backend = FakeBackend()
    backend.open(make_target(options=options), [make_acceleration()], [])
    return backend


def contents(setting: Setting, request: Request) -> list[bytes]:
    return [image.content for image in opened().generate(setting, request).images]


def test_it_is_in_the_table() -> None:
    assert backend_class("fake") is FakeBackend
    assert not BACKENDS["fake"].hosted


def test_equal_requests_give_equal_files_and_others_do_not() -> None:
    setting = make_setting()
    first = contents(setting, make_request(setting))
    assert contents(setting, make_request(setting)) == first
    assert contents(setting, make_request(setting, seed=1)) != first
    assert contents(setting, make_request(setting, prompt="something else")) != first
    assert contents(make_setting(steps=5), make_request(setting)) != first


def test_memory_is_that_of_the_call() -> None:
    """Linux keeps the highest of a process over its start as another program: what its parent held is none of it."""
    held = b"x" * 400_000_000
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert highest > len(held)
    del held
    setting = make_setting()
    memory = opened().generate(setting, make_request(setting)).memory
    assert memory is not None
    assert memory.peak_rss_bytes is None or memory.peak_rss_bytes < highest - 300_000_000


def test_pictures_have_the_size_count_and_format_asked_for() -> None:
    setting = make_setting(width=96, height=64, num_images=3, output_format="jpeg")
    generation = opened().generate(setting, make_request(setting, seed=7))
    assert [image.seed for image in generation.images] == [7, 8, 9]
    assert len({image.content for image in generation.images}) == 3
    for image in generation.images:
        with Image.open(io.BytesIO(image.content)) as opened_image:
            assert (opened_image.size, opened_image.format) == ((96, 64), "JPEG")


def test_more_steps_come_nearer_to_the_many_step_picture() -> None:
    def distance(steps: int) -> float:
        pictures = []
        for setting in (make_setting(steps=steps), make_setting(steps=50)):
            (content,) = contents(setting, make_request(make_setting()))
            pictures.append(Image.open(io.BytesIO(content)))
        histogram = ImageChops.difference(*pictures).convert("L").histogram()
        return sum(value * count for value, count in enumerate(histogram))

    assert distance(2) > distance(8) > distance(30)


def test_timings_add_up() -> None:
    setting = make_setting(steps=3)
    timings = opened(latency_s=0.01).generate(setting, make_request(setting)).timings
    assert len(timings.steps_s) == 3
    assert list(timings.stages_s) == ["text_encode", "denoise", "decode"]
    assert sum(timings.steps_s) == pytest.approx(timings.stages_s["denoise"])
    assert timings.end_to_end_s == pytest.approx(sum(timings.stages_s.values()) + timings.residual_s)
    assert timings.end_to_end_s >= 0.01


def test_a_counted_fault_goes_off_so_often_whoever_asks(tmp_path: Path) -> None:
    setting = make_setting()
    fault = {"kind": "error", "times": 2}
    outcomes = []
    for _ in range(4):
        backend = opened(faults=[fault], state_dir=str(tmp_path))
        try:
            backend.generate(setting, make_request(setting))
            outcomes.append("ok")
        except GenerationError as error:
            outcomes.append(error.type)
    assert outcomes == ["server_error", "server_error", "ok", "ok"]


def test_a_fault_can_name_a_setting() -> None:
    backend = opened(faults=[{"kind": "error", "setting_contains": " 8 steps"}])
    backend.generate(make_setting(steps=28), make_request())
    with pytest.raises(GenerationError, match="as asked"):
        backend.generate(make_setting(steps=8), make_request())


@pytest.mark.parametrize(
    ("fault", "key", "expected"),
    [
        ({}, "kind", "crash"),
        ({"kind": "crahs"}, "kind", "did you mean crash?"),
        ({"kind": "crash", "prompt": "x"}, "prompt", "prompt_contains"),
        ({"kind": "crash", "prompt_contains": 3}, "prompt_contains", "text"),
        ({"kind": "error", "type": "serverError"}, "type", "did you mean server_error?"),
        ({"kind": "crash", "times": 0}, "times", "at least 1"),
        ({"kind": "crash", "times": 1}, "times", "state_dir"),
        ({"kind": "load_crash", "prompt_contains": "x"}, "prompt_contains", "loading"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_fault_is_said(fault: dict[str, Any], key: str, expected: str) -> None:
    target = make_target(options={"faults": [{"kind": "hang"}, fault]})
    (problem,) = FakeBackend.check(target, [])
    assert problem.key == f"target.mini_fake.options.faults[1].{key}"
    assert expected in problem.expected
    with pytest.raises(GenerationError, match=key):
        FakeBackend().open(target, [], [])


def test_every_fault_can_be_asked_for(tmp_path: Path) -> None:
    faults = [{"kind": kind, "times": 1} for kind in FAULTS]
    assert FakeBackend.check(make_target(options={"faults": faults, "state_dir": str(tmp_path)}), []) == ()


def test_a_missing_state_dir_is_said(tmp_path: Path) -> None:
    (problem,) = FakeBackend.check(make_target(options={"state_dir": str(tmp_path / "none")}), [])
    assert problem.key == "target.mini_fake.options.state_dir"
