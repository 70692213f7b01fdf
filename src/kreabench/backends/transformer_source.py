"""Another transformer in the place of a model's own: fine-tunes are published as that part alone.

A folder as diffusers saves it, one .safetensors file (of diffusers' layout or of the original one), or either of these
in a repository of the Hub.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kreabench.backends.model_files import download_remedy, file_sha256, is_hub_id
from kreabench.backends.quiet import no_progress_bars
from kreabench.core.errors import EnvironmentProblem, Problem
from kreabench.core.paths import at_home

FORMS = (
    "a folder with a config.json as diffusers saves a transformer, a .safetensors file, or either in the Hub: "
    "OWNER/NAME or OWNER/NAME/FILE.safetensors"
)
_CONFIG = "config.json"
_HUB_FILE = re.compile(r"([A-Za-z0-9][\w.-]*/[\w.-]+)/([\w./-]+\.safetensors)", re.ASCII)
_FOLDER_FILES = [_CONFIG, "*.safetensors", "*.safetensors.index.json"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TransformerSource:
    """A transformer that is on this machine."""

    name: str
    """For records: as asked for, but of a path only its last part."""
    path: Path
    """A folder with a config.json, or a .safetensors file."""
    revision: str | None
    """The Hub's commit."""

    def identity(self) -> dict[str, str | None]:
        """What has to be equal for two runs to have used the same one."""
        file = self.path if self.path.is_file() else None
        return {"model": self.name, "revision": self.revision, "weights_sha256": file_sha256(file) if file else None}


def hub_repository(name: str) -> str | None:
    """The Hub's repository that `name` is to be fetched from; None for what is (or should be) on this machine."""
    if at_home(name).exists():
        return None
    match = _HUB_FILE.fullmatch(name)
    if match:
        return match[1]
    return name if is_hub_id(name) else None


def transformer_problem(key: str, name: str, revision: str | None) -> Problem | None:
    """Why it cannot be loaded, as far as can be seen without loading and without the network."""
    repository = hub_repository(name)
    if repository is None:
        return None if _local(at_home(name)) else Problem(key=key, found=name, expected=FORMS)
    from huggingface_hub import constants, try_to_load_from_cache

    match = _HUB_FILE.fullmatch(name)
    file = match[2] if match else _CONFIG
    if not constants.HF_HUB_OFFLINE or isinstance(try_to_load_from_cache(repository, file, revision=revision), str):
        return None
    return Problem(
        key=key,
        found=f"{name}, which is not in the local Hub cache while HF_HUB_OFFLINE is set",
        expected="a transformer that is on this machine, or access to the Hub",
        remedy=download_remedy(repository, revision),
    )


def find_transformer(key: str, name: str, revision: str | None) -> TransformerSource:
    """It is on this machine afterwards. Raises EnvironmentProblem, and the Hub's errors where it cannot be fetched."""
    if hub_repository(name) is None:
        path = _local(at_home(name))
        if path is None:
            raise EnvironmentProblem([Problem(key=key, found=name, expected=FORMS)])
        return TransformerSource(name=Path(name).name, path=path, revision=None)
    path = _fetch(name, revision)
    snapshot = next(parent for parent in (path, *path.parents) if parent.parent.name == "snapshots")
    found = _local(path)
    if found is None:
        raise EnvironmentProblem([Problem(key=key, found=f"{name}, which has no {_CONFIG}", expected=FORMS)])
    return TransformerSource(name=name, path=found, revision=snapshot.name)


def load_transformer(source: TransformerSource, base: Path, dtype: Any) -> Any:
    """`base` is the pipeline's folder, whose configuration a single file has to fit.

    Raises ValueError for weights that do not fit, and the libraries' errors for damaged ones.
    """
    from diffusers import FluxTransformer2DModel

    with no_progress_bars():
        if source.path.is_dir():
            return FluxTransformer2DModel.from_pretrained(
                str(source.path), dtype=dtype, local_files_only=True, use_safetensors=True
            )
        model = FluxTransformer2DModel.from_single_file(
            str(source.path), config=str(base), subfolder="transformer", dtype=dtype, local_files_only=True
        )
    missing = [name for name, parameter in model.named_parameters() if parameter.is_meta]
    if missing:
        raise ValueError(f"{source.name} lacks {len(missing)} of the transformer's weights, {missing[0]} among them")
    return model


def _local(path: Path) -> Path | None:
    """The folder with the configuration (a whole pipeline has it in `transformer`), or the file; None for neither."""
    if path.is_file():
        return path if path.suffix == ".safetensors" else None
    return next((folder for folder in (path, path / "transformer") if (folder / _CONFIG).is_file()), None)


def _fetch(name: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download, snapshot_download

    match = _HUB_FILE.fullmatch(name)
    with no_progress_bars():
        if match:
            return Path(hf_hub_download(match[1], match[2], revision=revision))
        patterns = [*_FOLDER_FILES, *(f"transformer/{pattern}" for pattern in _FOLDER_FILES)]
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
