"""Steps of a setting of a local target, which always has some: only hosted endpoints may lack them."""

from __future__ import annotations

from dataclasses import dataclass

from kreabench.core.planned import Setting


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalSteps:
    """How many steps a picture takes."""

    asked: int
    to_run: int
    """Image-to-image leaves out the first ones."""


def local_steps(setting: Setting) -> LocalSteps:
    """Those of `setting`. Raises ValueError for one without steps, which no plan makes of a local target."""
    if setting.steps is None or setting.steps_to_run is None:
        raise ValueError(f"{setting.label} has no steps, so it is no setting of a local target")
    return LocalSteps(asked=setting.steps, to_run=setting.steps_to_run)
