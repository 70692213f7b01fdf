"""What is fuzzed: everything that reads what others wrote. Each target takes one input, and raises where a promise is
broken: any error that is none of ours, a file outside the folder, a secret in a message, a hang.

`tests/test_faults_fuzz.py` runs each for a moment, `benchmarks/fuzz.py` for as long as asked.
"""

# ruff: noqa: PT017 - an error is one of the two good ends, so no test can ask for it

from __future__ import annotations

import functools
import itertools
import json
import signal
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import strategies as st
from rich.console import Console

from kreabench.backends.base import GeneratedImage
from kreabench.backends.input_images import BadInputImage, describe_input
from kreabench.cli.run_show import print_run
from kreabench.config import resolve
from kreabench.config.gate_policies import load_policy
from kreabench.config.model import PromptsConfig
from kreabench.config.prompts import load_prompt_set
from kreabench.core.errors import ConfigError, GenerationError, RunDirectoryError
from kreabench.decisions.baseline_file import decode_baseline
from kreabench.execution.answering import delivery_of
from kreabench.execution.messages import Done, decode_answer, encode_line
from kreabench.plan_of_run import plan_of
from kreabench.report.thumbnails import thumbnail
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.images import store_image
from tests.fal_support import (
    ACCEPTED,
    COMPLETED,
    KEY,
    QUEUED,
    RUNNING,
    ScriptedFal,
    answer,
    draw,
    open_backend,
    result_body,
)
from tests.fuzz_inputs import HOSTILE_TEXTS, damaged_bytes, odd_json
from tests.support import ROOT, encode_image, make_request, make_setting, picture

LIMIT_S = 60
"""After which an input is one that hangs."""
OLD_RUN = Path(__file__).parent / "fixtures" / "old_runs" / "v4"
OUTSIDE = b"what lies outside of the folder"


@dataclass(frozen=True)
class Target:
    """Something that reads, and what it is fed."""

    inputs: st.SearchStrategy[Any]
    check: Callable[[Any], None]


@contextmanager
def limited() -> Iterator[None]:
    """Raises TimeoutError in a block that hangs."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"not done within {LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def folder() -> Iterator[Path]:
    """An empty folder within one that holds what must not be touched."""
    with tempfile.TemporaryDirectory(prefix="kreabench-fuzz-") as name:
        outside, inside = Path(name) / "outside.png", Path(name) / "inside"
        outside.write_bytes(OUTSIDE)
        inside.mkdir()
        yield inside
        assert outside.read_bytes() == OUTSIDE
        assert sorted(entry.name for entry in Path(name).iterdir()) == ["inside", "outside.png"]


# run directories


def _lines(file: str) -> list[bytes]:
    return (OLD_RUN / file).read_bytes().splitlines()


def _dumps(value: Any) -> bytes:
    """JSON as anything may have written it, broken Unicode too."""
    return json.dumps(value).encode("utf-8", "surrogatepass")


def _damaged_lines(file: str) -> st.SearchStrategy[bytes]:
    lines = _lines(file)
    one = st.sampled_from(lines) | damaged_bytes(lines) | odd_json([json.loads(line) for line in lines]).map(_dumps)
    return st.lists(one, max_size=12).map(lambda found: b"\n".join([*found, b""]))


def _run_folder(where: Path, **files: bytes) -> Path:
    contents = {name: (OLD_RUN / name).read_bytes() for name in ("run.json", "journal.jsonl", "scores.jsonl")}
    for name, content in (contents | files).items():
        (where / name).write_bytes(content)
    return where


def _read_run(path: Path) -> None:
    """As `kreabench show` does."""
    out = Console(file=StringIO(), width=80)
    try:
        run = RunDirectory.open(path)
        print_run(out, run, plan_of(run))
    except RunDirectoryError as error:
        assert error.message
        assert error.remedy
    except ConfigError as error:  # specs that cannot be planned
        assert error.problems


def check_journal(content: bytes) -> None:
    with folder() as where:
        _read_run(_run_folder(where, **{"journal.jsonl": content}))


def check_scores(content: bytes) -> None:
    with folder() as where:
        _read_run(_run_folder(where, **{"scores.jsonl": content}))


def check_run_json(content: bytes) -> None:
    with folder() as where:
        _read_run(_run_folder(where, **{"run.json": content}))


def check_votes(content: bytes) -> None:
    with folder() as where:
        _read_run(_run_folder(where, **{"votes.jsonl": content}))


def _votes() -> list[dict[str, Any]]:
    """On pairs of the old run's pictures."""
    samples = [json.loads(line) for line in _lines("journal.jsonl") if b'"status":"ok"' in line]
    sides = [
        {
            "setting_id": sample["setting_id"],
            "request_id": sample["request_id"],
            "image_index": 0,
            "image_sha256": sample["images"][0]["sha256"],
        }
        for sample in samples
    ]
    shared = {"kind": "vote", "version": 1, "at_utc": "2026-01-02T03:04:05.678Z", "voter": "me", "prompt": "x"}
    return [
        shared
        | {"id": str(number), "left": left, "right": right, "choice": choice}
        | {"prompt_id": samples[0]["prompt_id"], "seed": 0, "seconds": 1.5}
        for number, (left, right) in enumerate(itertools.permutations(sides, 2))
        for choice in ("left", "both_bad")
    ]


