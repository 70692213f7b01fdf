"""The configuration's `engine`: a schema a kind, told apart by `kind`. A new one needs a schema and its name here."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag

from kreabench.config.strict import STRICT
from kreabench.core.engine_spec import EngineSpec, RaySpec
from kreabench.core.specs import Gpu, MachineSpec

Seconds = Annotated[float, Field(gt=0)]


class EngineConfig(BaseModel):
    """What every engine has."""

    model_config = STRICT
    sample_timeout_s: Seconds
    warmup_timeout_s: Seconds
    load_timeout_s: Seconds
    side_by_side: bool = True


class LocalEngineConfig(EngineConfig):
    """Workers of this machine."""

    kind: Literal["local"]
    devices: Annotated[
        list[Annotated[int, Field(ge=0)] | Literal["cpu"]],
        BeforeValidator(lambda value: value if isinstance(value, list) else [value]),
        Field(max_length=64),
    ] = []


class RayEngineConfig(EngineConfig):
    """Workers of a Ray cluster."""

    kind: Literal["ray"]
    address: Annotated[str, Field(pattern=r"^(auto|[A-Za-z0-9.\[\]:_-]+:\d{1,5})$")] | None = None
    workers: Annotated[int, Field(ge=1, le=1000)] | None = None
    gpus_per_worker: Annotated[int, Field(ge=0, le=16)] = 1
    cpus_per_worker: Annotated[int, Field(ge=0, le=256)] = 1
    accelerator_type: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,60}$")] | None = None
    start_timeout_s: Seconds = 120.0


KINDS = ("local", "ray")


def _tag(value: Any) -> str:
    """In brackets, as pydantic names other members of unions, so that it is left out of the keys of problems."""
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return f"kind[{kind}]"


AnyEngineConfig = Annotated[
    Annotated[LocalEngineConfig, Tag("kind[local]")] | Annotated[RayEngineConfig, Tag("kind[ray]")],
    Discriminator(
        _tag, custom_error_type="engine_kind", custom_error_message=f"with a kind that is one of {', '.join(KINDS)}"
    ),
]


def engine_spec(config: EngineConfig) -> EngineSpec:
    """The spec of a valid configuration."""
    common = {name: getattr(config, name) for name in EngineConfig.model_fields}
    if isinstance(config, RayEngineConfig):
        own = {name: getattr(config, name) for name in RayEngineConfig.model_fields if name not in (*common, "kind")}
        return EngineSpec(kind=config.kind, ray=RaySpec(**own), **common)
    assert isinstance(config, LocalEngineConfig)  # noqa: S101 - the only other member of the union
    devices = tuple(device if device == "cpu" else f"cuda:{device}" for device in config.devices)
    return EngineSpec(kind=config.kind, devices=devices, **common)


CAPABILITIES = {
    "V100": (7, 0),
    "T4": (7, 5),
    "A100": (8, 0),
    "A100-40G": (8, 0),
    "A100-80G": (8, 0),
    "A10G": (8, 6),
    "L4": (8, 9),
    "L40S": (8, 9),
    "H100": (9, 0),
    "H20": (9, 0),
    "H200": (9, 0),
    "B200": (10, 0),
}
"""Kind of GPU as Ray names it → CUDA compute capability, after NVIDIA's table (developer.nvidia.com/cuda-gpus)."""


def machine_of(config: EngineConfig, here: MachineSpec) -> MachineSpec:
    """What the engine's workers have, as far as it decides what is planned; `here` is what this machine has.

    Of a cluster only the GPU is known that the configuration names; its packages are taken to be those of `here`, and
    its nodes are asked before anything is loaded.
    """
    if isinstance(config, RayEngineConfig):
        kind = config.accelerator_type
        name = kind or "a GPU of the cluster (engine.accelerator_type tells which)"
        gpu = Gpu(name=name, capability=CAPABILITIES.get(kind or ""), memory_bytes=None)
        return replace(here, gpus=(gpu,) if config.gpus_per_worker else ())
    if isinstance(config, LocalEngineConfig) and "cpu" in config.devices:
        return replace(here, gpus=())
    return here
