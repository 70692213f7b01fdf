"""Which pictures a report shows, and the files made of them."""

from __future__ import annotations

import hashlib
import io
import shutil
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import PIL.Image
import pytest

from kreabench.core.planned import Plan
from kreabench.core.specs import InputImage
from kreabench.report.build import build_document
from kreabench.report.drawing.sheet import draw_sheet
from kreabench.report.evidence import gather
from kreabench.report.explorer import pictures as pictures_module
from kreabench.report.explorer.data import PictureData
from kreabench.report.explorer.picture_files import Original, Sizes, keep_all
from kreabench.report.explorer.pictures import Pictured, pictured
from kreabench.report.explorer.quantities import quantities_of
from kreabench.report.explorer.sources import sources_of
from kreabench.report.options import ReportOptions
from kreabench.report.thumbnails import thumbnail
from kreabench.report.write import write_report
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.table import read_table
from tests.report_runs import TWO_TARGETS, make_run
from tests.support import encode_image, picture

pytestmark = pytest.mark.usefixtures("undrawn")
LOCAL: dict[str, Any] = {"targets": TWO_TARGETS[:1], "sizes": ((128, 128),), "steps": (2, 8)}
"""Six settings, four prompts, two seeds; the last setting of `none` is the reference."""


def of(run: RunDirectory, plan: Plan, table: pd.DataFrame, most: int = 240, **options: Any) -> Pictured:
    sources = sources_of([gather(run, plan, table)])
    return pictured(sources, quantities_of(sources), most=most, **options)


def units(chosen: Sequence[PictureData]) -> Counter[tuple[str, int]]:
    return Counter((one.prompt, one.seed) for one in chosen)


@pytest.fixture
def run(tmp_path: Path) -> tuple[RunDirectory, Plan, pd.DataFrame]:
    run, plan = make_run(tmp_path / "run", **LOCAL)
    return run, plan, read_table(run)


Run = tuple[RunDirectory, Plan, pd.DataFrame]


def test_a_small_run_is_shown_whole_in_the_order_of_prompts_seeds_and_settings(run: Run) -> None:
    found = of(*run)
    assert len(found.pictures) == 48
    assert found.note == ""
    order = [f"a/{setting.id}" for setting in run[1].settings]
    assert [one.setting for one in found.pictures[:6]] == order
    assert list(units(found.pictures)) == [(f"prompt-{n}", seed) for n in range(4) for seed in (0, 1)]
    assert {one.state for one in found.pictures} == {"shown"}
    assert {(one.width, one.height) for one in found.pictures} == {(128, 128)}
    assert set(found.pictures[0].scores) == {"clip", "psnr", "ssim"}


def test_rows_are_whole_and_those_with_the_worst_losses_come_before_others(run: Run) -> None:
    directory, plan, table = run
    bad = (table["prompt_id"] == "prompt-3") & (table["seed"] == 1) & (table["acceleration"] == "high")
    table.loc[bad, "score_clip"] = 1.0
    found = of(directory, plan, table, most=24)
    whole = {unit for unit, number in units(found.pictures).items() if number == 6}
    assert ("prompt-3", 1) in whole
    assert ("prompt-0", 0) in whole  # the plain overview
    assert len(found.pictures) <= 24
    assert "3 of 8 combinations of prompt and seed are shown with all settings" in found.note


def test_the_worst_are_those_that_lose_most_against_the_picture_of_the_reference(run: Run) -> None:
    directory, plan, table = run
    found = of(directory, plan, table)
    reference = next(setting.id for setting in plan.settings if setting.id == setting.reference_id)
    for name in ("clip", "psnr", "ssim"):
        worst = [one for one in found.worst if one.quantity == name]
        assert len(worst) <= 20
        assert [one.loss for one in worst] == sorted((one.loss for one in worst), reverse=True)
    keys = zip(table["setting_id"], table["prompt_id"], table["seed"], strict=True)
    scores = dict(zip(keys, table["score_clip"], strict=True))
    losses = {(s, p, n): scores[(reference, p, n)] - value for (s, p, n), value in scores.items() if s != reference}
    first = next(one for one in found.worst if one.quantity == "clip")
    assert first.loss == pytest.approx(max(losses.values()))
    assert losses[(first.setting.removeprefix("a/"), first.prompt, first.seed)] == pytest.approx(first.loss)
    assert all(one.loss > 0 for one in found.worst if one.quantity == "clip")
    psnr = next(one for one in found.worst if one.quantity == "psnr")
    assert psnr.loss == pytest.approx(-table["score_psnr"].min())


