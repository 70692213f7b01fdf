"""kreabench: which settings of FLUX.1 Krea [dev], at what cost, and did it get worse?

What is listed in `__all__` is the library; everything else may change without notice. A name is imported when it is
first used, so that `import kreabench` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kreabench.core.errors import BudgetReached as BudgetReached
    from kreabench.core.errors import ConfigError as ConfigError
    from kreabench.core.errors import EnvironmentProblem as EnvironmentProblem
    from kreabench.core.errors import KreabenchError as KreabenchError
    from kreabench.core.errors import RunDirectoryError as RunDirectoryError
    from kreabench.core.errors import StorageError as StorageError
    from kreabench.decisions.comparability import NotComparable as NotComparable
    from kreabench.decisions.recommend_hosting import HostingOptions as HostingOptions
    from kreabench.decisions.recommend_question import Limits as Limits
    from kreabench.library.columns import describe as describe
    from kreabench.library.deciding import compare as compare
    from kreabench.library.deciding import gate as gate
    from kreabench.library.deciding import recommend as recommend
    from kreabench.library.drawing import FinishedRun as FinishedRun
    from kreabench.library.drawing import PlannedRun as PlannedRun
    from kreabench.library.drawing import plan as plan
    from kreabench.library.drawing import run as run
    from kreabench.library.results import Comparison as Comparison
    from kreabench.library.results import GateResult as GateResult
    from kreabench.library.results import Recommendation as Recommendation
    from kreabench.library.runs import Run as Run
    from kreabench.library.runs import open_run as open_run
    from kreabench.observer import Observer as Observer

__version__ = "0.1.0"

__all__ = [
    "BudgetReached",
    "Comparison",
    "ConfigError",
    "EnvironmentProblem",
    "FinishedRun",
    "GateResult",
    "HostingOptions",
    "KreabenchError",
    "Limits",
    "NotComparable",
    "Observer",
    "PlannedRun",
    "Recommendation",
    "Run",
    "RunDirectoryError",
    "StorageError",
    "__version__",
    "compare",
    "describe",
    "gate",
    "open_run",
    "plan",
    "recommend",
    "run",
]

_MODULES = {
    "kreabench.core.errors": (
        "BudgetReached",
        "ConfigError",
        "EnvironmentProblem",
        "KreabenchError",
        "RunDirectoryError",
        "StorageError",
    ),
    "kreabench.decisions.comparability": ("NotComparable",),
    "kreabench.decisions.recommend_hosting": ("HostingOptions",),
    "kreabench.decisions.recommend_question": ("Limits",),
    "kreabench.library.columns": ("describe",),
    "kreabench.library.deciding": ("compare", "gate", "recommend"),
    "kreabench.library.drawing": ("FinishedRun", "PlannedRun", "plan", "run"),
    "kreabench.library.results": ("Comparison", "GateResult", "Recommendation"),
    "kreabench.library.runs": ("Run", "open_run"),
    "kreabench.observer": ("Observer",),
}
"""Where each name lives; no submodule is called like one of them, as its import would take the name's place."""


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            import importlib

            globals()[name] = value = getattr(importlib.import_module(module), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
