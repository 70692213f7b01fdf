"""One call for every tracker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from kreabench.core.errors import ConfigError, Problem
from kreabench.report.evidence import Evidence
from kreabench.tracking import mlflow_tracker, wandb_tracker
from kreabench.tracking.entries import Sent
from kreabench.tracking.environment import need_package
from kreabench.tracking.telling import export_of

Tracker = Literal["mlflow", "wandb"]


def check(
    tracker: Tracker, environ: Mapping[str, str], *, project: str | None, uri: str | None, experiment: str | None
) -> None:
    """Before a run is read: raises EnvironmentProblem without the tracker's package, ConfigError for wrong options."""
    given = {"--project": project, "--tracking-uri": uri, "--experiment": experiment}
    own = {"mlflow": ("--tracking-uri", "--experiment"), "wandb": ("--project",)}[tracker]
    foreign = [name for name, value in given.items() if value is not None and name not in own]
    if foreign:
        expected = f"{' and '.join(own)} with --to {tracker}"
        raise ConfigError([Problem(key=name, found=f"--to {tracker}", expected=expected) for name in foreign])
    need_package(tracker, tracker)
    if tracker == "mlflow":
        mlflow_tracker.address(uri, environ)
    else:
        wandb_tracker.project_of(project, environ)


def tell(
    evidence: Evidence,
    tracker: Tracker,
    *,
    pictures: int,
    environ: Mapping[str, str],
    project: str | None = None,
    uri: str | None = None,
    experiment: str | None = None,
) -> tuple[Sent, list[str]]:
    """Tell a tracker of a run: what it did, and why pictures that were asked for stayed here.

    Raises EnvironmentProblem and ConfigError.
    """
    export = export_of(evidence, pictures)
    if tracker == "mlflow":
        name = experiment or environ.get(mlflow_tracker.EXPERIMENT) or mlflow_tracker.DEFAULT_EXPERIMENT
        sent = mlflow_tracker.export_to_mlflow(export, mlflow_tracker.address(uri, environ), name)
    else:
        sent = wandb_tracker.export_to_wandb(export, wandb_tracker.project_of(project, environ))
    return sent, export.left_out
