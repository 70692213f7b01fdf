"""Floors: the longer of arithmetic and reading, at the rate of the format that is used; too fast is a flag."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kreabench.backends.floor import Formats, Model, models_of, too_fast, work_of
from kreabench.backends.flux_geometry import FLUX
from kreabench.backends.work import BlockRuns, Shape
from kreabench.core.records import Calibration
from tests.support import make_timings

H200 = Calibration(
    tflop_s={"bfloat16": 790.0, "float8": 1500.0, "int8": 1500.0}, copy_gb_s=4000.0, cache_bytes=50 * 2**20, seconds=0.4
)
"""Round numbers of facts/measuring.md, not a measurement."""
SHAPE = Shape(width=1024, height=1024, num_images=1, steps=28, prompt_tokens=512, context_tokens=512)
HALF = BlockRuns(double=28 * 10, single=28 * 19, double_attentions=28 * 10, single_attentions=28 * 19)
PARAMETERS = {
    "transformer": 11_901_408_320,
    "text_encoder_2": 4_762_310_656,
    "text_encoder": 123_060_480,
    "vae": 83_819_683,
}


def models(**changes: int) -> dict[str, Model]:
    configs = {**FLUX, "vae": {**FLUX["vae"], "in_channels": 3, "out_channels": 3}}
    return {
        name: Model(config=configs[name], weight_bytes=changes.get(name, 2 * count))
        for name, count in PARAMETERS.items()
    }


def work(features: dict[str, Any] | None = None, blocks: BlockRuns | None = None, **changes: Any) -> Any:
    arguments: dict[str, Any] = {
        "timings": make_timings(end_to_end_s=4.32, stages_s={"encode_text": 0.05, "denoise": 4.2, "decode": 0.06}),
        "calibration": H200,
        "shape": SHAPE,
        "models": models(),
    } | changes
    return work_of(dtype="bfloat16", features=features or {}, blocks=blocks, **arguments)


def test_the_published_floor_of_an_image() -> None:
    """facts/measuring.md: 28 steps are 2,083 TFLOP, 2.64 s at 790 TFLOP/s; 4.32 s are 61 % of the floor."""
    found, flags = work()
    assert found.stages_tflop["denoise"] == pytest.approx(2083, rel=0.005)
    assert found.floor_s == pytest.approx(2.64 + 0.02, abs=0.02)
    assert found.share_of_floor == pytest.approx(0.61, abs=0.01)
    assert found.done_tflop == found.reference_tflop
    assert flags == ()


def test_quantised_products_have_a_lower_floor() -> None:
    """1.64 s with fp8 linears at 1,500, attention in bf16."""
    plain, _ = work()
    quantised, _ = work({"fp8_dynamic": {"scale": "row"}})
    stored, _ = work({"fp8_weight_only": {}})
    assert quantised.floor_s == pytest.approx(1.64 + 0.02, abs=0.02)
    assert stored.floor_s == plain.floor_s
    assert quantised.reference_tflop == plain.reference_tflop
    assert Formats.of("bfloat16", {"attention": {"backend": "sage"}}) == Formats(linear="bfloat16", attention="int8")


def test_a_cache_is_credited_with_what_it_did_not_what_it_left_out() -> None:
    plain, _ = work()
    half, _ = work({"first_block_cache": {"threshold": 0.1}}, HALF)
    assert half.reference_tflop == plain.reference_tflop
    assert half.done_tflop == pytest.approx(0.5 * plain.done_tflop, rel=0.05)
    assert half.floor_s is not None
    assert half.floor_s < 0.55 * plain.floor_s


def test_work_that_nobody_counted_is_absent() -> None:
    found, flags = work({"first_block_cache": {}}, None)
    assert (found.done_tflop, found.floor_s, found.share_of_floor) == (None, None, None)
    assert set(found.stages_tflop) == {"encode_text", "decode"}
    assert flags == ()


def test_without_a_rate_there_is_no_floor() -> None:
    assert work(calibration=None)[0].floor_s is None
    assert work({"nunchaku": {}})[0].floor_s is None
    assert work({"int8_dynamic": {}}, calibration=replace(H200, tflop_s={"bfloat16": 790.0}))[0].floor_s is None


def test_a_small_picture_is_limited_by_reading_the_weights() -> None:
    small = Shape(width=64, height=64, num_images=1, steps=1, prompt_tokens=16, context_tokens=16)
    found, _ = work(shape=small)
    weights_s = 2 * sum(PARAMETERS.values()) / 4e12
    assert found.floor_s == pytest.approx(weights_s, rel=0.05)
    unknown, _ = work(shape=small, calibration=replace(H200, cache_bytes=None))
    assert unknown.floor_s is not None
    assert unknown.floor_s < 0.2 * weights_s  # what might have stayed in a cache is not counted


def test_a_stage_faster_than_its_floor_is_flagged() -> None:
    """A call that does not wait for the device reports the queueing: 45 ms for a step of 94."""
    queued = make_timings(end_to_end_s=1.4, stages_s={"encode_text": 0.05, "denoise": 1.26, "decode": 0.06})
    _, flags = work(timings=queued)
    assert len(flags) == 1
    assert flags[0].startswith("denoise took 1.26 s, less than its floor of 2.6")
    assert too_fast({"denoise": 1.0}, {"denoise": 0.97}) == ()
    assert too_fast({"denoise": 1.0}, {}) == ()


def test_weights_of_a_model_are_never_overstated() -> None:
    import torch
    from torch import nn

    layer: Any = nn.Linear(100, 100, bias=False)
    layer.config = {"sizes": 1}
    assert models_of({"layer": layer, "tokenizer": object()})["layer"].weight_bytes == 40_000

    class Packed(torch.Tensor):
        """As a quantised weight is: a subclass that looks like the dtype it stands for."""

    layer.weight = nn.Parameter(layer.weight.detach().as_subclass(Packed), requires_grad=False)
    assert models_of({"layer": layer})["layer"].weight_bytes <= 40_000
