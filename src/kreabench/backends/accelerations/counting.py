"""How much of the transformer really ran in one call: what a cache skipped, and whether it skipped anything.

Without compilation the forwards of blocks and attention layers are counted where they happen. A counter within
compiled code would make it compile anew for each count, so there the caches' own decisions are counted instead, which
diffusers takes outside the compiled code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

KINDS = ("double_blocks", "single_blocks", "double_attentions", "single_attentions")


@dataclass(frozen=True, kw_only=True, slots=True)
class Forwards:
    """Runs of the transformer's parts in one call, for one picture or one batch alike."""

    double_blocks: int
    single_blocks: int
    double_attentions: int
    """Attention layers of double blocks, within the blocks that ran."""
    single_attentions: int

    @classmethod
    def of(cls, counts: Counter[str]) -> Forwards:
        """From counts by the names in KINDS."""
        return cls(**{kind: counts[kind] for kind in KINDS})


def parts(transformer: Any) -> dict[str, list[Any]]:
    """The counted modules by kind."""
    doubles, singles = list(transformer.transformer_blocks), list(transformer.single_transformer_blocks)
    return {
        "double_blocks": doubles,
        "single_blocks": singles,
        "double_attentions": [block.attn for block in doubles],
        "single_attentions": [block.attn for block in singles],
    }


def all_forwards(transformer: Any, steps: int) -> Forwards:
    """What runs where nothing is skipped: by the configuration, as Nunchaku packs all blocks into one module."""
    double, single = steps * transformer.config.num_layers, steps * transformer.config.num_single_layers
    return Forwards(double_blocks=double, single_blocks=single, double_attentions=double, single_attentions=single)


@contextmanager
def counted_forwards(transformer: Any) -> Iterator[Callable[[int], Forwards]]:
    """Count the forwards of every part. Enter it before a cache's hooks are put on, so that they wrap the counters."""
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        for kind, modules in parts(transformer).items():
            for module in modules:
                _count_forward(stack, module, kind, counts)
        yield lambda steps: Forwards.of(counts)


def _count_forward(stack: ExitStack, module: Any, kind: str, counts: Counter[str]) -> None:
    forward = module.forward

    def counting(*args: Any, **kwargs: Any) -> Any:
        counts[kind] += 1
        return forward(*args, **kwargs)

    own = "forward" in vars(module)
    module.forward = counting
    if own:
        stack.callback(setattr, module, "forward", forward)
    else:
        stack.callback(delattr, module, "forward")


def _outside_graphs(function: Callable[..., Any]) -> Any:
    """`function`, never traced: as the hooks' own decisions, it breaks the graph and guards nothing."""
    import torch

    disable: Any = torch.compiler.disable
    return disable(function)


class LeaderDecisions:
    """First Block Cache beside compilation: its first block decides, step by step, whether the others run."""

    def __init__(self, transformer: Any) -> None:
        from diffusers.hooks.first_block_cache import _FBC_LEADER_BLOCK_HOOK

        self._transformer = transformer
        self.skipped = 0
        leader = transformer.transformer_blocks[0]
        self._hook = leader._diffusers_hook.get_hook(_FBC_LEADER_BLOCK_HOOK)
        decide = self._hook._should_compute_remaining_blocks

        def counted(residual: Any) -> bool:
            computes: bool = decide(residual)
            self.skipped += not computes
            return computes

        self._hook._should_compute_remaining_blocks = _outside_graphs(counted)

    def start(self) -> None:
        """A new call begins."""
        self.skipped = 0

    def forwards(self, steps: int) -> Forwards:
        """Every step runs the first block; a step that is not skipped runs all."""
        full = all_forwards(self._transformer, steps - self.skipped)
        return Forwards(
            double_blocks=full.double_blocks + self.skipped,
            single_blocks=full.single_blocks,
            double_attentions=full.double_attentions + self.skipped,
            single_attentions=full.single_attentions,
        )


class LayerDecisions:
    """TaylorSeer beside compilation: each attention layer decides for itself."""

    def __init__(self, transformer: Any) -> None:
        from diffusers.hooks.taylorseer_cache import _TAYLORSEER_CACHE_HOOK

        self._transformer = transformer
        self._skipped: Counter[str] = Counter()
        for kind in ("double_attentions", "single_attentions"):
            for module in parts(transformer)[kind]:
                self._watch(module._diffusers_hook.get_hook(_TAYLORSEER_CACHE_HOOK), kind)

    def _watch(self, hook: Any, kind: str) -> None:
        decide = hook._measure_should_compute

        def counted() -> Any:
            computes, state = decide()
            self._skipped[kind] += not computes
            return computes, state

        hook._measure_should_compute = _outside_graphs(counted)

    def start(self) -> None:
        """A new call begins."""
        self._skipped.clear()

    def forwards(self, steps: int) -> Forwards:
        """All blocks run; of the attention layers those that decided to."""
        full = Counter({kind: getattr(all_forwards(self._transformer, steps), kind) for kind in KINDS})
        full.subtract(self._skipped)
        return Forwards.of(full)


class ScheduleDecisions:
    """PAB and FasterCache beside compilation: whether attention runs follows from the noise levels alone."""

    def __init__(self, transformer: Any, noise: NoiseLevel, computes: Callable[[int, float], bool]) -> None:
        self._transformer = transformer
        self._noise = noise
        self._computes = computes

    def start(self) -> None:
        """A new call begins."""
        self._noise.levels.clear()

    def forwards(self, steps: int) -> Forwards:
        """All blocks run; attention in the steps that the cache's rule says."""
        ran = sum(self._computes(step, level) for step, level in enumerate(self._noise.levels))
        full, attended = all_forwards(self._transformer, steps), all_forwards(self._transformer, ran)
        return Forwards(
            double_blocks=full.double_blocks,
            single_blocks=full.single_blocks,
            double_attentions=attended.double_attentions,
            single_attentions=attended.single_attentions,
        )


class NoiseLevel:
    """The pipeline's present noise level, for caches that ask for it in every layer.

    The level is a tensor on the device; reading it makes the host wait, so it is read once a step.
    """

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._seen: Any = None
        self._level = 0.0
        self.levels: list[float] = []
        """Of the steps of this call so far."""
        self.read = _outside_graphs(self._read)

    def _read(self) -> float:
        present = self._pipeline.current_timestep
        if present is not self._seen or not self.levels:
            self._seen = present
            self._level = float(present)
            self.levels.append(self._level)
        return self._level
