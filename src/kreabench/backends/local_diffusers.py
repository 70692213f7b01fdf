"""FLUX.1 pipelines on this machine, through diffusers."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kreabench.backends.accelerations import (
    Features,
    apply_load_features,
    call_features,
    check_features,
    features_of_phase,
)
from kreabench.backends.base import GeneratedImage, Generation
from kreabench.backends.devices import DEVICE_NAMES, Device, choose_device, is_device_name
from kreabench.backends.encoding import encode_picture
from kreabench.backends.load_errors import is_out_of_memory, load_failure, out_of_memory
from kreabench.backends.memory import PeakRss
from kreabench.backends.mini import is_builtin, resolve_model
from kreabench.backends.mini_recipe import REVISION
from kreabench.backends.model_files import is_hub_id, model_problem, pipeline_problem, weights_sha256
from kreabench.backends.options import DiffusersOptions
from kreabench.backends.quiet import no_progress_bars
from kreabench.backends.staging import StageClock
from kreabench.core.errors import EnvironmentProblem, GenerationError, Problem
from kreabench.core.records import Memory
from kreabench.core.specs import AccelerationSpec, Request, Setting, TargetSpec

TASKS = ("text-to-image",)
MAX_SEQUENCE_LENGTH = 512
"""The most T5 tokens that FLUX.1's pipelines take."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Loaded:
    """What lasts from `open` to `close`."""

    pipeline: Any
    device: Device
    options: DiffusersOptions
    features: Mapping[str, Features]
    """Acceleration name → all its features."""


class DiffusersBackend:
    """One loaded pipeline. Not for several threads at once."""

    def __init__(self) -> None:
        self._loaded: _Loaded | None = None
        self._threads_before: int | None = None
        self._rss = PeakRss()

    @staticmethod
    def check(target: TargetSpec, accelerations: Sequence[AccelerationSpec]) -> tuple[Problem, ...]:
        """Model, options and features, as far as can be seen without torch and without the network."""
        problems = [model_problem(target), *_option_problems(target)]
        for acceleration in accelerations:
            problems += _feature_problems(acceleration)
        return tuple(problem for problem in problems if problem is not None)

    def open(
        self, target: TargetSpec, accelerations: Sequence[AccelerationSpec], settings: Sequence[Setting]
    ) -> dict[str, Any]:
        """Load onto the device, put the load features on, and return the identity. Raises GenerationError."""
        try:
            options = DiffusersOptions(**target.options)
            load_features = _shared_load_features(accelerations)
            self._set_threads(options.torch_threads)
            device = choose_device(options.device)
            folder = _fetch(target)
            pipeline = _load_pipeline(folder, options, device)
            apply_load_features(pipeline, load_features)
            identity = _identity(target, folder, pipeline, options, device)
        except GenerationError:
            raise
        except Exception as error:
            raise load_failure(error, target) from error
        features = {acceleration.name: acceleration.features for acceleration in accelerations}
        self._loaded = _Loaded(pipeline=pipeline, device=device, options=options, features=features)
        return {**identity, "features": load_features}

    def generate(self, setting: Setting, request: Request) -> Generation:
        """Image k is drawn from seed + k on the CPU, so that it depends neither on its neighbours nor on the device.

        Raises GenerationError for a size that diffusers would silently change, and when memory runs out.
        """
        if self._loaded is None:
            raise RuntimeError("generate was called before open, or after close")
        pipeline, device = self._loaded.pipeline, self._loaded.device
        _check_size(setting, pipeline)
        clock = StageClock(device)
        arguments = self._arguments(self._loaded, setting, request, clock)
        try:
            with call_features(pipeline, self._loaded.features[setting.acceleration]), clock.watching(pipeline):
                device.reset_peaks()
                self._rss.reset()
                pictures = clock.run(lambda: pipeline(**arguments)).images
                memory = self._memory(device)
        except Exception as error:
            if is_out_of_memory(error):
                raise out_of_memory(error, clock.stage) from error
            raise
        return Generation(
            images=tuple(
                GeneratedImage(
                    content=encode_picture(picture, setting.output_format), seed=request.seed + index, nsfw=None
                )
                for index, picture in enumerate(pictures)
            ),
            timings=clock.timings(),
            memory=memory,
            steps_run=clock.steps_run,
            hosted=None,
        )

    def close(self) -> None:
        """Drop the pipeline, give device memory back, and restore torch's number of threads."""
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            device = loaded.device
            del loaded
            gc.collect()  # pipelines hold reference cycles
            device.release()
        if self._threads_before is not None:
            self._set_threads(self._threads_before)
            self._threads_before = None

    def _set_threads(self, count: int | None) -> None:
        """`count` threads for torch on the host, a setting of the whole process; None leaves it alone."""
        import torch

        if count is not None:
            if self._threads_before is None:
                self._threads_before = torch.get_num_threads()
            torch.set_num_threads(count)

    def _memory(self, device: Device) -> Memory:
        allocated, reserved = device.peaks()
        return Memory(peak_rss_bytes=self._rss.bytes(), peak_allocated_bytes=allocated, peak_reserved_bytes=reserved)

    @staticmethod
    def _arguments(loaded: _Loaded, setting: Setting, request: Request, clock: StageClock) -> dict[str, Any]:
        import torch

        seeds = range(request.seed, request.seed + setting.num_images)
        return {
            "prompt": request.prompt,
            "width": setting.width,
            "height": setting.height,
            "num_inference_steps": setting.steps,
            "guidance_scale": setting.guidance,
            "num_images_per_prompt": setting.num_images,
            "max_sequence_length": loaded.options.max_sequence_length,
            "generator": [torch.Generator("cpu").manual_seed(seed) for seed in seeds],
            "output_type": "pil",
            "callback_on_step_end": clock.step_ended,
            "callback_on_step_end_tensor_inputs": [],
        }


