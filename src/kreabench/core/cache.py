"""Where kreabench keeps what it can build again, such as its miniature models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kreabench.core.errors import EnvironmentProblem, Problem


def cache_folder(environ: Mapping[str, str]) -> Path:
    """`$KREABENCH_CACHE`; without it `kreabench` in the user's cache folder. It need not exist yet."""
    if environ.get("KREABENCH_CACHE"):
        return Path(environ["KREABENCH_CACHE"]).expanduser()
    base = environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "kreabench"


def cache_refused(cache: Path, error: OSError) -> EnvironmentProblem:
    """What to raise where something small could not be built there."""
    found = f"{cache}: {error.strerror or error}"
    expected = "a folder that can be written to, with 10 MB free"
    return EnvironmentProblem([Problem(key="KREABENCH_CACHE", found=found, expected=expected)])
