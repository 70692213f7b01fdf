"""What an experiment may not ask for where jobs draw it."""

from __future__ import annotations

from kreabench.core.errors import Problem
from kreabench.core.specs import ExperimentSpec


def jobs_problems(experiment: ExperimentSpec) -> list[Problem]:
    """Why jobs on machines that nobody has seen cannot do this; empty for other engines."""
    if experiment.engine.slurm is None:
        return []
    problems = []
    if experiment.race is not None:
        found, expected = "on", "off with engine=slurm: a race looks at all scores while it draws"
        problems.append(Problem(key="run.race", found=found, expected=expected))
    if experiment.traffic is not None and not all(target.hosted for target in experiment.targets):
        expected = "off with engine=slurm: one queue stands before all workers of a level, which are on one machine"
        problems.append(Problem(key="run.load", found="on, of local targets", expected=expected))
    if experiment.scoring.during_generation:
        found, expected = "true", "false with engine=slurm: there are no pictures here before the parts are merged"
        problems.append(Problem(key="scoring.during_generation", found=found, expected=expected))
    return problems
