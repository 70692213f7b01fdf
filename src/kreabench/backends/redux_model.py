"""What Redux adds to a text-to-image pipeline: SigLIP and the embedder, published, built in, or with random weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from kreabench.backends import random_weights
from kreabench.backends.devices import Device
from kreabench.backends.flux_geometry import GEOMETRIES, REDUX_MODELS
from kreabench.backends.load_errors import load_failure
from kreabench.backends.mini import builtin_revision, is_builtin, resolve_model
from kreabench.backends.model_files import is_hub_id, redux_folder_problem, redux_problem, weights_sha256
from kreabench.backends.options import DiffusersOptions
from kreabench.backends.quiet import no_progress_bars
from kreabench.core.errors import EnvironmentProblem, Problem
from kreabench.core.paths import at_home
from kreabench.core.specs import TargetSpec

SHARED_PARTS = ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")
"""Of the pipeline; the prior is given them, as without any it would use empty embeddings of the full size."""


def redux_option_problem(target: TargetSpec, options: DiffusersOptions) -> Problem | None:
    """What is wrong with `options.redux_model` for the target's task, judged without the network."""
    key, model = f"target.{target.name}.options.redux_model", options.redux_model
    if target.task != "redux" or options.weights == "random":
        if model is None:
            return None
        why = "random weights come from no model" if target.task == "redux" else f"{target.task} needs none"
        return Problem(key=key, found=model, expected=f"null: {why}")
    if model is None:
        expected = "the model that encodes input pictures, such as black-forest-labs/FLUX.1-Redux-dev"
        return Problem(key=key, found="nothing", expected=expected)
    return redux_problem(key, model, options.redux_revision)


def load_prior(
    target: TargetSpec, options: DiffusersOptions, pipeline: Any, device: Device
) -> tuple[Any, dict[str, Any]]:
    """FluxPriorReduxPipeline on the device, with the text encoders of `pipeline`, and its part of the identity.

    Raises GenerationError (stage `load`) about the Redux model where it cannot be loaded.
    """
    model = options.redux_model or ""
    try:
        if options.weights == "random":
            prior, source = _random_prior(options, pipeline, device)
        else:
            folder = _fetch(target, model, options.redux_revision)
            prior, source = _read_prior(folder, options, pipeline, device), _source(model, folder)
    except Exception as error:
        raise load_failure(error, replace(target, model=model, revision=options.redux_revision)) from error
    counts = {name: sum(parameter.numel() for parameter in getattr(prior, name).parameters()) for name in REDUX_MODELS}
    return prior, {**source, "parameters": counts, "several_pictures": "mean of embeddings"}


def _read_prior(folder: Path, options: DiffusersOptions, pipeline: Any, device: Device) -> Any:
    """Only safetensors are read: other formats can carry code."""
    import torch
    from diffusers import FluxPriorReduxPipeline

    with no_progress_bars():
        prior = FluxPriorReduxPipeline.from_pretrained(
            str(folder),
            dtype=getattr(torch, options.dtype),
            local_files_only=True,
            use_safetensors=True,
            **{name: getattr(pipeline, name) for name in SHARED_PARTS},
        )
    _check_width(prior.image_embedder.config.txt_in_features, pipeline, folder.name)
    for name in REDUX_MODELS:  # not the whole prior: where the text encoders are is the pipeline's business
        getattr(prior, name).to(device.name)
    return prior


def _check_width(width: int, pipeline: Any, name: str) -> None:
    wanted = pipeline.transformer.config.joint_attention_dim
    if width != wanted:
        found = f"{name}, whose embeddings are {width} wide"
        expected = f"one for this pipeline: {wanted} wide"
        raise EnvironmentProblem([Problem(key="options.redux_model", found=found, expected=expected)])


def _random_prior(options: DiffusersOptions, pipeline: Any, device: Device) -> tuple[Any, dict[str, Any]]:
    from diffusers import FluxPriorReduxPipeline
    from transformers import SiglipImageProcessor

    parts = random_weights.build_parts(options.geometry, REDUX_MODELS, device=device.name, dtype=options.dtype)
    side = GEOMETRIES[options.geometry]["image_encoder"]["image_size"]
    processor = SiglipImageProcessor(
        size={"height": side, "width": side}, image_mean=[0.5] * 3, image_std=[0.5] * 3, resample=3
    )
    shared = {name: getattr(pipeline, name) for name in SHARED_PARTS}
    prior = FluxPriorReduxPipeline(feature_extractor=processor, **parts, **shared)
    return prior, {"model": f"random weights, {options.geometry} geometry", "revision": None, "weights_sha256": None}


def _fetch(target: TargetSpec, model: str, revision: str | None) -> Path:
    """The folder with the prior: built, given, or in the Hub's cache (downloaded now if need be)."""
    if not is_hub_id(model):
        folder = at_home(resolve_model(model))
    else:
        from diffusers import FluxPriorReduxPipeline

        absent = dict.fromkeys(SHARED_PARTS)
        with no_progress_bars():
            folder = Path(FluxPriorReduxPipeline.download(model, revision=revision, use_safetensors=True, **absent))
    problem = redux_folder_problem(f"target.{target.name}.options.redux_model", model, folder, "")
    if problem is not None:
        raise EnvironmentProblem([problem])
    return folder


def _source(model: str, folder: Path) -> dict[str, Any]:
    in_hub_cache = is_hub_id(model) and folder.parent.name == "snapshots"
    revision = builtin_revision(model) if is_builtin(model) else folder.name if in_hub_cache else None
    named = is_builtin(model) or is_hub_id(model)
    return {
        "model": model if named else folder.resolve().name,
        "revision": revision,
        "weights_sha256": weights_sha256(folder),
    }
