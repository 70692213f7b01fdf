"""What a model was trained for: the block `trained` of a target → its spec, with everything wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kreabench.config.model import TrainedConfig
from kreabench.core.errors import Problem
from kreabench.core.sizes import parse_size
from kreabench.core.specs import Trained


def trained_of(key: str, given: TrainedConfig | None, report: Callable[[Problem], None]) -> Trained | None:
    """The block at `key`; None where there is none. What is wrong with it goes to `report`."""
    if given is None:
        return None
    for problem in _problems(key, given):
        report(problem)
    sizes: list[tuple[int, int]] = []
    for index, text in enumerate(given.sizes or ()):
        try:
            sizes.append(parse_size(text))
        except ValueError as error:
            report(Problem(key=f"{key}.sizes[{index}]", found=repr(text), expected=str(error)))
    return Trained(
        sizes=tuple(dict.fromkeys(sizes)),
        min_pixels=given.min_pixels,
        max_pixels=given.max_pixels,
        max_sequence_length=given.max_sequence_length,
    )


def _problems(key: str, given: TrainedConfig) -> Iterator[Problem]:
    said = given.model_dump(exclude_none=True)
    if not said:
        names = ", ".join(TrainedConfig.model_fields)
        yield Problem(key=key, found="nothing", expected=f"at least one of {names}; null where nobody knows")
    for name in ("min_pixels", "max_pixels"):
        if given.sizes is not None and name in said:
            yield Problem(key=f"{key}.{name}", found=str(said[name]), expected="nothing beside sizes: either of them")
    if given.min_pixels is not None and given.max_pixels is not None and given.min_pixels > given.max_pixels:
        expected = f"at most max_pixels, {given.max_pixels}"
        yield Problem(key=f"{key}.min_pixels", found=str(given.min_pixels), expected=expected)
