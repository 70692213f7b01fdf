"""From a target to a loaded pipeline, and its identity: published weights, another transformer, or random weights."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kreabench.backends import random_weights
from kreabench.backends.devices import Device
from kreabench.backends.flux_geometry import GEOMETRIES, REDUX_MODELS, TEXT_TO_IMAGE_MODELS
from kreabench.backends.load_errors import load_failure
from kreabench.backends.memory_prediction import (
    Prediction,
    file_parameters,
    folder_parameters,
    part_parameters,
    predict,
)
from kreabench.backends.mini import builtin_revision, is_builtin, resolve_model
from kreabench.backends.model_files import INDEX, is_hub_id, pipeline_problem, weights_sha256
from kreabench.backends.options import DiffusersOptions
from kreabench.backends.quiet import no_progress_bars
from kreabench.backends.transformer_source import TransformerSource, find_transformer, hub_repository, load_transformer
from kreabench.core.errors import EnvironmentProblem, Problem
from kreabench.core.paths import at_home
from kreabench.core.planned import Setting
from kreabench.core.specs import TargetSpec, TaskKind


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """What a pipeline is loaded from, on this machine."""

    folder: Path | None
    """Holds the whole pipeline; None for random weights."""
    transformer: TransformerSource | None
    """In the place of the folder's own."""


def find_source(target: TargetSpec, options: DiffusersOptions) -> Source:
    """Build, find or download what the target needs. Raises EnvironmentProblem, GenerationError, the Hub's errors."""
    if options.weights == "random":
        return Source(folder=None, transformer=None)
    folder = fetch(target, without_transformer=options.transformer is not None)
    if options.transformer is None:
        return Source(folder=folder, transformer=None)
    key = f"target.{target.name}.options.transformer"
    try:
        source = find_transformer(key, options.transformer, options.transformer_revision)
    except EnvironmentProblem:
        raise
    except Exception as error:  # of the Hub: told apart by what has to be done, about the repository that was asked
        asked = hub_repository(options.transformer) or options.transformer
        raise load_failure(error, replace(target, model=asked, revision=options.transformer_revision)) from error
    return Source(folder=folder, transformer=source)


def fetch(target: TargetSpec, *, without_transformer: bool = False) -> Path:
    """The folder that holds the whole pipeline: built, given, or in the Hub's cache (downloaded now if need be).

    Without the transformer, its weights are not downloaded but its configuration is.
    """
    if not is_hub_id(target.model):
        folder = at_home(resolve_model(target.model))
    else:
        from diffusers import FluxPipeline
        from huggingface_hub import hf_hub_download

        given = {"transformer": None} if without_transformer else {}
        with no_progress_bars():
            folder = Path(FluxPipeline.download(target.model, revision=target.revision, use_safetensors=True, **given))
            if without_transformer:
                hf_hub_download(target.model, "transformer/config.json", revision=folder.name)
    problem = pipeline_problem(f"target.{target.name}.model", target.model, folder, "")
    if problem is not None:
        raise EnvironmentProblem([problem])
    return folder


def predict_memory(
    source: Source, options: DiffusersOptions, task: TaskKind, settings: Iterable[Setting]
) -> Prediction | None:
    """The least memory these settings need; None where the sizes cannot be read from the files."""
    if source.folder is None:
        geometry = GEOMETRIES[options.geometry]
        names = (*TEXT_TO_IMAGE_MODELS, *(REDUX_MODELS if task == "redux" else ()))
        parameters = random_weights.parameter_counts(options.geometry, names)
        return predict(parameters, geometry, options.dtype, options.max_sequence_length, settings)
    parameters = folder_parameters(source.folder, _parts(source.folder))
    if source.transformer is not None:
        path = source.transformer.path
        parameters["transformer"] = part_parameters(path) if path.is_dir() else file_parameters(path)
    try:
        configs = {name: _read_config(source, name) for name in ("transformer", "vae")}
        return predict(parameters, configs, options.dtype, options.max_sequence_length, settings)
    except (OSError, ValueError, KeyError, TypeError):  # damaged: loading says what is wrong
        return None


