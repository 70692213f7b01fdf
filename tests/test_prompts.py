"""Prompt files are data from outside: read as they are, and refused by file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kreabench.config import prompt_files
from kreabench.config.compose import conf_dir
from kreabench.config.model import PromptsConfig
from kreabench.config.prompt_rows import MAX_PROMPT_CHARACTERS
from kreabench.config.prompts import load_prompt_set
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


def test_tsv_json_and_parquet_mean_the_same_too(tmp_path: Path) -> None:
    expected = (
        Prompt(id="cat", text="A cat, sitting", category="animals", questions=("Is it a cat?", "Does it sit?")),
    )
    fields = {"id": "cat", "prompt": "A cat, sitting", "category": "animals"}
    fields_as_json = json.dumps(fields | {"questions": ["Is it a cat?", "Does it sit?"]})
    assert read(tmp_path, "a.jsonl", fields_as_json) == expected
    assert read(tmp_path, "a.json", f"[{fields_as_json}]") == expected
    cells = ("id\tprompt\tcategory\tquestions\tmore", "cat\tA cat, sitting\tanimals\tIs it a cat?; Does it sit?\t7")
    assert read(tmp_path, "a.tsv", "\r\n".join(cells)) == expected
    csv = "\n".join(cells).replace("A cat, sitting", '"A cat, sitting"').replace("\t", ",")
    assert read(tmp_path, "a.csv", csv) == expected
    row = fields | {"questions": ["Is it a cat?", "Does it sit?"], "more": 7}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
    assert load_prompt_set(PromptsConfig(file="a.parquet"), [tmp_path]).prompts == expected


def test_a_list_of_texts_is_a_list_of_prompts(tmp_path: Path) -> None:
    assert [prompt.text for prompt in read(tmp_path, "a.json", '["A cat", "A dog"]')] == ["A cat", "A dog"]


def test_quotes_in_a_tsv_are_kept_where_they_enclose_no_cell(tmp_path: Path) -> None:
    """Tables exported with tabs often quote nothing; others quote as CSV does. Neither loses a word."""
    plain = read(tmp_path, "plain.tsv", 'id\tprompt\na\t"Hello" on a sign\nb\tA 7" disc\n')
    assert [prompt.text for prompt in plain] == ['"Hello" on a sign', 'A 7" disc']
    quoted = read(tmp_path, "quoted.tsv", 'id\tprompt\na\t"A sign: ""Hello"""\n')
    assert quoted[0].text == 'A sign: "Hello"'


def test_one_question_may_stand_without_a_list(tmp_path: Path) -> None:
    (prompt,) = read(tmp_path, "a.jsonl", '{"prompt": "a", "questions": " Is it red; or blue? "}')
    assert prompt.questions == ("Is it red; or blue?",)


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
        ("a.tsv", "text\nA cat\n", "column `prompt`"),
        ("a.tsv", "prompt\nA\tcat\n", "quotes around tabs"),
        ("a.json", "{}", "a list of objects or of texts"),
        ("a.json", "[1]", "row 1"),
        ("a.json", "[", "no JSON"),
        ("a.parquet", "PAR1", "no Parquet"),
        ("a.jsonl", '{"prompt": "a", "questions": 3}', "questions of type int"),
        ("a.jsonl", '{"prompt": "a", "questions": {"q": 1}}', "questions of type dict"),
        ("a.jsonl", '{"prompt": "a", "questions": [3]}', "questions of type int"),
        ("a.jsonl", '{"prompt": "a", "questions": [" "]}', "an empty question"),
        ("a.jsonl", '{"prompt": "a", "questions": ["b", "b"]}', "a question twice"),
        ("a.jsonl", '{"prompt": "a", "questions": ["\\ud800"]}', "U+D800"),
        ("a.jsonl", f'{{"prompt": "a", "questions": ["{"x" * 501}"]}}', "at most 500"),
        ("a.csv", "prompt,questions\na," + ";".join(f"{n}?" for n in range(11)) + "\n", "11 questions"),
        ("a.jsonl", f'{{"prompt": "a", "id": "{"x" * 201}"}}', "at most 200"),
        ("a.jsonl", f'{{"prompt": "a", "category": "{"x" * 201}"}}', "at most 200"),
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


def test_a_file_too_large_to_be_prompts_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_files, "MAX_TEXT_BYTES", 10)
    monkeypatch.setattr(prompt_files, "MAX_PROMPTS", 2)
    with pytest.raises(ConfigError, match="11 bytes"):
        read(tmp_path, "a.txt", "x" * 11)
    with pytest.raises(ConfigError, match="more than 2 prompts"):
        read(tmp_path, "a.txt", "a\nb\nc")


@pytest.mark.parametrize("file", sorted((conf_dir() / "prompts").glob("*.jsonl")), ids=lambda file: file.name)
def test_shipped_prompts_read_and_say_what_to_look_for(file: Path) -> None:
    prompts = load_prompt_set(PromptsConfig(file=file.name), [file.parent]).prompts
    assert all(prompt.category and prompt.look_for for prompt in prompts)
