"""Where a metric's model runs."""

from __future__ import annotations

from kreabench.core.device_names import DEVICE_NAMES, gpu_of, is_device_name
from kreabench.core.errors import EnvironmentProblem, Problem


def check_running(device: str, batch_size: int) -> None:
    """Raises ValueError, for an options class, for a device or batch size that no machine has."""
    if not is_device_name(device):
        raise ValueError(f"device must be {DEVICE_NAMES}, and is {device!r}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, and is {batch_size}")


def find_device(wanted: str) -> str:
    """The device for the option `device`: `auto` is CUDA where there is one. Raises EnvironmentProblem."""
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    problem = absent_device(wanted, 0 if wanted == "cpu" else torch.cuda.device_count())
    if problem is not None:
        raise EnvironmentProblem([problem])
    return wanted


def absent_device(wanted: str, gpus: int) -> Problem | None:
    """What is wrong with the option `device` on a machine with so many GPUs; None where that one is there."""
    gpu = gpu_of(wanted)
    if gpu is None or gpu < gpus:
        return None
    found = f"{wanted!r} on a machine with {gpus} GPU{'' if gpus == 1 else 's'}"
    return Problem(key="options.device", found=found, expected="a device that is there, `cpu` or `auto`")


def kind_of(device: str) -> str:
    """What an identity says of a device: `cpu` or `cuda`, because a GPU rounds differently."""
    return device.partition(":")[0]
