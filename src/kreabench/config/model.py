"""The configuration's schema. Unknown keys are errors; every error is found in one pass."""

from __future__ import annotations

from dataclasses import MISSING, fields
from dataclasses import Field as DataclassField
from typing import Annotated, Any, Literal, Self, get_type_hints

from pydantic import BaseModel, BeforeValidator, Field, create_model, model_validator

from kreabench.config.engines import AnyEngineConfig
from kreabench.config.strict import STRICT
from kreabench.core.specs import InputType, OutputFormat, TaskKind
from kreabench.core.traffic import Arrivals


def _as_list(value: Any) -> Any:
    """One value is a list of one: `axes.steps=8` means `axes.steps=[8]`."""
    return value if isinstance(value, list) else [value]


class Model(BaseModel):
    """Of every part."""

    model_config = STRICT


def options_model(type_: type[Any]) -> type[BaseModel]:
    """The schema of a plug-in's options, which are a plain dataclass so that plug-ins need no pydantic."""
    hints = get_type_hints(type_)
    entries: dict[str, Any] = {field.name: (hints[field.name], _default(field)) for field in fields(type_)}
    return create_model(type_.__name__, __base__=Model, **entries)


def _default(field: DataclassField[Any]) -> Any:
    if field.default_factory is not MISSING:
        return Field(default_factory=field.default_factory)
    return ... if field.default is MISSING else field.default


