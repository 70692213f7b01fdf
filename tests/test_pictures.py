"""A stored picture is what its record says, or there is a reason why not."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kreabench.core.errors import RunDirectoryError
from kreabench.core.records import ImageRecord
from kreabench.rundir.pictures import read_picture
from tests.support import encode_image, make_image_record, picture


def store(run_path: Path, content: bytes, name: str = "images/a.png") -> ImageRecord:
    path = run_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return make_image_record(path=name, sha256=hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("options", [{"format": "PNG"}, {"format": "WEBP", "lossless": True}])
def test_pixels_come_back_as_they_were(tmp_path: Path, options: dict[str, str]) -> None:
    record = store(tmp_path, encode_image(picture(seed=3), **options))

    found = read_picture(tmp_path, record)

    assert found.mode == "RGB"
    assert np.array_equal(np.asarray(found), np.asarray(picture(seed=3)))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA"])
def test_other_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    image = picture().convert(mode)

    found = read_picture(tmp_path, store(tmp_path, encode_image(image)))

    assert np.array_equal(np.asarray(found), np.asarray(image.convert("RGB")))


def test_sixteen_bits_are_refused_and_not_clipped(tmp_path: Path) -> None:
    deep = Image.fromarray(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64))

    with pytest.raises(RunDirectoryError, match="8 bits"):
        read_picture(tmp_path, store(tmp_path, encode_image(deep)))


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    record = store(tmp_path, encode_image(picture()))
    (tmp_path / record.path).unlink()

    with pytest.raises(RunDirectoryError, match=r"images/a\.png is gone"):
        read_picture(tmp_path, record)


def test_a_file_that_was_changed(tmp_path: Path) -> None:
    record = store(tmp_path, encode_image(picture(seed=1)))
    (tmp_path / record.path).write_bytes(encode_image(picture(seed=2)))

    with pytest.raises(RunDirectoryError, match=r"changed.*expected SHA-256.*found"):
        read_picture(tmp_path, record)


@pytest.mark.parametrize(
    "content", [b"", b"not a picture", encode_image(picture())[:2000], encode_image(picture(), "GIF")]
)
def test_a_file_that_is_no_whole_picture(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(RunDirectoryError, match="cannot decode images/a"):
        read_picture(tmp_path, store(tmp_path, content))


@pytest.mark.parametrize("path", ["../secret.png", "images/../../secret.png", "/etc/hostname"])
def test_a_path_that_leads_out_of_the_run_is_not_followed(tmp_path: Path, path: str) -> None:
    """A run directory may come from somebody else."""
    run_path = tmp_path / "run"
    record = store(run_path, encode_image(picture()))
    (tmp_path / "secret.png").write_bytes(encode_image(picture()))

    with pytest.raises(RunDirectoryError, match="not inside"):
        read_picture(run_path, replace(record, path=path))
