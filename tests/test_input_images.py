"""Input pictures come from outside: each becomes one defined RGB picture, or is refused by file and line."""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kreabench.backends.input_images import (
    MAX_BYTES,
    BadInputImage,
    describe_input,
    fit_to_size,
    read_input,
)
from kreabench.config.compose import conf_dir
from kreabench.config.model import PromptsConfig
from kreabench.config.prompt_rows import MAX_IMAGES_PER_PROMPT
from kreabench.config.prompts import PromptSet, load_prompt_set
from kreabench.core.errors import ConfigError, GenerationError, RunDirectoryError
from kreabench.core.specs import InputImage, Prompt
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.inputs import INPUTS_FOLDER, store_inputs
from tests.support import ROOT, encode_image, make_experiment, make_run, picture

RED = (200, 30, 20)


def plain(mode: str = "RGB", size: tuple[int, int] = (40, 24)) -> Image.Image:
    return Image.new("RGB", size, RED).convert(mode)


def prompts(folder: Path, content: str, name: str = "set.jsonl", **options: Any) -> PromptSet:
    (folder / name).write_text(content, encoding="utf-8")
    return load_prompt_set(PromptsConfig(file=name, **options), [folder])


def normalised(tmp_path: Path, content: bytes) -> tuple[Image.Image, InputImage]:
    """As a back end reads it from a run directory."""
    described = describe_input("a picture", content)
    (tmp_path / described.file_name).write_bytes(content)
    return read_input(tmp_path, described), described


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be huge."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"\0" * 100)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    ("content", "notes"),
    [
        (encode_image(plain()), ()),
        (encode_image(plain(), "WEBP", lossless=True), ()),
        (encode_image(plain().quantize(4)), ("P converted to RGB",)),
        (encode_image(plain("CMYK"), "JPEG", quality=100), ("CMYK converted to RGB",)),
        (encode_image(plain("RGBA")), ("transparency laid on white",)),
    ],
    ids=["png", "webp", "palette", "cmyk", "opaque alpha"],
)
def test_every_form_of_one_colour_is_that_colour(tmp_path: Path, content: bytes, notes: tuple[str, ...]) -> None:
    read, described = normalised(tmp_path, content)
    assert (read.mode, read.size) == ("RGB", (40, 24))
    assert np.abs(np.asarray(read, dtype=int) - RED).max() <= 3
    assert described.notes == notes


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    half = plain("RGBA")
    half.putalpha(0)
    read, _ = normalised(tmp_path, encode_image(half))
    assert read.getpixel((3, 3)) == (255, 255, 255)


def test_sixteen_bit_grey_keeps_its_high_bits(tmp_path: Path) -> None:
    values = np.arange(32 * 32, dtype=np.uint16).reshape(32, 32) * 64
    read, described = normalised(tmp_path, encode_image(Image.fromarray(values)))
    assert np.array_equal(np.asarray(read)[:, :, 1], values >> 8)
    assert described.notes == ("16 bits cut to 8", "grey converted to RGB")


