"""CLIP models of open_clip as encoders that metrics share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kreabench.core.errors import EnvironmentProblem, Problem
from kreabench.core.ids import canonical_json
from kreabench.metrics import random_clip
from kreabench.metrics.clip_options import ClipOptions
from kreabench.metrics.clip_tokenizer import Tokenizer, load_tokenizer
from kreabench.metrics.clip_weights import ClipWeights, ClipWeightsNeed
from kreabench.metrics.devices import find_device, kind_of
from kreabench.metrics.prompt_encoder import PromptEncoder
from kreabench.metrics.state_dicts import unreadable
from kreabench.metrics.weights import RANDOM_WEIGHTS

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image
    from torch import Tensor

    from kreabench.metrics.shared import Shared
from kreabench.metrics.state_dicts import WEIGHTS_KEY


@dataclass(frozen=True, kw_only=True, slots=True)
class Preparation:
    """How pictures are made the model's input, where that is not what open_clip would do."""

    name: str
    """Part of the identity."""
    make: Callable[[Mapping[str, Any]], Callable[[Image], Tensor]]
    """Given open_clip's preprocessing configuration (size, mean, std), what turns an RGB picture into an input."""


class ClipEncoder(PromptEncoder):
    """A model of open_clip."""

    def __init__(
        self,
        *,
        model: Any,
        width: int,
        prepare: Callable[[Image], Tensor],
        tokenizer: Tokenizer | None,
        identity: dict[str, Any],
        device: str,
    ) -> None:
        super().__init__(identity=identity, device=device)
        self.width = width
        """Numbers in an embedding."""
        self._model = model
        self._preprocess = prepare
        self._tokenizer = tokenizer

    def _prepare(self, image: Image) -> Tensor:
        if image.mode != "RGB":
            raise ValueError(f"expected an RGB picture, found {image.mode}")
        return self._preprocess(image)

    def _encode(self, batch: Tensor) -> Tensor:
        encoded: Tensor = self._model.encode_image(batch)
        return encoded

    def _tokens(self, prompt: str) -> tuple[Tensor, bool]:
        if self._tokenizer is None:
            raise RuntimeError("an encoder that was opened for pictures alone was given a prompt")
        return self._tokenizer.tokens(prompt)

    def _encode_text(self, tokens: Tensor) -> Tensor:
        encoded: Tensor = self._model.encode_text(tokens)
        return encoded


def encoder_of(
    shared: Shared, options: ClipOptions, *, reads_prompts: bool = True, preparation: Preparation | None = None
) -> ClipEncoder:
    """`open_clip_encoder` of a metric's options."""
    return open_clip_encoder(
        shared,
        model=options.model,
        weights=options.weights,
        tokenizer=options.tokenizer,
        untrained=options.untrained,
        device=options.device,
        reads_prompts=reads_prompts,
        preparation=preparation,
    )


def open_clip_encoder(
    shared: Shared,
    *,
    model: str,
    weights: str,
    untrained: bool,
    device: str,
    tokenizer: str = "",
    reads_prompts: bool = True,
    preparation: Preparation | None = None,
) -> ClipEncoder:
    """The encoder of these options, loaded by the first who asks. Raises EnvironmentProblem; sends nothing.

    `tokenizer` says where the architecture's own comes from, if it has one and `reads_prompts`. The encoder's
    `identity` says all of it that changes a score, and `untrained`.
    """
    place = find_device(device)
    need = ClipWeightsNeed(model=model, weights=weights, tokenizer=tokenizer, reads_prompts=reads_prompts)
    found = need.locate(shared.environ)
    read_by = found.tokenizer and found.tokenizer.sha256
    untrained = untrained or weights == RANDOM_WEIGHTS
    said = canonical_json(_preprocessing(found.preprocessing))
    key = ("open_clip", model, found.sha256, said, read_by, preparation and preparation.name, untrained, place)
    return shared.encoder(key, lambda: _load(found, model, untrained, place, preparation))


