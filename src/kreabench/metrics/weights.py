"""Weights that a metric needs: found, hashed and fetched, whatever their source (see `weight_sources`).

What comes from elsewhere is fetched by `fetch` alone; `locate` finds what is here and sends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from kreabench.core.errors import EnvironmentProblem, Problem
from kreabench.metrics import mini_clip, weight_hub, weight_urls
from kreabench.metrics.needs import FETCH, Located, Say
from kreabench.metrics.weight_errors import FetchRefused, WeightsMissing
from kreabench.metrics.weight_hashes import DESCRIPTIONS, MODEL_FILES, file_sha256, files_sha256, model_files
from kreabench.metrics.weight_sources import (
    NOT_PINNED,
    RANDOM_WEIGHTS,
    SUFFIXES,
    BuiltinWeights,
    HubWeights,
    LocalWeights,
    RandomWeights,
    UrlWeights,
    WeightSource,
    check_source,
    parse_source,
)

__all__ = ["RANDOM_WEIGHTS", "WeightsNeed", "check_source", "offline_variable"]

OFFLINE_VARIABLES = ("KREABENCH_OFFLINE", "HF_HUB_OFFLINE")
FETCH_REMEDY = f"Fetch it with `{FETCH}`"


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsNeed:
    """A `Need` of weights."""

    name: str
    """For people: `weights of CLIP ViT-L-14`."""
    source: str
    """As configured; one of the forms of `weight_sources`."""
    key: str = "options.weights"
    """Of problems."""
    tensors: bool = True
    """Whether a folder must hold weights; else only tokenizer and preprocessing are looked at, and fetched."""
    shipped: str = ""
    """What `builtin:mini` stands for, in the folder of the CLIP that ships with kreabench; empty: nothing."""

    @property
    def fetchable(self) -> bool:
        """Whether the source lies elsewhere, so that `fetch` can get it."""
        try:
            return isinstance(parse_source(self.source), HubWeights | UrlWeights)
        except ValueError:
            return False

    def locate(self, environ: Mapping[str, str]) -> Located:
        """The weights on this machine, hashed. Raises EnvironmentProblem; sends nothing."""
        source = self._parsed()
        try:
            if isinstance(source, HubWeights):
                return weight_hub.locate(source, environ, tensors=self.tensors)
            if isinstance(source, UrlWeights):
                return weight_urls.locate(source, environ)
            if isinstance(source, BuiltinWeights):
                source = self._built_in(source)
            return _local(source, environ, tensors=self.tensors)
        except WeightsMissing as error:
            raise self._problem(str(error), self._remedy(environ), form=error.form) from error
        except OSError as error:
            raise self._problem(f"{self.source}: {error.strerror or error}") from error

    def problem(self, environ: Mapping[str, str]) -> Problem | None:
        """As in `Need`."""
        if self.source == RANDOM_WEIGHTS:
            return None
        try:
            self.locate(environ)
        except EnvironmentProblem as error:
            return error.problems[0]
        return None

    def fetch(self, environ: Mapping[str, str], say: Say) -> None:
        """As in `Need`. What was fetched is said with its size and hash, and how to pin it where it is not pinned."""
        source = self._parsed()
        if not isinstance(source, HubWeights | UrlWeights) or self.problem(environ) is None:
            return
        variable = offline_variable(environ)
        if variable is not None:
            raise self._problem(f"{source}, which is not here while {variable} is set", f"Unset {variable} to fetch it")
        try:
            if isinstance(source, HubWeights):
                weight_hub.fetch(source, environ, say, tensors=self.tensors)
            else:
                weight_urls.fetch(source, environ, say)
        except FetchRefused as refusal:
            raise self._problem(refusal.found, refusal.remedy) from refusal
        located = self.locate(environ)
        say(f"{self.name}: {_size(located.path)} in {located.path}, SHA-256 {located.sha256}")
        if not source.pinned:
            say(f"{self.name}: {NOT_PINNED}; to pin what is here now: {_pinned(source, located)}")

    def _parsed(self) -> WeightSource:
        try:
            return parse_source(self.source)
        except ValueError as error:
            raise self._problem(str(error)) from error

    def _built_in(self, source: BuiltinWeights) -> LocalWeights:
        if not self.shipped:
            raise WeightsMissing(f"{source}, which has none of these", form="another source")
        return LocalWeights(path=str(mini_clip.shipped(self.shipped, key=self.key)))

    def _remedy(self, environ: Mapping[str, str]) -> str:
        if not self.fetchable:
            return ""
        variable = offline_variable(environ)
        return f"{FETCH_REMEDY}, with {variable} unset" if variable else FETCH_REMEDY

    def _problem(self, found: str, remedy: str = "", *, form: str = "") -> EnvironmentProblem:
        expected = f"the {self.name.removeprefix('the ')}{f', as {form}' if form else ''}"
        return EnvironmentProblem([Problem(key=self.key, found=found, expected=expected, remedy=remedy)])


def offline_variable(environ: Mapping[str, str]) -> str | None:
    """The variable that forbids fetching, where one is set."""
    for name in OFFLINE_VARIABLES:
        if environ.get(name, "").strip().lower() in {"1", "on", "yes", "true"}:
            return name
    return None


def _local(source: LocalWeights | RandomWeights, environ: Mapping[str, str], *, tensors: bool) -> Located:
    """Raises WeightsMissing, OSError."""
    try:
        path = Path(str(source)).expanduser()
    except RuntimeError as error:
        raise WeightsMissing(f"{source}, of a user without a home folder") from error
    if path.is_file():
        if not path.name.lower().endswith(SUFFIXES):
            raise WeightsMissing(f"{path}, a file of another kind", form=" or ".join(SUFFIXES))
        return Located(path=path, sha256=file_sha256(path, environ))
    if not path.is_dir():
        raise WeightsMissing(f"{path}, no such file or folder")
    files = model_files(path, MODEL_FILES if tensors else DESCRIPTIONS)
    if tensors and not any(file.suffix == ".safetensors" for file in files):
        found = f"{path}, a folder without .safetensors such as model.safetensors; another file must be named itself"
        raise WeightsMissing(found, form="config.json and .safetensors")
    if not files:
        raise WeightsMissing(f"{path}, a folder without {', '.join(DESCRIPTIONS)}")
    return Located(path=path, sha256=files_sha256(files, environ))


def _pinned(source: HubWeights | UrlWeights, located: Located) -> str:
    if isinstance(source, HubWeights):
        return str(replace(source, revision=located.commit or source.revision))
    return str(replace(source, sha256=located.sha256))


def _size(path: Path) -> str:
    files = model_files(path) if path.is_dir() else [path]
    total = sum(file.stat().st_size for file in files)
    return f"{total / 1e9:.2f} GB" if total >= 1e9 else f"{total / 1e6:.1f} MB"
