"""Whether a picture shows the same as its reference: the cosine of their DINOv2 embeddings, with transformers.

Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision" (arXiv 2304.07193). The embedding is that of
the class token after the last normalisation, the model's own `pooler_output`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kreabench.core.errors import EnvironmentProblem, Problem, one_line
from kreabench.metrics.base import Score, ScoreItem, failed
from kreabench.metrics.comparable import ComparableOptions, Pair, comparable
from kreabench.metrics.devices import check_running, find_device, kind_of
from kreabench.metrics.encoder import ImageEncoder
from kreabench.metrics.needs import FETCH, Need
from kreabench.metrics.shared import Shared
from kreabench.metrics.state_dicts import WEIGHTS_KEY
from kreabench.metrics.weights import RANDOM_WEIGHTS, WeightsNeed, check_source

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

SOURCE = "hub:facebook/dinov2-base@f9e44c814b77203eaa57a6bdbbd535f21ede1415"
MODEL_TYPES = ("dinov2", "dinov2_with_registers")
"""Of a folder's config.json: those whose `pooler_output` is the normalised class token."""
MAX_ASPECT = 20.0
"""Longer pictures are refused: the model sees their centred square alone, and resizing them takes gigabytes."""

_RANDOM_SEED = 1
_RANDOM_CONFIG: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 56,
    "patch_size": 14,
}
_RANDOM_PROCESSOR: dict[str, Any] = {
    "size": {"shortest_edge": 64},
    "crop_size": {"height": 56, "width": 56},
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}
_PREPROCESSING = (
    "do_resize",
    "size",
    "resample",
    "do_center_crop",
    "crop_size",
    "do_rescale",
    "rescale_factor",
    "do_normalize",
    "image_mean",
    "image_std",
)
"""What of a processor's configuration changes the pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DinoOptions(ComparableOptions):
    """A folder of DINOv2 and where it runs."""

    weights: str = SOURCE
    """A folder with config.json, preprocessor_config.json and model.safetensors; `random` draws a tiny model."""
    untrained: bool = False
    """Says that the weights are random, which brands every score."""
    device: str = "auto"
    """`auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:N`."""
    batch_size: int = 16
    """Pictures encoded at once."""

    def __post_init__(self) -> None:
        """Raises ValueError, which `config/` turns into a message that names the key."""
        ComparableOptions.__post_init__(self)  # super() does not find the class that `slots` makes anew
        check_source(self.weights, untrained=self.untrained)
        check_running(self.device, self.batch_size)


class DinoSimilarity:
    """See the module. A reference that many pictures have is encoded once."""

    def __init__(self, **options: Any) -> None:
        """Options as in `DinoOptions`. Raises ValueError for options that no machine can fulfil."""
        self._options = DinoOptions(**options)
        self._encoder: ImageEncoder | None = None
        self.needs: tuple[Need, ...] = dino_need(self._options.weights)

    def open(self, shared: Shared) -> dict[str, Any]:
        """Load the model, or take the one that is loaded. Raises EnvironmentProblem; sends nothing."""
        self._encoder = dino_encoder(
            shared,
            weights=self._options.weights,
            untrained=self._options.untrained,
            device=self._options.device,
        )
        return {"version": 1, **self._encoder.identity, **self._options.identity()}

    def score(self, items: Sequence[ScoreItem]) -> list[Score]:
        """One score an item."""
        if self._encoder is None:
            raise RuntimeError("score() before open()")
        pairs = [comparable(item, self._options) for item in items]
        sides = [
            (side.sha256, side.image)
            for pair in pairs
            if isinstance(pair, Pair)
            for side in (pair.picture, pair.reference)
        ]
        embeddings = iter(self._encoder.embed(sides, batch_size=self._options.batch_size))
        return [
            _to_score(next(embeddings), next(embeddings), pair.notes) if isinstance(pair, Pair) else pair
            for pair in pairs
        ]

    def close(self) -> None:
        """Let go of the encoder, which is shared."""
        self._encoder = None


def _to_score(picture: Tensor | str, reference: Tensor | str, notes: tuple[str, ...]) -> Score:
    if isinstance(picture, str) or isinstance(reference, str):
        reason = str(picture) if isinstance(picture, str) else f"the reference: {reference}"
        return failed(reason, notes)
    cosine = float(picture.double() @ reference.double())
    return Score(status="ok", value=min(max(cosine, -1.0), 1.0), notes=notes)  # rounding takes equal ones past 1


def dino_need(weights: str) -> tuple[WeightsNeed, ...]:
    """What must be there for `dino_encoder` with the same `weights`."""
    if weights == RANDOM_WEIGHTS:
        return ()
    return (WeightsNeed(name="folder of DINOv2 (config, preprocessor, safetensors)", source=weights),)


def dino_encoder(shared: Shared, *, weights: str, untrained: bool, device: str) -> ImageEncoder:
    """The encoder, loaded by the first who asks for these weights on this device; nothing is downloaded.

    `weights` is a source as in `metrics.weights`, of a model folder; `random` draws a tiny model. `device` is auto,
    cpu, cuda or cuda:N. Raises EnvironmentProblem: weights that are not here or fit no DINOv2, a device not there.
    """
    place = find_device(device)
    if weights == RANDOM_WEIGHTS:
        return shared.encoder(("dinov2", RANDOM_WEIGHTS, place), lambda: _random(place))
    located = dino_need(weights)[0].locate(shared.environ)
    return shared.encoder(
        ("dinov2", located.sha256, untrained, place),
        lambda: _load(located.path, sha256=located.sha256, untrained=untrained, device=place),
    )


class DinoEncoder(ImageEncoder):
    """See the module."""

    def __init__(self, model: Any, processor: Any, *, sha256: str, untrained: bool, device: str) -> None:
        settings = processor.to_dict()
        super().__init__(
            identity={
                "model": model.config.model_type,
                "weights_sha256": sha256,
                "preprocessing": {name: _plain(settings[name]) for name in _PREPROCESSING if name in settings},
                "device": kind_of(device),
                "untrained": untrained,
            },
            device=device,
        )
        self._model = model.eval().requires_grad_(False).to(device)
        self._processor = processor

    def _prepare(self, image: Image) -> Tensor:
        width, height = image.size
        if max(width, height) > MAX_ASPECT * min(width, height):
            raise ValueError(f"{width}×{height} pixels: one side is more than {MAX_ASPECT:g} times the other")
        pixels: Tensor = self._processor(images=image, return_tensors="pt")["pixel_values"][0]
        return pixels

    def _encode(self, batch: Tensor) -> Tensor:
        embedding: Tensor = self._model(pixel_values=batch).pooler_output
        return embedding


def _plain(value: Any) -> Any:
    """As JSON has it: processors hold mappings, tuples and enumerations."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, list | tuple):
        return list(value)
    return int(value) if isinstance(value, IntEnum) else value


