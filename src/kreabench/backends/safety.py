"""Looks for pictures that are not safe for work, after the clock has stopped. Pictures are marked, never changed.

An image classifier with a label `nsfw`, in the way the model card of Falconsai/nsfw_image_detection uses it. It runs on
the processor, so that memory, clocks and energy of the device stay those of the pipeline.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kreabench.backends.load_errors import load_failure
from kreabench.backends.model_files import download_remedy, file_sha256, is_hub_id
from kreabench.backends.options import DiffusersOptions
from kreabench.backends.quiet import no_progress_bars
from kreabench.core.errors import EnvironmentProblem, Problem
from kreabench.core.paths import at_home
from kreabench.core.specs import TargetSpec

if TYPE_CHECKING:
    from PIL.Image import Image

LABEL = "nsfw"
_CONFIG = "config.json"
_FILES = ["*.json", "*.safetensors"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SafetyVerdict:
    """Of the pictures of one request."""

    flagged: tuple[bool, ...]
    seconds: float


class SafetyChecker:
    """A loaded classifier."""

    def __init__(self, classifier: Any, threshold: float, identity: dict[str, Any]) -> None:
        self._classifier = classifier
        self._threshold = threshold
        self.identity = identity
        """For the load record."""

    def look(self, pictures: Sequence[Image]) -> SafetyVerdict:
        """Whether each picture's probability of `nsfw` reaches the threshold."""
        began = time.perf_counter()
        results = self._classifier([picture.convert("RGB") for picture in pictures], top_k=None)
        flagged = tuple(_probability(result) >= self._threshold for result in results)
        return SafetyVerdict(flagged=flagged, seconds=time.perf_counter() - began)


def safety_problems(target: TargetSpec) -> list[Problem]:
    """What is wrong with the target's safety checker, as far as can be seen without loading and without the network."""
    options, key = DiffusersOptions(**target.options), f"target.{target.name}.options"
    problems = []
    if not 0 < options.safety_threshold <= 1:
        found, expected = f"{options.safety_threshold:g}", "a probability above 0, at most 1"
        problems.append(Problem(key=f"{key}.safety_threshold", found=found, expected=expected))
    name = options.safety_checker
    if name is not None and is_hub_id(name):
        problems += _offline_problems(f"{key}.safety_checker", name)
    elif name is not None and not (at_home(name) / _CONFIG).is_file():
        expected = "a Hub id or a folder with an image classifier of transformers"
        problems.append(Problem(key=f"{key}.safety_checker", found=name, expected=expected))
    return problems


def open_safety_checker(target: TargetSpec) -> SafetyChecker | None:
    """The target's, ready; None where it asks for none. Raises EnvironmentProblem and GenerationError."""
    options = DiffusersOptions(**target.options)
    name = options.safety_checker
    if name is None:
        return None
    try:
        folder = _fetch(name)
        classifier = _classifier(folder)
    except Exception as error:  # told apart by what has to be done, about the classifier
        raise load_failure(error, replace(target, model=name, revision=None)) from error
    labels = [str(label) for label in classifier.model.config.id2label.values()]
    if LABEL not in labels:
        key = f"target.{target.name}.options.safety_checker"
        found, expected = f"{name}, which tells {', '.join(labels)}", f"an image classifier with a label {LABEL}"
        raise EnvironmentProblem([Problem(key=key, found=found, expected=expected)])
    in_hub_cache = folder.parent.name == "snapshots"
    identity = {
        "model": name if is_hub_id(name) else folder.name,
        "revision": folder.name if in_hub_cache else None,
        "weights_sha256": None if in_hub_cache else _weights_sha256(folder),
        "threshold": options.safety_threshold,
    }
    return SafetyChecker(classifier, options.safety_threshold, identity)


def _classifier(folder: Path) -> Any:
    from transformers import AutoImageProcessor, AutoModelForImageClassification, ImageClassificationPipeline

    with no_progress_bars():
        model = AutoModelForImageClassification.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, dtype="float32"
        )
        processor = AutoImageProcessor.from_pretrained(str(folder), local_files_only=True)
    return ImageClassificationPipeline(model=model, image_processor=processor, device="cpu")


def _fetch(name: str) -> Path:
    if not is_hub_id(name):
        return at_home(name)
    from huggingface_hub import snapshot_download

    with no_progress_bars():
        return Path(snapshot_download(name, allow_patterns=_FILES))


def _offline_problems(key: str, name: str) -> list[Problem]:
    from huggingface_hub import constants, try_to_load_from_cache

    if not constants.HF_HUB_OFFLINE or isinstance(try_to_load_from_cache(name, _CONFIG), str):
        return []
    found = f"{name}, which is not in the local Hub cache while HF_HUB_OFFLINE is set"
    expected = "a classifier that is on this machine, or access to the Hub"
    return [Problem(key=key, found=found, expected=expected, remedy=download_remedy(name, None))]


def _weights_sha256(folder: Path) -> str | None:
    files = sorted(folder.glob("*.safetensors"))
    return file_sha256(files[0]) if len(files) == 1 else None


def _probability(result: Sequence[dict[str, Any]]) -> float:
    return next(float(entry["score"]) for entry in result if entry["label"] == LABEL)
