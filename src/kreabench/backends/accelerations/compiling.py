"""torch.compile of the transformer, with its silent retreats made loud and its process-wide settings put back."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

RECOMPILE_LIMIT = 64
"""Graphs of one block: one a size, batch and state of a cache. torch's own limit of 8 suits one size."""
_CACHE_VARIABLES = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
_SHAPES = {"auto": None, "static": False, "dynamic": True}


def compile_transformer(
    stack: ExitStack, transformer: Any, name: str, values: Mapping[str, Any], *, has_cache: bool
) -> dict[str, Any]:
    """Mark blocks or the whole for compilation, which happens in the first call. `stack` undoes what is process-wide.

    A cache's hooks break the graph, so only without one is a whole graph insisted on.
    """
    import torch._dynamo

    if values["cold"]:
        _cold_cache(stack)
    # At its limit torch goes on uncompiled with only a line in a log: a slow "compiled" sample. Here it is an error.
    stack.enter_context(torch._dynamo.config.patch(recompile_limit=RECOMPILE_LIMIT, fail_on_recompile_limit_hit=True))
    mode = None if values["mode"] == "default" else values["mode"]
    options = {"fullgraph": not has_cache, "dynamic": _SHAPES[values["shapes"]], "mode": mode}
    if name == "compile_regional":
        transformer.compile_repeated_blocks(**options)
    else:
        transformer.compile(**options)
    stack.callback(_forget, transformer)
    return {"fullgraph": options["fullgraph"]}


def graphs_compiled() -> int:
    """Graphs that torch has compiled in this process so far."""
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])


def _cold_cache(stack: ExitStack) -> None:
    """An empty folder for inductor's and triton's caches, removed with the model."""
    folder = tempfile.mkdtemp(prefix="kreabench-inductor-")
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    for variable in _CACHE_VARIABLES:
        before = os.environ.get(variable)
        os.environ[variable] = os.path.join(folder, variable.lower())  # noqa: PTH118 - a text for the environment
        stack.callback(_set_variable, variable, before)


def _set_variable(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _forget(transformer: Any) -> None:
    """Drop the compiled code, which holds on to the model and would count against the limit of the next."""
    import torch._dynamo

    for module in transformer.modules():
        module._compiled_call_impl = None
    torch._dynamo.reset()
