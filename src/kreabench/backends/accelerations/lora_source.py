"""Whether a LoRA is there to be loaded, as far as can be seen without torch and without the network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kreabench.backends.model_files import download_remedy, is_hub_id
from kreabench.core.errors import Problem

SUFFIX = ".safetensors"


def lora_problem(key: str, values: Mapping[str, Any]) -> Problem | None:
    """Why the LoRA of these parameters cannot be loaded here; None where it may. `key` is that of its path."""
    path, name = str(values["path"]), values.get("weight_name")
    place = Path(path).expanduser()
    if place.is_file():
        if place.suffix == SUFFIX:
            return None
        return Problem(key=key, found=path, expected=f"a {SUFFIX} file: other formats can carry code")
    if place.is_dir():
        files = [place / name] if name else list(place.glob(f"*{SUFFIX}"))
        if any(file.is_file() for file in files):
            return None
        found = f"{path} without {name or f'a {SUFFIX} file'}"
        return Problem(key=key, found=found, expected=f"a folder with the LoRA's {SUFFIX} file")
    if is_hub_id(path):
        return _hub_problem(key, path, name, values.get("revision"))
    expected = f"a {SUFFIX} file, a folder, or an id of the Hugging Face Hub (owner/name)"
    return Problem(key=key, found=f"{path}, which is not there", expected=expected)


def _hub_problem(key: str, model: str, name: str | None, revision: str | None) -> Problem | None:
    """Offline, a machine has just what its cache holds."""
    from huggingface_hub import constants, try_to_load_from_cache

    if not constants.HF_HUB_OFFLINE or name is None:
        return None
    if isinstance(try_to_load_from_cache(model, name, revision=revision), str):
        return None
    return Problem(
        key=key,
        found=f"{name} of {model}, which is not in the local Hub cache while HF_HUB_OFFLINE is set",
        expected="a LoRA that is on this machine, or access to the Hub",
        remedy=download_remedy(model, revision),
    )
