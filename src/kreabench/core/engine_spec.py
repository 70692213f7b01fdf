"""How requests are executed. Changes no result, so it is no part of a plan's identity: any engine resumes a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

EngineKind = Literal["local", "ray", "slurm"]


PROCESSOR = "cpu"
"""Among devices, which else are GPUs."""


def unfit_together(devices: Sequence[int | str]) -> str:
    """What is expected instead of `devices`, a worker each; empty where they may draw for the same medians."""
    cards = [device for device in devices if device != PROCESSOR]
    if cards and len(cards) < len(devices):
        return "GPUs or processors: no median is of two kinds of device"
    if len(set(cards)) < len(cards):
        return "each GPU once: two workers would disturb each other's timings"
    return ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RaySpec:
    """Where a Ray cluster is, and what a worker takes of it."""

    address: str | None
    """`auto` or HOST:PORT of a cluster that this machine is a node of; None starts one on this machine alone."""
    workers: int | None
    """Most workers at once; None: as many as the cluster has room for."""
    gpus_per_worker: int
    """0 for targets that draw on the processor."""
    cpus_per_worker: int
    accelerator_type: str | None
    """Only GPUs of this kind, as Ray names them, such as H100; None where the cluster has one kind."""
    start_timeout_s: float
    """How long the cluster may take to give the first worker a place."""
    keep_s: float = 120.0
    """How long workers of a cluster that outlives its driver keep their models when that was killed; 0: not at all."""
    pictures_url: str | None = None
    """Over what workers hand pictures to the driver; None: every node sees the run directory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SlurmSpec:
    """What each job asks a Slurm cluster for, and how many there are."""

    cluster: Literal["slurm", "local"]
    """`local`: processes of this machine in place of jobs, all at once, to try it without a cluster."""
    partition: str | None
    account: str | None
    qos: str | None
    constraint: str | None
    time_min: int
    """Minutes that a job may take."""
    gpus_per_job: int
    gpu_kind: str | None
    """Such as H100: what the plan takes them to be; `constraint` or `partition` chooses such nodes."""
    cpus_per_job: int
    mem_gb: float | None
    jobs_per_group: int
    """Among which the prompts of a load group are shared out; each loads the model."""
    jobs_at_once: int | None
    """Of one load group; None: as many as the cluster starts."""
    max_requeues: int
    """How often a job that runs out of time is put into the queue again."""
    extra: dict[str, str | int | bool]
    """Further options of sbatch, without their hyphens."""
    wait: bool
    """Whether the submitting command waits, merges, scores and reports."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineSpec:
    """Of any kind of engine; what only one kind has is empty for the others."""

    kind: EngineKind
    sample_timeout_s: float
    warmup_timeout_s: float
    load_timeout_s: float
    devices: tuple[str, ...] = ()
    """Of `local`: a worker each, `cuda:N` or `cpu`, which may be named several times. Empty: one worker, which draws
    where its target says."""
    side_by_side: bool = True
    """Whether a hosted target may be asked while others draw, where neither touches the timings of the other."""
    ray: RaySpec | None = None
    slurm: SlurmSpec | None = None
