"""Models named `builtin:…`: the trained miniature of FLUX.1 that ships in the package, and what is built on demand.

`builtin:mini` draws the world of `kreabench.drawn`, and `builtin:mini-redux` is what Redux adds to it.
`builtin:mini-noisy` is another version of it. `builtin:mini-untrained` and `builtin:mini-untrained-redux` have random
weights: they take the real code path of FLUX.1 through diffusers, and their pictures say nothing. Those that are built
are kept in the cache; all are loaded like any other model, on any machine, offline.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from kreabench.backends import mini_noisy_recipe, mini_recipe, mini_redux_recipe
from kreabench.backends.mini_cache import built_folder
from kreabench.core.cache import cache_folder
from kreabench.core.errors import EnvironmentProblem, Problem
from kreabench.core.registry import suggest
from kreabench.miniature.files import REMEDY, shipped_folder, shipped_problem, shipped_revision

PREFIX = "builtin:"
PIPELINES = ("mini", "mini-noisy", "mini-untrained")
"""Whole text-to-image pipelines: what a target may have as its model."""
REDUX_MODELS = ("mini-redux", "mini-untrained-redux")
"""What a target may have as its `options.redux_model`."""
_SHIPPED = {"mini": "flux", "mini-redux": "redux"}
"""Name → part of the shipped weights."""
_RECIPES: dict[str, Any] = {
    "mini-noisy": mini_noisy_recipe,
    "mini-untrained": mini_recipe,
    "mini-untrained-redux": mini_redux_recipe,
}
"""Name → module that builds it: `build(folder)` and `revision()`."""
_MADE_OF = {"mini-noisy": "mini"}
"""Built from a shipped one."""


def is_builtin(model: str) -> bool:
    """Whether `model` names one that kreabench brings itself, known or not."""
    return model.startswith(PREFIX)


def is_untrained(model: str) -> bool:
    """Whether `model` is a built-in one with random weights: noise comes of it, whatever its target says."""
    return model.startswith(f"{PREFIX}mini-untrained")


def builtin_problem(model: str, among: Sequence[str] = PIPELINES) -> Problem | None:
    """What is wrong with the name of a built-in `model` or with its shipped files, if anything."""
    name = model.removeprefix(PREFIX)
    if name not in among:
        return Problem(key="model", found=repr(model), expected=suggest(model, (PREFIX + known for known in among)))
    part = _SHIPPED.get(_MADE_OF.get(name, name))
    problem = None if part is None else shipped_problem(part)
    return None if problem is None else replace(problem, found=f"{model} with {problem.found}")


def builtin_revision(model: str) -> str:
    """Identity of the weights of a built-in `model`. Raises EnvironmentProblem where shipped files are damaged."""
    name = model.removeprefix(PREFIX)
    return shipped_revision(_SHIPPED[name]) if name in _SHIPPED else str(_RECIPES[name].revision())


def builtin_remedy(model: str) -> str:
    """What to do where the files of a built-in `model` do not load."""
    if model.removeprefix(PREFIX) in _SHIPPED:
        return REMEDY
    return "Delete the folder that KREABENCH_CACHE names (~/.cache/kreabench without it); it is built again."


def resolve_model(model: str, *, environ: Mapping[str, str] | None = None) -> str:
    """The folder of a built-in model, built now if need be; any other `model` (Hub id, folder) as it is.

    Raises EnvironmentProblem for an unknown built-in, for shipped files that are damaged, and for a cache that cannot
    be written.
    """
    if not is_builtin(model):
        return model
    problem = builtin_problem(model, (*PIPELINES, *REDUX_MODELS))
    if problem is not None:
        raise EnvironmentProblem([problem])
    name = model.removeprefix(PREFIX)
    if name in _SHIPPED:
        return str(shipped_folder(_SHIPPED[name]))
    recipe, cache = _RECIPES[name], cache_folder(os.environ if environ is None else environ)
    return str(built_folder(cache, name, recipe.revision(), recipe.build))
