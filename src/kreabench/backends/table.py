"""The table of back ends. A new one is a module, an options class and a row here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, TypeGuard

from kreabench.backends.base import Backend, BatchingBackend, HostedBackend
from kreabench.backends.options import (
    DiffusersOptions,
    FakeHostedOptions,
    FakeOptions,
    FalEmulatorOptions,
    FalOptions,
    HfInferenceOptions,
    OpenAIImagesOptions,
)
from kreabench.core.registry import load_object
from kreabench.core.specs import ServiceSpec, TaskKind


@dataclass(frozen=True, kw_only=True, slots=True)
class BackendRow:
    """What is known of a back end without importing it."""

    location: str
    """`module:Class` of the back end."""
    options: type[Any]
    hosted: bool
    summary: str
    tasks: tuple[TaskKind, ...] = ("text-to-image",)
    """What it can draw from."""
    batches: tuple[TaskKind, ...] = ()
    """Tasks of which it draws several requests in one call; then it has `base.BatchingBackend`'s method."""
    needs_inputs: bool = False
    """Whether a target has to say which inputs its endpoint takes: nothing else would be sent."""


BACKENDS: dict[str, BackendRow] = {
    "diffusers": BackendRow(
        location="kreabench.backends.local_diffusers:DiffusersBackend",
        options=DiffusersOptions,
        hosted=False,
        summary="FLUX.1 pipelines on this machine, through diffusers",
        tasks=("text-to-image", "image-to-image", "redux"),
        batches=("text-to-image",),
    ),
    "fal": BackendRow(
        location="kreabench.backends.fal:FalBackend",
        needs_inputs=True,
        options=FalOptions,
        hosted=True,
        summary="the fal API, through fal-client's queue",
        tasks=("text-to-image", "image-to-image", "redux"),
    ),
    "hf_inference": BackendRow(
        location="kreabench.backends.hf_inference:HfInferenceBackend",
        options=HfInferenceOptions,
        hosted=True,
        summary="other providers, through huggingface_hub's InferenceClient",
    ),
    "openai_images": BackendRow(
        location="kreabench.backends.openai_images:OpenAIImagesBackend",
        needs_inputs=True,
        options=OpenAIImagesOptions,
        hosted=True,
        summary="any server with OpenAI's image interface, by its address",
    ),
    "fake": BackendRow(
        location="kreabench.backends.fake:FakeBackend",
        options=FakeOptions,
        hosted=False,
        summary="drawn patterns and faults on demand, no model: for testing the harness",
        tasks=("text-to-image", "image-to-image", "redux"),
        batches=("text-to-image",),
    ),
    "fake_hosted": BackendRow(
        location="kreabench.backends.fake_hosted:FakeHostedBackend",
        options=FakeHostedOptions,
        hosted=True,
        summary="a service kept in a file, with faults on demand, no network: for testing the harness",
    ),
}


def backend_class(name: str) -> type[Backend]:
    """The class of back end `name`. Imports its module, which imports nothing heavy."""
    cls: type[Backend] = load_object(BACKENDS[name].location)
    return cls


def hosted_backend_class(name: str) -> type[HostedBackend]:
    """As `backend_class`, for a row that is `hosted`."""
    cls: type[HostedBackend] = load_object(BACKENDS[name].location)
    return cls


def draws_batches(backend: Backend) -> TypeGuard[BatchingBackend]:
    """Whether `backend` has the method for it."""
    return hasattr(backend, "generate_batch")


def identity_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a target's `options` that are part of its identity.

    An option marked `metadata={"later": True}` came after the first runs; while it is at its default it is left out,
    so that the targets of those runs are still the same.
    """
    row = BACKENDS.get(name)
    return dict(options) if row is None else _without_later(row.options, options)


def service_identity(service: ServiceSpec) -> dict[str, Any]:
    """What makes two services the same; options that came later as in `identity_options`."""
    return {"kind": service.kind, "options": _without_later(FalEmulatorOptions, service.options)}


def _without_later(type_: type[Any], options: Mapping[str, Any]) -> dict[str, Any]:
    later = {item.name: _default(item) for item in fields(type_) if item.metadata.get("later")}
    return {key: value for key, value in options.items() if key not in later or value != later[key]}


def _default(item: Field[Any]) -> Any:
    """As JSON has it, for that is how options are stored."""
    value = item.default if item.default_factory is MISSING else item.default_factory()
    return list(value) if isinstance(value, tuple) else value
