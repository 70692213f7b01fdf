"""Where a metric's model runs."""

from __future__ import annotations

import re

from kreabench.core.errors import EnvironmentProblem, Problem

_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


def check_device(device: str) -> None:
    """Raises ValueError, for an options class, for anything but `auto`, `cpu`, `cuda` and `cuda:N`."""
    if not _DEVICE.fullmatch(device):
        raise ValueError(f"device must be auto, cpu, cuda or cuda:N, and is {device!r}")


def check_running(device: str, batch_size: int) -> None:
    """Raises ValueError, for an options class, for a device or batch size that no machine has."""
    check_device(device)
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, and is {batch_size}")


def find_device(wanted: str) -> str:
    """The device for the option `device`: `auto` is CUDA where there is one. Raises EnvironmentProblem."""
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cpu":
        return wanted
    count = torch.cuda.device_count()
    if int(wanted.partition(":")[2] or 0) < count:
        return wanted
    found = f"{wanted!r} on a machine with {count} CUDA device{'' if count == 1 else 's'}"
    problem = Problem(key="options.device", found=found, expected="a device that is there, `cpu` or `auto`")
    raise EnvironmentProblem([problem])


def kind_of(device: str) -> str:
    """What an identity says of a device: `cpu` or `cuda`, because a GPU rounds differently."""
    return device.partition(":")[0]
