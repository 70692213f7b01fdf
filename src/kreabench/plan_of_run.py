"""The plan of a run that exists."""

from __future__ import annotations

from kreabench.core.errors import RunDirectoryError
from kreabench.core.planned import Plan
from kreabench.plan_build import build_plan
from kreabench.rundir.directory import RunDirectory


def plan_of(run: RunDirectory) -> Plan:
    """The plan of an existing run. Raises RunDirectoryError when this version plans it differently."""
    plan = build_plan(run.info.experiment)
    if plan.hash != run.info.plan_hash:
        raise RunDirectoryError(
            f"{run.path} was planned by kreabench {run.info.versions.get('kreabench', '?')}; this version plans it "
            "differently",
            remedy="Use that version to go on, or start a new run.",
        )
    return plan
