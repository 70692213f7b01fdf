"""What is compared with what: no picture is enlarged, and what was done to a pair, or by its format, is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.ImageFilter import GaussianBlur

from kreabench.metrics.base import Score, ScoreItem
from kreabench.metrics.comparable import ComparableOptions, Pair, comparable
from kreabench.metrics.fidelity import Psnr
from kreabench.metrics.jpeg import JpegCompression, read_compression
from tests.metric_support import shared
from tests.support import picture

SHRINK = ComparableOptions(sizes="shrink")
MATCH = ComparableOptions(formats="match")


def photo(width: int = 160, height: int = 128, *, seed: int = 0, noise: float = 4.0) -> Image.Image:
    """A picture with grain in every colour, as cameras and these models give it."""
    smooth = np.asarray(picture(width, height, seed=seed), dtype=np.float64)
    grain = np.random.default_rng(seed).normal(0.0, noise, smooth.shape)
    return Image.fromarray(np.clip(np.rint(smooth + grain), 0, 255).astype(np.uint8))


def item(image: Image.Image, reference: Image.Image, **more: Any) -> ScoreItem:
    return ScoreItem(image=image, prompt="", reference=reference, sha256="aa", reference_sha256="bb", **more)


def saved(image: Image.Image, path: Path, **options: Any) -> Image.Image:
    image.save(path, **options)
    with Image.open(path) as stored:
        return stored.convert("RGB")


def jpeg_item(folder: Path, image: Image.Image, reference: Image.Image, **options: Any) -> ScoreItem:
    """`image` delivered as a JPEG, beside a reference that is a PNG."""
    path = folder / "picture.jpeg"
    return item(saved(image, path, **options), reference, format="jpeg", path=path)


def pair_of(item: ScoreItem, options: ComparableOptions) -> Pair:
    pair = comparable(item, options)
    assert isinstance(pair, Pair), pair
    return pair


def score_of(item: ScoreItem, options: ComparableOptions) -> Score:
    score = comparable(item, options)
    assert isinstance(score, Score)
    return score


def psnr(item: ScoreItem, **options: Any) -> Score:
    return Psnr(**options).score([item])[0]


def test_pictures_of_one_size_and_png_are_compared_as_they_are() -> None:
    given = item(picture(), picture(seed=1))

    pair = pair_of(given, ComparableOptions(sizes="shrink", formats="match"))

    assert (pair.picture.image, pair.reference.image, pair.notes) == (given.image, given.reference, ())
    assert (pair.picture.sha256, pair.reference.sha256) == ("aa", "bb")


def test_other_sizes_do_not_apply_unless_asked() -> None:
    score = score_of(item(picture(64, 64), picture(32, 32)), ComparableOptions())

    assert score.status == "not_applicable"
    assert "64×64" in score.reason
    assert "32×32" in score.reason
    assert "sizes: shrink" in score.reason


@pytest.mark.parametrize(
    ("larger", "smaller"), [((64, 48), (32, 24)), ((200, 100), (199, 100)), ((1000, 500), (501, 250))]
)
def test_the_larger_is_shrunk_whichever_it_is(larger: tuple[int, int], smaller: tuple[int, int]) -> None:
    large, small = picture(*larger), picture(*smaller, seed=1)

    picture_shrunk, reference_shrunk = pair_of(item(large, small), SHRINK), pair_of(item(small, large), SHRINK)

    expected = large.resize(smaller, Image.Resampling.LANCZOS).tobytes()
    assert picture_shrunk.picture.image.tobytes() == reference_shrunk.reference.image.tobytes() == expected
    assert picture_shrunk.reference.image is reference_shrunk.picture.image is small
    sizes = "shrunk from {}×{} to {}×{}".format(*larger, *smaller)
    assert picture_shrunk.notes == (f"the picture is {sizes}",)
    assert reference_shrunk.notes == (f"the reference is {sizes}",)


def test_what_was_shrunk_is_not_taken_for_the_file() -> None:
    """Embeddings are remembered under this name."""
    pair = pair_of(item(picture(64, 64), picture(32, 32)), SHRINK)

    assert pair.picture.sha256 not in {"aa", "bb", ""}
    assert pair.picture.sha256 != pair_of(item(picture(64, 64), picture(16, 16)), SHRINK).picture.sha256
    unknown = replace(item(picture(64, 64), picture(32, 32)), sha256="")
    assert pair_of(unknown, SHRINK).picture.sha256 == ""


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ((64, 64), (32, 33), "shapes differ"),
        ((64, 48), (48, 64), "shapes differ"),
        ((1000, 1000), (1001, 999), "never enlarged"),
        ((0, 0), (32, 32), "shapes differ"),
    ],
)
def test_no_picture_is_enlarged_or_distorted(one: tuple[int, int], other: tuple[int, int], why: str) -> None:
    for sizes in ((one, other), (other, one)):
        images = [picture(*size) if all(size) else Image.new("RGB", size) for size in sizes]
        score = score_of(item(*images), SHRINK)

        assert score.status == "not_applicable"
        assert why in score.reason


def test_shrinking_keeps_what_a_fine_pattern_averages_to() -> None:
    """Without a filter every second column of a stripe pattern would vanish."""
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 255

    pair = pair_of(item(Image.fromarray(stripes), picture(32, 32)), SHRINK)

    middle = np.asarray(pair.picture.image)[8:-8, 8:-8]
    assert middle.min() > 100
    assert middle.max() < 155


@pytest.mark.parametrize(("subsampling", "name"), [(0, "4:4:4"), (1, "4:2:2"), (2, "4:2:0")])
@pytest.mark.parametrize("quality", [10, 49, 50, 75, 90, 95, 100])
def test_how_a_jpeg_was_compressed_is_read_from_it(tmp_path: Path, quality: int, subsampling: int, name: str) -> None:
    saved(picture(), tmp_path / "x.jpeg", quality=quality, subsampling=subsampling)

    compression = read_compression(tmp_path / "x.jpeg")

    assert isinstance(compression, JpegCompression)
    assert str(compression) == f"quality about {quality}, {name}"


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"optimize": True}])
def test_compressing_alike_gives_the_very_pixels(tmp_path: Path, options: dict[str, Any]) -> None:
    delivered = saved(photo(), tmp_path / "x.jpeg", quality=87, subsampling=2, **options)
    compression = read_compression(tmp_path / "x.jpeg")

    assert isinstance(compression, JpegCompression)
    assert compression.applied_to(photo()).tobytes() == delivered.tobytes()


def test_jpeg_alone_costs_fidelity_and_colours_cost_more(tmp_path: Path) -> None:
    """Quality 95 leaves about 40 dB with whole colours and 38 with halved ones, as many accelerations do."""
    drawn = photo(noise=2.5)
    whole = psnr(jpeg_item(tmp_path, drawn, drawn, quality=95, subsampling=0))
    halved = psnr(jpeg_item(tmp_path, drawn, drawn, quality=95, subsampling=2))

    assert whole.value is not None
    assert halved.value is not None
    assert 39.0 < whole.value < 43.0
    assert 37.0 < halved.value < whole.value - 0.5
    assert halved.notes == ("a JPEG (quality about 95, 4:2:0) is compared: its compression alone costs fidelity",)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_match_finds_nothing_lost_where_only_the_format_differs(tmp_path: Path, subsampling: int) -> None:
    given = jpeg_item(tmp_path, photo(), photo(), quality=95, subsampling=subsampling)

    score = psnr(given, formats="match")

    assert score.status == "infinite"
    name = ("4:4:4", "4:2:2", "4:2:0")[subsampling]
    assert score.notes == (f"the reference is compressed as the picture is: JPEG, quality about 95, {name}",)


@pytest.mark.parametrize(
    "change",
    [lambda image: image.point(lambda level: min(level + 3, 255)), lambda image: image.filter(GaussianBlur(0.6))],
)
def test_match_comes_nearer_to_what_the_model_changed(
    tmp_path: Path, change: Callable[[Image.Image], Image.Image]
) -> None:
    changed = change(photo())
    delivered = jpeg_item(tmp_path, changed, photo(), quality=95, subsampling=2)

    truth = psnr(item(changed, photo())).value
    as_delivered, matched = psnr(delivered).value, psnr(delivered, formats="match").value

    assert truth is not None
    assert as_delivered is not None
    assert matched is not None
    assert abs(matched - truth) < 0.5 * abs(as_delivered - truth)


def test_match_compresses_the_picture_where_the_reference_is_the_jpeg(tmp_path: Path) -> None:
    path = tmp_path / "reference.jpeg"
    reference = saved(photo(), path, quality=80)
    given = item(photo(), reference, reference_format="jpeg", reference_path=path)

    assert psnr(given).notes == (
        "a JPEG reference (quality about 80, 4:2:0) is compared: its compression alone costs fidelity",
    )
    assert psnr(given, formats="match").status == "infinite"


def test_match_takes_two_jpegs_of_one_compression_and_no_others(tmp_path: Path) -> None:
    paths = [tmp_path / "one.jpeg", tmp_path / "two.jpeg"]

    def both(first: int, second: int) -> ScoreItem:
        one, two = (saved(photo(), path, quality=q) for path, q in zip(paths, (first, second), strict=True))
        return item(one, two, format="jpeg", path=paths[0], reference_format="jpeg", reference_path=paths[1])

    assert psnr(both(90, 90), formats="match").notes == ("both are JPEGs of one compression (quality about 90, 4:2:0)",)
    other = psnr(both(90, 70), formats="match")
    assert other.status == "not_applicable"
    assert "quality about 90" in other.reason
    assert "quality about 70" in other.reason


def test_a_reference_is_shrunk_before_it_is_compressed_and_a_jpeg_never_after(tmp_path: Path) -> None:
    large = photo(320, 256)
    small = large.resize((160, 128), Image.Resampling.LANCZOS)

    larger_reference = jpeg_item(tmp_path, small, large, quality=90)
    score = psnr(larger_reference, sizes="shrink", formats="match")
    assert (score.status, len(score.notes)) == ("infinite", 2)

    larger_jpeg = jpeg_item(tmp_path, large, small, quality=90)
    score = psnr(larger_jpeg, sizes="shrink", formats="match")
    assert score.status == "not_applicable"
    assert "before it was shrunk" in score.reason


@pytest.mark.parametrize("which", ["picture", "reference"])
def test_webp_cannot_be_matched_but_is_said(which: str) -> None:
    formats = {"format": "webp"} if which == "picture" else {"reference_format": "webp"}
    given = item(photo(), photo(seed=1), **formats)

    score = psnr(given, formats="match")
    assert score.status == "not_applicable"
    assert f"the {which} is a webp" in score.reason
    assert "not in the file" in score.reason
    assert psnr(given).notes == (f"a webp {which} is compared: its compression may cost fidelity",)


@pytest.mark.parametrize("options", [{"keep_rgb": True}, {"grey": True}])
def test_an_unusual_jpeg_is_not_matched(tmp_path: Path, options: dict[str, Any]) -> None:
    image = photo().convert("L") if options.pop("grey", False) else photo()
    given = replace(jpeg_item(tmp_path, photo(), photo()), image=saved(image, tmp_path / "picture.jpeg", **options))

    score = psnr(given, formats="match")

    assert score.status == "not_applicable"
    assert "not stored as luminance and two colours" in score.reason


def test_a_jpeg_whose_file_is_not_known_or_gone_still_has_its_note(tmp_path: Path) -> None:
    for path in (None, tmp_path / "gone.jpeg"):
        given = item(photo(), photo(seed=1), format="jpeg", path=path)

        assert psnr(given).notes == ("a JPEG is compared: its compression alone costs fidelity",)
        assert psnr(given, formats="match").status == "failed"


@pytest.mark.parametrize("options", [{"sizes": "enlarge"}, {"formats": "png"}])
def test_a_wrong_choice_is_named_with_those_there_are(options: dict[str, Any]) -> None:
    ((key, value),) = options.items()

    with pytest.raises(ValueError, match=f"{key} must be .* or .*, and is '{value}'"):
        Psnr(**options)


def test_what_is_compared_is_part_of_the_identity() -> None:
    identities = [Psnr(**options).open(shared()) for options in ({}, {"sizes": "shrink"}, {"formats": "match"})]

    assert len({str(identity) for identity in identities}) == 3