def _random(device: str) -> DinoEncoder:
    import torch
    from transformers import Dinov2Config, Dinov2Model
    from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil

    with torch.random.fork_rng(devices=[]):  # on the CPU alone: the caller's generators stay as they are
        torch.manual_seed(_RANDOM_SEED)
        model = Dinov2Model(Dinov2Config(**_RANDOM_CONFIG))
    processor = BitImageProcessorPil(**_RANDOM_PROCESSOR)
    return DinoEncoder(model, processor, sha256=RANDOM_WEIGHTS, untrained=True, device=device)


def _load(folder: Path, *, sha256: str, untrained: bool, device: str) -> DinoEncoder:
    """From a folder alone: nothing is asked of the Hub, and no code of the folder is run."""
    from transformers import AutoImageProcessor, AutoModel

    _check_files(folder)
    given: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    # Misfits are reported and refused below, by name, where transformers would only say that there are some.
    weights: dict[str, Any] = {"use_safetensors": True, "output_loading_info": True, "ignore_mismatched_sizes": True}
    try:
        # Pillow's resizing, as the model was trained with; torchvision's differs by a level here and there.
        processor = AutoImageProcessor.from_pretrained(folder, backend="pil", **given)
        with _quiet_transformers():
            model, report = AutoModel.from_pretrained(folder, **weights, **given)
    except Exception as error:  # JSON, safetensors, shapes, missing files: each raises its own
        raise _misfit(folder, one_line(error, 300)) from error
    # transformers draws such weights at random, with no more than a log line.
    wrong = [f"{what}: {', '.join(sorted(map(str, names))[:3])}" for what, names in report.items() if names]
    if wrong:
        raise _misfit(folder, "; ".join(wrong))
    return DinoEncoder(model, processor, sha256=sha256, untrained=untrained, device=device)


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Without its bar, as only the driver draws, and its table of misfits."""
    from transformers.utils import logging

    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()


def _check_files(folder: Path) -> None:
    """Before transformers, whose messages speak of the Hub."""
    try:
        model_type = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise _misfit(folder, f"no readable config.json ({type(error).__name__})") from error
    if model_type not in MODEL_TYPES:
        raise _misfit(folder, f"model type {model_type!r}")
    if not (folder / "preprocessor_config.json").is_file():
        raise _misfit(folder, "no preprocessor_config.json")


def _misfit(folder: Path, reason: str) -> EnvironmentProblem:
    return EnvironmentProblem(
        [
            Problem(
                key=WEIGHTS_KEY,
                found=f"{folder}: {reason}",
                expected="a folder of DINOv2: config.json, preprocessor_config.json and model.safetensors that fit",
                remedy=f"Delete the folder if it is a damaged download, and fetch it again with `{FETCH}`",
            )
        ]
    )
