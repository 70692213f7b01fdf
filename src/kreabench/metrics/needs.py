"""What a metric needs of this machine, so that what is missing is said before anything is drawn, and can be fetched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from kreabench.core.errors import Problem

if TYPE_CHECKING:
    from pathlib import Path

Say = Callable[[str], None]

FETCH = "kreabench doctor --fetch metrics"
"""The command that gets weights, for remedies; whoever knows the metric adds its name."""


class Need(Protocol):
    """One thing that must be there. Keys of problems are given from `options` on, or name a variable."""

    @property
    def name(self) -> str:
        """What it is, for people: `weights of CLIP ViT-L-14-quickgelu (openai)`."""

    @property
    def fetchable(self) -> bool:
        """Whether `fetch` can get it."""

    def problem(self, environ: Mapping[str, str]) -> Problem | None:
        """What is missing or wrong, found without network and without loading; None where all is well."""

    def fetch(self, environ: Mapping[str, str], say: Say) -> None:
        """Get what is missing. Raises EnvironmentProblem; does nothing where it is there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Located:
    """A weights file or folder on this machine."""

    path: Path
    sha256: str
    """Of the file; of a folder, of its files' names and contents."""
    commit: str | None = None
    """Of a Hub repository: what its branch or tag meant when the weights were fetched."""