def _load(
    weights: ClipWeights, name: str, untrained: bool, device: str, preparation: Preparation | None
) -> ClipEncoder:
    import open_clip

    try:
        model = _random(weights) if weights.path is None else _filled(weights, weights.path)
        model = model.to(device).eval()
    except Exception as error:  # unpickling, safetensors, missing keys, memory: each library raises its own
        problem = Problem(
            key=WEIGHTS_KEY,
            found=f"{weights.path or 'random weights'} (SHA-256 {weights.sha256[:12]}…): {unreadable(error)}",
            expected=f"weights in open_clip's layout for {weights.architecture}, as tensors without code",
            remedy="Delete the file if it is a damaged download or cache; it is fetched or built again",
        )
        raise EnvironmentProblem([problem]) from error
    config = model.visual.preprocess_cfg
    if preparation is None:
        transform = open_clip.transform.PreprocessCfg(**config)
        prepare = open_clip.transform.image_transform_v2(transform, is_train=False)
    else:
        prepare = preparation.make(config)
    preprocessing = {part: list(value) if isinstance(value, tuple) else value for part, value in config.items()}
    identity = {
        "model": name,
        "weights_sha256": weights.sha256,
        "quick_gelu": weights.quick_gelu,
        "preprocessing": preprocessing if preparation is None else {**preprocessing, "resize_mode": preparation.name},
        "device": kind_of(device),
        "untrained": untrained,
        **({"tokenizer_sha256": weights.tokenizer.sha256} if weights.tokenizer else {}),
    }
    architecture = open_clip.get_model_config(weights.architecture)
    return ClipEncoder(
        model=model,
        width=int(architecture["embed_dim"]),
        prepare=prepare,
        tokenizer=_tokenizer(weights, architecture),
        identity=identity,
        device=device,
    )


def _tokenizer(weights: ClipWeights, architecture: Mapping[str, Any]) -> Tokenizer | None:
    """None where the architecture's own was not asked for, as only pictures are encoded."""
    folder = weights.tokenizer.path if weights.tokenizer else None
    if folder is None and "hf_tokenizer_name" in architecture["text_cfg"]:
        return None
    return load_tokenizer(weights.architecture, architecture, folder)


def _random(weights: ClipWeights) -> Any:
    import torch

    with torch.random.fork_rng(devices=[]):  # on the CPU alone: the caller's generators stay as they are
        torch.manual_seed(random_clip.SEED)
        return _made(weights)


def _filled(weights: ClipWeights, path: Path) -> Any:
    """The model with the weights of `path`, all of them, held once: the file's tensors become the model's."""
    import open_clip

    with _uninitialised():
        model = _made(weights)

    def assign(state: dict[str, Tensor], strict: bool) -> Any:
        own = model.state_dict()
        cast = {name: value.to(own[name].dtype) if name in own else value for name, value in state.items()}
        return type(model).load_state_dict(model, cast, strict=strict, assign=True)

    model.load_state_dict = assign  # open_clip's loader, which knows its older layouts, would copy
    try:
        with _without_resizing():
            open_clip.load_checkpoint(model, str(path), strict=True, weights_only=True)
    finally:
        del model.load_state_dict
    return model


def _made(weights: ClipWeights) -> Any:
    import open_clip

    with _silenced(logging.getLogger()):  # open_clip warns that there are no weights, which is what is asked for here
        return open_clip.create_model(
            weights.architecture,
            precision="fp32",
            pretrained_text=False,
            force_preprocess_cfg=_preprocessing(weights.preprocessing),
        )


def _preprocessing(tag: Mapping[str, Any]) -> dict[str, Any]:
    return {part: tag[part] for part in ("mean", "std", "interpolation", "resize_mode", "fill_color") if part in tag}


@contextmanager
def _silenced(logger: logging.Logger) -> Iterator[None]:
    def nothing(_: logging.LogRecord) -> bool:
        return False

    logger.addFilter(nothing)
    try:
        yield
    finally:
        logger.removeFilter(nothing)


def _without_resizing() -> Any:
    """Weights of another picture size or context length are refused: open_clip would stretch their position embeddings
    without a word, which gives another model than the one that is named."""
    import torch
    from torch.overrides import TorchFunctionMode

    class WithoutResizing(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if function is torch.nn.functional.interpolate:
                raise ValueError("its position embeddings are of another picture size or context length")
            return function(*args, **(kwargs or {}))

    return WithoutResizing()


def _uninitialised() -> Any:
    """Modules made within are not given random numbers, which weights from a file, loaded strictly, replace anyway.

    Saves the seconds, and the memory, as pages that were never written take none.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    drawing: set[Any] = {torch.Tensor.normal_, torch.Tensor.uniform_, torch.nn.init.normal_, torch.nn.init.uniform_}
    drawing |= {torch.nn.init.kaiming_uniform_, torch.nn.init.trunc_normal_}

    class Uninitialised(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if function in drawing:
                return args[0] if args else kwargs["tensor"]
            return function(*args, **kwargs)

    return Uninitialised()
