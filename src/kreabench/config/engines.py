"""The configuration's `engine`: a schema a kind, told apart by `kind`. A new one needs a schema and its name here."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Discriminator, Field, Tag

from kreabench.config.strict import STRICT
from kreabench.core.engine_spec import EngineSpec, RaySpec, SlurmSpec, unfit_together
from kreabench.core.errors import ConfigError
from kreabench.core.specs import Gpu, MachineSpec
from kreabench.remote.urls import parse_url


def _in_words(pattern: str, words: str) -> AfterValidator:
    """Texts that match `pattern`; to people that is `words`."""

    def check(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise ValueError(words)
        return text

    return AfterValidator(check)


def _one_gpu(number: int) -> int:
    if number > 1:
        raise ValueError("0 or 1, as a worker draws with one GPU")
    return number


GpuKind = Annotated[str, _in_words(r"[A-Za-z0-9._-]{1,60}", "a kind of GPU such as H100 or A100-80G")]
Address = Annotated[
    str,
    _in_words(r"auto|[A-Za-z0-9.\[\]:_-]+:\d{1,5}", "auto, or HOST:PORT of the cluster's head such as 10.0.0.5:6379"),
]
Gpus = Annotated[int, Field(ge=0), AfterValidator(_one_gpu)]
"""More are more workers, or jobs: never more for one of them."""
Seconds = Annotated[float, Field(gt=0)]


class EngineConfig(BaseModel):
    """What every engine has."""

    model_config = STRICT
    sample_timeout_s: Seconds
    warmup_timeout_s: Seconds
    load_timeout_s: Seconds
    side_by_side: bool = True


def _fit_together(devices: list[int | str]) -> list[int | str]:
    if wrong := unfit_together(devices):
        raise ValueError(wrong)
    return devices


class LocalEngineConfig(EngineConfig):
    """Workers of this machine."""

    kind: Literal["local"]
    devices: Annotated[
        list[Annotated[int, Field(ge=0)] | Literal["cpu"]],
        BeforeValidator(lambda value: value if isinstance(value, list) else [value]),
        Field(max_length=64),
        AfterValidator(_fit_together),
    ] = []


def _shared_url(text: str) -> str:
    try:
        location = parse_url(text)
    except ConfigError as error:
        raise ValueError(error.problems[0].expected) from error
    if location.scheme == "memory":
        raise ValueError("a URL that every node can reach")
    return str(location)


class RayEngineConfig(EngineConfig):
    """Workers of a Ray cluster."""

    kind: Literal["ray"]
    address: Address | None = None
    workers: Annotated[int, Field(ge=1, le=1000)] | None = None
    gpus_per_worker: Gpus = 1
    cpus_per_worker: Annotated[int, Field(ge=0, le=256)] = 1
    accelerator_type: GpuKind | None = None
    start_timeout_s: Seconds = 120.0
    keep_s: Annotated[float, Field(ge=0, le=3600)] = 120.0
    pictures_url: Annotated[str, AfterValidator(_shared_url)] | None = None


SlurmName = Annotated[
    str, _in_words(r"[A-Za-z0-9_.,:=*&|()\[\]-]{1,200}", "a name without spaces and marks other than _.,:=*&|()[]-")
]
"""Of a partition, an account and the like: nothing that could end a line of a submission file."""

# fmt: off
_OURS = (
    "account", "array", "chdir", "constraint", "cpus-per-task", "error", "export", "export-file", "gpus-per-node",
    "job-name", "mem", "nodes", "ntasks-per-node", "open-mode", "output", "parsable", "partition", "qos", "signal",
    "test-only", "time", "wait", "wrap",
)
# fmt: on
"""Options of sbatch that have a key of their own, or are not to be touched; a value of `export` might be a secret."""


def _not_ours(option: str) -> str:
    if option in _OURS:
        raise ValueError(f"an option of sbatch other than {', '.join(_OURS)}")
    return option


SbatchOption = Annotated[
    str, _in_words("[a-z][a-z-]{0,40}", "a long option of sbatch without its hyphens"), AfterValidator(_not_ours)
]
SlurmText = Annotated[str, _in_words(r"[^\x00-\x1f\x7f]{0,200}", "one line of at most 200 characters")]


class SlurmEngineConfig(EngineConfig):
    """Jobs of a Slurm cluster."""

    kind: Literal["slurm"]
    cluster: Literal["slurm", "local"] = "slurm"
    partition: SlurmName | None = None
    account: SlurmName | None = None
    qos: SlurmName | None = None
    constraint: SlurmName | None = None
    time_min: Annotated[int, Field(ge=1, le=60 * 24 * 60)] = 240
    gpus_per_job: Gpus = 1
    gpu_kind: GpuKind | None = None
    cpus_per_job: Annotated[int, Field(ge=1, le=512)] = 8
    mem_gb: Annotated[float, Field(gt=0, le=16_384)] | None = None
    jobs_per_group: Annotated[int, Field(ge=1, le=1000)] = 1
    jobs_at_once: Annotated[int, Field(ge=1, le=1000)] | None = None
    max_requeues: Annotated[int, Field(ge=0, le=100)] = 3
    extra: dict[SbatchOption, bool | int | SlurmText] = {}
    wait: bool = False


KINDS = ("local", "ray", "slurm")


def _tag(value: Any) -> str:
    """In brackets, as pydantic names other members of unions, so that it is left out of the keys of problems."""
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return f"kind[{kind}]"


AnyEngineConfig = Annotated[
    Annotated[LocalEngineConfig, Tag("kind[local]")]
    | Annotated[RayEngineConfig, Tag("kind[ray]")]
    | Annotated[SlurmEngineConfig, Tag("kind[slurm]")],
    Discriminator(
        _tag, custom_error_type="engine_kind", custom_error_message=f"with a kind that is one of {', '.join(KINDS)}"
    ),
]


def engine_spec(config: EngineConfig) -> EngineSpec:
    """The spec of a valid configuration."""
    common = {name: getattr(config, name) for name in EngineConfig.model_fields}
    own = {name: getattr(config, name) for name in type(config).model_fields if name not in (*common, "kind")}
    if isinstance(config, RayEngineConfig):
        return EngineSpec(kind=config.kind, ray=RaySpec(**own), **common)
    if isinstance(config, SlurmEngineConfig):
        return EngineSpec(kind=config.kind, slurm=SlurmSpec(**own), **common)
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
        return replace(here, gpus=_gpus(config.gpus_per_worker, config.accelerator_type, "engine.accelerator_type"))
    if isinstance(config, SlurmEngineConfig):
        return replace(here, gpus=_gpus(config.gpus_per_job, config.gpu_kind, "engine.gpu_kind"))
    if isinstance(config, LocalEngineConfig) and "cpu" in config.devices:
        return replace(here, gpus=())
    return here


def _gpus(number: int, kind: str | None, key: str) -> tuple[Gpu, ...]:
    """The one that the configuration names under `key`, as far as it does; all that draw are of one kind."""
    name = kind or f"a GPU of the cluster ({key} tells which)"
    gpu = Gpu(name=name, capability=CAPABILITIES.get(kind or ""), memory_bytes=None)
    return (gpu,) if number else ()
