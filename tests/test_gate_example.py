"""The example for GitHub Actions: valid, and every command line in it is one that this version understands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from kreabench.cli.main import COMMANDS, cli

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "github_actions"
LINE = re.compile(r"^\s*(?:- run: )?(kreabench [^|\n#]+)", re.MULTILINE)
LINES = [
    (file.name, line.strip())
    for file in sorted(FOLDER.iterdir())
    for line in LINE.findall(file.read_text(encoding="utf-8"))
]


def test_the_workflow_is_one() -> None:
    workflow = yaml.load((FOLDER / "gate.yml").read_text(encoding="utf-8"), yaml.BaseLoader)
    assert set(workflow["on"]) == {"pull_request", "workflow_dispatch"}
    steps = workflow["jobs"]["gate"]["steps"]
    assert all(("uses" in step) != ("run" in step) for step in steps)
    gate = next(step["run"] for step in steps if step.get("name") == "Gate")
    upload = next(step for step in steps if "upload-artifact" in step.get("uses", ""))
    assert upload["if"] == "always()", "a failed gate is what people want to look at"
    for file in ("gate.xml", "gate.json"):
        assert file in gate
        assert file in upload["with"]["path"]


def test_the_example_runs_all_stages() -> None:
    assert {shlex.split(line)[1] for _, line in LINES} == {"doctor", "run", "gate", "baseline", "canary"}


@pytest.mark.parametrize(("file", "line"), LINES)
def test_every_command_in_it_is_understood(file: str, line: str) -> None:
    words = shlex.split(line)[1:]
    command: click.Command | None = cli
    context = click.Context(cli)
    while isinstance(command, click.Group):
        name = words.pop(0)
        command = command.get_command(context, name)
        assert command is not None, f"{file}: no command {name!r}; there are {', '.join(COMMANDS)}"
        context = click.Context(command, parent=context, info_name=name)
    assert command is not None
    given = command.make_context(command.name, words).params
    targets = [word for word in given.get("words", ()) if "=" not in word]
    assert not (given.get("fetch") and targets), "weights are fetched for metrics, not for a target"
