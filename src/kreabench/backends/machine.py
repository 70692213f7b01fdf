"""What this machine has that accelerations need, found without importing torch."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

from kreabench.backends.accelerations.features import FEATURES
from kreabench.backends.nvml import GpuInfo, gpus
from kreabench.core.specs import Gpu, MachineSpec

ATTENTION_PACKAGES = ("flash-attn", "flash_attn_3", "sageattention", "kernels", "triton")
"""Distributions that attention back ends and compilation need; those of the features stand in their table."""
_COMPILERS = ("c++", "g++", "clang++")


def look(environ: Mapping[str, str] = os.environ) -> MachineSpec:
    """The GPUs that CUDA would show to a process of this environment, the packages, and whether there is a compiler."""
    wanted = {name for row in FEATURES.values() for name in row.needs.packages} | set(ATTENTION_PACKAGES)
    found = ((name, _version(name)) for name in sorted(wanted))
    return MachineSpec(
        gpus=tuple(_shown(gpus(), environ.get("CUDA_VISIBLE_DEVICES"))),
        packages={name: text for name, text in found if text is not None},
        compiler=any(shutil.which(name) for name in (environ.get("CXX") or "c++", *_COMPILERS)),
    )


def visible(devices: Sequence[str], setting: str | None) -> tuple[int, ...]:
    """Which of `devices` (their UUIDs, by index) CUDA shows for this value of CUDA_VISIBLE_DEVICES, in its order.

    As the CUDA programming guide says: indices or beginnings of UUIDs; all after the first invalid one are hidden.
    """
    if setting is None:
        return tuple(range(len(devices)))
    shown: list[int] = []
    for entry in (part.strip() for part in setting.split(",")):
        if entry.isdecimal():
            matches = [int(entry)] if int(entry) < len(devices) else []
        else:
            matches = [index for index, uuid in enumerate(devices) if entry and uuid.startswith(entry)]
        if len(matches) != 1:
            break
        shown += matches
    return tuple(shown)


def _shown(listed: Sequence[GpuInfo], setting: str | None) -> Iterator[Gpu]:
    """In the driver's order, which is CUDA's own where all GPUs are alike or CUDA_DEVICE_ORDER is PCI_BUS_ID."""
    for index in visible([gpu.uuid for gpu in listed], setting):
        gpu = listed[index]
        yield Gpu(name=gpu.name, capability=gpu.capability, memory_bytes=gpu.total_bytes)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