def _feature_problems(acceleration: AccelerationSpec) -> list[Problem]:
    key, found = f"acceleration.{acceleration.name}.features", repr(acceleration.features)
    return [Problem(key=key, found=found, expected=message) for message in check_features(acceleration.features)]


def _option_problems(target: TargetSpec) -> list[Problem]:
    options, key = DiffusersOptions(**target.options), f"target.{target.name}"
    problems = []
    if target.task not in TASKS:
        problems.append(Problem(key=f"{key}.task", found=target.task, expected=" or ".join(TASKS)))
    if not is_device_name(options.device):
        problems.append(Problem(key=f"{key}.options.device", found=repr(options.device), expected=DEVICE_NAMES))
    if not 1 <= options.max_sequence_length <= MAX_SEQUENCE_LENGTH:
        found, expected = str(options.max_sequence_length), f"1 to {MAX_SEQUENCE_LENGTH} tokens"
        problems.append(Problem(key=f"{key}.options.max_sequence_length", found=found, expected=expected))
    if options.torch_threads is not None and options.torch_threads < 1:
        found = str(options.torch_threads)
        problems.append(Problem(key=f"{key}.options.torch_threads", found=found, expected="at least 1, or null"))
    return problems


def _shared_load_features(accelerations: Sequence[AccelerationSpec]) -> dict[str, dict[str, Any]]:
    """The load features of a load group. Raises EnvironmentProblem where `accelerations` cannot be one."""
    problems = [problem for acceleration in accelerations for problem in _feature_problems(acceleration)]
    if problems:
        raise EnvironmentProblem(problems)
    each = [features_of_phase(acceleration.features, "load") for acceleration in accelerations]
    if any(features != each[0] for features in each):
        names = ", ".join(acceleration.name for acceleration in accelerations)
        expected = "accelerations that differ only in features switched between calls"
        raise EnvironmentProblem([Problem(key="acceleration", found=names, expected=expected)])
    return each[0] if each else {}


def _fetch(target: TargetSpec) -> Path:
    """The folder that holds the whole pipeline: built, given, or in the Hub's cache (downloaded now if need be)."""
    if not is_hub_id(target.model):
        folder = Path(resolve_model(target.model)).expanduser()
    else:
        from diffusers import FluxPipeline

        with no_progress_bars():
            folder = Path(FluxPipeline.download(target.model, revision=target.revision, use_safetensors=True))
    problem = pipeline_problem(f"target.{target.name}.model", target.model, folder, "")
    if problem is not None:
        raise EnvironmentProblem([problem])
    return folder


def _load_pipeline(folder: Path, options: DiffusersOptions, device: Device) -> Any:
    """Only safetensors are read: other formats can carry code."""
    import torch
    from diffusers import FluxPipeline

    with no_progress_bars():
        pipeline = FluxPipeline.from_pretrained(
            str(folder), dtype=getattr(torch, options.dtype), local_files_only=True, use_safetensors=True
        )
    pipeline.to(device.name)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _identity(
    target: TargetSpec, folder: Path, pipeline: Any, options: DiffusersOptions, device: Device
) -> dict[str, Any]:
    """What has to be equal for two runs to be of the same model on the same machine. No path, no name of a host."""
    import torch

    modules = {name: part for name, part in pipeline.components.items() if isinstance(part, torch.nn.Module)}
    return {
        "model": target.model if is_builtin(target.model) or is_hub_id(target.model) else folder.resolve().name,
        "revision": _revision(target, folder),
        "weights_sha256": weights_sha256(folder),
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


def _revision(target: TargetSpec, folder: Path) -> str | None:
    """The Hub's commit, the miniature's recipe, or None for a folder, which has only its `weights_sha256`."""
    if is_builtin(target.model):
        return REVISION
    in_hub_cache = is_hub_id(target.model) and folder.parent.name == "snapshots"
    return folder.name if in_hub_cache else None


def _check_size(setting: Setting, pipeline: Any) -> None:
    """diffusers floors other sizes with only a warning; then the picture is not what was asked for."""
    multiple = pipeline.vae_scale_factor * 2
    if setting.width % multiple or setting.height % multiple:
        raise GenerationError(
            f"{setting.width}x{setting.height} was asked for; this pipeline draws multiples of {multiple} pixels",
            type="invalid_request",
            stage="prepare",
            remedy=f"Choose sides that are multiples of {multiple}.",
        )