def test_an_exif_orientation_turns_the_picture(tmp_path: Path) -> None:
    upright = picture(64, 32)
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by 90° clockwise to show"
    stored = upright.transpose(Image.Transpose.ROTATE_90)
    read, described = normalised(tmp_path, encode_image(stored, "JPEG", exif=exif, quality=100, subsampling=0))
    assert read.size == (described.width, described.height) == (64, 32)
    assert described.notes == ("turned upright",)
    assert np.abs(np.asarray(read, dtype=int) - np.asarray(upright, dtype=int)).mean() < 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no picture"),
        (b"no picture at all", "a whole PNG, JPEG or WebP picture"),
        (encode_image(picture())[:2000], "truncated"),
        (encode_image(picture())[:-12], "truncated"),
        (encode_image(picture(), "JPEG")[:-200], "truncated"),
        (encode_image(picture(), "WEBP")[:-20], "no picture, or a cut one"),
        (encode_image(picture(), "GIF"), "no picture"),
        (encode_image(picture(), "TIFF"), "no picture"),
        (bomb(30_000, 30_000), "decompression bomb"),
        (bomb(10_000, 6_000), "10000×6000 pixels; expected at most 50,000,000"),
        (bomb(64, 64), "damaged or truncated"),
        (encode_image(picture(200, 8)), "sides of at least 16 pixels"),
        (encode_image(picture(), save_all=True, append_images=[picture(seed=1)]), "an animation"),
        (b"\0" * (MAX_BYTES + 1), "at most 67,108,864 bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_input_picture_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(BadInputImage) as caught:
        describe_input("x", content)
    assert words in str(caught.value)


def test_fitting_cuts_evenly_and_distorts_nothing() -> None:
    stripes = Image.new("RGB", (300, 100), (0, 0, 0))
    stripes.paste((255, 255, 255), (100, 0, 200, 100))
    assert np.asarray(fit_to_size(stripes, 100, 100)).min() > 200
    assert fit_to_size(stripes, 300, 100) is stripes


def test_a_prompt_file_names_pictures_beside_it(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(encode_image(picture()))
    (tmp_path / "b.jpg").write_bytes(encode_image(picture(seed=1), "JPEG"))
    read = prompts(
        tmp_path,
        '{"id": "one", "prompt": "x", "image": "pictures/a.png"}\n'
        '{"id": "two", "image": ["b.jpg", "pictures/a.png"]}\n'
        '{"id": "none", "prompt": "y"}\n',
    )
    one, two, none = read.prompts
    assert [image.name for image in two.images] == ["b.jpg", "pictures/a.png"]
    assert [image.format for image in two.images] == ["jpeg", "png"]
    assert one.images == two.images[1:]
    assert two.text == ""
    assert none.images == ()
    assert read.files == {one.images[0].sha256: tmp_path / "pictures/a.png", two.images[0].sha256: tmp_path / "b.jpg"}
    table = prompts(tmp_path, "id,prompt,image\none,x,pictures/a.png\nnone,y,\n", "set.csv")
    assert table.prompts == (one, none)


def test_only_the_chosen_prompts_pictures_are_looked_at(tmp_path: Path) -> None:
    lines = '{"id": "a", "prompt": "x"}\n{"id": "b", "prompt": "y", "image": "missing.png"}\n'
    assert prompts(tmp_path, lines, limit=1).files == {}


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ('"missing.png"', "no such file"),
        ('""', "a path, data URI or https address"),
        ("3", "a path, data URI or https address"),
        ('["a.png", 3]', "a path, data URI or https address"),
        ('"."', "no such file"),
        ('"a\\u0000.png"', "no such file"),
        ('"text.png"', "a whole PNG, JPEG or WebP picture"),
        ('"../outside.png"', "a file elsewhere"),
        ('"link.png"', "a file elsewhere"),
        ('"{outside}"', "a file elsewhere"),
        ('"pipe.png"', "no such file"),
        (str(["a.png"] * (MAX_IMAGES_PER_PROMPT + 1)).replace("'", '"'), f"at most {MAX_IMAGES_PER_PROMPT}"),
    ],
)
def test_a_bad_picture_is_named_with_file_and_line(tmp_path: Path, image: str, words: str) -> None:
    outside, folder = tmp_path / "outside.png", tmp_path / "set"
    folder.mkdir()
    outside.write_bytes(encode_image(picture()))
    (folder / "a.png").write_bytes(encode_image(picture()))
    (folder / "text.png").write_text("no picture")
    (folder / "link.png").symlink_to(outside)
    os.mkfifo(folder / "pipe.png")
    image = image.replace("{outside}", str(outside))
    with pytest.raises(ConfigError) as caught:
        prompts(folder, f'{{"prompt": "fine"}}\n{{"prompt": "x", "image": {image}}}')
    (problem,) = caught.value.problems
    assert "set.jsonl line 2" in problem.key
    assert words in str(problem)


def with_pictures(folder: Path) -> tuple[Prompt, dict[str, Path]]:
    file = folder / "a.png"
    file.write_bytes(encode_image(picture()))
    image = describe_input("a.png", file.read_bytes())
    return Prompt(id="p", text="x", images=(image, image)), {image.sha256: file}


def test_a_run_directory_keeps_its_input_pictures(tmp_path: Path) -> None:
    prompt, files = with_pictures(tmp_path)
    info = make_run(tmp_path / "other").info
    info = replace(info, experiment=make_experiment(prompts=(prompt,)))
    run = RunDirectory.create(tmp_path / "run", info, "", files)
    (stored,) = (run.path / INPUTS_FOLDER).iterdir()
    assert stored.name == prompt.images[0].file_name
    assert stored.read_bytes() == (tmp_path / "a.png").read_bytes()
    assert RunDirectory.open(run.path).info.experiment.prompts == (prompt,)
    assert not (make_run(tmp_path / "plain").path / INPUTS_FOLDER).exists()


def test_a_picture_that_changed_in_between_is_refused(tmp_path: Path) -> None:
    prompt, files = with_pictures(tmp_path)
    experiment = make_experiment(prompts=(prompt,))
    (tmp_path / "a.png").write_bytes(encode_image(picture(seed=1)))
    with pytest.raises(RunDirectoryError, match="was changed while the run was being started"):
        store_inputs(tmp_path / "run", experiment, files)
    (tmp_path / "a.png").unlink()
    with pytest.raises(RunDirectoryError, match="cannot read the input picture"):
        store_inputs(tmp_path / "run", experiment, files)


def test_a_stored_picture_that_is_gone_or_changed_fails_its_request_alone(tmp_path: Path) -> None:
    prompt, _ = with_pictures(tmp_path)
    image = prompt.images[0]
    with pytest.raises(GenerationError, match=r"a\.png cannot be read") as gone:
        read_input(tmp_path, image)
    (tmp_path / image.file_name).write_bytes(b"changed")
    with pytest.raises(GenerationError, match="was changed after it was stored") as changed:
        read_input(tmp_path, image)
    for caught in (gone, changed):
        assert (caught.value.type, caught.value.fatal) == ("invalid_request", False)


def test_the_shipped_pictures_are_what_their_script_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import draw_prompt_pictures

    folder = conf_dir() / "prompts" / "drawn"
    assert {file.stem for file in folder.iterdir()} == set(draw_prompt_pictures.PICTURES)
    for name in draw_prompt_pictures.PICTURES:
        with Image.open(folder / f"{name}.png") as stored:
            drawn = np.asarray(draw_prompt_pictures.drawn(name), dtype=int)
            assert np.abs(np.asarray(stored, dtype=int) - drawn).mean() < 1  # Pillow's rounding may change
