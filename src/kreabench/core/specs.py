"""What is asked: frozen, validated, complete. Nothing here has run yet.

`config/` makes these from the composed configuration; they are stored in run.json, and the plan is a pure function
of an `ExperimentSpec`. Units are in the field names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from kreabench.core.engine_spec import EngineSpec
from kreabench.core.questions import QuestionSpec
from kreabench.core.traffic import TrafficSpec

TaskKind = Literal["text-to-image", "image-to-image", "redux"]
OutputFormat = Literal["png", "jpeg"]
InputFormat = Literal["png", "jpeg", "webp"]

PRESET_SIZES: dict[str, tuple[int, int]] = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}
"""Width and height in pixels of the named sizes of the fal API; local targets understand the same names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a target accepts; both ends of a range are allowed values."""

    steps: tuple[int, int] | None
    """None where a hosted endpoint has no such parameter."""
    guidance: tuple[float, float] | None
    """None as for `steps`."""
    num_images: tuple[int, int]
    output_formats: tuple[OutputFormat, ...]
    size_multiple: int
    """Width and height must be multiples of this many pixels."""
    min_side_px: int
    max_pixels: int
    strength: tuple[float, float] | None = None
    """For image-to-image: how far the input picture may be changed. None for tasks without it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Defaults:
    """What the word `default` in an axis means for this target."""

    steps: int | None
    """None where a hosted endpoint has no such parameter."""
    guidance: float | None
    """None as for `steps`."""
    size: str
    strength: float | None = None


InputType = Literal["string", "integer", "number", "boolean", "image_size", "image_url", "image_urls"]


