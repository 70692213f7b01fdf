"""Where weights of metrics come from: one line of text, so that it can be given on a command line.

    hub:OWNER/NAME@REVISION           the model folder of a Hub repository (configuration and safetensors)
    hub:OWNER/NAME/FILE@REVISION      one file of it
    https://ADDRESS#sha256=HEX        one file, whose content is checked
    PATH                              a file or folder of this machine
    random                            drawn at random: only where `untrained: true` says so

What comes from elsewhere is fetched by `fetch` alone; `locate` finds what is here and sends nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kreabench.core.errors import EnvironmentProblem, Problem
from kreabench.metrics.needs import Located, Say

RANDOM_WEIGHTS = "random"


def check_source(source: str, *, untrained: bool) -> None:
    """Raises ValueError, for an options class, where `source` is none of the forms above or random without the flag."""
    if not source:
        raise ValueError("weights must be hub:…, https://…, a path or `random`, and is empty")
    if source == RANDOM_WEIGHTS and not untrained:
        raise ValueError("weights `random` need `untrained: true`, which brands every score")


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsNeed:
    """A `Need` of weights."""

    name: str
    source: str
    key: str = "options.weights"

    @property
    def fetchable(self) -> bool:
        return self.source.startswith(("hub:", "https://"))

    def locate(self, environ: Mapping[str, str]) -> Located:
        """The weights on this machine, hashed. Raises EnvironmentProblem; sends nothing."""
        path = Path(self.source).expanduser()
        if not path.exists():
            raise _missing(self, path)
        return Located(path=path, sha256=hash_of(path), source=self.source)

    def problem(self, environ: Mapping[str, str]) -> Problem | None:
        """As in `Need`."""
        try:
            self.locate(environ)
        except EnvironmentProblem as error:
            return error.problems[0]
        return None

    def fetch(self, environ: Mapping[str, str], say: Say) -> None:
        """As in `Need`."""
        raise NotImplementedError


def hash_of(path: Path) -> str:
    """SHA-256 of a file, or of a folder's file names and their contents."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    files = sorted(file for file in path.rglob("*") if file.is_file())
    listing = "\n".join(f"{file.relative_to(path)} {hash_of(file)}" for file in files)
    return hashlib.sha256(listing.encode()).hexdigest()


def _missing(need: WeightsNeed, path: Path) -> EnvironmentProblem:
    return EnvironmentProblem(
        [Problem(key=need.key, found=f"{path}, no such file or folder", expected=f"the {need.name}")]
    )