def test_the_pictures_of_the_worst_pairs_are_there_also_outside_the_whole_rows(run: Run) -> None:
    directory, plan, table = run
    found = of(directory, plan, table, most=12)
    assert [number for number in units(found.pictures).values() if number == 6] == [6]
    shown = {(one.setting, one.prompt, one.seed) for one in found.pictures}
    references = {f"a/{setting.id}": f"a/{setting.reference_id}" for setting in plan.settings}
    first = found.worst[0]
    assert (first.setting, first.prompt, first.seed) in shown
    assert (references[first.setting], first.prompt, first.seed) in shown
    assert "further pictures belong to pairs with great losses" in found.note


def test_failed_pending_flagged_and_odd_pictures_are_shown_as_such(tmp_path: Path) -> None:
    run, plan = make_run(tmp_path / "run", done=0.75, failing=["prompt-1"], **LOCAL)
    table = read_table(run)
    at = (table["prompt_id"] == "prompt-0") & (table["seed"] == 0)
    table.loc[at & (table["steps"] == 2), "nsfw"] = True
    table.loc[at & (table["steps"] == 8), "degenerate"] = "black"
    table.loc[at & (table["steps"] == 8), "image_width"] = 64
    found = of(run, plan, table).pictures
    states = {(one.prompt, one.state) for one in found}
    assert states == {("prompt-0", "shown"), ("prompt-1", "failed"), ("prompt-2", "shown"), ("prompt-3", "pending")}
    assert {one.flag for one in found if one.prompt == "prompt-0" and one.seed == 0} == {
        "flagged by the safety checker",
        "black, 64 × 128 delivered, 128 × 128 asked",
    }
    failed = next(one for one in found if one.state == "failed")
    assert failed.reason
    assert "/home/somebody" not in failed.reason
    assert (failed.thumbnail, failed.view, failed.scores) == ("", "", {})
    assert next(one for one in found if one.state == "pending").reason == "not run yet"


def test_rows_with_failures_are_chosen_though_their_prompt_is_late(tmp_path: Path) -> None:
    run, plan = make_run(tmp_path / "run", failing=["prompt-3"], scores=False, **LOCAL)
    found = of(run, plan, read_table(run), most=16)
    assert set(units(found.pictures)) == {("prompt-0", 0), ("prompt-3", 0)}
    assert found.worst == ()


def test_more_settings_than_pictures_shows_the_first_and_says_so(run: Run) -> None:
    found = of(*run, most=4)
    assert [one.setting for one in found.pictures] == [f"a/{setting.id}" for setting in run[1].settings[:4]]
    assert "The first 4 of 6 settings are shown." in found.note
    nothing = of(*run, most=0)
    assert (nothing.pictures, nothing.note) == ((), "No pictures were asked for.")


def test_equal_pictures_are_kept_once_under_the_name_of_their_content(run: Run) -> None:
    directory, plan, table = run
    first, second = table["image_path"].tolist()[:2]
    shutil.copy(directory.path / first, directory.path / second)
    table.loc[table["image_path"] == second, "image_sha256"] = table["image_sha256"].tolist()[0]
    found = of(directory, plan, table)
    names = [name for one in found.pictures for name in (one.thumbnail, one.view) if name]
    assert set(names) == set(found.files)
    assert len(found.files) < len(names)
    sha256 = hashlib.sha256((directory.path / first).read_bytes()).hexdigest()
    assert any(name.startswith(f"pictures/{sha256[:16]}") for name in found.files)


def original(folder: Path, content: bytes, format_: str, size: tuple[int, int], name: str = "one") -> Original:
    (folder / name).write_bytes(content)
    return Original(
        run_path=folder,
        relative=name,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        format=format_,
        width=size[0],
        height=size[1],
    )


def noise(width: int, height: int) -> PIL.Image.Image:
    return PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("format_", ["png", "jpeg", "webp"])
def test_a_small_file_is_kept_as_it_came(tmp_path: Path, format_: str) -> None:
    tiny = original(tmp_path, encode_image(picture(96, 64), format_.upper()), format_, (96, 64))
    (kept,) = keep_all([tiny]).values()
    assert kept.view == ""
    assert kept.files == {kept.thumbnail: (tmp_path / "one").read_bytes()}


