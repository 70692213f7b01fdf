"""The table of engines. A new one is a module, a schema in `config.engines` and a row here."""

from __future__ import annotations

from kreabench.core.engine_spec import EngineSpec
from kreabench.core.registry import load_object
from kreabench.execution.engine import Engine

ENGINES = {
    "local": "kreabench.execution.local:LocalEngine",
    "ray": "kreabench.execution.cluster.engine:RayEngine",
}
"""Kind → `module:Class`, which is made of an EngineSpec."""


def engine_for(spec: EngineSpec) -> Engine:
    """The engine that `spec` asks for. Imports its module."""
    engine: Engine = load_object(ENGINES[spec.kind])(spec)
    return engine
