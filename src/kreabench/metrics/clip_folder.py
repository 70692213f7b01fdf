"""What a folder in open_clip's layout says of the weights in it: open_clip reads that only for models of the Hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kreabench.core.errors import EnvironmentProblem, Problem, one_line
from kreabench.metrics.weight_sources import HubWeights, parse_source

CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"


def files_of_repository(weights: str) -> tuple[str, ...]:
    """The sources of a repository's weights and of their description, for `hub:OWNER/NAME@REVISION`; else none."""
    source = parse_source(weights)
    if not isinstance(source, HubWeights) or source.file is not None:
        return ()
    return tuple(str(replace(source, file=name)) for name in (WEIGHTS_FILE, CONFIG_FILE))


def described(folder: Path, *, key: str) -> Mapping[str, Any]:
    """Preprocessing, and `quick_gelu` where the folder says it, as open_clip's tags have them; empty without the file.

    Raises EnvironmentProblem for a file that cannot be read.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        found = dict(config.get("preprocess_cfg") or {})
        activation = (config.get("model_cfg") or {}).get("quick_gelu")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise EnvironmentProblem(
            [
                Problem(
                    key=key,
                    found=f"{path}: {one_line(error, 200)}",
                    expected="open_clip's description of the weights beside it, in JSON",
                    remedy="Delete the folder if it is a damaged download, and fetch it again",
                )
            ]
        ) from error
    return found if activation is None else {**found, "quick_gelu": bool(activation)}
