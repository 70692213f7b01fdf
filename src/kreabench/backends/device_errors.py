"""Errors by which an accelerator says that it, or this process's hold on it, is gone. Known by their words alone.

Torch has one class for all that a device may say, cuBLAS, cuDNN and Triton raise plain `RuntimeError`; and whoever asks
here has no reason to import torch.
"""

from __future__ import annotations

import re

from kreabench.core.errors import GenerationError

_REMEDY = (
    "The device, its driver or a kernel failed: look for `Xid` in `dmesg` and at `nvidia-smi`. Once the device answers "
    "again (a reset, or the machine started anew), `kreabench resume` goes on."
)
_SPEAKERS = re.compile(r"CUDA|HIP|CUBLAS|CUDNN|cuDNN|NVML|NCCL")
_WORDS = re.compile(
    r"unspecified launch failure|illegal memory access|illegal instruction|misaligned address|invalid address space"
    r"|hardware stack error|uncorrectable (?:ECC|NVLink) error|device-side assert|launch timed out|unknown error"
    r"|[Gg][Pp][Uu] is lost|fallen off the bus|busy or unavailable|EXECUTION_FAILED|INTERNAL_ERROR"
)


def is_device_lost(error: BaseException) -> bool:
    """Whether nothing more can be drawn in this process, while a fresh one may find the device well again."""
    text = str(error)
    return isinstance(error, RuntimeError) and bool(_SPEAKERS.search(text) and _WORDS.search(text))


def device_lost(error: BaseException, stage: str) -> GenerationError:
    """The typed failure of `error`."""
    first = str(error).partition("\n")[0]  # what follows is advice on debugging CUDA
    text = f"{type(error).__name__}: {first}"
    return GenerationError(text, type="device_lost", stage=stage, remedy=_REMEDY, transient=True, fatal=True)
