"""Which weights a CLIP model runs with: found, checked against their architecture, and hashed.

open_clip leaves room for silent mistakes that this module closes: random weights after a log line, an activation that
the weights were not trained with, and downloads whose content nobody checks.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kreabench.core.cache import cache_folder
from kreabench.core.errors import EnvironmentProblem, Problem
from kreabench.core.ids import stable_hash
from kreabench.core.reach import unreachable
from kreabench.metrics import random_clip
from kreabench.metrics.clip_architectures import check_activation, check_activation_of_file, config_of, name_of
from kreabench.metrics.clip_folder import WEIGHTS_FILE, described, files_of_repository
from kreabench.metrics.clip_options import ClipOptions
from kreabench.metrics.clip_tokenizer import tokenizer_need
from kreabench.metrics.mini_clip import MINI_CLIP, WEIGHTS
from kreabench.metrics.needs import FETCH, Located, Say
from kreabench.metrics.random_clip import RANDOM_CLIP
from kreabench.metrics.weight_hashes import file_sha256
from kreabench.metrics.weight_hub import HUB
from kreabench.metrics.weights import RANDOM_WEIGHTS, WeightsNeed, offline_variable

SUFFIXES = (".pt", ".pth", ".bin", ".safetensors")

_ELSEWHERE = ("hub:", "https://")
_IN_FOLDER = (WEIGHTS_FILE, "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin")
"""Names of weights in a folder in open_clip's layout, the preferred first."""
_DOWNLOAD = "a download that works"
_TRY_AGAIN = "Try again where the network is, or name a local file of weights"
_FETCH = f"`{FETCH}` fetches it where the network is; or name a local file of weights"


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipWeights:
    """Weights that are on this machine, for an architecture that fits them."""

    architecture: str
    """Name in open_clip's registry."""
    path: Path | None
    """The file; None for random weights that are drawn when the model is made."""
    sha256: str
    """Of the file; of random weights, of what they are drawn from."""
    quick_gelu: bool
    """Whether the architecture computes with QuickGELU, as OpenAI's weights need."""
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    """What the weights' tag or folder says of mean, standard deviation and resizing."""
    tokenizer: Located | None = None
    """None for CLIP's own, and where no prompts are read."""


