"""report.json, field by field. The page's script draws everything from it; nothing here knows how that looks.

Numbers are unrounded and in the unit of their name; what is absent is null beside a reason, never 0. Text is plain.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

SCHEMA = "kreabench.report/1"
"""Name and version; the version is raised whenever a reader of today would misread a file of tomorrow."""

AxisValue = str | int | float | None
Better = Literal["lower", "higher", "neither"]
QuantityKind = Literal["cost", "quality", "fidelity", "look"]
PictureState = Literal["shown", "failed", "pending", "missing", "unreadable", "left_out"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunData:
    """One run directory."""

    id: str
    """`a`, `b`, …, in the order they were named; `b` is compared with `a`."""
    name: str
    created_utc: str
    description: str
    plan_hash: str
    git_revision: str | None
    brand: str
    """What keeps its numbers from being real; or empty."""
    devices: tuple[str, ...]
    versions: dict[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class AxisData:
    """One respect in which settings can differ."""

    name: str
    """Key of `SettingData.axes`."""
    label: str
    unit: str
    values: tuple[AxisValue, ...]
    """All that occur, in the order of the plan (numbers ascending)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantityData:
    """Something measured of settings: a cost, or a metric."""

    name: str
    """Key of `SettingData.values`, with its unit, such as `latency_s`; a metric's own name."""
    label: str
    unit: str
    """To show; empty for a pure number."""
    scale: float
    """To show a value, divide it by this: 2**30 for bytes shown in GiB."""
    kind: QuantityKind
    better: Better
    note: str
    """What it is an estimate of, and over what."""
    brand: str
    """Such as `untrained weights`; or empty."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ValueData:
    """An estimate with its 95 % interval."""

    value: float
    low: float | None
    high: float | None
    n: int
    """Timings of a cost, prompts of a metric."""
    remark: str = ""
    """What limits it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageData:
    """One stage of a setting's requests."""

    name: str
    mean_s: float | None
    """Means, as they alone add up; None where it was only weighed."""
    allocated_bytes: int | None
    """Highest peak of torch's allocator in it."""
    reserved_bytes: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SettingData:
    """One setting of one run."""

    id: str
    """Unique in the report: run and setting, `a/1f3c…`."""
    run: str
    label: str
    short: str
    """What tells it from the others, for axes and small heads."""
    axes: dict[str, AxisValue]
    reference: str | None
    """Id of the setting that it is compared with, its own for a reference."""
    requested: int
    ok: int
    failed: int
    images: int
    degenerate: int
    flagged: int
    """Pictures that the safety checker flagged."""
    values: dict[str, ValueData]
    absent: dict[str, str]
    """Quantity without a value → why."""
    stages: tuple[StageData, ...]
    """In order of occurrence."""
    steps_s: tuple[float, ...]
    """Median seconds of each denoising step; empty for hosted targets."""
    floor_s: float | None
    """Seconds that the device cannot beat."""
    share_of_floor: ValueData | None
    command: str
    """That draws this setting again, whole; one line."""
    counterpart: str | None = None
    """Id of the setting of the first run that it is compared with; None in that run, and where there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SkippedData:
    """A point of the matrix without samples, and why."""

    run: str
    label: str
    axes: dict[str, AxisValue]
    reason: str
    kind: Literal["skipped", "dropped"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontData:
    """Who is best in some mixture of a cost and a metric."""

    x: str
    y: str
    on: tuple[str, ...]
    """Settings that none beats in both, by the point estimates."""
    chance: dict[str, float]
    """Setting → share of the resamples of the prompts in which that is so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KneeData:
    """Where more steps begin to buy little."""

    quantity: str
    axes: dict[str, AxisValue]
    """What the settings of the line share: all axes but steps."""
    setting: str
    steps: int
    note: str
    """How sure it is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RegressionData:
    """A setting that is established to be worse than what it is compared with."""

    setting: str
    against: str
    quantity: str
    sentence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class VerdictData:
    """What a reader came for."""

    state: Literal["recommended", "undecided", "none", "unknown"]
    setting: str | None
    sentence: str
    sureness: str
    """How sure, in one sentence."""
    assumed: tuple[str, ...]
    """What nobody said, and was chosen by a rule."""
    regressions: tuple[RegressionData, ...]
    regressions_note: str
    """What was tested, and how; what an empty list means."""
    command: str
    """That asks again in more detail; one line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NoticeData:
    """Something to know before reading on."""

    level: Literal["warning", "info"]
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptData:
    """One prompt."""

    id: str
    text: str
    """May be cut; samples.csv has it whole."""
    category: str
    input: str = ""
    """Address of the picture that image-to-image or redux started from; empty without one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureData:
    """One picture of one sample, or the sample that has none."""

    setting: str
    prompt: str
    seed: int
    repeat: int
    index: int
    state: PictureState
    reason: str
    """Why there is none."""
    flag: str
    """What is wrong with one that was delivered: black, flagged by the safety checker."""
    scores: dict[str, float]
    thumbnail: str
    """Address beside the page, `pictures/….jpg`; empty without one. A page may hold it inside."""
    view: str
    """The same of a larger one; empty where the thumbnail is the largest kept."""
    width: int
    height: int
    """As delivered; 0 without a picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorstData:
    """A pair of pictures in which a setting lost most."""

    setting: str
    prompt: str
    seed: int
    quantity: str
    loss: float
    """By how much it is worse than the reference's picture; in the metric's unit, positive is worse. Of a fidelity
    metric, which is measured against that picture, the score itself, negated where more is better."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnData:
    """One local setting, for the sums of an own GPU."""

    setting: str
    seconds_per_image: float
    seconds_low: float | None
    seconds_high: float | None
    load_s: float
    joule_per_image: float | None
    usd_per_hour: float | None
    """As configured; None where nobody said."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HostedData:
    """One hosted setting, for the same."""

    setting: str
    usd_per_image: float
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BreakEvenData:
    """What the curve of own GPU or API starts from."""

    own: tuple[OwnData, ...]
    hosted: tuple[HostedData, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class StrengthData:
    """What the blind votes say of one setting."""

    setting: str
    strength: ValueData | None
    """Bradley-Terry, in units of the logarithm of odds; n counts votes. None where all found both pictures bad."""
    group: int
    """Strengths of two groups have no common scale: nobody compared them."""
    wins: int
    losses: int
    ties: int
    both_bad: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictionData:
    """How well a metric foretells the votes."""

    quantity: str
    share: ValueData
    """Of the decided votes in which the preferred picture scores better; n counts votes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VotesData:
    """Blind votes of people on one run."""

    run: str
    votes: int
    voters: int
    strengths: tuple[StrengthData, ...]
    agreement: ValueData | None
    """Krippendorff's alpha between voters; None where it is unknown, for a reason that a note says."""
    predictions: tuple[PredictionData, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportData:
    """The whole of report.json."""

    schema: str = SCHEMA
    kreabench: str
    title: str
    runs: tuple[RunData, ...]
    verdict: VerdictData
    notices: tuple[NoticeData, ...]
    axes: tuple[AxisData, ...]
    """With several runs the first is `run`."""
    quantities: tuple[QuantityData, ...]
    """Costs first, then metrics in the order of the run."""
    settings: tuple[SettingData, ...]
    skipped: tuple[SkippedData, ...]
    fronts: tuple[FrontData, ...]
    """One for each cost and directed metric that settings have in common."""
    knees: tuple[KneeData, ...]
    prompts: tuple[PromptData, ...]
    pictures: tuple[PictureData, ...]
    """Those chosen for the report, see `pictures_note`."""
    pictures_note: str
    worst: tuple[WorstData, ...]
    """Greatest loss first within each quantity."""
    break_even: BreakEvenData
    votes: tuple[VotesData, ...] = field(default=())
    """One for each run that was voted on."""
    method: tuple[str, ...] = field(default=())