def load_pipeline(
    target: TargetSpec, source: Source, options: DiffusersOptions, device: Device, *, on_host: bool = False
) -> Any:
    """On the device, or left on the host for a feature that brings it piece by piece.

    Only safetensors are read: other formats can carry code.
    """
    import torch
    from diffusers import FluxPipeline

    dtype = getattr(torch, options.dtype)
    if source.folder is None:
        place = "cpu" if on_host else device.name
        components = random_weights.build_components(options.geometry, device=place, dtype=options.dtype)
        pipeline = FluxPipeline(**components)
    else:
        given = {} if source.transformer is None else {"transformer": _other_transformer(target, source, dtype)}
        with no_progress_bars():
            pipeline = FluxPipeline.from_pretrained(
                str(source.folder), dtype=dtype, local_files_only=True, use_safetensors=True, **given
            )
        if not on_host:
            pipeline.to(device.name)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def identity(
    target: TargetSpec, source: Source, pipeline: Any, options: DiffusersOptions, device: Device
) -> dict[str, Any]:
    """What has to be equal for two runs to be of the same model on the same machine. No path, no name of a host."""
    import torch

    modules = {name: part for name, part in pipeline.components.items() if isinstance(part, torch.nn.Module)}
    return {
        **_model_identity(target, source, options),
        "pipeline": type(pipeline).__name__,
        "parameters": {
            name: sum(parameter.numel() for parameter in module.parameters()) for name, module in modules.items()
        },
        "device": device.name,
        "device_model": device.model,
        "dtype": options.dtype,
        "max_sequence_length": options.max_sequence_length,
        "torch_threads": torch.get_num_threads(),
        "versions": {
            **{name: version(name) for name in ("torch", "diffusers", "transformers")},
            "cuda": torch.version.cuda,
        },
    }


def _model_identity(target: TargetSpec, source: Source, options: DiffusersOptions) -> dict[str, Any]:
    if source.folder is None:
        revision = random_weights.revision(options.geometry)
        model = f"random weights, {options.geometry} geometry"
        return {"model": model, "revision": revision, "weights_sha256": None, "weights": "random"}
    named = is_builtin(target.model) or is_hub_id(target.model)
    other = {} if source.transformer is None else {"transformer": source.transformer.identity()}
    return {
        "model": target.model if named else source.folder.resolve().name,
        "revision": _revision(target, source.folder),
        "weights_sha256": weights_sha256(source.folder),
        **other,
    }


def _revision(target: TargetSpec, folder: Path) -> str | None:
    """The Hub's commit, a miniature's recipe, or None for a folder, which has only its `weights_sha256`."""
    if is_builtin(target.model):
        return builtin_revision(target.model)
    in_hub_cache = is_hub_id(target.model) and folder.parent.name == "snapshots"
    return folder.name if in_hub_cache else None


def _other_transformer(target: TargetSpec, source: Source, dtype: Any) -> Any:
    """Loaded, and known to fit the rest of the pipeline. Raises EnvironmentProblem where it does not."""
    assert source.folder is not None and source.transformer is not None  # noqa: S101, PT018 - the caller looked
    key = f"target.{target.name}.options.transformer"
    expected = f"a transformer of FLUX.1 that fits {target.model}"
    try:
        model = load_transformer(source.transformer, source.folder, dtype)
        wanted = _read_config(source, "transformer", own=True)
    except Exception as error:
        found = f"{source.transformer.name}: {type(error).__name__}: {' '.join(str(error).split())[:500]}"
        raise EnvironmentProblem([Problem(key=key, found=found, expected=expected)]) from error
    for name in ("in_channels", "joint_attention_dim", "pooled_projection_dim"):
        if getattr(model.config, name) != wanted[name]:
            found = f"{source.transformer.name} with {name} {getattr(model.config, name)}"
            raise EnvironmentProblem([Problem(key=key, found=found, expected=f"{expected}: {name} {wanted[name]}")])
    return model


def _parts(folder: Path) -> Sequence[str]:
    index = json.loads((folder / INDEX).read_bytes())
    return [name for name in TEXT_TO_IMAGE_MODELS if name in index]


def _read_config(source: Source, part: str, *, own: bool = False) -> dict[str, Any]:
    """The configuration of a part; of the transformer's, that of the other one where it brings one and not `own`."""
    assert source.folder is not None  # noqa: S101 - random weights have no files
    folder = source.folder / part
    if part == "transformer" and not own and source.transformer is not None and source.transformer.path.is_dir():
        folder = source.transformer.path
    config: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
    return config
