"""Which local targets can draw several requests in one call, each from its own seed and as if it were alone."""

from __future__ import annotations

from kreabench.backends.accelerations.features import FEATURES
from kreabench.backends.table import BACKENDS
from kreabench.core.specs import AccelerationSpec, TargetSpec


def reject_batch(target: TargetSpec, acceleration: AccelerationSpec, batch_size: int) -> str | None:
    """Why `batch_size` requests cannot be drawn in one call; None where they can."""
    if batch_size == 1:
        return None
    what = f"{target.name} draws no batches of {batch_size}"
    if target.hosted:
        return f"{what}: what a hosted service draws at once is its own choice"
    if target.task not in BACKENDS[target.backend].batches:
        return f"{what}: the {target.backend} back end draws one {target.task} request a call"
    coupled = [name for name in acceleration.features if name in FEATURES and FEATURES[name].couples]
    if coupled:
        return f"{what} with {', '.join(coupled)}: what that skips for one picture would depend on the others"
    return None