def test_a_large_file_gets_a_thumbnail_and_a_view_of_at_most_so_many_pixels(tmp_path: Path) -> None:
    large = original(tmp_path, encode_image(noise(400, 300)), "png", (400, 300))
    (kept,) = keep_all([large], Sizes(view_px=320)).values()
    sizes = []
    for name in (kept.thumbnail, kept.view):
        with PIL.Image.open(io.BytesIO(kept.files[name])) as image:
            assert image.format == "JPEG"
            sizes.append(image.size)
    assert sizes == [(160, 120), (320, 240)]


def test_a_picture_of_few_pixels_keeps_its_colours_where_jpeg_would_smear_them(tmp_path: Path) -> None:
    """Single pixels of red on blue, which a JPEG with colours at half the resolution makes purple."""
    dots = np.zeros((48, 48, 3), dtype=np.uint8)
    dots[..., 2] = 255
    dots[::4, ::4] = (255, 0, 0)
    (tmp_path / "dots.png").write_bytes(encode_image(PIL.Image.fromarray(dots)))
    kept = thumbnail(tmp_path, "dots.png")
    assert kept.size == (48, 48)
    with PIL.Image.open(io.BytesIO(kept.content)) as image:
        seen = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(seen - dots).mean() < 8


def test_a_sheet_enlarges_pictures_of_few_pixels_by_whole_numbers(tmp_path: Path) -> None:
    run, plan = make_run(tmp_path / "run", **(LOCAL | {"sizes": ((48, 48),)}))
    (grid, *_) = build_document(run, plan, read_table(run)).pictures.grids
    with PIL.Image.open(io.BytesIO(draw_sheet(grid))) as image:
        seen = np.asarray(image.convert("RGB"))[56:152, 166:262]  # of the first prompt and setting
    first = grid.rows[0].cells[0].thumbnail
    assert first is not None
    with PIL.Image.open(io.BytesIO(first)) as image:
        twice = np.asarray(image.convert("RGB")).repeat(2, axis=0).repeat(2, axis=1)
    assert np.array_equal(seen, twice)


def test_known_files_are_not_made_again(tmp_path: Path) -> None:
    large = original(tmp_path, encode_image(noise(400, 300)), "png", (400, 300))
    (made,) = keep_all([large]).values()
    (tmp_path / "one").unlink()
    (again,) = keep_all([large], known=set(made.files).__contains__).values()
    assert (again.state, again.thumbnail, again.view, again.files) == ("shown", made.thumbnail, made.view, {})
    (gone,) = keep_all([large], known=lambda name: name == made.thumbnail).values()
    assert gone.state == "missing"


def test_files_that_are_not_what_they_should_be_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    good = encode_image(picture())
    bomb = bytearray(good)
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    changed = replace(original(folder, good, "png", (128, 128), "changed"), sha256="0" * 64)
    outside = replace(original(tmp_path, good, "png", (128, 128), "outside"), run_path=folder, relative="../outside")
    (folder / "link").symlink_to(tmp_path / "outside")
    cases = {
        "its file was changed after it was stored": changed,
        "its path leads out of the run directory": replace(outside, sha256="1" * 64),
        "its path leads out": replace(outside, relative="link", sha256="2" * 64),
        "its file is not beside the run": replace(changed, relative="nothing", sha256="3" * 64),
        "it cannot be decoded": original(folder, b"\x89PNG\r\n\x1a\n and no more", "png", (1, 1), "damaged"),
        "(DecompressionBomb": original(folder, bytes(bomb), "png", (1, 1), "bomb"),
        "embedded null": replace(changed, relative="a\0b", sha256="4" * 64),
    }
    kept = keep_all(cases.values())
    for words, case in cases.items():
        one = kept[case.sha256]
        assert words in one.reason
        assert one.state == ("missing" if "beside" in words else "unreadable")
        assert one.files == {}


@pytest.mark.parametrize("damaged_at", [0, 1, 2])
def test_a_damaged_file_takes_no_other_of_the_same_content_along(tmp_path: Path, damaged_at: int) -> None:
    content = encode_image(picture(96, 64))
    same = [original(tmp_path, content, "png", (96, 64), name) for name in ("one", "two", "three")]
    (tmp_path / same[damaged_at].relative).write_bytes(content[:100])
    (kept,) = keep_all(same).values()
    assert kept.state == "shown"
    assert kept.files == {kept.thumbnail: content}
    for each in same:
        (tmp_path / each.relative).unlink()
    (gone,) = keep_all(same).values()
    assert (gone.state, gone.files) == ("missing", {})


