"""Published sets come from a Hub data set at a pinned commit; what goes wrong names the key and what to do."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kreabench.config import hub_prompts
from kreabench.config.model import PromptsConfig
from kreabench.config.prompts import load_prompt_set
from kreabench.config.resolve import load
from kreabench.core.errors import ConfigError, Problem
from kreabench.core.specs import Prompt
from tests.hub_service import HubService, use_hub

DATASET = "someone/prompts"
COMMIT = "0" * 40
Load = Callable[..., tuple[Prompt, ...]]


@pytest.fixture(scope="module")
def server() -> Iterator[HubService]:
    hub = HubService()
    yield hub
    hub.stop()


@pytest.fixture
def hub(server: HubService) -> HubService:
    server.requests.clear()
    server.truncate.clear()
    server.broken = False
    return server


@pytest.fixture
def published(hub: HubService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Publishes one file and reads it as prompts."""

    def load_(
        name: str, content: str | bytes, choose: dict[str, Any] | None = None, **config: Any
    ) -> tuple[Prompt, ...]:
        data = content if isinstance(content, bytes) else content.encode()
        commit = hub.put(DATASET, {name: data}, repo_type="dataset")
        with use_hub(hub, monkeypatch, tmp_path):
            return prompts_of({"revision": commit, "file": name, **config}, **choose or {})

    return load_


def prompts_of(hub_config: dict[str, Any], **choose: Any) -> tuple[Prompt, ...]:
    config = {"hub": {"dataset": DATASET, **hub_config}, **choose}
    return load_prompt_set(PromptsConfig.model_validate(config), []).prompts


@contextmanager
def one_problem(key: str, *parts: str) -> Iterator[None]:
    with pytest.raises(ConfigError) as caught:
        yield
    (problem,) = caught.value.problems
    assert problem.key == key, problem
    for part in parts:
        assert part in str(problem)


def parquet(columns: dict[str, list[Any]]) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue()


COLUMNS = {"Prompt": ["A cat", "A dog", "A cat"], "Category": ["Animals", "Animals", "Again"], "Note": ["x", "y", "z"]}
ROWS = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]
EXPECTED = [("set-0001", "A cat", "Animals"), ("set-0002", "A dog", "Animals"), ("set-0003", "A cat", "Again")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("set.tsv", "\n".join("\t".join(row) for row in [list(COLUMNS), *(list(row.values()) for row in ROWS)])),
        ("set.csv", "\n".join(",".join(row) for row in [list(COLUMNS), *(list(row.values()) for row in ROWS)])),
        ("data/set.jsonl", "\n".join(map(json.dumps, ROWS))),
        ("set.json", json.dumps(ROWS)),
        ("data/set.parquet", parquet(COLUMNS)),
    ],
)
def test_every_format_gives_the_same_prompts(published: Load, name: str, content: str | bytes) -> None:
    """Other columns are left alone; a text that is there twice is two prompts."""
    prompts = published(name, content, column="Prompt", category_column="Category")
    assert [(prompt.id, prompt.text, prompt.category) for prompt in prompts] == EXPECTED


@pytest.mark.parametrize(("name", "content"), [("set.txt", "A cat\n\nA dog\n"), ("set.json", '["A cat", "A dog"]')])
def test_lists_of_texts_need_no_column(published: Load, name: str, content: str) -> None:
    assert [(prompt.id, prompt.text) for prompt in published(name, content)] == [
        ("set-0001", "A cat"),
        ("set-0002", "A dog"),
    ]


def test_ids_may_be_a_column_of_numbers(published: Load) -> None:
    content = parquet({"prompt": ["A cat", "A dog"], "n": [7, 9]})
    assert [prompt.id for prompt in published("set.parquet", content, id_column="n")] == ["7", "9"]


