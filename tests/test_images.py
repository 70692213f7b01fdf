"""Only whole pictures of the size asked for are stored, under safe names, byte for byte."""

from __future__ import annotations

import hashlib
import os
import re
import struct
import tempfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kreabench.backends.base import GeneratedImage
from kreabench.core.errors import GenerationError
from kreabench.core.planned import Setting
from kreabench.core.records import FAILURE_TYPES, ImageRecord
from kreabench.rundir import files
from kreabench.rundir.images import store_image
from tests.support import encode_image, make_request, make_setting, picture

PNG, JPEG, WEBP = (encode_image(picture(), name) for name in ("PNG", "JPEG", "WEBP"))


def store(path: Path, content: bytes, setting: Setting | None = None, **request: object) -> ImageRecord:
    setting = setting or make_setting()
    return store_image(
        path, setting, make_request(setting, **request), 0, GeneratedImage(content=content, seed=7, nsfw=None)
    )


def refusal(path: Path, content: bytes, setting: Setting | None = None) -> GenerationError:
    with pytest.raises(GenerationError) as caught:
        store(path, content, setting)
    assert caught.value.stage == "store"
    assert caught.value.type in FAILURE_TYPES
    assert caught.value.remedy
    assert not [entry for entry in path.rglob("*") if entry.is_file()], "nothing of it is kept"
    return caught.value


@pytest.mark.parametrize(
    ("content", "format_", "suffix"), [(PNG, "png", "png"), (JPEG, "jpeg", "jpg"), (WEBP, "webp", "webp")]
)
def test_a_picture_is_kept_byte_for_byte(tmp_path: Path, content: bytes, format_: str, suffix: str) -> None:
    setting = make_setting()
    request = make_request(setting, prompt_id="Ein Fuchs!", seed=12, repeat=3)
    record = store_image(tmp_path, setting, request, 1, GeneratedImage(content=content, seed=None, nsfw=True))
    assert record == ImageRecord(
        index=1,
        path=f"images/mini-fake-none-4steps-128x128-{setting.id[:8]}/ein-fuchs-s12-r3-{request.id[:8]}-1.{suffix}",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        width=128,
        height=128,
        format=format_,
        seed=None,
        nsfw=True,
        degenerate=None,
    )
    assert (tmp_path / record.path).read_bytes() == content
    assert [entry.name for entry in (tmp_path / record.path).parent.iterdir()] == [Path(record.path).name]


def test_the_folder_of_a_setting_without_steps(tmp_path: Path) -> None:
    setting = make_setting(steps=None, guidance=None)
    content = encode_image(picture())
    image = GeneratedImage(content=content, seed=1, nsfw=None)
    record = store_image(tmp_path, setting, make_request(setting), 0, image)
    assert record.path.startswith(f"images/mini-fake-none-128x128-{setting.id[:8]}/")


def test_what_a_crash_left_under_the_name_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / store(tmp_path, PNG).path
    path.write_bytes(b"half a pict")
    path.with_name(f".{path.name}.part").write_bytes(b"x" * 100_000)
    record = store(tmp_path, PNG)
    assert (tmp_path / record.path).read_bytes() == PNG
    assert list(path.parent.iterdir()) == [path]


@given(prompt_id=st.text(min_size=1), target=st.text(min_size=1), acceleration=st.text(min_size=1))
@settings(deadline=None, max_examples=50)
def test_no_name_from_outside_leaves_the_images_folder(prompt_id: str, target: str, acceleration: str) -> None:
    setting = make_setting(target=target, acceleration=acceleration, id="0123456789abcdef", load_key="x")
    with tempfile.TemporaryDirectory() as folder:
        record = store(Path(folder), PNG, setting, prompt_id=prompt_id, id="fedcba9876543210")
        assert re.fullmatch(r"images/[a-z0-9-]+/[a-z0-9-]+\.png", record.path)
        assert len(Path(record.path).name) < 120
        assert (Path(folder) / record.path).is_file()


@pytest.mark.parametrize(
    "prompt_id", ["../../etc/passwd", "/absolute", "..", "a\x00b", "日本語", "x" * 5000, "con.png\n"]
)
def test_hostile_prompt_ids_become_plain_names(tmp_path: Path, prompt_id: str) -> None:
    record = store(tmp_path, PNG, prompt_id=prompt_id)
    assert record.path.count("/") == 2
    assert ".." not in record.path
    assert (tmp_path / record.path).is_file()


@pytest.mark.parametrize("content", [b"", b"not a picture", b"<html>502</html>", PNG[:8], PNG[:40], b"\x00" * 5000])
def test_what_is_no_picture(tmp_path: Path, content: bytes) -> None:
    error = refusal(tmp_path, content)
    assert error.type == "bad_image"
    assert f"found {len(content)} bytes" in error.message
    assert " at 0x" not in error.message, "equal failures must read alike, to be counted together"
    assert not error.transient


