"""The emulator's pipeline mode also changes and varies pictures."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kreabench.backends.options import FalEmulatorOptions
from kreabench.core.errors import GenerationError
from kreabench.emulator.order import Order
from kreabench.emulator.pipeline_painter import PipelinePainter
from tests.support import encode_image, picture


@pytest.fixture(scope="module")
def painter(mini_model: Path) -> Iterator[PipelinePainter]:
    painter = PipelinePainter(FalEmulatorOptions())
    painter.open()
    yield painter
    painter.close()


def _order(**changes: Any) -> Order:
    values: dict[str, Any] = {
        "prompt": "a red bicycle",
        "seed": 1,
        "steps": 4,
        "guidance": 4.5,
        "width": 64,
        "height": 64,
        "num_images": 1,
        "output_format": "png",
        "acceleration": "none",
    }
    return Order(**(values | changes))


@pytest.mark.parametrize(("task", "strength"), [("image-to-image", 0.5), ("redux", None)])
def test_input_pictures_show_in_the_result(painter: PipelinePainter, task: Any, strength: float | None) -> None:
    first, second = (encode_image(picture(64, 64, seed=seed)) for seed in (1, 2))
    orders = [_order(task=task, strength=strength, inputs=(content,)) for content in (first, second, first)]
    drawn = [painter.paint(order)[0] for order in orders]
    assert drawn[0] == drawn[2] != drawn[1]
    with Image.open(io.BytesIO(drawn[0])) as image:
        assert image.size == (64, 64)


def test_a_picture_that_cannot_be_used_is_a_failed_job(painter: PipelinePainter) -> None:
    tiny = encode_image(picture(4, 4))
    with pytest.raises(GenerationError, match="expected"):
        painter.paint(_order(task="redux", inputs=(tiny,)))