def need_of(options: ClipOptions, *, reads_prompts: bool = True) -> ClipWeightsNeed:
    """What a metric with these options needs."""
    return ClipWeightsNeed(
        model=options.model, weights=options.weights, tokenizer=options.tokenizer, reads_prompts=reads_prompts
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipWeightsNeed:
    """A `Need` of the weights that the options `model` and `weights` name."""

    model: str
    weights: str
    """open_clip's tag, a file, `hub:…`, `https://…`, `builtin:mini` or `random`."""
    key: str = "options.weights"
    tokenizer: str = ""
    """Where the tokenizer comes from, of an architecture with one of its own."""
    reads_prompts: bool = True
    """Whether a tokenizer is needed at all."""

    @property
    def name(self) -> str:
        return f"weights of CLIP {self.model} ({self.weights})"

    @property
    def fetchable(self) -> bool:
        return self.weights.startswith(_ELSEWHERE) or self.tokenizer.startswith(_ELSEWHERE) or bool(self._tag())

    def locate(self, environ: Mapping[str, str]) -> ClipWeights:
        """The weights on this machine, checked and hashed. Sends nothing.

        Raises EnvironmentProblem: an unknown or unsuitable architecture, weights that are not there, or were trained
        with another activation than the architecture's.
        """
        tokenizer = self._tokenizer_need()
        located = None if tokenizer is None else tokenizer.locate(environ)
        return replace(self._weights(environ), tokenizer=located)

    def _weights(self, environ: Mapping[str, str]) -> ClipWeights:
        architecture = name_of(self.model)
        config = config_of(architecture, self.model)
        quick_gelu = bool(config.get("quick_gelu", False))
        if self.weights == RANDOM_WEIGHTS:
            return _random(self.model, architecture, config, environ)
        tag = self._tag()  # goes before a file of the same name, as in open_clip
        path, told = (self._cached_file(tag), tag) if tag else self._file(environ)
        digest = _sha256(path, self.key, environ)
        if tag or "quick_gelu" in told:
            source = f"tag {self.weights!r}" if tag else f"{path.parent}"
            check_activation(architecture, source, bool(told.get("quick_gelu", False)), quick_gelu)
        elif not quick_gelu:
            check_activation_of_file(architecture, path, digest)
        return ClipWeights(
            architecture=architecture, path=path, sha256=digest, quick_gelu=quick_gelu, preprocessing=told
        )

    def problem(self, environ: Mapping[str, str]) -> Problem | None:
        """As in `Need`."""
        try:
            self.locate(environ)
        except EnvironmentProblem as error:
            return error.problems[0]
        return None

    def fetch(self, environ: Mapping[str, str], say: Say) -> None:
        """As in `Need`. A tag is fetched by open_clip, into the cache of the Hub."""
        if (need := self._tokenizer_need()) is not None:
            need.fetch(environ, say)
        if self.weights.startswith(_ELSEWHERE):
            for file in self._files_elsewhere():
                file.fetch(environ, say)
            return
        tag = self._tag()
        if tag and _cached(tag) is None:
            _check_network(tag, self, environ)
            say(f"fetching the {self.name}")
            _download(tag, self)
        problem = self.problem(environ)
        if problem is not None:
            raise EnvironmentProblem([problem])

    def _files_elsewhere(self) -> tuple[WeightsNeed, ...]:
        """Of a repository of the Hub its weights and what it says of them."""
        sources = files_of_repository(self.weights) or (self.weights,)
        return tuple(WeightsNeed(name=self.name, source=source, key=self.key) for source in sources)

    def _tokenizer_need(self) -> WeightsNeed | None:
        architecture = name_of(self.model)
        config = config_of(architecture, self.model)
        return tokenizer_need(self.model, config, self.tokenizer) if self.reads_prompts else None

    def _tag(self) -> dict[str, Any]:
        """What open_clip knows of `weights` as a tag; empty where it is none."""
        import open_clip

        if MINI_CLIP in (self.model, self.weights):
            return {}
        tag: dict[str, Any] = open_clip.get_pretrained_cfg(name_of(self.model), self.weights)
        return tag

    def _cached_file(self, tag: Mapping[str, Any]) -> Path:
        path = _cached(tag)
        if path is None:
            found = f"tag {self.weights!r} of {self.model}, whose file is not on this machine"
            raise _problem(self.key, found, f"{tag.get('hf_hub') or tag.get('file')} in the cache of the Hub", _FETCH)
        return path

    def _file(self, environ: Mapping[str, str]) -> tuple[Path, Mapping[str, Any]]:
        """The file that `weights` names, or the one in the folder that it names, and what that folder says of it."""
        if self.weights == MINI_CLIP:
            return self._shipped(environ)
        if self.weights.startswith(_ELSEWHERE):
            files = [file.locate(environ).path for file in self._files_elsewhere()]
            return files[0], described(files[0].parent, key=self.key) if len(files) > 1 else {}
        try:
            path = Path(self.weights).expanduser()
        except RuntimeError:
            path = Path(self.weights)  # a user without a home folder: no such file
        if path.is_dir():
            inside = [path / name for name in _IN_FOLDER if (path / name).is_file()]
            if inside:
                return inside[0], described(path, key=self.key)
            raise _problem(self.key, f"{path}, a folder without weights", f"one of {', '.join(_IN_FOLDER)} in it")
        if path.is_file() and path.suffix in SUFFIXES:
            return path, described(path.parent, key=self.key) if path.name in _IN_FOLDER else {}
        raise self._no_such_file(path)

    def _shipped(self, environ: Mapping[str, str]) -> tuple[Path, Mapping[str, Any]]:
        if self.model != MINI_CLIP:
            raise _problem(
                self.key, f"{self.weights} for {self.model}", f"weights of {self.model}, or model {MINI_CLIP}"
            )
        need = WeightsNeed(name=self.name, source=self.weights, key=self.key, shipped=WEIGHTS)
        path = need.locate(environ).path
        return path, described(path.parent, key=self.key)

    def _no_such_file(self, path: Path) -> EnvironmentProblem:
        import open_clip

        architecture = name_of(self.model)
        tags = ", ".join(sorted(open_clip.list_pretrained_tags_by_model(architecture))) or "none"
        return _problem(
            self.key,
            f"{self.weights!r}, {'a file of another kind' if path.is_file() else 'no such tag or file'}",
            f"a tag of {architecture} ({tags}) or a file ending in {', '.join(SUFFIXES)}",
            _FETCH,
        )


def _random(model: str, architecture: str, config: Mapping[str, Any], environ: Mapping[str, str]) -> ClipWeights:
    quick_gelu = bool(config.get("quick_gelu", False))
    if model == RANDOM_CLIP:  # drawn once, so that it comes off a file like any other
        path = random_clip.weights_file(cache_folder(environ))
        digest = _sha256(path, "KREABENCH_CACHE", environ)
        return ClipWeights(architecture=architecture, path=path, sha256=digest, quick_gelu=quick_gelu)
    digest = stable_hash([architecture, dict(config), random_clip.SEED], length=64)
    return ClipWeights(architecture=architecture, path=None, sha256=digest, quick_gelu=quick_gelu)


def _cached(tag: Mapping[str, Any]) -> Path | None:
    """The file of a tag where open_clip would put it: in the Hub's cache, safetensors preferred."""
    from huggingface_hub import try_to_load_from_cache

    if "file" in tag:
        path = Path(tag["file"])
        return path if path.is_file() else None
    repository, name = os.path.split(tag.get("hf_hub", ""))
    names = (str(Path(name).with_suffix(".safetensors")), name) if name else _IN_FOLDER
    for candidate in names:
        found = try_to_load_from_cache(repository, candidate) if repository else None
        if isinstance(found, str):
            return Path(found)
    return None


def _check_network(tag: Mapping[str, Any], need: ClipWeightsNeed, environ: Mapping[str, str]) -> None:
    """Refuse where fetching is forbidden, or would fail after a minute."""
    found = f"tag {need.weights!r} of {need.model}"
    if variable := offline_variable(environ):
        raise _problem(
            need.key, f"{found}, which is not here while {variable} is set", _DOWNLOAD, f"Unset {variable} to fetch it"
        )
    if reason := unreachable((environ.get("HF_ENDPOINT") or HUB) if tag.get("hf_hub") else tag.get("url", "")):
        raise _problem(need.key, f"{found}: {reason}", _DOWNLOAD, _TRY_AGAIN)


def _download(tag: dict[str, Any], need: ClipWeightsNeed) -> None:
    import open_clip

    try:
        open_clip.download_pretrained(tag)
    except (OSError, RuntimeError, ValueError) as error:  # network, hub, disk, checksum
        found = f"tag {need.weights!r} of {need.model} ({type(error).__name__}: {_first_line(error)})"
        raise _problem(need.key, found, _DOWNLOAD, _TRY_AGAIN) from error


def _problem(key: str, found: str, expected: str, remedy: str = "") -> EnvironmentProblem:
    return EnvironmentProblem([Problem(key=key, found=found, expected=expected, remedy=remedy)])


def _sha256(path: Path, key: str, environ: Mapping[str, str]) -> str:
    try:
        return file_sha256(path, environ)
    except OSError as error:
        raise _problem(key, f"{path}: {error.strerror or error}", "a file that can be read") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0][:200]