def test_of_several_files_each_is_a_category(hub: HubService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {f"benchmark/{style}.json": b'["One", "Two"]' for style in ("photo", "anime")}
    commit = hub.put(DATASET, files, repo_type="dataset")
    with use_hub(hub, monkeypatch, tmp_path):
        prompts = prompts_of({"revision": commit, "file": list(files)}, per_category=1)
    assert [(prompt.id, prompt.category) for prompt in prompts] == [("photo-0001", "photo"), ("anime-0001", "anime")]


def test_prompts_are_chosen_as_those_of_files_are(published: Load) -> None:
    prompts = published(
        "set.json", json.dumps(ROWS), {"categories": ["Again"]}, column="Prompt", category_column="Category"
    )
    assert [prompt.id for prompt in prompts] == ["set-0003"]


def test_hostile_text_stays_text(published: Load) -> None:
    """It is neither interpolated nor taken for a picture, a field of ours or an end of a row."""
    text = "${oc.env:HOME} {{ 7*7 }} <script>\u2028 ../../etc/passwd"
    row = {"prompt": text, "image": "/etc/passwd", "questions": "x" * 10_000, "id": "\x1b[31m"}
    (prompt,) = published("set.jsonl", json.dumps(row))
    assert prompt == Prompt(id="set-0001", text=text)


def test_a_set_is_fetched_once_and_then_read_without_the_hub(
    hub: HubService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.put(DATASET, {"set.json": b'["A cat"]'}, repo_type="dataset")
    config = {"revision": commit, "file": "set.json"}
    with use_hub(hub, monkeypatch, tmp_path):
        first = prompts_of(config)
        assert hub.sent("set.json") == 1
        hub.broken = True
        assert prompts_of(config) == first
    with use_hub(hub, monkeypatch, tmp_path, offline=True):
        hub.requests.clear()
        assert prompts_of(config) == first
        assert not hub.requests


def test_offline_without_the_file_says_how_to_fetch_it(
    hub: HubService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        use_hub(hub, monkeypatch, tmp_path, offline=True),
        one_problem("prompts.hub", "HF_HUB_OFFLINE", f"--revision {COMMIT} {DATASET} 'a b.json'"),
    ):
        prompts_of({"revision": COMMIT, "file": "a b.json"})
    assert not hub.requests


def test_what_the_hub_refuses_names_its_key(hub: HubService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = hub.put(DATASET, {"set.json": b'["A cat"]'}, repo_type="dataset")
    gated = hub.put("someone/gated", {"set.json": b'["A cat"]'}, repo_type="dataset", gated=True)
    with use_hub(hub, monkeypatch, tmp_path):
        with one_problem("prompts.hub.file", "other.json", f"datasets/{DATASET}/tree/{commit}"):
            prompts_of({"revision": commit, "file": "other.json"})
        with one_problem("prompts.hub.revision", COMMIT, "git ls-remote"):
            prompts_of({"revision": COMMIT, "file": "set.json"})
        with one_problem("prompts.hub.dataset", "someone/nothing", "hf auth login"):
            prompts_of({"dataset": "someone/nothing", "revision": commit, "file": "set.json"})
        with one_problem(
            "prompts.hub.dataset", "gated", "https://huggingface.co/datasets/someone/gated", "hf auth login"
        ):
            prompts_of({"dataset": "someone/gated", "revision": gated, "file": "set.json"})


def test_a_hub_out_of_order_or_gone_is_said(hub: HubService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = hub.put(DATASET, {"set.json": b'["A cat"]'}, repo_type="dataset")
    hub.broken = True
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the client tries again, with pauses that double
    with use_hub(hub, monkeypatch, tmp_path), one_problem("prompts.hub", "500", "hf download"):
        prompts_of({"revision": commit, "file": "set.json"})
    gone = HubService()
    gone.stop()
    with use_hub(gone, monkeypatch, tmp_path), one_problem("prompts.hub", "did not come from the Hub", "hf download"):
        prompts_of({"revision": commit, "file": "set.json"})


def test_no_signature_of_an_address_is_told() -> None:
    said = OSError("403 for url 'https://cdn.example/file?X-Signature=hunter2&Expires=1' (Request ID: 1)")

    text = str(hub_prompts._explained(said, "someone/prompts", "0" * 40, "x.csv"))

    assert "'https://cdn.example/file?…' (Request ID: 1)" in text
    assert "hunter2" not in text


def test_a_connection_that_ends_half_way_leaves_no_half_set(
    hub: HubService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.put(DATASET, {"set.txt": b"A cat\nA dog\n"}, repo_type="dataset")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    hub.truncate.add("set.txt")
    with use_hub(hub, monkeypatch, tmp_path):
        with one_problem("prompts.hub", "set.txt"):
            prompts_of({"revision": commit, "file": "set.txt"})
        hub.truncate.clear()
        assert [prompt.text for prompt in prompts_of({"revision": commit, "file": "set.txt"})] == ["A cat", "A dog"]


def test_a_file_too_large_is_not_downloaded(published: Load, hub: HubService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_prompts, "MAX_DOWNLOAD_BYTES", 5)
    with one_problem("prompts.hub.file", "set.json of 9 bytes", "at most 5"):
        published("set.json", '["A cat"]')
    assert hub.sent("set.json") == 0


@pytest.mark.parametrize(
    ("name", "content", "config", "key", "expected"),
    [
        ("set.tsv", "Prompt\tKind\nA\tB\n", {}, "prompts.hub.column", "one of its columns: Prompt, Kind"),
        ("set.jsonl", '{"text": "A"}', {"id_column": "n"}, "prompts.hub.column", "one of its columns: text"),
        ("set.parquet", parquet({"text": ["A"]}), {}, "prompts.hub.column", "one of its columns: text"),
        ("set.json", '["A"]', {"column": "text"}, "prompts.hub.column", "one of its columns: prompt"),
        ("set.json", '["A", " "]', {}, "prompts.hub.file=set.json row 2", "an empty prompt"),
        ("set.csv", "prompt,n\nA,1\n,2\n", {}, "prompts.hub.file=set.csv line 3", "an empty prompt"),
        ("set.parquet", parquet({"prompt": ["A", None]}), {}, "prompts.hub.file=set.parquet row 2", "an empty prompt"),
        ("set.parquet", parquet({"prompt": [3]}), {}, "prompts.hub.file=set.parquet row 1", "prompt of type int"),
        ("set.parquet", parquet({"prompt": [["A"]]}), {}, "prompts.hub.file=set.parquet row 1", "prompt of type list"),
        ("set.parquet", b"PAR1 and no more", {}, "prompts.hub.file=set.parquet after row 0", "no Parquet"),
        ("set.json", json.dumps(["x" * 20_001]), {}, "prompts.hub.file=set.json row 1", "at most 20000"),
        ("set.json", '{"a": ["A"]}', {}, "prompts.hub.file=set.json", "a list of objects or of texts"),
        ("set.json", "[]", {}, "prompts.hub", "no prompts"),
        ("set.csv", "prompt,n\nA,1\nB,1\n", {"id_column": "n"}, "prompts.hub", "the id '1' more than once"),
        ("set.csv", "prompt,n\nA,\n", {"id_column": "n"}, "prompts.hub.file=set.csv line 2", "no id"),
        ("set.jsonl", b"\xff", {}, "prompts.hub.file=set.jsonl", "UTF-8"),
    ],
)
def test_a_set_that_is_not_as_configured(
    published: Load, name: str, content: str | bytes, config: dict[str, Any], key: str, expected: str
) -> None:
    with one_problem(key, expected):
        published(name, content, **config)


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"dataset": "prompts"}, "prompts.hub.dataset"),
        ({"dataset": "../../etc/passwd"}, "prompts.hub.dataset"),
        ({"dataset": "someone/..prompts"}, "prompts.hub.dataset"),
        ({"revision": None}, "prompts.hub.revision"),
        ({"revision": "main"}, "prompts.hub.revision"),
        ({"revision": "abc1234"}, "prompts.hub.revision"),
        ({"file": "../secret.json"}, "prompts.hub.file"),
        ({"file": "/etc/passwd.json"}, "prompts.hub.file"),
        ({"file": "set.py"}, "prompts.hub.file"),
        ({"file": ["set.json", "a\\b.json"]}, "prompts.hub.file"),
    ],
)
def test_nothing_is_asked_of_the_hub_before_the_configuration_is_right(
    hub: HubService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], key: str
) -> None:
    with use_hub(hub, monkeypatch, tmp_path), one_problem(key):
        prompts_of({"revision": COMMIT, "file": "set.json"} | config)
    assert not hub.requests


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        prompts_of({"dataset": "x", "revision": "main", "file": "set.py"})
    assert [problem.key for problem in caught.value.problems] == [
        "prompts.hub.dataset",
        "prompts.hub.revision",
        "prompts.hub.file",
    ]
    assert all(isinstance(problem, Problem) for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("name", "files", "expected"),
    [
        (
            "parti_prompts",
            {"PartiPrompts.tsv": "Prompt\tCategory\tChallenge\tNote\nA\tAnimals\tBasic\t\n"},
            {"Animals": 1},
        ),
        ("drawbench", {"DrawBench Prompts - Sheet1.csv": "Prompts,Category\nA red car.,Colors\n"}, {"Colors": 1}),
        (
            "hpdv2",
            {f"benchmark/{style}.json": '["A"]' for style in ("anime", "concept-art", "paintings", "photo")},
            {"anime": 1, "concept-art": 1, "paintings": 1, "photo": 1},
        ),
        ("geneval", {"GenEval.tsv": "index\tquestion\n0\ta photo of a bench\n"}, {None: 1}),
        ("dpg_bench", {"DPG_Bench.tsv": 'index\ttext\tquestions\n0\tA\t"[{""a"": 1}]"\n'}, {None: 1}),
    ],
)
def test_the_shipped_configurations_fit_files_of_their_form(
    hub: HubService,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    files: dict[str, str],
    expected: dict[str | None, int],
) -> None:
    """With the columns that these sets are known to have; their own commits cannot be asked for here."""
    commit = hub.put(DATASET, {file: content.encode() for file, content in files.items()}, repo_type="dataset")
    overrides = [f"prompts={name}", f"prompts.hub.dataset={DATASET}", f"prompts.hub.revision='{commit}'"]
    with use_hub(hub, monkeypatch, tmp_path):
        prompts = load(["target=[fake_local]", "metrics=[]", *overrides]).experiment.prompts
    assert Counter(prompt.category for prompt in prompts) == expected


def test_a_plan_of_a_published_set_from_the_command_line(hub: HubService, tmp_path: Path) -> None:
    commit = hub.put(DATASET, {"set.json": b'["A cat", "A dog"]'}, repo_type="dataset")
    environ = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environ |= {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hf")}
    command = [sys.executable, "-m", "kreabench", "plan", "target=[fake_local]", "metrics=[]", "prompts.file=null"]
    command.append(f"prompts.hub={{dataset: {DATASET}, revision: '{commit}', file: set.json}}")
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "1 setting × 2 prompts × 2 seeds" in done.stdout
