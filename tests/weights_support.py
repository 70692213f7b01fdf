"""What tests of weights share."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from kreabench.core.errors import EnvironmentProblem
from kreabench.metrics.weights import WeightsNeed

COMMIT = "0123456789abcdef0123456789abcdef01234567"
DIGEST = "ab" * 32
CONTENT = b"weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def need(source: object) -> WeightsNeed:
    return WeightsNeed(name="weights of a model", source=str(source))


def refusal(action: Callable[[], object]) -> str:
    """Found and remedy of the one problem that `action` raises."""
    with pytest.raises(EnvironmentProblem) as caught:
        action()
    (problem,) = caught.value.problems
    assert problem.key == "options.weights"
    assert problem.expected.startswith("the weights of a model")
    return f"{problem.found}. {problem.remedy}"


def fetched(source: object) -> list[str]:
    said: list[str] = []
    need(source).fetch(os.environ, said.append)
    return said


def model_folder(path: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


MODEL = {"config.json": b"{}", "model.safetensors": CONTENT, "README.md": b"read me", "pytorch_model.bin": b"pickle"}