def with_large_pictures(run: Run) -> Run:
    """The same with a picture of 256² noise for each, no two of them equal."""
    directory, plan, table = run
    content = encode_image(noise(256, 256))
    for number, path in enumerate(table["image_path"]):
        (directory.path / path).write_bytes(content + bytes([number]))  # after its end
        table.loc[table["image_path"] == path, "image_sha256"] = hashlib.sha256(content + bytes([number])).hexdigest()
    table["image_size_bytes"], table["image_width"], table["image_height"] = len(content), 256, 256
    table["width"] = table["height"] = 256
    return directory, plan, table


def test_a_page_holds_pictures_as_large_as_fit_and_each_but_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    directory, plan, table = with_large_pictures(run)
    table = table[table["seed"] == 0]
    smallest = sum(len(one.content) for one in of(directory, plan, table).thumbnails.values())
    sides = []
    for budget in (smallest // 2, smallest, smallest * 2, smallest * 8):
        monkeypatch.setattr(pictures_module, "HELD_BYTES", budget)
        found = of(directory, plan, table)
        assert sum(map(len, found.files.values())) <= budget
        states = Counter(one.state for one in found.pictures)
        assert (states["left_out"] > 0) == (budget < smallest)
        assert states["shown"] == len(found.files)
        assert {one.view for one in found.pictures} == {""}
        with PIL.Image.open(io.BytesIO(next(iter(found.files.values())))) as image:
            sides.append(image.width)
        assert ("--images link keeps them beside it" in found.note) == (sides[-1] < 256)
    assert sides[:2] == [160, 160]
    assert 160 < sides[2] < sides[3] == 256
    linked = of(directory, plan, table, images="link")
    assert all(one.view for one in linked.pictures if one.state == "shown")
    assert linked.note == ""


def test_a_page_of_few_pictures_holds_small_files_as_they_came(tmp_path: Path) -> None:
    content = encode_image(noise(128, 128))
    given = original(tmp_path, content, "png", (128, 128))
    (kept,) = keep_all([given], Sizes(single=True, whole_bytes=len(content))).values()
    assert list(kept.files.values()) == [content]
    (kept,) = keep_all([given], Sizes(single=True, whole_bytes=len(content) - 1)).values()
    assert kept.thumbnail.endswith("-160.jpg")


@pytest.mark.parametrize("images", ["embed", "link"])
def test_pictures_lie_inside_the_page_or_beside_it(tmp_path: Path, images: Literal["embed", "link"]) -> None:
    run, plan = make_run(tmp_path / "run", **LOCAL)
    out = tmp_path / "report"
    index = write_report(run, plan, out, options=ReportOptions(images=images))
    names = {f"pictures/{path.name}" for path in (out / "pictures").glob("*")}
    found = of(run, plan, read_table(run), images=images)
    assert names == (set() if images == "embed" else set(found.files))
    before = {name: (out / name).stat().st_mtime_ns for name in names}
    first = index.read_bytes()
    write_report(run, plan, out, options=ReportOptions(images=images))
    assert index.read_bytes() == first
    assert {name: (out / name).stat().st_mtime_ns for name in names} == before


def test_a_run_without_its_images_says_so(tmp_path: Path) -> None:
    run, plan = make_run(tmp_path / "run", pictures=False, **LOCAL)
    found = of(run, plan, read_table(run))
    assert {one.state for one in found.pictures} == {"missing"}
    assert found.files == {}
    assert "48 pictures are not on this disk" in found.note


def test_the_input_of_image_to_image_is_shown_without_what_its_camera_wrote(tmp_path: Path) -> None:
    run, plan = make_run(tmp_path / "run", **LOCAL)
    exif = PIL.Image.Exif()
    exif[0x010E] = "taken at home"
    content = encode_image(noise(200, 100), "JPEG", exif=exif)
    image = InputImage(name="dog.jpg", sha256=hashlib.sha256(content).hexdigest(), format="jpeg", width=200, height=100)
    (run.path / "inputs").mkdir()
    (run.path / "inputs" / image.file_name).write_bytes(content)
    prompts = tuple(replace(prompt, images=(image,)) for prompt in run.info.experiment.prompts)
    told = RunDirectory(run.path, replace(run.info, experiment=replace(run.info.experiment, prompts=prompts)))
    assert of(told, plan, read_table(run)).inputs == {}  # its settings do not see it
    changed = replace(plan, settings=tuple(replace(one, task="image-to-image") for one in plan.settings))
    found = of(told, changed, read_table(run))
    assert set(found.inputs) == {f"prompt-{n}" for n in range(4)}
    (name,) = set(found.inputs.values())
    assert b"taken at home" in content
    assert b"taken at home" not in found.files[name]
