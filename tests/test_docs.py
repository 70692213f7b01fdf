"""No command in the documentation is wrong: those that are marked are run, all others are understood."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

import kreabench
from kreabench.analysis import knees, saturation
from kreabench.cli.listing import EXPERIMENTS, KINDS, METRICS
from kreabench.cli.main import COMMANDS, cli
from kreabench.config.resolve import load_metrics
from kreabench.report.explorer import fronts
from kreabench.report.explorer import knees as knees_of_report
from kreabench.report.method import METHOD

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^(?P<run><!-- run -->\n)?(?P<indent> *)```(?P<lang>sh|python)\n(?P<text>.*?)^ *```$", re.M | re.S)
"""A block with `<!-- run -->` above it is run."""
EXIT_CODE = re.compile(r"# exit code (\d+)$")


def pages(nav: list[Any]) -> Iterator[Path]:
    """In the order in which they are read."""
    for item in nav:
        for entry in item.values() if isinstance(item, dict) else (item,):
            if isinstance(entry, str):
                yield DOCS / entry
            else:
                yield from pages(entry)


NAV = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
PAGES = list(pages(NAV))


@dataclass(frozen=True)
class Block:
    page: str
    lang: str
    runs: bool
    text: str

    @property
    def lines(self) -> list[str]:
        """Commands, with continued lines joined."""
        text = self.text.replace("\\\n", " ")
        return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def blocks(files: list[Path]) -> Iterator[Block]:
    for file in files:
        for match in BLOCK.finditer(file.read_text(encoding="utf-8")):
            yield Block(str(file.relative_to(ROOT)), match["lang"], bool(match["run"]), match["text"])


BLOCKS = list(blocks([*PAGES, ROOT / "README.md"]))
LINES = list(dict.fromkeys((block.page, line) for block in BLOCKS if block.lang == "sh" for line in block.lines))
KREABENCH_LINES = [(page, line) for page, line in LINES if line.startswith("kreabench ")]


PASSED_ON = {"--cfg", "--power"}
"""Options that a command takes out of its overrides itself."""


def words_of(line: str) -> list[str]:
    return shlex.split(line, comments=True)[1:]


def parse(words: list[str]) -> tuple[str, dict[str, Any]]:
    """Name of the command and what it is given; fails where a command, an option or a value is wrong."""
    command: click.Command = cli
    context = click.Context(cli)
    path = []
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        assert found is not None, f"no command {words[0]!r}; there are {', '.join(COMMANDS)}"
        path.append(words[0])
        command, words = found, words[1:]
        context = click.Context(command, parent=context, info_name=path[-1])
    return " ".join(path), command.make_context(path[-1], words).params


@pytest.mark.parametrize(("page", "line"), KREABENCH_LINES, ids=lambda value: value)
def test_every_command_line_is_understood(
    page: str, line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # prompt files and run directories of whoever runs this are none of its business
    name, given = parse(words_of(line))
    if name in ("run", "plan", "load"):
        flags = {word for word in given["overrides"] if word.startswith("-")}
        assert flags <= PASSED_ON
        if not flags:
            kreabench.plan(*(["run.load=on"] if name == "load" else []), *given["overrides"])
    elif name == "list":
        assert given["what"] in {*KINDS, EXPERIMENTS, METRICS}
    elif name == "score" and given["names"]:
        assert load_metrics(given["names"].split(","))


@pytest.mark.parametrize(("page", "line"), [pair for pair in LINES if pair not in KREABENCH_LINES])
def test_other_programs_are_few_and_make_knows_its_targets(page: str, line: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    program, *words = shlex.split(line, comments=True)
    assert program in {"make", "pip", "export"}, f"{page}: {line}"
    assert program != "make" or set(words) <= targets


@pytest.mark.usefixtures("undrawn")
def test_what_can_be_run_here_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = 0
    seen = set[str]()
    for block in BLOCKS:
        if not block.runs:
            continue
        if block.lang == "python":
            exec(compile(block.text, block.page, "exec"), PYTHON)
            ran += 1
            continue
        for line in block.lines:
            if line in seen:
                continue
            seen.add(line)
            expected = EXIT_CODE.search(line)
            code = cli.main(words_of(line), prog_name="kreabench", standalone_mode=False)
            assert int(code or 0) == int(expected[1] if expected else 0), f"{block.page}: {line}"
            ran += 1
    assert ran > 20


PYTHON: dict[str, Any] = {}
"""Names of the pages' Python, which goes on from block to block."""


def test_every_page_is_in_the_contents() -> None:
    assert {page for page in DOCS.rglob("*.md") if "_generate" not in page.parts} == set(PAGES)


def test_every_command_and_every_public_name_is_told() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in COMMANDS if f"kreabench {name}" not in text] == []
    assert [name for name in kreabench.__all__ if not re.search(rf"\b{re.escape(name)}\b", text)] == []


def test_the_method_tells_the_numbers_of_the_code() -> None:
    method = "\n".join(METHOD)
    assert f"the share of {fronts.DRAWS} resamples" in method
    assert f"half of {knees_of_report.DRAWS} resamples" in method
    load = (ROOT / "docs" / "how-to" / "load.md").read_text(encoding="utf-8")
    assert f"from {100 * saturation.NEAR_KNEE:.0f} % of" in load
    assert (knees.MIN_POINTS, knees.MIN_SHARE, knees.MIN_SURE) == (4, 0.5, 0.975), "say so in the method"


def test_files_that_the_readme_and_contributing_name_are_there() -> None:
    for name in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        for path in re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", text):
            # Owed to the commands beside it, as that report is written anew by them.
            assert (ROOT / path).exists() or path.startswith("reports/versions/"), f"{name}: {path}"


def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    site = tmp_path / "site"
    html = {page.relative_to(site).as_posix(): page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    for name, text in html.items():
        assert not re.findall(r'<(?:script|img|iframe)[^>]+src="https?:', text), name
        assert not re.findall(r'<link[^>]+rel="(?:stylesheet|preconnect)"[^>]+href="https?:', text), name
        assert "<!-- generate:" not in text, name
    for name in COMMANDS:
        assert f"kreabench {name}" in html["reference/commands.html"]
    for name in set(kreabench.__all__) - {"__version__"}:
        assert re.search(rf"\b{name}\b", html["reference/library.html"]), name