@dataclass(frozen=True, kw_only=True, slots=True)
class InputField:
    """One input of a hosted endpoint, as its API page documents it: data, checked before anything is sent."""

    type: InputType
    required: bool = False
    default: Any = None
    """What the service takes where nothing is sent; None where the page names nothing."""
    minimum: float | None = None
    """Of an integer or a number; both ends are allowed values."""
    maximum: float | None = None
    values: tuple[str, ...] | None = None
    """What a string may be; of an image size the names of the presets. None: any."""
    multiple_px: int | None = None
    """Of an image size: width and height are multiples of this."""
    min_side_px: int | None = None
    """Of an image size."""
    max_pixels: int | None = None
    """Of an image size."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceSpec:
    """Price of a hosted endpoint: data, with where and when it was read.

    Either by the megapixel (`usd_first_megapixel` for the first of each image, `usd_further_megapixel` for each one
    after it; equal where every megapixel costs the same), or `usd_per_image` whatever its size.
    """

    usd_first_megapixel: float | None
    usd_further_megapixel: float | None
    usd_per_image: float | None
    megapixel_pixels: int
    """Pixels in a billed megapixel: 1_000_000 or 1_048_576."""
    round_up: bool
    """Whether each image is rounded up to the next whole megapixel."""
    source: str
    date: str
    """ISO date on which the price was read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpectedTime:
    """A rough guess used by `kreabench plan` alone; never mixed with measurements."""

    load_s: float
    base_s: float
    """Seconds an image that do not depend on steps or size."""
    step_megapixel_s: float
    """Seconds for one step of one megapixel (1_048_576 pixels)."""
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """What a model was trained for. Whatever else its limits allow may be asked of it, and is warned of."""

    sizes: tuple[tuple[int, int], ...] = ()
    """Width and height in pixels; empty where nobody says, or where a range of pixels does."""
    min_pixels: int | None = None
    """Fewest pixels of a picture, width times height; None: no such end."""
    max_pixels: int | None = None
    """Most of them; as `min_pixels`."""
    max_sequence_length: int | None = None
    """Tokens that the text encoder pads every prompt to; None where nobody says."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceSpec:
    """A loopback service that the run starts before a load group and stops after it."""

    kind: Literal["fal-emulator"]
    options: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetSpec:
    """A model on a back end."""

    name: str
    backend: str
    """A row of `backends.table`."""
    task: TaskKind
    model: str
    """Hub id, directory, `builtin:NAME`, or endpoint id of a hosted service."""
    revision: str | None
    hosted: bool
    untrained: bool
    """The weights say nothing about any real model; brands every report."""
    emulated: bool
    """The service is a loopback stand-in; brands every report."""
    defaults: Defaults
    limits: Limits
    accelerations: tuple[str, ...] | None
    """Acceleration levels that a hosted endpoint takes; None for local targets, which are limited by features."""
    price: PriceSpec | None
    usd_per_hour: float | None
    """What an hour of the device costs; None when nobody said, and then no dollars are printed."""
    expected: ExpectedTime | None
    service: ServiceSpec | None
    key_env: str | None
    """Name of the environment variable that holds the key; the key itself is nowhere in a spec."""
    options: dict[str, Any]
    """The back end's own options, complete and validated against its options class."""
    inputs: dict[str, InputField] = field(default_factory=dict)
    """Of a hosted endpoint: every input it takes → what it accepts. Limits and defaults follow from it; no identity."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """Values for `inputs` that are no axis, sent with every request; part of the target's identity."""
    random_weights: bool = False
    """Every weight is random but the sizes are the model's: times, memory and energy count, pictures do not."""
    model_note: str = ""
    """What a reader must know of the model before any number, in a few words; brands every report. Empty: nothing."""
    trained: Trained | None = None
    """None where nobody says. No part of the target's identity, as it changes no picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AccelerationSpec:
    """A named way to go faster."""

    name: str
    description: str
    hosted: str | None
    """The level asked of a hosted endpoint; None where a hosted service has no such thing."""
    features: dict[str, dict[str, Any]]
    """Feature name of `backends.accelerations.features` → its parameters, for local targets."""
    on_cuda: dict[str, tuple[dict[str, dict[str, Any]], ...]] = field(default_factory=dict)
    """What a target on a CUDA device gets besides: a name → features to choose from, the first that is to be had.
    Empty once a plan has chosen."""
    left_out: tuple[str, ...] = ()
    """What of `on_cuda` a plan did not find to choose, in words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """A GPU as its driver describes it."""

    name: str
    capability: tuple[int, int] | None
    """Of CUDA, such as (9, 0)."""
    memory_bytes: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineSpec:
    """What the machine had on which an experiment was resolved: decides what can be planned."""

    gpus: tuple[Gpu, ...]
    packages: dict[str, str]
    """Distribution → version, of those that some acceleration needs."""
    compiler: bool
    """Whether there is a C++ compiler."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AxesSpec:
    """The lists that are multiplied. `default` stands for the target's own default."""

    steps: tuple[int | str, ...]
    guidance: tuple[float | str, ...]
    size: tuple[str, ...]
    num_images: tuple[int, ...]
    output_format: tuple[OutputFormat, ...]
    exclude: tuple[dict[str, Any], ...] = ()
    """Partial settings to leave out; a value may be a list, meaning any of these."""
    strength: tuple[float | str, ...] = ("default",)
    """Of image-to-image targets alone; other targets have one point whatever stands here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InputImage:
    """An input picture, as a prompt file names it. The run directory holds the file under `inputs/`."""

    name: str
    """As written in the prompt file: for people, never opened again."""
    sha256: str
    """Of the file's bytes, which are kept as they are."""
    format: InputFormat
    width: int
    """In pixels, turned upright."""
    height: int
    url: str | None = None
    """Where it was fetched from, of a picture that a prompt file names by its https address."""
    notes: tuple[str, ...] = ()
    """What is done to make it an RGB picture of 8 bits, where anything is; see `backends.input_images`."""

    @property
    def file_name(self) -> str:
        """Where it lies in the run's `inputs/`."""
        return f"{self.sha256}.{self.format}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """One prompt. Its text is data from outside: never markup, never a path, never interpolated."""

    id: str
    text: str
    category: str | None = None
    look_for: str | None = None
    """What a person should check in the picture."""
    questions: tuple[str, ...] = ()
    """What a judge is asked of the picture, each answered by yes where all is well."""
    images: tuple[InputImage, ...] = ()
    """What image-to-image (one) and redux (one or several) start from; other tasks do not see them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferenceSpec:
    """Which setting the others are measured against: same target, size, guidance, count and format."""

    acceleration: str
    steps: int | Literal["default", "max"]


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricSpec:
    """One configured metric; two of one kind may be asked for under two names."""

    name: str
    kind: str
    """A row of `metrics.table`."""
    options: dict[str, Any]
    per: Literal["image", "set"] = "image"
    """Whether it has a score a picture or one a setting."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoringSpec:
    """How scores are made; changes no picture, so it is no part of the plan's identity."""

    during_generation: bool = False
    """In a process of its own while pictures are drawn, on another device than any of them."""
    device: str | None = None
    """Where every metric's model runs, instead of its own `device` option; None leaves these."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RaceSpec:
    """Settings are dropped once they cannot be the answer. No part of the plan's identity, as it changes no request."""

    question: QuestionSpec
    """What the race is about; `level` is the chance to drop a setting that is the answer."""
    looks: int
    """At most so many looks at the scores."""
    first_prompts: int
    """Prompts that all settings draw before the first look; each further look comes at twice as many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExperimentSpec:
    """Everything asked of one run."""

    name: str
    description: str
    targets: tuple[TargetSpec, ...]
    accelerations: tuple[AccelerationSpec, ...]
    axes: AxesSpec
    prompts: tuple[Prompt, ...]
    seeds: tuple[int, ...]
    repeats: int
    warmup: int
    """Calls of each setting that are thrown away after each load."""
    order_seed: int
    reference: ReferenceSpec
    metrics: tuple[MetricSpec, ...]
    engine: EngineSpec
    budget_usd: float | None
    passes: int = 1
    """How often every model is loaded anew and all its requests are drawn again; back and forth between models."""
    scoring: ScoringSpec = ScoringSpec()
    concurrency: tuple[int, ...] = (1,)
    """Requests in flight at once at hosted targets; of several, each is a setting of its own."""
    machine: MachineSpec | None = None
    """Where it was resolved: settings that it cannot do are skipped. Kept on resuming; None takes all to be there."""
    race: RaceSpec | None = None
    """None: every setting draws every prompt."""
    traffic: TrafficSpec | None = None
    """Of a load run: every setting is put under each level of load. None: requests follow one another."""
