"""`compare`, `gate` and `recommend`: read run directories, draw nothing, load no model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import get_args

from kreabench.core.errors import ConfigError, Problem
from kreabench.core.policies import Cost
from kreabench.core.questions import Objective, QualityLoss, read_loss
from kreabench.decisions.compare_runs import compare_runs
from kreabench.decisions.recommend_hosting import HostingOptions
from kreabench.decisions.recommend_question import Limits
from kreabench.gating import run_gate
from kreabench.library.results import Comparison, GateResult, Recommendation, shown_as
from kreabench.library.runs import Run
from kreabench.recommending import Wishes, run_recommendation

RunLike = Run | str | os.PathLike[str]
"""A run, its directory, `RUN:AXIS=VALUE,…` for some of its settings; of `compare` and `gate` also a baseline file."""


def compare(
    base: RunLike, candidate: RunLike | None = None, *, metrics: Sequence[str] | str | None = None, force: bool = False
) -> Comparison:
    """Two runs, or settings of one, in pairs of pictures, as `kreabench compare`.

    `base` alone: every setting against its reference. `metrics`: names, or one; None: all that both have.

    Raises NotComparable unless `force`, RunDirectoryError, ConfigError.
    """
    other = None if candidate is None else _name(candidate)
    names = [metrics] if isinstance(metrics, str) else metrics
    return shown_as(Comparison, compare_runs(_name(base), other, metrics=names, force=force))


def gate(
    base: RunLike,
    candidate: RunLike,
    policy: str | os.PathLike[str] = "default",
    *,
    config_dir: str | os.PathLike[str] | None = None,
    force: bool = False,
) -> GateResult:
    """Whether `candidate` got worse than `base` by the margins of a policy, as `kreabench gate`; `policy` is a name or
    a YAML file.

    Raises NotComparable unless `force`, RunDirectoryError, ConfigError.
    """
    folder = None if config_dir is None else Path(config_dir)
    result = run_gate(_name(base), _name(candidate), policy=os.fspath(policy), config_dir=folder, force=force)
    return shown_as(GateResult, result)


def recommend(
    run: RunLike,
    *,
    objective: Objective | None = None,
    quality: str | None = None,
    max_quality_loss: Mapping[str, str | float] | None = None,
    limits: Limits | None = None,
    level: float = 0.05,
    front: Sequence[Objective] | None = None,
    hosting: HostingOptions | None = None,
    config_dir: str | os.PathLike[str] | None = None,
) -> Recommendation:
    """Which setting to use, as `kreabench recommend`: the best one that is shown to lose no more than is allowed.

    `objective` is latency, usd_per_image, peak_memory, energy or quality. `max_quality_loss` holds metric → number in
    its unit, or a text such as `"0.5noise"` or `"2%"`. `limits` and `hosting` take the values of the command's options,
    such as `kreabench.Limits(max_latency_s=4)`. `level`, above 0 and below 0.5, is the error rate over all settings
    together; `front` has two or three objectives. `config_dir` is the folder of your own groups that the run used.

    Raises ConfigError for what cannot be asked or the run cannot answer, RunDirectoryError.
    """
    problems = [*_wrong_level(level), *_wrong_front(front)]
    if problems:
        raise ConfigError(problems)
    wishes = Wishes(
        objective=objective,
        quality=quality,
        losses=tuple(_loss(metric, value) for metric, value in (max_quality_loss or {}).items()),
        limits=limits or Limits(),
        level=level,
        axes=None if front is None else tuple(front),
        hosting=hosting or HostingOptions(),
    )
    folder = None if config_dir is None else Path(config_dir)
    return shown_as(Recommendation, run_recommendation(_name(run), wishes, config_dir=folder))


def _wrong_level(level: float) -> Iterator[Problem]:
    if not 0 < level < 0.5:
        yield Problem(key="level", found=repr(level), expected="a number above 0 and below 0.5")


def _wrong_front(front: Sequence[Objective] | None) -> Iterator[Problem]:
    known = [*get_args(Cost), "quality"]
    if front is not None and (
        len(set(front)) not in (2, 3) or len(set(front)) < len(front) or not set(front) <= {*known}
    ):
        yield Problem(key="front", found=repr(front), expected=f"two or three of {', '.join(known)}")


def _loss(metric: str, value: str | float) -> QualityLoss:
    try:
        return read_loss(f"{metric}={value}")
    except ValueError as error:
        expected = 'a number, or a text such as "0.5noise" or "2%"'
        raise ConfigError([Problem(key=f"max_quality_loss.{metric}", found=repr(value), expected=expected)]) from error


def _name(run: RunLike) -> str:
    return str(run.path) if isinstance(run, Run) else os.fspath(run)
