"""Imports point down only, and what must start fast imports nothing heavy."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "kreabench"

LAYERS = [
    {"core"},
    {"drawn", "miniature"},
    {"limits", "pricing", "rundir", "backends", "metrics", "analysis"},
    {"plan_build", "plan_difference", "plan_of_run", "plan_references", "plan_requests", "estimate", "estimate_wall"}
    | {"pairing", "pairing_floors", "drops"},
    {"remote"},
    {"decisions"},
    {"config", "execution", "emulator", "scoring", "report"},
    {"race", "observer", "voting", "tracking"},
    {"drawing"},
    {"pipeline", "gating", "planning", "recommending", "reporting", "merging", "slurm"},
    {"library", "watching"},
    {"cli"},
    {"__main__", "pytest_plugin"},
]
"""From the bottom up. A module imports from its own part and from lower layers."""


def part_of(module: str) -> str:
    return module.split(".")[1]


def module_name(file: Path) -> str:
    parts = ["kreabench", *file.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


FILES = [file for file in sorted(PACKAGE.rglob("*.py")) if file != PACKAGE / "__init__.py"]


def level(part: str) -> int:
    return next(number for number, layer in enumerate(LAYERS) if part in layer)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_point_down(file: Path) -> None:
    here = part_of(module_name(file))
    for target in imports(file):
        if not target.startswith("kreabench.") or part_of(target) == here:
            continue
        there = part_of(target)
        if level(there) == level(here) == 2:
            assert (here, there) == ("rundir", "backends"), f"{here} imports its sibling {target}"
            assert target == "kreabench.backends.base"
        else:
            assert level(there) <= level(here), f"{here} imports {target}, which lies above it"


@pytest.mark.parametrize("part", ["analysis", "decisions", "report"])
def test_reading_a_run_needs_no_model(part: str) -> None:
    forbidden = ("torch", "diffusers", "kreabench.backends", "kreabench.execution", "kreabench.scoring")
    for file in FILES:
        if part_of(module_name(file)) == part:
            assert not [name for name in imports(file) if name.startswith(forbidden)], file


def test_every_part_has_its_layer() -> None:
    assert {part_of(module_name(file)) for file in FILES} == set().union(*LAYERS)


HEAVY = (
    "torch",
    "diffusers",
    "transformers",
    "open_clip",
    "scipy",
    "pandas",
    "matplotlib",
    "fal_client",
    "hydra",
    "pydantic",
)


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["--help"], set()),
        (["run", "--help"], set()),
        (["list", "backends"], set()),
        (["list", "metrics"], set()),
        (["list", "accelerations"], set()),
        (["list", "experiments"], {"hydra", "pydantic"}),
        (["list", "features"], set()),
        (["list", "targets"], set()),
        (["list", "pricing"], set()),
        (["list", "prompts"], set()),
        (["plan", "experiment=trial"], {"hydra", "pydantic"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_commands_import_no_more_than_they_need(arguments: list[str], allowed: set[str]) -> None:
    code = f"""
import sys
from kreabench.cli.main import main
try:
    main({arguments!r})
except SystemExit as exit:
    assert not exit.code, exit.code
print("LOADED", *sorted(set({HEAVY!r}) & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.splitlines()[-1].split()[1:])
    assert loaded <= allowed


def test_a_run_waits_for_nothing_that_only_its_report_or_a_race_needs() -> None:
    code = f"import sys, kreabench.cli.execute; print('LOADED', *sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "LOADED"


@pytest.mark.parametrize("path", sorted((PACKAGE.parents[1] / "benchmarks").glob("*.py")), ids=lambda path: path.stem)
def test_a_benchmark_that_borrows_from_the_tests_finds_these(path: Path) -> None:
    """A library that is installed has a package `tests` too."""
    text = path.read_text(encoding="utf-8")
    if '__name__ == "__main__"' in text and (borrowed := re.search(r"^from tests", text, re.MULTILINE)):
        assert 0 <= text.find("\nsys.path.insert(0, str(Path(__file__).resolve().parents[1]))\n") < borrowed.start()