@pytest.mark.parametrize("name", ["GIF", "BMP", "TIFF", "PPM", "ICO"])
def test_other_formats_are_refused(tmp_path: Path, name: str) -> None:
    assert refusal(tmp_path, encode_image(picture(), name)).type == "bad_image"


@pytest.mark.parametrize("content", [PNG, JPEG, WEBP], ids=["png", "jpeg", "webp"])
@pytest.mark.parametrize("missing", [1, 2, 4, 12, 13, 100, 1000])
def test_a_cut_download_is_no_whole_picture(tmp_path: Path, content: bytes, missing: int) -> None:
    assert refusal(tmp_path, content[:-missing]).type == "bad_image"


@given(
    content=st.sampled_from([PNG, JPEG, WEBP]), position=st.integers(0, 4000), junk=st.binary(min_size=1, max_size=40)
)
@settings(deadline=None)
def test_damage_is_refused_or_harmless_but_never_an_unknown_error(content: bytes, position: int, junk: bytes) -> None:
    damaged = content[:position] + junk + content[position + len(junk) :]
    with tempfile.TemporaryDirectory() as folder:
        outcome: ImageRecord | GenerationError
        try:
            outcome = store(Path(folder), damaged)
        except GenerationError as error:
            outcome = error
        if isinstance(outcome, GenerationError):
            assert outcome.type in ("bad_image", "wrong_size")
        else:
            assert (Path(folder) / outcome.path).read_bytes() == damaged


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header promises width × height pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_a_decompression_bomb_is_not_decoded(tmp_path: Path) -> None:
    moderate, huge = bomb(10_000, 10_000), bomb(100_000, 100_000)
    assert "DecompressionBombWarning" in refusal(tmp_path, moderate).message
    assert "DecompressionBombError" in refusal(tmp_path, huge).message
    asked_for_it = make_setting(width=10_000, height=10_000)
    assert refusal(tmp_path, moderate, asked_for_it).type == "bad_image"


@pytest.mark.parametrize("size", [(64, 64), (128, 64), (256, 256), (127, 128)])
def test_another_size_than_asked(tmp_path: Path, size: tuple[int, int]) -> None:
    error = refusal(tmp_path, encode_image(picture(*size)))
    assert error.type == "wrong_size"
    assert error.message == f"expected a picture of 128×128 pixels, found {size[0]}×{size[1]}"


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP"])
def test_a_black_picture_is_stored_and_flagged(tmp_path: Path, name: str) -> None:
    assert store(tmp_path, encode_image(Image.new("RGB", (128, 128)), name)).degenerate == "black"


@pytest.mark.parametrize("name", ["PNG", "JPEG"])
@pytest.mark.parametrize("colour", [(255, 255, 255), (9, 8, 7), (0, 0, 255)])
def test_a_constant_picture_is_stored_and_flagged(tmp_path: Path, name: str, colour: tuple[int, int, int]) -> None:
    assert store(tmp_path, encode_image(Image.new("RGB", (128, 128), colour), name)).degenerate == "constant"


@pytest.mark.parametrize(
    ("image", "flag"),
    [
        (picture().convert("RGBA"), None),
        (picture().convert("L"), None),
        (picture().convert("P"), None),
        (Image.new("RGBA", (128, 128), (0, 0, 0, 255)), "black"),
        (Image.new("L", (128, 128), 0), "black"),
        (Image.new("P", (128, 128), 0), "black"),
        (Image.new("1", (128, 128), 1), "constant"),
    ],
)
def test_every_kind_of_png_is_understood(tmp_path: Path, image: Image.Image, flag: str | None) -> None:
    assert store(tmp_path, encode_image(image)).degenerate == flag


def test_one_bright_pixel_is_not_constant(tmp_path: Path) -> None:
    image = Image.new("RGB", (128, 128))
    image.putpixel((5, 5), (0, 0, 2))
    assert store(tmp_path, encode_image(image)).degenerate is None


def test_bytes_behind_the_picture_are_kept(tmp_path: Path) -> None:
    content = PNG + b"trailing"
    record = store(tmp_path, content)
    assert (tmp_path / record.path).read_bytes() == content


def test_a_refused_write_is_a_storage_failure_and_may_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, content: bytes) -> int:
        os.write(descriptor, content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_all", full)
    error = refusal(tmp_path, PNG)
    assert error.type == "storage"
    assert error.transient
    assert "No space left on device" in error.message
    assert "Free space" in error.remedy


def test_a_file_in_place_of_the_images_folder(tmp_path: Path) -> None:
    (tmp_path / "images").write_text("")
    with pytest.raises(GenerationError) as caught:
        store(tmp_path, PNG)
    assert caught.value.type == "storage"
