"""FLUX.1 pipelines on this machine, through diffusers."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from kreabench.backends.accelerations.apply import AppliedFeatures
from kreabench.backends.accelerations.caches import Schedule
from kreabench.backends.accelerations.checks import check_features
from kreabench.backends.accelerations.features import (
    Features,
    features_of_phase,
    is_offloaded,
)
from kreabench.backends.accelerations.lora_source import lora_problem
from kreabench.backends.base import Generation
from kreabench.backends.calibration import calibrate
from kreabench.backends.call_parts import generations
from kreabench.backends.device_errors import device_lost, is_device_lost
from kreabench.backends.devices import Device, choose_device
from kreabench.backends.finiteness import FiniteWatch
from kreabench.backends.input_images import read_input
from kreabench.backends.load_errors import is_out_of_memory, load_failure, out_of_memory, with_peak
from kreabench.backends.loading import find_source, identity, load_pipeline, predict_memory
from kreabench.backends.local_steps import local_steps
from kreabench.backends.measuring import Measuring
from kreabench.backends.memory_prediction import require
from kreabench.backends.model_files import model_problem
from kreabench.backends.options import DiffusersOptions
from kreabench.backends.redux_model import load_prior, redux_option_problem
from kreabench.backends.safety import SafetyChecker, open_safety_checker, safety_problems
from kreabench.backends.staging import StageClock
from kreabench.backends.tasks import Drawer, make_drawer
from kreabench.backends.transformer_source import transformer_problem
from kreabench.backends.work import BlockRuns
from kreabench.core.device_names import DEVICE_NAMES, is_device_name
from kreabench.core.errors import EnvironmentProblem, GenerationError, Problem
from kreabench.core.planned import Request, Setting
from kreabench.core.specs import AccelerationSpec, TargetSpec

MAX_SEQUENCE_LENGTH = 512
"""The most T5 tokens that FLUX.1's pipelines take."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Loaded:
    """What lasts from `open` to `close`."""

    drawer: Drawer
    device: Device
    measuring: Measuring
    options: DiffusersOptions
    features: Mapping[str, Features]
    """Acceleration name → all its features."""
    applied: AppliedFeatures
    inputs: Path
    """Where input pictures lie."""
    safety: SafetyChecker | None

    @property
    def pipeline(self) -> Any:
        """What features act on."""
        return self.drawer.pipeline