def check_baseline(content: bytes) -> None:
    with folder() as where:
        file = where / "baseline.jsonl"
        file.write_bytes(content)
        try:
            decode_baseline(file)
        except RunDirectoryError as error:
            assert error.remedy


# what users write


_KEYS = (
    "axes.steps",
    "axes.size",
    "axes.num_images",
    "axes.guidance",
    "axes.output_format",
    "run.seeds",
    "run.repeats",
    "run.warmup",
    "run.dir",
    "name",
    "prompts.limit",
    "prompts.file",
    "prompts.ids",
    "budget.usd",
    "target",
    "target.fake_local.options.faults",
    "target.fake_local.limits",
    "target.fake_local.model",
    "metrics",
    "engine.sample_timeout_s",
    "pricing",
    "reference.steps",
    "exclude",
    "nowhere.to.be.found",
)
_OVERRIDE_VALUES = (
    *(
        "[]",
        "{}",
        "null",
        "true",
        "-1",
        "0",
        "1e400",
        "nan",
        ".inf",
        "[1,",
        "[[1]]",
        "{a: 1}",
        "'",
        '"',
        "${name}",
        "???",
    ),
    *(
        "${oc.env:FAL_KEY}",
        "${oc.env:HOME}",
        "99999999999999999999",
        "[16:9]",
        "1024x",
        "x1024",
        "0x0",
        "../../x",
        "~nobody/x",
    ),
    *(text for text in HOSTILE_TEXTS if len(text) < 100),
)


def _overrides() -> st.SearchStrategy[list[str]]:
    value = st.sampled_from(_OVERRIDE_VALUES) | st.text(max_size=12) | st.integers().map(str)
    one = st.tuples(st.sampled_from(("", "", "", "+", "~", "++")), st.sampled_from(_KEYS), value)
    return st.lists(one.map(lambda parts: f"{parts[0]}{parts[1]}={parts[2]}") | st.text(max_size=12), max_size=3)


