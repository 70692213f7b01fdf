"""What of an acceleration a target on a machine gets: its features, what is added on CUDA, or why it cannot be done.

Pure and free of torch. The plan calls this with the machine that its experiment was resolved on, so a run that is
resumed elsewhere keeps the features it began with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Any, Literal

from kreabench.backends.accelerations.checks import check_features
from kreabench.backends.accelerations.features import FEATURES, Features, Needs
from kreabench.core.specs import (
    AccelerationSpec,
    Gpu,
    MachineSpec,
    TargetSpec,
)

_ATTENTION_NEEDS: dict[str, Needs] = {
    "_native_cudnn": Needs(cuda=True, capability=(8, 0)),
    "_native_efficient": Needs(cuda=True),
    "flash": Needs(cuda=True, capability=(8, 0), packages={"flash-attn": "2.6.3"}),
    "flash_hub": Needs(cuda=True, capability=(8, 0), packages={"kernels": "0.12"}),
    "_flash_3": Needs(cuda=True, capability=(9, 0), packages={"flash_attn_3": None}),
    "_flash_3_hub": Needs(cuda=True, capability=(9, 0), packages={"kernels": "0.12"}),
    "sage": Needs(cuda=True, capability=(8, 0), packages={"sageattention": "2.1.1"}),
    "sage_hub": Needs(cuda=True, capability=(8, 0), packages={"kernels": "0.12"}),
}
"""Least versions are diffusers' own (`models/attention_dispatch.py`); torch's own kinds need nothing more."""
_ANY_DTYPE = frozenset({"native", "_native_efficient", "_native_math"})
"""Attention back ends that take float32 on a GPU; the others have kernels of half precision alone."""
_NEED_TIMESTEP = frozenset({"pab", "fastercache"})
_REQUIRES_BFLOAT16 = "fp8_dynamic with one scale a row multiplies bfloat16 only; set its scale to tensor"
_NUMBERS = re.compile(r"\d+")


def device_kind(target: TargetSpec, machine: MachineSpec | None) -> Literal["cuda", "cpu"] | None:
    """Where the target will run; None for a back end that has no device and applies no features."""
    device = target.options.get("device")
    if not isinstance(device, str) or target.hosted:
        return None
    if device == "auto":
        return "cuda" if machine is not None and machine.gpus else "cpu"
    return "cuda" if device.startswith("cuda") else "cpu"


def chosen(acceleration: AccelerationSpec, target: TargetSpec, machine: MachineSpec | None) -> AccelerationSpec:
    """The acceleration with all that this target gets of it, and notes of what was left out."""
    if target.hosted or not acceleration.on_cuda:
        return replace(acceleration, on_cuda={})
    features = {name: dict(values) for name, values in acceleration.features.items()}
    notes: list[str] = []
    kind = device_kind(target, machine)
    for group, alternatives in acceleration.on_cuda.items():
        if kind != "cuda":
            where = "runs on the CPU" if kind == "cpu" else "has no device"
            notes.append(f"{group} left out: {target.name} {where}")
            continue
        reasons = []
        for alternative in alternatives:
            reason = missing({**features, **alternative}, target, machine)
            if reason is None:
                features.update({name: dict(values) for name, values in alternative.items()})
                break
            reasons.append(reason)
        else:
            notes.append(f"{group} left out: {'; '.join(dict.fromkeys(reasons))}")
    return replace(acceleration, features=features, on_cuda={}, left_out=tuple(notes))


def combination_problems(features: Features, on_cuda: Mapping[str, Any]) -> tuple[str, ...]:
    """What is wrong with `features`, alone and with every choice among the alternatives of `on_cuda`."""
    problems = list(check_features(features))
    for choice in product(*on_cuda.values()):
        whole = {**features}
        for alternative in choice:
            whole.update(alternative)
        problems += check_features(whole)
    return tuple(dict.fromkeys(problems))


def missing(features: Features, target: TargetSpec, machine: MachineSpec | None) -> str | None:
    """Why `target` cannot have `features` on `machine`; None where it can, or where nobody looked at the machine."""
    kind = device_kind(target, machine)
    if kind is None:
        return None
    for name in sorted(features):
        reason = _task_reason(name, target)
        if reason is not None:
            return reason
        for needs in _needs(name, features[name], kind):
            if needs.cuda and kind != "cuda":
                return f"{name} needs CUDA; {target.name} runs on the CPU"
            lacking = None if machine is None else _lacking(needs, target, machine, kind)
            if lacking is not None:
                return f"{name} needs {lacking}"
        if reason := _dtype_reason(name, features[name], target, kind):
            return reason
    return None


def _needs(name: str, values: Mapping[str, Any], kind: str) -> Iterator[Needs]:
    yield FEATURES[name].needs
    if name == "attention":
        yield _ATTENTION_NEEDS.get(values["backend"], Needs())
    if FEATURES[name].kind == "compile" and kind == "cuda":
        yield Needs(cuda=True, capability=(7, 0), packages={"triton": None})


def _task_reason(name: str, target: TargetSpec) -> str | None:
    if name in _NEED_TIMESTEP and target.task == "image-to-image":
        return f"{name} needs the noise level, which diffusers' image-to-image pipeline does not tell"
    return None


def _dtype_reason(name: str, values: Mapping[str, Any], target: TargetSpec, kind: str) -> str | None:
    if name == "attention" and kind == "cuda" and values["backend"] not in _ANY_DTYPE:
        full = target.options.get("dtype") == "float32"
        return f"attention {values['backend']} has kernels for bfloat16 and float16 alone" if full else None
    by_row = name == "fp8_dynamic" and values.get("scale", "row") == "row"
    return _REQUIRES_BFLOAT16 if by_row and target.options.get("dtype") != "bfloat16" else None


def _lacking(needs: Needs, target: TargetSpec, machine: MachineSpec, kind: str) -> str | None:
    if needs.compiler and not machine.compiler:
        return "a C++ compiler, and none was found (g++ or clang++ on the PATH, or CXX)"
    for package, least in needs.packages.items():
        wanted = package if least is None else f"{package} {least} or newer"
        found = machine.packages.get(package)
        if found is None:
            return f"the package {wanted}, which is not installed"
        if least is not None and _release(found) < _release(least):
            return f"the package {wanted}; {found} is installed"
    return _lacking_gpu(needs, target, machine) if kind == "cuda" else None


def _lacking_gpu(needs: Needs, target: TargetSpec, machine: MachineSpec) -> str | None:
    gpu = _gpu(target, machine)
    if gpu is None:
        return "a GPU, and this machine shows none" if needs.cuda else None
    if gpu.capability is None:
        return None if needs.capability is None else f"a known compute capability; the driver tells none of {gpu.name}"
    have = f"{gpu.name} has {gpu.capability[0]}.{gpu.capability[1]}"
    if needs.capability is not None and gpu.capability < needs.capability:
        return f"compute capability {needs.capability[0]}.{needs.capability[1]} or above; {have}"
    if needs.not_capability is not None and gpu.capability[0] == needs.not_capability:
        return f"another compute capability than {needs.not_capability}.x; {have}"
    return None


def _gpu(target: TargetSpec, machine: MachineSpec) -> Gpu | None:
    _, _, index = str(target.options.get("device")).partition(":")
    number = int(index) if index.isdecimal() else 0
    return machine.gpus[number] if number < len(machine.gpus) else None


def _release(text: str) -> tuple[int, ...]:
    """The numbers of a version, as far as they go: 2.6.3.post1+cu12 → (2, 6, 3)."""
    numbers = []
    for part in text.partition("+")[0].split("."):
        match = _NUMBERS.match(part)
        if match is None:
            break
        numbers.append(int(match[0]))
    return tuple(numbers)
