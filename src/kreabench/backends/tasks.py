"""The three tasks of FLUX.1 on one loaded model: which pipeline of diffusers is called, and with what.

Each drawer has the pipeline that is called last (features act on it and its stages are timed), what it calls to encode
input pictures, and `draw`. Input pictures come decoded and in RGB; fitting them to the size is done before the clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from kreabench.backends.input_images import fit_to_size
from kreabench.core.planned import Setting
from kreabench.core.specs import TaskKind

if TYPE_CHECKING:
    from PIL.Image import Image


class Drawer(Protocol):
    """One task on one loaded model."""

    pipeline: Any
    """What features act on and whose stages are timed."""
    encodes_image: tuple[Any, str] | None
    """Owner and name of the callable that encodes input pictures; None where there are none."""

    def inputs(self, setting: Setting, pictures: Sequence[Image]) -> dict[str, Any]:
        """What the task adds to the arguments of a call; not timed."""

    def draw(self, arguments: Mapping[str, Any]) -> Any:
        """The pipeline's output; timed as a whole."""


class TextToImage:
    """FluxPipeline as it is loaded."""

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline
        self.encodes_image: tuple[Any, str] | None = None

    def inputs(self, setting: Setting, pictures: Sequence[Image]) -> dict[str, Any]:
        """Nothing."""
        return {}

    def draw(self, arguments: Mapping[str, Any]) -> Any:
        """One call."""
        return self.pipeline(**arguments)


class ImageToImage:
    """FluxImg2ImgPipeline over the parts of the loaded one."""

    def __init__(self, pipeline: Any) -> None:
        from diffusers import FluxImg2ImgPipeline

        # Not `from_pipe`, which silently casts the shared parts to float32.
        self.pipeline: Any = FluxImg2ImgPipeline(**pipeline.components)
        self.pipeline.set_progress_bar_config(disable=True)
        self.encodes_image: tuple[Any, str] | None = (self.pipeline.vae, "encode")

    def inputs(self, setting: Setting, pictures: Sequence[Image]) -> dict[str, Any]:
        """The picture once for each to be drawn.

        Given once, only the first generator would draw a sample of its latents, and picture k would not be that of
        seed + k.
        """
        (picture,) = pictures
        fitted = fit_to_size(picture, setting.width, setting.height)
        return {"image": [fitted] * setting.num_images, "strength": setting.strength}

    def draw(self, arguments: Mapping[str, Any]) -> Any:
        """One call."""
        return self.pipeline(**arguments)


class Redux:
    """FluxPriorReduxPipeline turns pictures and words into an embedding, FluxPipeline draws from it."""

    def __init__(self, pipeline: Any, prior: Any) -> None:
        """`prior` has the text encoders of `pipeline`: without any it would use empty embeddings of the full size."""
        self.pipeline = pipeline
        self.prior = prior
        self.encodes_image: tuple[Any, str] | None = (self, "embed")

    def inputs(self, setting: Setting, pictures: Sequence[Image]) -> dict[str, Any]:
        """All pictures; the encoder brings each to its own size."""
        return {"pictures": list(pictures)}

    def draw(self, arguments: Mapping[str, Any]) -> Any:
        """Words, pictures, then one call of FluxPipeline.

        The words are encoded here because the prior fixes their length at 512 tokens, and the embeddings are repeated
        here because FluxPipeline repeats only those that it makes itself.
        """
        import torch

        rest = dict(arguments)
        pictures, count = rest.pop("pictures"), rest.pop("num_images_per_prompt")
        with torch.no_grad():
            words, pooled, _ = self.pipeline.encode_prompt(
                prompt=rest.pop("prompt"), prompt_2=None, max_sequence_length=rest["max_sequence_length"]
            )
            words, pooled = self.embed(pictures, words, pooled)
        return self.pipeline(
            prompt_embeds=words.repeat(count, 1, 1), pooled_prompt_embeds=pooled.repeat(count, 1), **rest
        )

    def embed(self, pictures: Sequence[Any], words: Any, pooled: Any) -> tuple[Any, Any]:
        """The embedding to draw from: the mean over the pictures, so that several are no louder than one.

        The prior sums them, weighted: its own weights of 1 would scale everything, words too, by their number.
        """
        count = len(pictures)
        shares = [1.0 / count] * count
        result = self.prior(
            image=list(pictures),
            prompt_embeds=words.repeat(count, 1, 1),
            pooled_prompt_embeds=pooled.repeat(count, 1),
            prompt_embeds_scale=shares,
            pooled_prompt_embeds_scale=shares,
        )
        return result.prompt_embeds, result.pooled_prompt_embeds


def make_drawer(task: TaskKind, pipeline: Any, prior: Any = None) -> Drawer:
    """What draws `task` with the loaded FluxPipeline `pipeline`; redux also needs its `prior`."""
    if task == "image-to-image":
        return ImageToImage(pipeline)
    return Redux(pipeline, prior) if task == "redux" else TextToImage(pipeline)
