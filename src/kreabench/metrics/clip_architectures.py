"""Architectures of open_clip and ours, and whether weights were trained with the activation that one has."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any, NoReturn

from kreabench.core.errors import EnvironmentProblem, Problem
from kreabench.metrics import mini_clip, random_clip
from kreabench.metrics.mini_clip import MINI_CLIP
from kreabench.metrics.random_clip import RANDOM_CLIP

_OPENAI_FOLDER = re.compile(r"clip.*openai|openai.*clip")


def name_of(model: str) -> str:
    """The architecture's name in open_clip's registry, to which ours is added. Raises EnvironmentProblem where its
    files are damaged."""
    ours = {MINI_CLIP: mini_clip, RANDOM_CLIP: random_clip}.get(model)
    if ours is None:
        return model.replace("/", "-")
    ours.register()
    name: str = ours.NAME
    return name


def config_of(architecture: str, model: str) -> dict[str, Any]:
    """open_clip's description of the architecture. Refuses those whose parts come from elsewhere than the weights."""
    import open_clip

    known = open_clip.list_models()
    if architecture not in known:  # also `hf-hub:` and `local-dir:`, with which open_clip would ignore `weights`
        raise _problem(repr(model), _choices(architecture, known))
    config: dict[str, Any] = open_clip.get_model_config(architecture)
    text = config["text_cfg"]
    if "hf_model_name" in text or "reduction_mask" in text.get("tokenizer_kwargs", {}):
        raise _problem(
            f"{model!r}, whose text model is one of the Hub's, or which leaves out words of long prompts",
            "an architecture with a text model of open_clip, for which it is known what is cut off a long prompt",
        )
    return config


def _choices(name: str, known: list[str]) -> str:
    """open_clip has some 150 names: only the nearest, and where to read the rest."""
    hint = "".join(f", such as {near}" for near in difflib.get_close_matches(name, known, n=1))
    return f"{MINI_CLIP} or an architecture of open_clip.list_models(){hint}"


def check_activation(architecture: str, source: str, trained: bool, quick_gelu: bool) -> None:
    """open_clip at most warns when weights were trained with another activation than the architecture has."""
    if trained and not quick_gelu:
        _refuse_gelu(architecture, source)
    if quick_gelu and not trained:
        raise _problem(
            f"{architecture!r} with {source}, whose weights were trained with GELU",
            "the architecture without QuickGELU",
        )


def check_activation_of_file(architecture: str, path: Path, digest: str) -> None:
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
        f"{architecture!r} with {found}, trained with QuickGELU",
        repr(twin) if twin in open_clip.list_models() else "an architecture with QuickGELU",
        "With plain GELU the weights load without a word and every score is wrong",
    )


def _openai_hashes() -> frozenset[str]:
    """SHA-256 of OpenAI's original files, which open_clip keeps in their addresses."""
    import open_clip

    urls = (open_clip.get_pretrained_url(model, tag) for model, tag in open_clip.list_pretrained())
    return frozenset(url.split("/")[-2] for url in urls if "openaipublic" in url)


def _problem(found: str, expected: str, remedy: str = "") -> EnvironmentProblem:
    return EnvironmentProblem([Problem(key="options.model", found=found, expected=expected, remedy=remedy)])
