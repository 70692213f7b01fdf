"""Exceptions into typed failures: the one place that decides what kind of trouble it was, and hides secrets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kreabench.backends.device_errors import device_lost, is_device_lost
from kreabench.core.errors import EnvironmentProblem, GenerationError
from kreabench.core.records import Failure

MAX_MESSAGE_CHARS = 2000
MIN_SECRET_CHARS = 8
USUAL_KEYS = ("FAL_KEY", "FAL_KEY_ID", "FAL_KEY_SECRET", "HF_TOKEN")
"""Variables that back ends, or their libraries, read a key from where a target names none."""

_MEMORY_REMEDY = "Ask for a smaller size, fewer images a request, or an acceleration that offloads or quantises."


def secrets(key_env: str | None, environ: Mapping[str, str]) -> tuple[str, ...]:
    """What must never be written: keys, whole and each part of an `id:secret` pair; longest first."""
    keys = [environ.get(name, "") for name in (*USUAL_KEYS, *([key_env] if key_env else []))]
    parts = {part for key in keys for part in (key, *key.split(":"))}
    return tuple(sorted((part for part in parts if len(part) >= MIN_SECRET_CHARS), key=len, reverse=True))


def clean(text: str, hidden: Sequence[str]) -> str:
    """`text` without secrets, in valid Unicode."""
    for secret in hidden:
        text = text.replace(secret, "[hidden]")
    return text.encode("utf-8", "replace").decode()


def describe(error: Exception, *, stage: str, hidden: Sequence[str] = ()) -> tuple[Failure, bool]:
    """The failure that `error` is, and whether the worker must be replaced. `stage` is for errors that name none."""
    failure, fatal = _classify(error, stage)
    message = clean(failure.message, hidden)
    if len(message) > MAX_MESSAGE_CHARS:
        message = message[:MAX_MESSAGE_CHARS] + " [cut]"
    return Failure(
        type=failure.type,
        stage=failure.stage,
        message=message,
        remedy=clean(failure.remedy, hidden),
        transient=failure.transient,
        peak_allocated_bytes=failure.peak_allocated_bytes,
        fetch_again=failure.fetch_again,
    ), fatal


def _classify(error: Exception, stage: str) -> tuple[Failure, bool]:
    if isinstance(error, GenerationError):
        failure = Failure(
            type=error.type,
            stage=error.stage,
            message=error.message,
            remedy=error.remedy,
            transient=error.transient,
            peak_allocated_bytes=error.peak_allocated_bytes,
            fetch_again=error.fetch_again,
        )
        return failure, error.fatal or error.type == "out_of_memory"
    if isinstance(error, EnvironmentProblem):
        type_ = "load_failed" if stage == "load" else "internal"
        return Failure(
            type=type_, stage=stage, message=error.message, remedy=error.remedy, transient=stage == "load"
        ), False
    name = f"{type(error).__module__}.{type(error).__qualname__}"
    if isinstance(error, MemoryError) or _is_torch(error, "OutOfMemoryError"):
        message = f"{name}: {error}" if str(error) else name
        failure = Failure(type="out_of_memory", stage=stage, message=message, remedy=_MEMORY_REMEDY, transient=False)
        return failure, True
    if is_device_lost(error):
        return _classify(device_lost(error, stage), stage)
    failure = Failure(
        type="internal",
        stage=stage,
        message=f"{name}: {error}",
        remedy="This is a bug or a broken installation; the traceback is in the worker's log.",
        transient=False,
    )
    # After an error of the device itself every later call in the process fails too.
    return failure, _is_torch(error, "AcceleratorError")


def _is_torch(error: Exception, name: str) -> bool:
    """By name, because the worker of a hosted target has no reason to import torch."""
    return any(cls.__name__ == name and cls.__module__.split(".")[0] == "torch" for cls in type(error).__mro__)
