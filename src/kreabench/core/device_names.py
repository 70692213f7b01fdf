"""How a device is named in options, of targets and of metrics alike. Says nothing about this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEVICE_NAMES = "auto, cpu, cuda or cuda:N"


def is_device_name(name: str) -> bool:
    """Whether `name` is one of DEVICE_NAMES."""
    kind, colon, index = name.partition(":")
    if not colon:
        return kind in {"auto", "cpu", "cuda"}
    return kind == "cuda" and index.isascii() and index.isdigit()


def gpu_of(name: str) -> int | None:
    """The number of the GPU that a device's name asks for; None for `auto` and `cpu`."""
    kind, _, index = name.partition(":")
    return int(index or 0) if kind == "cuda" else None


def device_in_words(identity: Mapping[str, Any]) -> str:
    """The kind of device of a load's identity: `cuda (NVIDIA H100)`. Two GPUs of one kind are alike."""
    kind = str(identity.get("device") or "a device without a name").partition(":")[0]
    model = identity.get("device_model")
    return f"{kind} ({model})" if model else kind
