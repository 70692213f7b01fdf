"""Where the shipped weights lie, and whether they are what was shipped.

`weights/manifest.json` lists every file with its SHA-256. A part (`flux`, `redux`, …) is a folder beside it; no file of
a part is used before all of them are known to be as listed, and no other file is among them.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from kreabench.core.errors import EnvironmentProblem, Problem
from kreabench.core.ids import stable_hash

WEIGHTS = Path(__file__).parent / "weights"
MANIFEST = "manifest.json"
REMEDY = "Reinstall kreabench: pip install --force-reinstall --no-deps kreabench, or check the files out anew with git."


def shipped_folder(part: str) -> Path:
    """The folder of a part, each of whose files is as shipped. Raises EnvironmentProblem naming one that is not."""
    problem = shipped_problem(part)
    if problem is not None:
        raise EnvironmentProblem([problem])
    return WEIGHTS / part


def shipped_problem(part: str) -> Problem | None:
    """What is missing, damaged or too many among the files of a part; None where nothing is.

    Files are hashed once a process: 10 MB take about 30 ms.
    """
    return _problem(WEIGHTS, part)


def shipped_revision(part: str) -> str:
    """Identity of a part's files, as a commit is of a published model's. Raises EnvironmentProblem as above."""
    shipped_folder(part)
    return stable_hash(_listed(WEIGHTS, part))


@cache
def _problem(root: Path, part: str) -> Problem | None:
    manifest = root / MANIFEST
    try:
        listed = _listed(root, part)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        name = _shown(root, MANIFEST)
        found = f"{name}, which cannot be read ({type(error).__name__})" if manifest.exists() else f"no {name}"
        return _wrong(found, "the list of the shipped files")
    if not listed:
        return _wrong(f"{_shown(root, MANIFEST)} without a file of {part}", "the list of the shipped files")
    there = {path.relative_to(root).as_posix() for path in (root / part).rglob("*") if path.is_file()}
    wrong = [problem for name, digest in listed.items() if (problem := _damage(root, name, digest)) is not None]
    wrong += [
        _wrong(f"{_shown(root, name)}, which was not shipped", "shipped files alone")
        for name in sorted(there - {*listed})
    ]
    return wrong[0] if wrong else None


def _damage(root: Path, name: str, digest: str) -> Problem | None:
    expected = f"the file as shipped, of SHA-256 {digest}"
    try:
        found = hashlib.sha256((root / name).read_bytes()).hexdigest()
    except FileNotFoundError:
        return _wrong(f"no {_shown(root, name)}", expected)
    except OSError as error:
        return _wrong(f"{_shown(root, name)}, which cannot be read ({error.strerror})", expected)
    return None if found == digest else _wrong(f"{_shown(root, name)} of SHA-256 {found}", expected)


def _listed(root: Path, part: str) -> dict[str, str]:
    """Files of a part, relative to `root` → their SHA-256, by name."""
    content: dict[str, Any] = json.loads((root / MANIFEST).read_bytes())
    return {name: str(digest) for name, digest in sorted(content["files"].items()) if name.startswith(f"{part}/")}


def _shown(root: Path, name: str) -> str:
    """From the package on: where the package itself lies is nobody's business in a record of a run."""
    return f"kreabench/miniature/{root.name}/{name}"


def _wrong(found: str, expected: str) -> Problem:
    return Problem(key="model", found=found, expected=expected, remedy=REMEDY)
