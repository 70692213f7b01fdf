"""Reading weights as tensors: no code in a file ever runs, and what does not fit a model is named."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from kreabench.core.errors import EnvironmentProblem, Problem, one_line
from kreabench.metrics.needs import FETCH

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

WEIGHTS_KEY = "options.weights"
_OFFENDER = re.compile(r"unsupported (?:global|class|operand)\S* (?:GLOBAL )?\S+", re.IGNORECASE)
"""What torch found in a pickle that is no tensor."""
_SHOWN = 3
"""Names of weights listed of each kind of misfit."""
_EXPECTED = "weights as tensors without code: .safetensors, or a state dict saved by torch"
_DAMAGED = f"Delete the file if it is a damaged download, and fetch it again with `{FETCH}`"


def load_state_dict(path: Path, *, key: str = WEIGHTS_KEY) -> dict[str, Tensor]:
    """The named tensors of a file, on the CPU; `state_dict` of a training checkpoint.

    Raises EnvironmentProblem for a folder, a file that is damaged or of another kind, and a pickle that asks for more
    than tensors, of which nothing is executed.
    """
    if not path.is_file():
        found = f"{path}, {'a folder' if path.is_dir() else 'no such file'}"
        raise _problem(key, found, "one file of weights", "")
    try:
        loaded = _safetensors(path) if path.suffix == ".safetensors" else _pickled(path)
    except Exception as error:  # zip, pickle, safetensors, decoding: each library raises its own for a bad file
        raise _problem(key, f"{path}: {unreadable(error)}", _EXPECTED, _DAMAGED) from error
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    return _tensors(loaded, path, key)


def unreadable(error: Exception) -> str:
    """Why a file of weights could not be read. Of torch's words about a pickle only those that say what is in it: the
    others advise to run its code."""
    said = " ".join(str(error).split())
    if isinstance(error, UnpicklingError):
        offender = _OFFENDER.search(said)
        return f"no weights, or code among them ({offender[0][:120] if offender else 'no pickle that can be read'})"
    return one_line(error, 200)


def _safetensors(path: Path) -> Any:
    from safetensors.torch import load_file

    return load_file(path)


def _pickled(path: Path) -> Any:
    import torch

    # torch refuses to map its format from before 1.6, which some published weights have.
    return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))


def _tensors(loaded: Any, path: Path, key: str) -> dict[str, Tensor]:
    import torch

    if not isinstance(loaded, Mapping):
        raise _problem(key, f"{path}, which holds a {type(loaded).__name__}", _EXPECTED, "")
    others = [name for name, value in loaded.items() if not isinstance(value, torch.Tensor)]
    if others or not loaded:
        held = f"entries that are no tensors: {_some(others)}" if others else "nothing"
        raise _problem(key, f"{path}, which holds {held}", _EXPECTED, "")
    return {str(name): value for name, value in loaded.items()}


def load_into(
    module: Module,
    state: Mapping[str, Tensor],
    *,
    path: Path,
    key: str = WEIGHTS_KEY,
    may_have: Sequence[str] = (),
) -> None:
    """Put `state`, read from `path`, into all weights of `module`.

    Weights whose name starts with one of `may_have` are left out where the module has no place for them.
    Raises EnvironmentProblem that names the first weights missing, unexpected or of another shape; then the module is
    as it was.
    """
    own = module.state_dict()
    kept = {name: value for name, value in state.items() if name in own or not name.startswith(tuple(may_have))}
    misfits = [
        (_some([name for name in own if name not in kept]), "missing"),
        (_some([name for name in kept if name not in own]), "unexpected"),
        (_some(_of_other_shape(own, kept)), "of another shape"),
    ]
    found = "; ".join(f"{what}: {names}" for names, what in misfits if names)
    if found:
        raise _problem(key, f"{path}, {found}", f"the weights of {type(module).__name__}, all {len(own)} of them", "")
    module.load_state_dict(kept, strict=True)


def _of_other_shape(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    return [
        f"{name} {list(state[name].shape)} instead of {list(value.shape)}"
        for name, value in own.items()
        if name in state and state[name].shape != value.shape
    ]


def _some(names: Sequence[object]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(str(name)[:120] for name in names[:_SHOWN]) + more


def _problem(key: str, found: str, expected: str, remedy: str) -> EnvironmentProblem:
    return EnvironmentProblem([Problem(key=key, found=found, expected=expected, remedy=remedy)])