def check_overrides(overrides: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAL_KEY", KEY)
        try:
            found = resolve.load(["experiment=trial", *overrides])
        except ConfigError as error:
            assert error.problems
            _check_no_secret(error)
        else:
            assert KEY not in repr(found)


def _prompt_files() -> st.SearchStrategy[tuple[str, bytes]]:
    rows = [
        {"id": "a", "prompt": "a cat"},
        {"id": "b", "prompt": "a dog", "category": "animals", "image": "in.png"},
        {"id": "c", "prompt": "a house", "image": ["in.png", "../outside.png"]},
        {"prompt": "a tree", "look_for": "leaves"},
    ]
    lines = st.lists(odd_json(rows).map(_dumps), max_size=4).map(b"\n".join)
    table = b'id,prompt,image\na,"a cat, sitting",in.png\nb,a dog,../outside.png\n'
    whole = [b"\n".join(map(_dumps, rows)), _dumps(rows), table, table.replace(b",", b"\t"), b"a cat\na dog\n"]
    content = lines | damaged_bytes(whole) | odd_json([rows]).map(_dumps) | st.binary(max_size=60)
    return st.tuples(st.sampled_from((".jsonl", ".json", ".csv", ".tsv", ".txt", ".parquet")), content)


def check_prompts(given: tuple[str, bytes]) -> None:
    ending, content = given

    def no_fetch(address: str) -> bytes:
        raise AssertionError(f"{address} was fetched")

    with folder() as where:
        file = where / f"prompts{ending}"
        file.write_bytes(content)
        (where / "in.png").write_bytes(_pictures()[0])
        try:
            found = load_prompt_set(PromptsConfig(file=str(file)), [where], no_fetch)
        except ConfigError as error:
            assert error.problems
            return
        for source in found.files.values():
            assert isinstance(source, bytes) or source.is_relative_to(where.resolve())


def _policies() -> st.SearchStrategy[bytes]:
    shipped = [file.read_bytes() for file in sorted((ROOT / "conf" / "gate").glob("*.yaml"))]
    policy: dict[str, Any] = {
        "description": "x",
        "level": 0.05,
        "min_prompts": 10,
        "max_unpaired_share": 0.05,
        "every_metric": {"margin": {"noise_floor": 0.5}},
        "checks": {"latency": {"margin": {"relative": 0.05}}, "psnr": {"margin": {"absolute": 1.0}, "required": False}},
    }
    return damaged_bytes(shipped) | odd_json([policy]).map(_dumps)


def check_policy(content: bytes) -> None:
    with folder() as where:
        file = where / "policy.yaml"
        file.write_bytes(content)
        try:
            load_policy(str(file), ["psnr", "ssim"])
        except ConfigError as error:
            assert error.problems


# what services answer


def _fal_answers() -> st.SearchStrategy[dict[str, Any]]:
    """Of each kind of call: its status code, and its body."""
    code = st.sampled_from((200, 200, 200, 200, 202, 204, 301, 400, 401, 404, 422, 429, 500, 502, 503, 504))

    def of(*bodies: Any) -> st.SearchStrategy[Any]:
        body = odd_json(bodies).map(_dumps) | damaged_bytes([_dumps(body) for body in bodies])
        return st.tuples(code, st.sampled_from(bodies).map(_dumps) | body)

    with_key = {"detail": f"Key {KEY} is not valid", KEY: KEY}
    return st.fixed_dictionaries(
        {
            "submit": of(ACCEPTED, ACCEPTED, with_key),
            "status": st.lists(of(QUEUED, RUNNING, COMPLETED, {"status": KEY}, with_key), min_size=1, max_size=4),
            "result": of(result_body(), result_body(), result_body(seed=KEY), with_key),
            "picture": st.tuples(
                code, damaged_bytes(_pictures()), st.sampled_from(("image/png", "text/html", "", KEY))
            ),
        }
    )


def check_fal(answers: dict[str, Any]) -> None:
    def reply(code: int, body: bytes, kind: str = "application/json") -> httpx.Response:
        return httpx.Response(code, content=body, headers={"content-type": kind})

    script = ScriptedFal(
        submit=reply(*answers["submit"]),
        # In the end it is done: a service that never says so is what the time limits of the driver are for.
        status=[*(reply(*one) for one in answers["status"]), answer(200, COMPLETED)],
        result=reply(*answers["result"]),
        picture=reply(*answers["picture"]),
    )
    with pytest.MonkeyPatch.context() as patch:
        backend = open_backend(script, patch, sleep=lambda _: None, start_timeout_s=30.0)
        try:
            generation = draw(backend)
        except GenerationError as error:
            _check_no_secret(error)
            assert error.remedy or error.type
        else:
            line = encode_line(Done(started_utc="", delivery=delivery_of(generation)))
            assert decode_answer(line)
            assert KEY.encode() not in line
        finally:
            backend.close()
    assert script.calls.count("submit") == 1
    sent = [request for request in script.requests if "authorization" in request.headers]
    assert all(request.url.host == "queue.fal.run" for request in sent), "the key went elsewhere"


def _check_no_secret(error: BaseException) -> None:
    text = "".join(traceback.format_exception(error))
    assert KEY not in str(error)
    assert KEY.partition(":")[2] not in text


# pictures


@functools.cache
def _pictures() -> list[bytes]:
    base = picture(64, 64)
    return [
        encode_image(base, "PNG"),
        encode_image(base, "JPEG"),
        encode_image(base, "WEBP"),
        encode_image(base.convert("P"), "PNG"),
        encode_image(base.convert("L"), "PNG"),
        encode_image(base, "GIF"),
        encode_image(base, "BMP"),
    ]


def check_picture(content: bytes) -> None:
    """Delivered, given as an input, and shown in a report."""
    setting = make_setting(width=64, height=64)
    with folder() as where:
        try:
            record = store_image(
                where, setting, make_request(setting), 0, GeneratedImage(content=content, seed=0, nsfw=None)
            )
        except GenerationError as error:
            assert error.type in ("bad_image", "wrong_size")
            assert error.remedy
            assert not any(where.iterdir()), "what is no picture was kept"
        else:
            assert (where / record.path).read_bytes() == content
            assert thumbnail(where, record.path).content
        try:
            describe_input("in.png", content)
        except BadInputImage as error:
            assert error.found
        (where / "shown.png").write_bytes(content)
        try:
            thumbnail(where, "shown.png")
        except ValueError as error:
            assert str(error)


TARGETS: dict[str, Target] = {
    "journal": Target(_damaged_lines("journal.jsonl"), check_journal),
    "scores": Target(_damaged_lines("scores.jsonl"), check_scores),
    "run_json": Target(
        damaged_bytes([(OLD_RUN / "run.json").read_bytes()])
        | odd_json([json.loads((OLD_RUN / "run.json").read_bytes())]).map(_dumps),
        check_run_json,
    ),
    "votes": Target(
        st.lists(odd_json(_votes()).map(_dumps), max_size=6).map(
            lambda lines: b"".join(line + b"\n" for line in lines)
        ),
        check_votes,
    ),
    "baseline": Target(
        damaged_bytes([b'{"kind":"kreabench baseline","version":1}\n{"setting":"a"}\n']), check_baseline
    ),
    "overrides": Target(_overrides(), check_overrides),
    "prompts": Target(_prompt_files(), check_prompts),
    "policy": Target(_policies(), check_policy),
    "fal": Target(_fal_answers(), check_fal),
    "picture": Target(damaged_bytes(_pictures()), check_picture),
}


def run_target(name: str, value: Any) -> None:
    """Feed one input. Raises where a promise is broken."""
    with limited():
        TARGETS[name].check(value)
