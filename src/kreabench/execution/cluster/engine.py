"""The engine for a Ray cluster: local targets are drawn there, hosted ones asked from here; the driver journals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from kreabench.core.errors import ConfigError
from kreabench.core.specs import TargetSpec
from kreabench.execution.cluster.connect import connect
from kreabench.execution.cluster.seats import ClusterSeats
from kreabench.execution.engine import GroupWork
from kreabench.execution.local import LocalEngine
from kreabench.execution.local_seats import conflict


class RayEngine(LocalEngine):
    """As the local engine, but with other seats. See `execution.engine.Engine`."""

    def _check(self, targets: Sequence[TargetSpec]) -> None:
        assert self._spec.ray is not None  # noqa: S101 - the configuration sees to it
        gpus = self._spec.ray.gpus_per_worker
        found = [conflict(target, gpus > 0, f"engine.gpus_per_worker={gpus}") for target in targets]
        if problems := [problem for problem in found if problem is not None]:
            raise ConfigError(problems)

    def _open_seats(self, work: Sequence[GroupWork], run_path: Path, environ: Mapping[str, str]) -> ClusterSeats:
        assert self._spec.ray is not None  # noqa: S101
        return ClusterSeats(connect(self._spec.ray), self._spec.ray, run_path, work)
