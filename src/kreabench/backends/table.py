"""The table of back ends. A new one is a module, an options class and a row here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kreabench.backends.base import Backend
from kreabench.backends.options import DiffusersOptions, FakeOptions, FalOptions
from kreabench.core.registry import load_object


@dataclass(frozen=True, kw_only=True, slots=True)
class BackendRow:
    """What is known of a back end without importing it."""

    location: str
    """`module:Class` of the back end."""
    options: type[Any]
    hosted: bool
    summary: str


BACKENDS: dict[str, BackendRow] = {
    "diffusers": BackendRow(
        location="kreabench.backends.local_diffusers:DiffusersBackend",
        options=DiffusersOptions,
        hosted=False,
        summary="FLUX.1 pipelines on this machine, through diffusers",
    ),
    "fal": BackendRow(
        location="kreabench.backends.fal:FalBackend",
        options=FalOptions,
        hosted=True,
        summary="the fal API, through fal-client's queue",
    ),
    "fake": BackendRow(
        location="kreabench.backends.fake:FakeBackend",
        options=FakeOptions,
        hosted=False,
        summary="drawn patterns and faults on demand, no model: for testing the harness",
    ),
}


def backend_class(name: str) -> type[Backend]:
    """The class of back end `name`. Imports its module, which imports nothing heavy."""
    cls: type[Backend] = load_object(BACKENDS[name].location)
    return cls
