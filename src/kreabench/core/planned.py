"""What a plan is made of: settings, their requests, and the load groups in which they are executed."""

from __future__ import annotations

from dataclasses import dataclass, field

from kreabench.core.specs import AccelerationSpec, InputImage, OutputFormat, TargetSpec, TaskKind
from kreabench.core.traffic import TrafficSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One point of the matrix: what is compared. Made by the plan."""

    id: str
    """Hash of everything here and of the target's and the acceleration's identity; stable across runs."""
    target: str
    task: TaskKind
    acceleration: str
    steps: int | None
    """None where the endpoint has no such parameter."""
    guidance: float | None
    """None as for `steps`."""
    width: int
    height: int
    num_images: int
    output_format: OutputFormat
    load_key: str
    """Settings with one load key share a loaded model."""
    reference_id: str | None
    """The setting that fidelity is measured against; its own id for the reference, None where none is planned."""
    strength: float | None = None
    """Of image-to-image: 1 keeps nothing of the input picture. Only about that share of the steps runs."""
    concurrency: int = 1
    """Requests in flight at once; more than 1 only at hosted targets and under load."""
    rate_per_s: float | None = None
    """Requests that arrive in a second whatever is in flight, in an open loop; None elsewhere."""
    batch_size: int = 1
    """Requests that are drawn in one call, at most; more than 1 only at local targets under load."""
    replicas: int = 1
    """Local workers that share one queue under load; 1 elsewhere."""

    @property
    def steps_to_run(self) -> int | None:
        """Denoising steps of one picture: image-to-image leaves out the first ones.

        diffusers' own arithmetic (FluxImg2ImgPipeline.get_timesteps), which rounds strength × steps up, and by one more
        where floating point puts the product just above a whole number.
        """
        if self.strength is None or self.steps is None:
            return self.steps
        return self.steps - int(max(self.steps - min(self.steps * self.strength, self.steps), 0))

    @property
    def may_wait(self) -> bool:
        """Whether its requests may wait for one another, so that one latency tells of the next: under load, and where
        several are in flight."""
        return self.rate_per_s is not None or self.concurrency > 1

    @property
    def label(self) -> str:
        """For people; unique within a plan only together with `id`."""
        images = f" ×{self.num_images}" if self.num_images > 1 else ""
        steps = "" if self.steps is None else f"{self.steps} steps "
        guidance = "" if self.guidance is None else f"g{self.guidance:g} "
        strength = "" if self.strength is None else f"strength {self.strength:g} "
        concurrency = f" {self.concurrency} in flight" if self.concurrency > 1 else ""
        rate = "" if self.rate_per_s is None else f" at {self.rate_per_s:g}/s"
        batches = f" batches of up to {self.batch_size}" if self.batch_size > 1 else ""
        replicas = f" on {self.replicas} replicas" if self.replicas > 1 else ""
        return (
            f"{self.target} {self.acceleration} {steps}{guidance}{strength}"
            f"{self.width}×{self.height}{images} {self.output_format}{batches}{replicas}{concurrency}{rate}"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One setting × prompt × seed × repeat."""

    id: str
    setting_id: str
    prompt_id: str
    prompt: str
    seed: int
    """Image k of the request is drawn with seed + k where the back end lets us choose."""
    repeat: int
    images: tuple[InputImage, ...] = ()
    """Input pictures, for tasks that have some."""
    at_s: float | None = None
    """When it is meant to start, in seconds after its group's beginning; None: as soon as its turn comes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SkippedSetting:
    """A point of the matrix that cannot be done, and why."""

    target: str
    acceleration: str
    steps: int | None
    guidance: float | None
    size: str
    num_images: int
    output_format: OutputFormat
    reason: str
    strength: float | None = None
    concurrency: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadGroup:
    """Settings that share one loaded model, and their requests in the order of execution."""

    id: str
    """The load key; from the second pass on with the pass behind it."""
    target: TargetSpec
    accelerations: tuple[AccelerationSpec, ...]
    settings: tuple[Setting, ...]
    requests: tuple[Request, ...]
    warmup: int
    pass_number: int = 1
    """Requests of another pass are other repeats."""
    concurrency: int = 1
    """Of all its settings: how many of its requests are in flight at once, at most."""
    traffic: TrafficSpec | None = None
    """Of one level of a load run, whose only setting says which; None elsewhere."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A pure function of an `ExperimentSpec`: what will be done, in which order."""

    hash: str
    """Hash of all that decides what is measured (not of engine, budget, metrics or names of people)."""
    groups: tuple[LoadGroup, ...]
    skipped: tuple[SkippedSetting, ...]
    excluded: int
    """Points left out by `axes.exclude`."""
    settings: tuple[Setting, ...] = field(default=())

    @property
    def request_count(self) -> int:
        return sum(len(group.requests) for group in self.groups)
