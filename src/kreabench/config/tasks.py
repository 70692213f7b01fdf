"""What a target's task asks of its back end, of its own configuration and of the prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kreabench.backends.table import BACKENDS
from kreabench.core.errors import Problem
from kreabench.core.specs import Prompt, TargetSpec


def task_problems(targets: Sequence[TargetSpec], prompts: Sequence[Prompt]) -> Iterator[Problem]:
    """Everything wrong with the tasks of `targets` and with `prompts` for them."""
    for target in targets:
        yield from _target_problems(target)
        yield from _prompt_problems(target, prompts)


def _target_problems(target: TargetSpec) -> Iterator[Problem]:
    key, row = f"target.{target.name}", BACKENDS[target.backend]
    if target.task not in row.tasks:
        yield Problem(key=f"{key}.task", found=target.task, expected=f"{target.backend} does {' and '.join(row.tasks)}")
        return
    has_strength = target.task == "image-to-image"
    for name, value in (("default", target.defaults.strength), ("limits", target.limits.strength)):
        if has_strength and value is None:
            expected = "a strength, as image-to-image needs one" if name == "default" else "a range such as [0.01, 1.0]"
            yield Problem(key=f"{key}.{name}.strength", found="nothing", expected=expected)
        elif not has_strength and value is not None:
            yield Problem(key=f"{key}.{name}.strength", found=str(value), expected=f"nothing: {target.task} has none")


def _prompt_problems(target: TargetSpec, prompts: Sequence[Prompt]) -> Iterator[Problem]:
    """One problem a target, for its first unsuitable prompt: the others will be of the same kind."""
    for prompt in prompts:
        count = len(prompt.images)
        unfit = _unfit(target, prompt)
        if unfit is not None:
            found, expected = unfit
            remedy = "" if count or not prompt.text else "Choose prompts with pictures, e.g. prompts=drawn."
            yield Problem(key=f"prompts, {prompt.id}", found=found, expected=expected, remedy=remedy)
            return


def _unfit(target: TargetSpec, prompt: Prompt) -> tuple[str, str] | None:
    """What a prompt has and what the target needs; None where it fits."""
    count, name = len(prompt.images), target.name
    needs_words = target.task == "text-to-image" or ("prompt" in target.inputs and target.inputs["prompt"].required)
    if needs_words and not prompt.text:
        return "no words", f"a prompt, as {name} draws from words"
    if target.task == "text-to-image":
        return None
    if target.task == "image-to-image" and count != 1:
        return _images(count), f"exactly one, as {name} changes one picture"
    if not count:
        return _images(count), f"at least one, as {name} varies pictures"
    if target.inputs and "image_urls" not in target.inputs and count > 1:
        return _images(count), f"exactly one, as the endpoint of {name} takes one"
    if target.options.get("input_images") == "url":
        without = [image.name for image in prompt.images if image.url is None]
        if without:
            expected = f"an https address, as target.{name}.options.input_images is url"
            return f"{without[0]}, which has no address", expected
    return None


def _images(count: int) -> str:
    return "no input image" if not count else f"{count} input images"
