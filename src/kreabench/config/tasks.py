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
        if target.task == "text-to-image" and not prompt.text:
            found, expected = "no words", f"a prompt, as {target.name} draws from words"
        elif target.task == "image-to-image" and count != 1:
            found, expected = _images(count), f"exactly one, as {target.name} changes one picture"
        elif target.task == "redux" and not count:
            found, expected = _images(count), f"at least one, as {target.name} varies pictures"
        else:
            continue
        remedy = "" if count else "Choose prompts with pictures, e.g. prompts=drawn."
        yield Problem(key=f"prompts, {prompt.id}", found=found, expected=expected, remedy=remedy)
        return


def _images(count: int) -> str:
    return "no input image" if not count else f"{count} input images"
