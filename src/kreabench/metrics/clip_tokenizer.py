"""How a model of open_clip reads prompts: with CLIP's tokenizer, or one of its own (SigLIP, CLIPA)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kreabench.core.errors import EnvironmentProblem, Problem, one_line
from kreabench.metrics.mini_clip import MINI_CLIP, TOKENIZER
from kreabench.metrics.weights import WeightsNeed

if TYPE_CHECKING:
    from torch import Tensor

TOKENIZER_KEY = "options.tokenizer"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokenizer:
    """A tokenizer of open_clip, and what it takes to see whether it cut a prompt."""

    made: Any
    own: bool
    """Whether it is one of the Hub's instead of CLIP's."""

    def tokens(self, prompt: str) -> tuple[Tensor, bool]:
        """The prompt's token ids, and whether its end was cut off."""
        # open_clip keeps the end token of a cut prompt, so the tokens alone do not show the cut.
        return self.made(prompt)[0], self._length(prompt) > self.made.context_length

    def _length(self, prompt: str) -> int:
        """Tokens of the whole prompt, start and end included."""
        if self.own:
            return len(self.made.tokenizer(self.made.clean_fn(prompt)).input_ids)
        return len(self.made.encode(prompt)) + 2


def tokenizer_need(model: str, config: Mapping[str, Any], source: str) -> WeightsNeed | None:
    """What must be on this machine for `model` to read prompts; None where it does so with CLIP's tokenizer.

    Raises EnvironmentProblem where the architecture has a tokenizer of its own and `source` names none.
    """
    name = config["text_cfg"].get("hf_tokenizer_name")
    if name is None:
        return None
    shipped = TOKENIZER if model == MINI_CLIP else ""
    if shipped and not source:
        source = MINI_CLIP
    if not source:
        problem = Problem(
            key=TOKENIZER_KEY,
            found="nothing",
            expected=f"hub:{name}@REVISION, or a folder: {model} reads prompts with a tokenizer of its own",
        )
        raise EnvironmentProblem([problem])
    return WeightsNeed(name=f"tokenizer of {model}", source=source, key=TOKENIZER_KEY, tensors=False, shipped=shipped)


def load_tokenizer(architecture: str, config: Mapping[str, Any], folder: Path | None) -> Tokenizer:
    """CLIP's, or the one in `folder`. Raises EnvironmentProblem for a folder without one; sends nothing."""
    import open_clip

    if folder is None:
        return Tokenizer(made=open_clip.get_tokenizer(architecture), own=False)
    text = config["text_cfg"]
    try:
        made = open_clip.tokenizer.HFTokenizer(
            str(folder),
            context_length=text.get("context_length", open_clip.tokenizer.DEFAULT_CONTEXT_LENGTH),
            local_files_only=True,
            **text.get("tokenizer_kwargs", {}),
        )
    except Exception as error:  # transformers raises nearly anything over files that are no tokenizer
        reason = one_line(error, 200)
        problem = Problem(key=TOKENIZER_KEY, found=f"{folder}: {reason}", expected="the files of a tokenizer")
        raise EnvironmentProblem([problem]) from error
    return Tokenizer(made=made, own=True)
