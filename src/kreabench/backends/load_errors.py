"""What went wrong while a model loaded, told apart by what a person has to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kreabench.backends.device_errors import device_lost, is_device_lost
from kreabench.backends.devices import Device, Peaks
from kreabench.backends.mini import builtin_remedy, is_builtin
from kreabench.backends.model_files import download_remedy, is_hub_id
from kreabench.core.errors import EnvironmentProblem, GenerationError, chain_of
from kreabench.core.specs import TargetSpec

OUT_OF_MEMORY_REMEDY = (
    "Free the memory (other processes, `nvidia-smi`), or ask for a smaller size, fewer images a request, a smaller "
    "dtype, or a device with more memory."
)
_MEMORY_TEXTS = ("DefaultCPUAllocator", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""Of the host's allocator, the driver and cuBLAS, for whose failures torch has no class of its own."""
_NETWORK_LIBRARIES = frozenset({"httpx", "httpx2", "requests", "urllib3"})


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that a device or the host had no memory left."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _MEMORY_TEXTS)


def out_of_memory(error: BaseException, stage: str) -> GenerationError:
    """The typed failure; fatal, because what a failed call still holds cannot be told from here."""
    text = str(error).partition("\n")[0] or type(error).__name__
    return GenerationError(text, type="out_of_memory", stage=stage, remedy=OUT_OF_MEMORY_REMEDY, fatal=True)


def with_peak(error: GenerationError, device: Device | None, earlier: Iterable[Peaks] = ()) -> GenerationError:
    """`error` itself, which says what was reached on the device where memory ran out.

    `earlier`: peaks of the stages before, after each of which the device began a new one.
    """
    peak = None
    if device is not None and error.type == "out_of_memory":
        peak = max((found for found, _ in (*earlier, device.peaks()) if found is not None), default=None)
    if peak:
        error.peak_allocated_bytes = peak
        error.message += f" (torch had allocated {peak / 2**30:.2f} GiB at its peak)"
    return error


def load_failure(error: Exception, target: TargetSpec) -> GenerationError:
    """`error`, raised while `target` was loaded, as a GenerationError of stage `load` with what to do."""
    causes = list(chain_of(error))
    memory = next((cause for cause in causes if is_out_of_memory(cause)), None)
    if memory is not None:
        return out_of_memory(memory, "load")
    lost = next((cause for cause in causes if is_device_lost(cause)), None)
    if lost is not None:
        return device_lost(lost, "load")
    hub = _hub_failure(causes, target) if is_hub_id(target.model) else None
    if hub is not None:
        return hub
    if isinstance(error, EnvironmentProblem):
        return _failure("; ".join(str(problem) for problem in error.problems), "")
    return _failure(f"{target.model} could not be loaded: {type(error).__name__}: {error}", _files_remedy(target))


def _hub_failure(causes: list[BaseException], target: TargetSpec) -> GenerationError | None:
    """Failures of the Hugging Face Hub; None where the cause lies elsewhere."""
    from huggingface_hub import errors

    model = target.model
    remedy = download_remedy(model, target.revision)
    for cause in causes:
        if isinstance(cause, errors.GatedRepoError):
            message = f"{model} is gated, and this machine's Hugging Face account may not read it"
            return _failure(message, remedy, type="authentication")
        if isinstance(cause, errors.RevisionNotFoundError):
            return _failure(f"{model} has no revision {target.revision}", "Correct the target's revision.")
        if isinstance(cause, errors.RepositoryNotFoundError):
            message = f"{model} is neither a folder here nor a model of the Hub that this account can see"
            return _failure(message, "Correct the target's model; for a private one, log in with `hf auth login`.")
        if isinstance(cause, errors.OfflineModeIsEnabled):
            message = f"{model} is not whole in the local Hub cache, and HF_HUB_OFFLINE is set"
            return _failure(message, f"{remedy} Or unset HF_HUB_OFFLINE.")
    for cause in causes:
        if _is_network(cause):
            message = f"{model} is not whole in the local Hub cache, and the Hub did not answer: {cause}"
            return _failure(message, f"Check the network, or download elsewhere. {remedy}", type="network")
        if isinstance(cause, errors.LocalEntryNotFoundError):
            return _failure(f"{model} is not whole in the local Hub cache", remedy)
    return None


def _is_network(cause: BaseException) -> bool:
    """Whether trying again later may help."""
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(cause, HfHubHTTPError):
        return cause.response.status_code >= 500 or cause.response.status_code == 429
    # By module, because the Hub's client has changed its HTTP library and may do so again.
    library = type(cause).__module__.partition(".")[0]
    return isinstance(cause, ConnectionError | TimeoutError) or library in _NETWORK_LIBRARIES


def _files_remedy(target: TargetSpec) -> str:
    if is_builtin(target.model):
        return builtin_remedy(target.model)
    if is_hub_id(target.model):
        return f"If files are damaged, fetch them anew with `hf download {target.model} --force-download`."
    return "Check that the folder holds every file that diffusers' save_pretrained wrote, undamaged."


def _failure(message: str, remedy: str, **kind: Any) -> GenerationError:
    type_ = kind.get("type", "load_failed")
    return GenerationError(message, type=type_, stage="load", remedy=remedy, transient=type_ == "network")
