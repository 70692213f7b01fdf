"""Which setting each one is compared with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kreabench.core.planned import Setting
from kreabench.core.specs import ExperimentSpec


def reference_ids(experiment: ExperimentSpec, settings: Iterable[Setting]) -> dict[str, str | None]:
    """Setting id → id of its reference: same in all but acceleration and steps, which `reference` fixes.

    `default` steps fall back on the most steps planned where the target's default is not among them. Where the
    endpoint has no steps, the acceleration alone decides. In a load run the reference is under the lightest load,
    one request a call.
    """
    families: dict[tuple[Any, ...], list[Setting]] = {}
    # Under load the reference has the lightest one: of several candidates the last one counts.
    for setting in sorted(settings, key=_load, reverse=True):
        families.setdefault(_family(setting, loaded=experiment.traffic is not None), []).append(setting)
    defaults = {target.name: target.defaults.steps for target in experiment.targets}
    result: dict[str, str | None] = {}
    for members in families.values():
        candidates = {
            setting.steps: setting.id
            for setting in members
            if setting.acceleration == experiment.reference.acceleration
        }
        steps = _reference_steps(experiment.reference.steps, defaults[members[0].target], candidates)
        result.update((setting.id, candidates.get(steps)) for setting in members)
    return result


def _load(setting: Setting) -> tuple[float, ...]:
    return setting.batch_size, setting.rate_per_s or 0.0, setting.concurrency


def _reference_steps(wanted: int | str, default: int | None, planned: Iterable[int | None]) -> int | None:
    numbers = [steps for steps in planned if steps is not None]
    if not numbers:
        return None
    if wanted == "max" or (wanted == "default" and default not in numbers):
        return max(numbers)
    return default if wanted == "default" else int(wanted)


def _family(setting: Setting, *, loaded: bool) -> tuple[Any, ...]:
    return (
        setting.target,
        setting.guidance,
        setting.width,
        setting.height,
        setting.num_images,
        setting.output_format,
        setting.strength,
        None if loaded else setting.concurrency,
    )
