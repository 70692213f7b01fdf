"""Which weights a CLIP score is computed with: found, checked against their architecture, and hashed.

open_clip leaves room for silent mistakes that this module closes: random weights after a log line, an activation that
the weights were not trained with, and downloads whose content nobody checks.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from kreabench.core.cache import cache_folder
from kreabench.core.errors import EnvironmentProblem, Problem
from kreabench.metrics import mini_clip
from kreabench.metrics.mini_clip import MINI_CLIP, RANDOM_WEIGHTS

SUFFIXES = (".pt", ".pth", ".bin", ".safetensors")

_MODEL_KEY = "options.model"
_WEIGHTS_KEY = "options.weights"
_OPENAI_FOLDER = re.compile(r"clip.*openai|openai.*clip")
_DOWNLOAD = (
    "open_clip downloads a tag on first use ($HF_HOME, or ~/.cache/clip): run once where the network is and copy that "
    "folder here, or name a local file of weights"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipWeights:
    """Weights that are on this machine, for an architecture that fits them."""

    architecture: str
    """Name in open_clip's registry."""
    source: str
    """What open_clip is given as `pretrained`: a tag or the path of a file."""
    tag: str | None
    sha256: str
    """Of the weights file."""
    quick_gelu: bool
    """Whether the architecture computes with QuickGELU, as OpenAI's weights need."""
    untrained: bool


def find_weights(model: str, weights: str) -> ClipWeights:
    """The weights for the options `model` and `weights`, downloaded where open_clip knows how.

    Raises EnvironmentProblem: an unknown or unsuitable architecture, a tag or file that is not there, weights of
    another activation than the architecture's, a download or cache that fails.
    """
    if model == MINI_CLIP:
        mini_clip.register()
        architecture = mini_clip.NAME
    else:
        architecture = model.replace("/", "-")
    config = _architecture_config(architecture, model)
    quick_gelu = bool(config.get("quick_gelu", False))
    if weights == RANDOM_WEIGHTS:
        tag, path = None, mini_clip.weights_file(cache_folder(os.environ))
    else:
        tag, path = _locate(architecture, weights)
    untrained = weights == RANDOM_WEIGHTS
    digest = _sha256(path)
    if tag is not None:
        _check_tag_activation(architecture, tag, quick_gelu)
    elif not untrained and not quick_gelu:
        _check_gelu_file(architecture, path, digest)
    return ClipWeights(
        architecture=architecture,
        source=str(path) if tag is None else tag,
        tag=tag,
        sha256=digest,
        quick_gelu=quick_gelu,
        untrained=untrained,
    )


def _problem(key: str, found: str, expected: str, remedy: str = "") -> EnvironmentProblem:
    return EnvironmentProblem([Problem(key=key, found=found, expected=expected, remedy=remedy)])


def _architecture_config(architecture: str, model: str) -> dict[str, Any]:
    """open_clip's description of the architecture. Refuses those that do not read prompts as CLIP does."""
    import open_clip

    known = open_clip.list_models()
    if architecture not in known:  # also `hf-hub:` and `local-dir:`, with which open_clip would ignore `weights`
        raise _problem(_MODEL_KEY, repr(model), _choices(architecture, known))
    config: dict[str, Any] = open_clip.get_model_config(architecture)
    text = config["text_cfg"]
    foreign = "hf_tokenizer_name" in text or "hf_model_name" in text or "siglip" in architecture.lower()
    if foreign or "reduction_mask" in text.get("tokenizer_kwargs", {}):
        raise _problem(
            _MODEL_KEY,
            f"{model!r}, which has a tokenizer of its own",
            "an architecture with CLIP's tokenizer, for which it is known what is cut off a long prompt",
        )
    return config


def _choices(name: str, known: list[str]) -> str:
    """open_clip has some 150 names: only the nearest, and where to read the rest."""
    near = difflib.get_close_matches(name, known, n=1)
    hint = f", such as {near[0]}" if near else ""
    return f"{MINI_CLIP} or an architecture of open_clip.list_models(){hint}"


def _locate(architecture: str, weights: str) -> tuple[str | None, Path]:
    """The tag, if `weights` is one, and the file. A tag goes before a file of the same name, as in open_clip."""
    import open_clip

    tag_config = open_clip.get_pretrained_cfg(architecture, weights)
    if tag_config:
        try:
            return weights, Path(open_clip.download_pretrained(tag_config))
        except (OSError, RuntimeError, ValueError) as error:  # network, hub, disk, checksum
            reason = f"{type(error).__name__}: {_first_line(error)}"
            raise _problem(
                _WEIGHTS_KEY, f"tag {weights!r} not on this machine ({reason})", "its weights", _DOWNLOAD
            ) from error
    path = Path(weights).expanduser()
    if path.is_file() and path.suffix in SUFFIXES:
        return None, path
    tags = ", ".join(sorted(open_clip.list_pretrained_tags_by_model(architecture))) or "none"
    what = "a file of another kind" if path.is_file() else "no such tag or file"
    raise _problem(
        _WEIGHTS_KEY,
        f"{weights!r}, {what}",
        f"a tag of {architecture} ({tags}) or a file ending in {', '.join(SUFFIXES)}",
        _DOWNLOAD,
    )


def _check_tag_activation(architecture: str, tag: str, quick_gelu: bool) -> None:
    """open_clip only warns when a tag's weights were trained with another activation than the architecture has."""
    import open_clip

    trained = bool(open_clip.get_pretrained_cfg(architecture, tag).get("quick_gelu", False))
    if trained and not quick_gelu:
        _refuse_gelu(architecture, f"tag {tag!r}")
    if quick_gelu and not trained:
        raise _problem(
            _MODEL_KEY,
            f"{architecture!r} with tag {tag!r}, whose weights were trained with GELU",
            "the architecture without QuickGELU",
        )


def _check_gelu_file(architecture: str, path: Path, digest: str) -> None:
    """Refuse OpenAI's weights: by the hash of the original files, or by name where they were converted.

    Conversions are published on the Hub as `timm/vit_large_patch14_clip_224.openai`, of which its cache makes a folder.
    """
    named = "openai" in path.name.lower() or any(_OPENAI_FOLDER.search(part.lower()) for part in path.absolute().parts)
    if named or digest in _openai_hashes():
        _refuse_gelu(architecture, f"{path}, OpenAI's weights by {'name' if named else 'hash'}")


def _refuse_gelu(architecture: str, found: str) -> NoReturn:
    import open_clip

    twin = f"{architecture}-quickgelu"
    raise _problem(
        _MODEL_KEY,
        f"{architecture!r} with {found}, trained with QuickGELU",
        repr(twin) if twin in open_clip.list_models() else "an architecture with QuickGELU",
        "With plain GELU the weights load without a word and every score is wrong",
    )


def _openai_hashes() -> frozenset[str]:
    """SHA-256 of OpenAI's original files, which open_clip keeps in their addresses."""
    import open_clip

    urls = (open_clip.get_pretrained_url(model, tag) for model, tag in open_clip.list_pretrained())
    return frozenset(url.split("/")[-2] for url in urls if "openaipublic" in url)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _problem(_WEIGHTS_KEY, f"{path}: {error.strerror or error}", "a file that can be read") from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else "no message"