class DiffusersBackend:
    """One loaded pipeline. Not for several threads at once."""

    def __init__(self) -> None:
        self._loaded: _Loaded | None = None
        self._threads_before: int | None = None
        self._called: set[tuple[str, int]] = set()
        """Settings that were drawn before, and how many requests a call had; a first call may compile."""

    @staticmethod
    def check(target: TargetSpec, accelerations: Sequence[AccelerationSpec]) -> tuple[Problem, ...]:
        """Model, options and features, as far as can be seen without torch and without the network."""
        redux = redux_option_problem(target, DiffusersOptions(**target.options))
        problems = [*_model_problems(target), *([redux] if redux else []), *_option_problems(target)]
        problems += safety_problems(target)
        for acceleration in accelerations:
            problems += _feature_problems(acceleration)
        return tuple(problems)

    def open(
        self,
        target: TargetSpec,
        accelerations: Sequence[AccelerationSpec],
        settings: Sequence[Setting],
        *,
        inputs: Path | None = None,
    ) -> dict[str, Any]:
        """Load onto the device, put the load features on, and return the identity. Raises GenerationError."""
        device: Device | None = None
        try:
            options = DiffusersOptions(**target.options)
            load_features = _shared_load_features(accelerations)
            self._set_threads(options.torch_threads)
            device = choose_device(options.device)
            calibration = calibrate(device, options.dtype)
            source = find_source(target, options)
            at_once = [replace(setting, num_images=setting.num_images * setting.batch_size) for setting in settings]
            predicted = predict_memory(source, options, target.task, at_once)
            if predicted is not None:
                require(predicted, device.memory(), device.name, tuple(load_features))
            on_host = is_offloaded(load_features)
            pipeline = load_pipeline(target, source, options, device, on_host=on_host)
            prior, redux = load_prior(target, options, pipeline, device) if target.task == "redux" else (None, None)
            drawer = make_drawer(target.task, pipeline, prior)
            pipeline = drawer.pipeline
            applied = AppliedFeatures(pipeline, load_features)
            applied.put_on(device.name)
            loaded = identity(target, source, pipeline, options, device)
            memory = None if predicted is None else predicted.identity()
            safety = open_safety_checker(target)
        except GenerationError:
            raise
        except Exception as error:
            raise with_peak(load_failure(error, target), device) from error
        features = {acceleration.name: acceleration.features for acceleration in accelerations}
        others = {} if prior is None else prior.components
        parts = {**pipeline.components, **{name: part for name, part in others.items() if part is not None}}
        self._loaded = _Loaded(
            drawer=drawer,
            device=device,
            measuring=Measuring(device, options, calibration, parts),
            options=options,
            features=features,
            applied=applied,
            inputs=inputs or Path(),
            safety=safety,
        )
        if safety is not None:
            loaded["safety_checker"] = safety.identity
        if redux is not None:
            loaded["redux"] = redux
        return {
            **loaded,
            "features": _without_paths(load_features),
            "features_found": applied.account,
            "left_out": {some.name: list(some.left_out) for some in accelerations if some.left_out},
            "predicted_memory": memory,
            "calibration": asdict(calibration),
        }

    def generate(self, setting: Setting, request: Request) -> Generation:
        """Image k is drawn from seed + k on the CPU, so that it depends neither on its neighbours nor on the device.

        Raises GenerationError for a size that diffusers would silently change, and when memory runs out.
        """
        return self.generate_batch(setting, (request,))[0]

    def generate_batch(self, setting: Setting, requests: Sequence[Request]) -> tuple[Generation, ...]:
        """As `generate`, with the prompts of all `requests` in one call and a generator for each picture. Several only
        of text to image."""
        if self._loaded is None:
            raise RuntimeError("generate was called before open, or after close")
        pipeline, device = self._loaded.pipeline, self._loaded.device
        _check_size(setting, pipeline)
        clock, finite = StageClock(device), FiniteWatch()
        pictures = [read_input(self._loaded.inputs, image) for request in requests for image in request.images]
        drawer = self._loaded.drawer
        arguments = {
            **self._arguments(self._loaded, setting, requests, clock),
            **drawer.inputs(setting, pictures),
        }
        features, measuring = self._loaded.features[setting.acceleration], self._loaded.measuring
        steps = local_steps(setting)
        schedule = Schedule(steps=steps.asked, steps_to_run=steps.to_run)
        try:
            with (
                self._loaded.applied.for_call(features, schedule) as call,
                finite.watching(pipeline),
                clock.watching(pipeline, drawer.encodes_image),
                measuring.around_call(),
            ):
                drawn = clock.run(lambda: drawer.draw(arguments)).images
        except Exception as error:
            if is_out_of_memory(error):
                raise with_peak(out_of_memory(error, clock.stage), device, clock.peaks().values()) from error
            if is_device_lost(error):
                raise device_lost(error, clock.stage) from error
            raise
        ran = call.forwards(clock.steps_run)
        blocks = BlockRuns(
            double=ran.double_blocks,
            single=ran.single_blocks,
            double_attentions=ran.double_attentions,
            single_attentions=ran.single_attentions,
        )
        size = len(requests)
        measured = measuring.result(setting, requests, clock, features, blocks=blocks)
        first = (setting.id, size) not in self._called
        self._called.add((setting.id, size))
        return generations(
            setting,
            requests,
            drawn,
            clock=clock,
            measured=measured,
            not_finite=finite.not_finite(len(drawn)),
            verdict=None if self._loaded.safety is None else self._loaded.safety.look(drawn),
            flags=call.flags(clock.steps_run, first=first),
        )

    def close(self) -> None:
        """Drop the pipeline, give device memory back, and restore torch's number of threads."""
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            device = loaded.device
            loaded.applied.close()
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

    @staticmethod
    def _arguments(loaded: _Loaded, setting: Setting, requests: Sequence[Request], clock: StageClock) -> dict[str, Any]:
        import torch

        seeds = [request.seed + index for request in requests for index in range(setting.num_images)]
        prompts = [request.prompt for request in requests]
        return {
            "prompt": prompts[0] if len(prompts) == 1 else prompts,
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


def _without_paths(features: Features) -> dict[str, dict[str, Any]]:
    """The features as they go into a record: of a local file only its name, as folders name people and machines."""
    return {
        name: {key: Path(value).name if _is_local(value) else value for key, value in parameters.items()}
        for name, parameters in features.items()
    }


def _is_local(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("/", "~", "."))


def _feature_problems(acceleration: AccelerationSpec) -> list[Problem]:
    key, found = f"acceleration.{acceleration.name}.features", repr(acceleration.features)
    problems = [Problem(key=key, found=found, expected=message) for message in check_features(acceleration.features)]
    if "lora" in acceleration.features and not problems:
        lora = lora_problem(f"{key}.lora.path", acceleration.features["lora"])
        problems += [] if lora is None else [lora]
    return problems


def _model_problems(target: TargetSpec) -> list[Problem]:
    """Random weights come from no model, whatever is named."""
    options, key = DiffusersOptions(**target.options), f"target.{target.name}.options.transformer"
    if options.weights == "random":
        expected = "null: with random weights there is nothing to replace"
        return [Problem(key=key, found=options.transformer, expected=expected)] if options.transformer else []
    problems = [model_problem(target)]
    if options.transformer is not None:
        problems.append(transformer_problem(key, options.transformer, options.transformer_revision))
    return [problem for problem in problems if problem is not None]


def _option_problems(target: TargetSpec) -> list[Problem]:
    options, key = DiffusersOptions(**target.options), f"target.{target.name}"
    problems = []
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