Steps = Annotated[int, Field(ge=1, le=1000)]
Guidance = Annotated[float, Field(ge=0.0, le=100.0)]
Strength = Annotated[float, Field(gt=0.0, le=1.0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class LimitsConfig(Model):
    """What a target accepts. What is absent is derived from the target's `inputs`, or is an error without these."""

    steps: Annotated[list[int], Field(min_length=2, max_length=2)] | None = None
    guidance: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    num_images: Annotated[list[int], Field(min_length=2, max_length=2)] | None = None
    output_formats: list[OutputFormat] | None = None
    size_multiple: Annotated[int, Field(ge=1)] | None = None
    min_side_px: Annotated[int, Field(ge=1)] | None = None
    max_pixels: Annotated[int, Field(ge=1)] | None = None
    strength: Annotated[list[Strength], Field(min_length=2, max_length=2)] | None = None


class DefaultsConfig(Model):
    """What `default` means in an axis. What is absent is derived as for `LimitsConfig`."""

    steps: Steps | None = None
    guidance: Guidance | None = None
    size: str | None = None
    strength: Strength | None = None


class InputConfig(Model):
    """One input of a hosted endpoint; whether its parts agree is checked in `config.endpoints`."""

    type: InputType
    required: bool = False
    default: Any = None
    minimum: float | None = None
    maximum: float | None = None
    values: Annotated[list[str], Field(min_length=1)] | None = None
    multiple_px: Annotated[int, Field(ge=1)] | None = None
    min_side_px: Annotated[int, Field(ge=1)] | None = None
    max_pixels: Annotated[int, Field(ge=1)] | None = None


class ExpectedConfig(Model):
    """A rough guess for `kreabench plan`."""

    load_s: Annotated[float, Field(ge=0)]
    base_s: Annotated[float, Field(ge=0)]
    step_megapixel_s: Annotated[float, Field(ge=0)]
    source: str


class TrainedConfig(Model):
    """What a model was trained for; whether its parts agree is checked in `config.trained`."""

    sizes: Annotated[list[str], BeforeValidator(_as_list), Field(min_length=1)] | None = None
    min_pixels: Annotated[int, Field(ge=1)] | None = None
    max_pixels: Annotated[int, Field(ge=1)] | None = None
    max_sequence_length: Annotated[int, Field(ge=1)] | None = None


class ServiceConfig(Model):
    """A loopback service started for the target."""

    kind: Literal["fal-emulator"]
    options: dict[str, Any] = {}


class TargetConfig(Model):
    """One file of conf/target/."""

    description: str = ""
    backend: str
    task: TaskKind = "text-to-image"
    model: Annotated[str, Field(min_length=1)]
    revision: str | None = None
    untrained: bool = False
    emulated: bool = False
    model_note: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{0,80}$")] = ""
    inputs: dict[str, InputConfig] = {}
    parameters: dict[str, Any] = {}
    default: DefaultsConfig = DefaultsConfig()
    limits: LimitsConfig = LimitsConfig()
    accelerations: list[str] | None = None
    expected: ExpectedConfig | None = None
    service: ServiceConfig | None = None
    key_env: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")] | None = None
    trained: TrainedConfig | None = None
    options: dict[str, Any] = {}


class AccelerationConfig(Model):
    """One file of conf/acceleration/."""

    description: str = ""
    hosted: str | None = None
    features: dict[str, dict[str, Any]] = {}
    on_cuda: dict[Name, Annotated[list[dict[str, dict[str, Any]]], Field(min_length=1)]] = {}


class ExcludeConfig(Model):
    """A partial setting; a list means any of these."""

    target: str | list[str] | None = None
    acceleration: str | list[str] | None = None
    steps: int | Literal["default"] | list[int | Literal["default"]] | None = None
    guidance: float | Literal["default"] | list[float | Literal["default"]] | None = None
    size: str | list[str] | None = None
    num_images: int | list[int] | None = None
    output_format: OutputFormat | list[OutputFormat] | None = None
    strength: float | str | list[float | str] | None = None
    concurrency: int | list[int] | None = None


class AxesConfig(Model):
    """The lists that are multiplied."""

    steps: Annotated[list[Steps | Literal["default"]], BeforeValidator(_as_list), Field(min_length=1)]
    guidance: Annotated[list[Guidance | Literal["default"]], BeforeValidator(_as_list), Field(min_length=1)]
    size: Annotated[list[str], BeforeValidator(_as_list), Field(min_length=1)]
    num_images: Annotated[list[Annotated[int, Field(ge=1)]], BeforeValidator(_as_list), Field(min_length=1)]
    output_format: Annotated[list[OutputFormat], BeforeValidator(_as_list), Field(min_length=1)]
    strength: Annotated[list[Strength | Literal["default"]], BeforeValidator(_as_list), Field(min_length=1)] = [
        "default"
    ]
    exclude: list[ExcludeConfig] = []


class HubPromptsConfig(Model):
    """A published set: files of a Hub data set at one commit. What is given is checked in `config.hub_prompts`."""

    dataset: str
    revision: str | None = None
    """The commit, in full: branches and tags move, and with them what a run would mean. Required."""
    file: Annotated[list[str], BeforeValidator(_as_list), Field(min_length=1, max_length=100)]
    column: str = "prompt"
    category_column: str | None = None
    """Without it, of several files each is a category by its name."""
    id_column: str | None = None


class GrammarPromptsConfig(Model):
    """Prompts made by a grammar, the same on every machine."""

    name: Literal["shapes"]
    count: Annotated[int, Field(ge=1, le=10_000)]
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0


class PromptsConfig(Model):
    """Where prompts come from, exactly one of the first three, and which of them are used."""

    file: Annotated[str, Field(min_length=1)] | None = None
    hub: HubPromptsConfig | None = None
    grammar: GrammarPromptsConfig | None = None
    ids: Annotated[list[str], Field(min_length=1)] | None = None
    categories: Annotated[list[str], BeforeValidator(_as_list), Field(min_length=1)] | None = None
    per_category: Annotated[int, Field(ge=1)] | None = None
    limit: Annotated[int, Field(ge=1)] | None = None


class MetricConfig(Model):
    """One file of conf/metrics/."""

    kind: str
    options: dict[str, Any] = {}


Dollars = Annotated[float, Field(ge=0)]
MegapixelPixels = Literal[1_000_000, 1_048_576]


class EndpointPriceConfig(Model):
    """Price list of one hosted endpoint, by exactly one scheme."""

    usd_per_megapixel: Dollars | None = None
    usd_first_megapixel: Dollars | None = None
    usd_further_megapixel: Dollars | None = None
    usd_per_image: Dollars | None = None
    megapixel_pixels: MegapixelPixels | None = None
    round_up: bool = True
    source: str
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]

    @model_validator(mode="after")
    def _one_scheme(self) -> Self:
        schemes = (("usd_per_megapixel",), ("usd_first_megapixel", "usd_further_megapixel"), ("usd_per_image",))
        given = [name for scheme in schemes for name in scheme if getattr(self, name) is not None]
        if tuple(given) not in schemes:
            raise ValueError(f"exactly one of {', '.join(' and '.join(scheme) for scheme in schemes)}")
        return self


class PricingConfig(Model):
    """What things cost: data with source and date."""

    endpoints: dict[str, EndpointPriceConfig] = {}
    megapixel_pixels: MegapixelPixels = 1_000_000
    device_usd_per_hour: Dollars | None = None


Switch = Annotated[bool, BeforeValidator(lambda value: {"on": True, "off": False}.get(str(value), value))]
"""`on` and `off` too: on a command line these are words."""


class RunConfig(Model):
    """Which samples are drawn, and where they go."""

    dir: Annotated[str, Field(min_length=1)]
    seeds: Annotated[list[Annotated[int, Field(ge=0, le=2**32 - 1)]], BeforeValidator(_as_list), Field(min_length=1)]
    repeats: Annotated[int, Field(ge=1)]
    passes: Annotated[int, Field(ge=1, le=100)] = 1
    warmup: Annotated[int, Field(ge=0, le=100)]
    concurrency: Annotated[
        list[Annotated[int, Field(ge=1, le=500)]], BeforeValidator(_as_list), Field(min_length=1)
    ] = [1]
    order_seed: int
    race: Switch = False
    load: Switch = False


class LossConfig(Model):
    """How much a setting may lose by one metric, said in exactly one way."""

    absolute: Annotated[float, Field(ge=0)] | None = None
    relative: Annotated[float, Field(ge=0)] | None = None
    noise_floor: Annotated[float, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = tuple(type(self).model_fields)
        if sum(getattr(self, kind) is not None for kind in kinds) != 1:
            raise ValueError(f"exactly one of {', '.join(kinds)}")
        return self


Positive = Annotated[float, Field(gt=0)]


class RaceConfig(Model):
    """The question that a race is about, and when it looks; used with `run.race=on`."""

    objective: Literal["latency", "peak_memory", "energy", "usd_per_image", "quality"] = "latency"
    quality_metric: str | None = None
    max_quality_loss: dict[str, LossConfig] = {}
    max_latency_s: Positive | None = None
    max_usd_per_image: Dollars | None = None
    max_peak_memory_gib: Positive | None = None
    max_energy_j: Positive | None = None
    min_images_per_day: Positive | None = None
    level: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    looks: Annotated[int, Field(ge=1, le=20)] = 5
    first_prompts: Annotated[int, Field(ge=5)] = 8


Rate = Annotated[float, Field(gt=0, le=100)]


class LoadConfig(Model):
    """How requests arrive in a load run (`kreabench load`, or `run.load=on`)."""

    arrivals: Arrivals = "poisson"
    rate: Annotated[list[Rate], BeforeValidator(_as_list), Field(min_length=1, max_length=50)] = [0.5, 1.0, 2.0, 4.0]
    in_flight: Annotated[
        list[Annotated[int, Field(ge=1, le=500)]], BeforeValidator(_as_list), Field(min_length=1, max_length=50)
    ] = [1, 2, 4, 8]
    duration_s: Annotated[float, Field(gt=0, le=86_400)] = 60.0
    drain_s: Annotated[float, Field(ge=0, le=3_600)] = 60.0
    max_requests: Annotated[int, Field(ge=1, le=100_000)] = 500
    max_in_flight: Annotated[int, Field(ge=1, le=500)] = 64
    objective_s: Positive | None = None
    objective_share: Annotated[float, Field(gt=0, lt=1)] = 0.95
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    batch_size: Annotated[
        list[Annotated[int, Field(ge=1, le=64)]], BeforeValidator(_as_list), Field(min_length=1, max_length=20)
    ] = [1]


class ReferenceConfig(Model):
    """What fidelity is measured against."""

    acceleration: str
    steps: Steps | Literal["default", "max"]


class BudgetConfig(Model):
    """The most that hosted requests of this run may cost."""

    usd: Annotated[float, Field(ge=0)] | None = None


class ScoringConfig(Model):
    """How scores are made."""

    during_generation: bool = False
    device: str | None = None


class ReportConfig(Model):
    """Where reports are written."""

    dir: Annotated[str, Field(min_length=1)]


class Config(Model):
    """The whole configuration."""

    name: Name
    description: str = ""
    target: Annotated[dict[str, TargetConfig], Field(min_length=1)]
    acceleration: Annotated[dict[str, AccelerationConfig], Field(min_length=1)]
    axes: AxesConfig
    prompts: PromptsConfig
    metrics: dict[str, MetricConfig] = {}
    pricing: PricingConfig
    engine: AnyEngineConfig
    run: RunConfig
    reference: ReferenceConfig
    budget: BudgetConfig
    scoring: ScoringConfig = ScoringConfig()
    report: ReportConfig
    race: RaceConfig = RaceConfig()
    load: LoadConfig = LoadConfig()
