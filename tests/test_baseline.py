"""Baseline files: all that a comparison needs, nothing that is private, the same bytes every time."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kreabench.core.errors import ConfigError, ExitCode, RunDirectoryError, StorageError
from kreabench.core.redaction import redact
from kreabench.core.specs import MetricSpec
from kreabench.decisions.baseline import baseline_of, write_baseline
from kreabench.decisions.compare import compare_sides, compare_with_reference
from kreabench.decisions.sides import Side, open_side
from tests.decided_runs import METRICS, decided_run
from tests.support import make_target
from tests.test_cli import Call, call  # noqa: F401  (a fixture)


def exported(run: Path | str, path: Path, **options: Any) -> Path:
    """The baseline file of a run."""
    write_baseline(path, baseline_of(open_side(str(run)), **options))
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, beside it `base.jsonl`, its baseline."""
    folder = tmp_path_factory.mktemp("baseline")
    decided_run(folder / "base")
    exported(folder / "base", folder / "base.jsonl")
    return folder / "base"


@pytest.fixture
def file(base: Path, tmp_path: Path) -> Path:
    """The baseline file of `base`, to be spoilt."""
    path = tmp_path / "base.jsonl"
    path.write_bytes(base.with_suffix(".jsonl").read_bytes())
    return path


def bare(value: Any) -> Any:
    """Without the sides and the folders of paths, in values that are equal where all numbers are, to the last bit."""
    if isinstance(value, Side):
        return None
    if dataclasses.is_dataclass(value):
        return {field.name: bare(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [bare(one) for one in value]
    if isinstance(value, np.ndarray):
        return [bare(one) for one in value.tolist()]
    return redact(repr(value))


@pytest.fixture(scope="module")
def candidate(base: Path) -> Path:
    """Another version, whose last requests were not drawn."""
    decided_run(base.parent / "candidate", version=1, done=0.9)
    return base.parent / "candidate"


@pytest.mark.parametrize("selection", ["", ":acceleration=none,steps=2"])
def test_a_baseline_is_compared_exactly_as_its_run(base: Path, candidate: Path, selection: str) -> None:
    there = open_side(f"{candidate}{selection}")
    sides = [open_side(f"{path}{selection}") for path in (base, base.with_suffix(".jsonl"))]
    for order in (lambda side: (side, there), lambda side: (there, side)):
        of_run, of_file = (compare_sides(*order(side)) for side in sides)
        assert len(of_run.settings) == (1 if selection else 4)
        assert bare(of_run) == bare(of_file)


def test_settings_of_a_baseline_are_compared_with_their_reference(base: Path) -> None:
    of_run, of_file = (compare_with_reference(open_side(str(path))) for path in (base, base.with_suffix(".jsonl")))
    assert len(of_run.settings) == 3
    (said,) = set(of_file.caveats) - set(of_run.caveats)
    assert "holds no noise floors: psnr, lpips are judged without them" in said
    assert bare(replace(of_run, caveats=())) == bare(replace(of_file, caveats=()))


def test_a_baseline_says_all_that_its_run_says(base: Path) -> None:
    of_run, of_file = open_side(str(base)), open_side(str(base.with_suffix(".jsonl")))
    said = [field.name for field in dataclasses.fields(Side) if field.name not in {"name", "table", "picture_folder"}]
    for name in said:
        assert getattr(of_run, name) == getattr(of_file, name), name
    assert of_file.picture_folder is None
    assert of_file.notice is not None
    assert "untrained weights" in of_file.notice
    order = ["setting_id", "prompt_id", "seed"]
    kept = [name for name in of_file.table.columns if name not in {"request_id", "service_request_id"}]
    kept = [name for name in kept if not name.endswith("_reason")]
    pd.testing.assert_frame_equal(
        of_run.table.sort_values(order, ignore_index=True)[kept],
        of_file.table.sort_values(order, ignore_index=True)[kept],
    )
    assert of_file.table["status"].eq("failed").sum() == 4
    assert set(of_file.table["score_psnr_status"].dropna()) == {"ok", "infinite", "failed"}


def test_an_export_of_the_same_run_is_the_same_file(base: Path, file: Path) -> None:
    content = file.read_bytes()
    assert exported(base, file).read_bytes() == content
    assert exported(file, file).read_bytes() == content, "also out of the file itself"
    assert not list(file.parent.glob(".*"))


def test_nothing_private_is_in_a_baseline(tmp_path: Path) -> None:
    key = "01234567-89ab-cdef-0123-456789abcdef:00112233445566778899aabbccddeeff"
    metric = MetricSpec(name="clip", kind="clip_score", options={"weights": "/home/somebody/clip.pt", "key": key})
    target = make_target(name="mini_fake", options={"folder": "/home/somebody/model"})
    path = tmp_path / "run"
    decided_run(
        path,
        metrics=(metric, *METRICS[1:]),
        targets=(target,),
        info={"versions": {"torch": "/home/somebody/torch", "key": f"authorization: key {key}"}},
    )
    assert not any(secret in str(open_side(str(path)).versions) for secret in ("somebody", key))
    content = exported(path, tmp_path / "run.jsonl").read_text()
    for secret in ("/home", "somebody", key, "red bicycles", "images/", str(tmp_path)):
        assert secret not in content, secret
    assert "cannot open …/psnr.pt" in content, "why a score failed"


def test_four_hundred_images_of_six_metrics_fit_into_200_kb(tmp_path: Path) -> None:
    metrics = tuple(MetricSpec(name=f"metric_{n}", kind="clip_score", options={}) for n in range(6))
    decided_run(tmp_path / "run", prompts=50, metrics=metrics)
    content = exported(tmp_path / "run", tmp_path / "run.jsonl").read_bytes()
    assert content.count(b"\n") == 401
    assert len(content) <= 200_000


def test_an_unfinished_run_is_exported_only_where_asked(candidate: Path, tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="is not finished: 3 requests have no sample") as caught:
        exported(candidate, tmp_path / "it.jsonl")
    assert "--unfinished" in caught.value.remedy
    assert open_side(str(exported(candidate, tmp_path / "it.jsonl", unfinished=True))).unfinished == 3


def edited(change: Callable[[dict[str, Any]], object]) -> Callable[[list[bytes]], list[bytes]]:
    """With another header."""

    def edit(lines: list[bytes]) -> list[bytes]:
        header = json.loads(lines[0])
        change(header)
        return [json.dumps(header).encode(), *lines[1:]]

    return edit


def resealed(lines: list[bytes]) -> list[bytes]:
    """With the SHA-256 that the writer would have given it."""
    sha = json.loads(lines[0])["sha256"].encode()
    open_lines = [lines[0].replace(sha, b""), *lines[1:]]
    digest = hashlib.sha256(b"".join(line + b"\n" for line in open_lines)).hexdigest()
    return [lines[0].replace(sha, digest.encode()), *lines[1:]]


SPOILT: dict[str, tuple[Callable[[list[bytes]], list[bytes]], str]] = {
    "a damaged line": (lambda lines: [*lines[:4], lines[4][:-9], *lines[5:]], r"base\.jsonl, line 5, is damaged"),
    "a wrong type": (
        lambda lines: [*lines[:2], lines[2].replace(b'"seed":', b'"seed":"x'), *lines[3:]],
        "line 3, is damaged",
    ),
    "a line less": (lambda lines: lines[:-1], "has 31 lines after the first; the first says 32"),
    "another number": (
        lambda lines: [*lines[:-1], lines[-1].replace(b'"peak_rss_bytes":1', b'"peak_rss_bytes":2')],
        "was changed after it was written",
    ),
    "a newer file": (edited(lambda header: header.update(version=2)), "has version 2; this kreabench reads version 1"),
    "a header without its settings": (edited(lambda header: header.pop("settings")), "line 1, is damaged"),
    "fewer requests": (edited(lambda header: header["requested"].clear()), "was changed after it was written"),
    "a trained metric": (
        edited(lambda header: [state.update(untrained=False) for state in header["states"].values()]),
        "was changed after it was written",
    ),
    "a setting that is not there": (
        lambda lines: resealed(edited(lambda header: header["settings"].pop())(lines)),
        "line 1, lacks a setting",
    ),
    "a state that is not there": (
        lambda lines: resealed(edited(lambda header: header["states"].clear())(lines)),
        "line 1, lacks a setting or a st",
    ),
    "another file": (lambda lines: [b"{}"], "is no baseline file"),
    "an empty file": (lambda lines: [], "is no baseline file"),
}


@pytest.mark.parametrize(("spoil", "message"), SPOILT.values(), ids=SPOILT)
def test_a_spoilt_file_is_told(file: Path, spoil: Callable[[list[bytes]], list[bytes]], message: str) -> None:
    file.write_bytes(b"".join(line + b"\n" for line in spoil(file.read_bytes().splitlines())))
    with pytest.raises(RunDirectoryError, match=message):
        open_side(str(file))


def test_git_may_change_the_ends_of_lines(file: Path) -> None:
    before = open_side(str(file)).table
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    pd.testing.assert_frame_equal(open_side(str(file)).table, before)


def test_only_a_baseline_is_replaced(base: Path, tmp_path: Path) -> None:
    mine = tmp_path / "notes.jsonl"
    mine.write_text("mine\n")
    for path in (mine, tmp_path):
        with pytest.raises(ConfigError, match="expected a new file, or a baseline to replace"):
            exported(base, path)
    assert mine.read_text() == "mine\n"
    with pytest.raises(StorageError, match=r"cannot write .*below\.jsonl"):
        exported(base, mine / "below.jsonl")
    assert exported(base, tmp_path / "new" / "folder" / "it.jsonl").is_file()


def test_settings_that_racing_dropped_are_named(base: Path, tmp_path: Path) -> None:
    side = open_side(str(base))
    dropped = replace(side, dropped={"abc": "too slow"})
    write_baseline(tmp_path / "it.jsonl", baseline_of(dropped))
    assert open_side(str(tmp_path / "it.jsonl")).dropped == {"abc": "too slow"}


def test_the_command_line(base: Path, call: Call, tmp_path: Path) -> None:  # noqa: F811
    code, out, _ = call("baseline", "export", f"{base}:reference")
    assert code == ExitCode.DONE
    assert out.startswith("baseline: baselines/decided.jsonl (8 lines, ")
    code, out, _ = call("baseline", "show", "baselines/decided.jsonl")
    assert code == ExitCode.DONE
    assert "untrained weights" in out
    assert "mini_fake none 4 steps g4.5 128×128 png (reference)" in out
    assert "identity of psnr" in out
    assert "torch 2.15.0" in out
    code, _, err = call("baseline", "show", str(base))
    assert code == ExitCode.USAGE
    assert "kreabench show" in err
    code, _, err = call("baseline", "export", str(tmp_path / "nothing"))
    assert code == ExitCode.USAGE
    assert "not a run directory" in err
