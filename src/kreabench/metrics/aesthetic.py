"""LAION Aesthetics V2: how people would rate a picture's beauty, from about 1 to 10.

Schuhmann, "Improved Aesthetic Predictor" (github.com/christophschuhmann/improved-aesthetic-predictor): linear layers
on the normalised embedding of OpenAI's CLIP ViT-L/14, which metrics on the same model share. The published head was
trained without activations between the layers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kreabench.core.errors import EnvironmentProblem, Problem
from kreabench.core.ids import stable_hash
from kreabench.metrics.base import Score, ScoreItem, failed
from kreabench.metrics.clip_encoder import encoder_of
from kreabench.metrics.clip_options import ClipOptions
from kreabench.metrics.clip_weights import need_of
from kreabench.metrics.mini_clip import HEAD_FILE, MINI_CLIP
from kreabench.metrics.needs import Need
from kreabench.metrics.shared import Shared
from kreabench.metrics.state_dicts import load_into, load_state_dict
from kreabench.metrics.weights import RANDOM_WEIGHTS, WeightsNeed, check_source

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from kreabench.metrics.clip_encoder import ClipEncoder

VERSION = 1
"""Of this implementation; raised when the same picture and weights would score differently."""

HEAD = (
    "https://github.com/christophschuhmann/improved-aesthetic-predictor/raw/6934dd81792f086e613a121dbce43082cb8be85e/"
    "sac%2Blogos%2Bava1-l14-linearMSE.pth#sha256=21dd590f3ccdc646f0d53120778b296013b096a035a2718c9cb0d511bff0f1e0"
)
"""The published weights."""

_SEED = 1
_FIRST = "layers.0.weight"


@dataclass(frozen=True, kw_only=True, slots=True)
class AestheticOptions(ClipOptions):
    """The head, and the model whose embeddings it was trained on. `weights` are the model's."""

    head: str = HEAD
    """`hub:…`, `https://…`, a file, `builtin:mini` or `random`."""

    def __post_init__(self) -> None:
        """Raises ValueError, which `config/` turns into a message that names the key."""
        ClipOptions.__post_init__(self)
        try:
            check_source(self.head, untrained=self.untrained)
        except ValueError as error:
            raise ValueError(f"head: {error}") from error
        if self.head == MINI_CLIP != self.model:
            raise ValueError(f"head: {self.head} rates embeddings of the model {MINI_CLIP} alone, not of {self.model}")


class Aesthetic:
    """See the module. Options as in `AestheticOptions`."""

    def __init__(self, **options: Any) -> None:
        """Raises ValueError for options that no machine can fulfil."""
        self._options = AestheticOptions(**options)
        self._encoder: ClipEncoder | None = None
        self._head: Module | None = None
        self._head_need = WeightsNeed(
            name="head of LAION Aesthetics V2", source=self._options.head, key="options.head", shipped=HEAD_FILE
        )
        self._reads_prompts = bool(self._options.tokenizer)
        """Only to share the pass of a metric that does."""
        clip = need_of(self._options, reads_prompts=self._reads_prompts)
        self.needs: tuple[Need, ...] = (clip,) if self._options.head == RANDOM_WEIGHTS else (clip, self._head_need)

    def open(self, shared: Shared) -> dict[str, Any]:
        """Load encoder and head. Raises EnvironmentProblem, also for a head of another width than the embedding's."""
        options = self._options
        self._encoder = encoder_of(shared, options, reads_prompts=self._reads_prompts)
        self._head, digest = self._load_head(shared, self._encoder.width)
        identity = self._encoder.identity
        untrained = bool(identity["untrained"]) or options.head == RANDOM_WEIGHTS
        return {"version": VERSION, "head_sha256": digest, **identity, "untrained": untrained}

    def score(self, items: Sequence[ScoreItem]) -> list[Score]:
        """One score an item, `batch_size` at a time."""
        if self._encoder is None or self._head is None:
            raise RuntimeError("score() before open()")
        pictures = [(item.sha256, item.image) for item in items]
        head = self._head
        embedded = self._encoder.embed(pictures, batch_size=self._options.batch_size)
        return [failed(picture) if isinstance(picture, str) else _rated(head, picture) for picture in embedded]

    def close(self) -> None:
        """Drop the head, and let go of the encoder, which others may share."""
        self._encoder = self._head = None

    def _load_head(self, shared: Shared, width: int) -> tuple[Module, str]:
        import torch

        if self._options.head == RANDOM_WEIGHTS:
            with torch.random.fork_rng(devices=[]):  # the caller's generators stay as they are
                torch.manual_seed(_SEED)
                return _made(width), stable_hash(["aesthetic head", width, _SEED], length=64)
        located = self._head_need.locate(shared.environ)
        state = load_state_dict(located.path, key=self._head_need.key)
        head = _made(width, state)
        if _FIRST in state and state[_FIRST].ndim == 2 and state[_FIRST].shape[1] != width:
            problem = Problem(
                key=self._head_need.key,
                found=f"{located.path}, for embeddings of {state[_FIRST].shape[1]} numbers",
                expected=f"a head for the {width} of {self._options.model}, or the model that the head was trained on",
            )
            raise EnvironmentProblem([problem])
        load_into(head, state, path=located.path, key=self._head_need.key)
        return head, located.sha256


def _made(width: int, state: Mapping[str, Tensor] | None = None) -> Module:
    """The layers by their names in the published file; in it, dropout takes the places between.

    Those between the embedding and the score are as wide as in `state`, as heads for small models have narrow ones.
    """
    from torch import nn

    layers = nn.ModuleDict()
    for name, published in {"0": 1024, "2": 128, "4": 64, "6": 16, "7": 1}.items():
        weight = None if state is None or published == 1 else state.get(f"layers.{name}.weight")
        wide = published if weight is None or weight.ndim != 2 else len(weight)
        layers[name] = nn.Linear(width, wide)
        width = wide
    return nn.ModuleDict({"layers": layers}).eval()


def _rated(head: Any, picture: Tensor) -> Score:
    import torch

    with torch.inference_mode():
        for layer in head.layers.values():
            picture = layer(picture)
    value = float(picture)
    return Score(status="ok", value=value) if math.isfinite(value) else failed(f"the head gave {value}")
