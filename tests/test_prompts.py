"""Prompt files are data from outside: read as they are, and refused by file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from kreabench.config.compose import conf_dir
from kreabench.config.model import PromptsConfig
from kreabench.config.prompts import MAX_PROMPT_CHARACTERS, load_prompt_set
from kreabench.core.errors import ConfigError
from kreabench.core.specs import Prompt


def read(folder: Path, name: str, content: str | bytes, **options: object) -> tuple[Prompt, ...]:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_prompt_set(PromptsConfig.model_validate({"file": name, **options}), [folder]).prompts


def test_jsonl_csv_and_text_mean_the_same(tmp_path: Path) -> None:
    jsonl = read(tmp_path, "a.jsonl", '{"id": "cat", "prompt": "A cat, sitting", "category": "animals"}\n\n')
    csv = read(tmp_path, "a.csv", 'id,prompt,category,extra\ncat,"A cat, sitting",animals,x\n')
    text = read(tmp_path, "a.txt", "\n  A cat, sitting\n")
    assert jsonl == csv == (Prompt(id="cat", text="A cat, sitting", category="animals"),)
    assert text == (Prompt(id="a-0002", text="A cat, sitting"),)


def test_nothing_in_a_prompt_is_interpreted(tmp_path: Path) -> None:
    hostile = "${oc.env:HOME} {{ 7*7 }} <script>alert(1)</script> \\n ../../etc"
    assert read(tmp_path, "a.txt", hostile)[0].text == hostile


def test_line_separators_inside_a_prompt_do_not_split_it(tmp_path: Path) -> None:
    assert read(tmp_path, "a.jsonl", '{"prompt": "one\u2028two"}')[0].text == "one\u2028two"


@pytest.mark.parametrize("separator", ["\u2028", "\x0c", "\x85", "\x1c"])
def test_only_ends_of_lines_end_a_row(tmp_path: Path, separator: str) -> None:
    (prompt,) = read(tmp_path, "a.csv", f"prompt\r\none{separator}two\r\n")
    assert prompt.text == f"one{separator}two"


def test_a_byte_order_mark_is_no_part_of_the_first_prompt(tmp_path: Path) -> None:
    assert read(tmp_path, "a.txt", b"\xef\xbb\xbfA cat")[0].text == "A cat"


def test_choosing(tmp_path: Path) -> None:
    lines = "".join(f'{{"id": "p{n}", "prompt": "number {n}"}}\n' for n in range(5))
    assert [p.id for p in read(tmp_path, "a.jsonl", lines, limit=2)] == ["p0", "p1"]
    assert [p.id for p in read(tmp_path, "a.jsonl", lines, ids=["p4", "p1"])] == ["p4", "p1"]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.jsonl", "", "no prompts"),
        ("a.jsonl", '{"prompt": "a"}\n{"prompt"', "line 2"),
        ("a.jsonl", "[1]", "a JSON object"),
        ("a.jsonl", "[" * 100_000, "line 1"),
        ("a.jsonl", f'{{"prompt": {"9" * 5000}}}', "line 1"),
        ("a.jsonl", '{"prompt": "a", "prompt": "b"}', "'prompt' twice"),
        ("a.jsonl", '{"id": "\\ud800", "prompt": "a"}', "U+D800"),
        ("a.jsonl", '{"prompt": "a", "category": "\\udc00"}', "U+DC00"),
        ("a.csv", "prompt,prompt\na,b\n", "the column 'prompt' more than once"),
        ("a.csv", 'prompt\n"not closed\n', "no CSV"),
        ("a.csv", f"prompt\n{'x' * 200_000}\n", "no CSV"),
        ("a.jsonl", '{"prompt": ""}', "an empty prompt"),
        ("a.jsonl", '{"text": "a"}', "'text'"),
        ("a.jsonl", '{"prompt": 3}', "prompt of type int"),
        ("a.jsonl", '{"prompt": "a\\ud800"}', "U+D800"),
        ("a.jsonl", '{"id": "x", "prompt": "a"}\n{"id": "x", "prompt": "b"}', "more than once"),
        ("a.csv", "text\nA cat\n", "column `prompt`"),
        ("a.csv", "prompt\nA cat, sitting\n", "quotes around commas"),
        ("a.md", "A cat", ".jsonl"),
        ("a.txt", b"caf\xe9", "UTF-8"),
        ("a.txt", "x" * (MAX_PROMPT_CHARACTERS + 1), "characters"),
    ],
)
def test_refused_by_file_and_line(tmp_path: Path, name: str, content: str | bytes, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, name, content)
    (problem,) = caught.value.problems
    assert name in problem.key
    assert expected in str(problem)


@pytest.mark.parametrize("file", sorted((conf_dir() / "prompts").glob("*.jsonl")), ids=lambda file: file.name)
def test_shipped_prompts_read_and_say_what_to_look_for(file: Path) -> None:
    prompts = load_prompt_set(PromptsConfig(file=file.name), [file.parent]).prompts
    assert all(prompt.category and prompt.look_for for prompt in prompts)
