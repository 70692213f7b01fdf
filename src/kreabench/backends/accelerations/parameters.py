"""Parameters of the acceleration features. Each field says what it accepts, so that a bad value is named early."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Protocol

from kreabench.core.registry import suggest


class Accepted(Protocol):
    """What a parameter accepts."""

    @property
    def words(self) -> str:
        """Worded to follow "to be"."""

    def takes(self, value: object) -> bool:
        """Whether `value` is one of these."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number within both ends."""

    minimum: float
    maximum: float = math.inf
    whole: bool = False

    @property
    def words(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        if self.maximum == math.inf:
            return f"{kind} of at least {self.minimum:g}"
        return f"{kind} from {self.minimum:g} to {self.maximum:g}"

    def takes(self, value: object) -> bool:
        """A truth value is no number, and NaN is within no ends."""
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        return math.isfinite(value) and self.minimum <= value <= self.maximum


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of a few words."""

    choices: tuple[str, ...]

    @property
    def words(self) -> str:
        return f"one of {', '.join(self.choices)}"

    def takes(self, value: object) -> bool:
        """Exact spelling."""
        return isinstance(value, str) and value in self.choices


@dataclass(frozen=True, slots=True)
class Text:
    """A text that is not empty; null too where `optional`."""

    what: str
    optional: bool = False

    @property
    def words(self) -> str:
        return f"{self.what}, or null" if self.optional else self.what

    def takes(self, value: object) -> bool:
        """Any text with something in it."""
        return (value is None and self.optional) or (isinstance(value, str) and bool(value.strip()))


@dataclass(frozen=True, slots=True)
class Flag:
    """true or false."""

    words: str = "true or false"

    def takes(self, value: object) -> bool:
        """No number stands for a truth value."""
        return isinstance(value, bool)


def _takes(accepted: Accepted) -> dict[str, Accepted]:
    return {"accepted": accepted}


ATTENTION_BACKENDS = (
    "native",
    "_native_cudnn",
    "_native_efficient",
    "_native_flash",
    "_native_math",
    "flash",
    "flash_hub",
    "_flash_3",
    "_flash_3_hub",
    "sage",
    "sage_hub",
)
"""As diffusers names them (`models/attention_dispatch.py`, AttentionBackendName); those that FLUX.1 can use."""

QUANTISED_ATTENTION = frozenset({"sage", "sage_hub"})
"""Those of them that compute with rounded numbers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NoParameters:
    """The feature has nothing to choose."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstBlockCacheParameters:
    """First Block Cache (github.com/chengzeyi/ParaAttention)."""

    threshold: float = field(metadata=_takes(Number(0)))
    """Relative change of the first block's residual below which the other blocks are not run again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaylorSeerParameters:
    """TaylorSeer (arXiv 2503.06923), on the attention layers."""

    interval: int = field(default=5, metadata=_takes(Number(1, whole=True)))
    """Every so many steps attention is computed, in between it is extrapolated."""
    first_steps: int = field(default=3, metadata=_takes(Number(1, whole=True)))
    """Steps at the start that are always computed."""
    order: int = field(default=1, metadata=_takes(Number(0, 4, whole=True)))
    """Of the Taylor series; each order keeps one more copy of the attention outputs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MagCacheParameters:
    """MagCache (github.com/Zehong-Ma/MagCache) with the magnitude ratios its authors measured for FLUX.1 [dev]."""

    threshold: float = field(default=0.06, metadata=_takes(Number(0)))
    """Accumulated error up to which steps are skipped."""
    max_skip_steps: int = field(default=3, metadata=_takes(Number(1, whole=True)))
    """Most steps skipped in a row."""
    retention: float = field(default=0.2, metadata=_takes(Number(0, 1)))
    """Share of the steps, at the start, that is always computed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PabParameters:
    """Pyramid Attention Broadcast (arXiv 2408.12588)."""

    every: int = field(default=2, metadata=_takes(Number(1, whole=True)))
    """Within the range attention is computed in every so many steps and reused in the others."""
    timestep_low: float = field(default=100, metadata=_takes(Number(0, 1000)))
    timestep_high: float = field(default=800, metadata=_takes(Number(0, 1000)))
    """The range of noise levels (1000 is pure noise) in which attention is reused."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FasterCacheParameters:
    """FasterCache (arXiv 2410.19355), its part for guidance-distilled models: reuse of attention."""

    every: int = field(default=2, metadata=_takes(Number(1, whole=True)))
    """Within the range attention is computed in every so many steps and extrapolated in the others."""
    timestep_high: float = field(default=681, metadata=_takes(Number(1, 999)))
    """Noise level (1000 is pure noise) from which on attention is reused; the first step is always computed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RegionalCompileParameters:
    """torch.compile of each repeated block."""

    mode: str = field(default="default", metadata=_takes(OneOf(("default", "max-autotune-no-cudagraphs"))))
    """CUDA graphs of single blocks would overwrite each other's outputs, so the modes that use them are not here."""
    shapes: str = field(default="auto", metadata=_takes(OneOf(("auto", "static", "dynamic"))))
    """`static` compiles every size anew, `dynamic` once for all, `auto` becomes dynamic at the second size."""
    cold: bool = field(default=False, metadata=_takes(Flag()))
    """Compile into an empty cache of its own, so that the compile time is that of a new machine."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FullCompileParameters:
    """torch.compile of the whole transformer."""

    mode: str = field(
        default="default",
        metadata=_takes(OneOf(("default", "max-autotune-no-cudagraphs", "max-autotune", "reduce-overhead"))),
    )
    shapes: str = field(default="auto", metadata=_takes(OneOf(("auto", "static", "dynamic"))))
    """As in `RegionalCompileParameters`."""
    cold: bool = field(default=False, metadata=_takes(Flag()))
    """As in `RegionalCompileParameters`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AttentionParameters:
    """The implementation of scaled dot-product attention."""

    backend: str = field(metadata=_takes(OneOf(ATTENTION_BACKENDS)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Fp8DynamicParameters:
    """torchao's fp8 matrix products."""

    scale: str = field(default="row", metadata=_takes(OneOf(("row", "tensor"))))
    """One scale a row (truer, bfloat16 only) or one a tensor (faster)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupOffloadParameters:
    """Weights wait on the host and come in groups, the next one while the present one computes."""

    unit: str = field(default="block", metadata=_takes(OneOf(("block", "leaf"))))
    stream: bool = field(default=True, metadata=_takes(Flag()))
    """Copy on a stream of its own, beside the computing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoraParameters:
    """A LoRA, fused into the weights."""

    path: str = field(metadata=_takes(Text("a .safetensors file, a folder, or a Hub id")))
    weight_name: str | None = field(default=None, metadata=_takes(Text("a file in that folder or repository", True)))
    revision: str | None = field(default=None, metadata=_takes(Text("a commit of the Hub repository", True)))
    scale: float = field(default=1.0, metadata=_takes(Number(-10, 10)))


@dataclass(frozen=True, kw_only=True, slots=True)
class NunchakuParameters:
    """Nunchaku's 4-bit transformer (github.com/nunchaku-ai/nunchaku)."""

    model: str = field(metadata=_takes(Text("a .safetensors file, or OWNER/NAME/FILE of the Hub")))


def parameter_problems(feature: str, parameters: type[Any], values: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with `values`, worded to follow "expected"."""
    known = {item.name: item for item in fields(parameters)}
    for name, value in values.items():
        if name not in known:
            accepted = suggest(name, known) if known else f"nothing: {feature} has no parameters"
            yield f"in place of {feature}.{name}, {accepted}"
        elif not known[name].metadata["accepted"].takes(value):
            yield f"{feature}.{name} to be {known[name].metadata['accepted'].words}, not {value!r}"
    for name, item in known.items():
        if name not in values and item.default is MISSING:
            yield f"{feature}.{name}, {item.metadata['accepted'].words}, which is missing"


def completed(parameters: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with the defaults of what they leave out: a default that changes one day must change no old run."""
    defaults = {item.name: item.default for item in fields(parameters) if item.default is not MISSING}
    return {**defaults, **values}
