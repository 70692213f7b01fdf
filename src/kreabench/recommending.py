"""A recommendation from the words of a command line, for `kreabench recommend` and the library."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kreabench.config.resolve import load
from kreabench.core.errors import ConfigError, KreabenchError, Problem
from kreabench.core.planned import Setting
from kreabench.core.questions import Objective, QualityLoss
from kreabench.core.specs import TargetSpec
from kreabench.decisions.opening import open_with_references
from kreabench.decisions.recommend import recommend as decide
from kreabench.decisions.recommend_evidence import contest_of
from kreabench.decisions.recommend_front import front_of
from kreabench.decisions.recommend_hosting import HostingOptions, compare_hosting
from kreabench.decisions.recommend_override import changed_options, override_words
from kreabench.decisions.recommend_question import Limits, ask, same_question
from kreabench.decisions.recommend_run import run_facts
from kreabench.plan_build import build_plan
from kreabench.report.recommend.content import Override, RecommendReport


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What whoever asks has said; None is chosen by a rule, and the answer tells what was chosen."""

    objective: Objective | None = None
    quality: str | None = None
    """Metric."""
    losses: tuple[QualityLoss, ...] = ()
    limits: Limits = field(default_factory=Limits)
    level: float = 0.05
    """Error rate of `loses less than allowed`, over all settings together."""
    axes: tuple[Objective, ...] | None = None
    """Two or three of the front."""
    hosting: HostingOptions = field(default_factory=HostingOptions)


def run_recommendation(run: str, wishes: Wishes, *, config_dir: Path | None = None) -> RecommendReport:
    """What to draw with, of `RUN` or `RUN:SELECTION`; `config_dir` is the folder of own groups that the run used.

    Raises ConfigError for what the run cannot answer, RunDirectoryError.
    """
    facts = run_facts(run)
    side, chosen = open_with_references(run)
    contest = contest_of(side, chosen, {name: target.hosted for name, target in facts.targets.items()})
    asked = ask(
        contest,
        objective=wishes.objective,
        metric=wishes.quality,
        losses=wishes.losses,
        limits=wishes.limits,
        level=wishes.level,
    )
    metric = asked.question.quality_metric
    axes = _axes(wishes.axes, metric)
    recommendation = decide(contest, asked.question)
    answer = recommendation.answer
    return RecommendReport(
        name=side.run_name,
        created_utc=side.created_utc,
        notice=side.notice,
        unfinished=side.unfinished,
        dropped=side.dropped,
        other_question=facts.race is not None and not same_question(facts.race, asked.question),
        contest=contest,
        asked=asked,
        recommendation=recommendation,
        front=front_of(contest, axes, metric),
        hosting=compare_hosting(recommendation, facts.targets, facts.loads, wishes.hosting),
        override=None if answer is None else reproduce(answer.entrant.setting, facts.targets, config_dir),
    )


def _axes(axes: tuple[Objective, ...] | None, metric: str | None) -> tuple[Objective, ...]:
    if axes is None:
        return ("latency", "quality") if metric is not None else ("latency", "usd_per_image")
    if "quality" in axes and metric is None:
        raise ConfigError(
            [Problem(key="--front", found="quality", expected="costs alone: no metric of the run can judge quality")]
        )
    return axes


def reproduce(setting: Setting, targets: Mapping[str, TargetSpec], config_dir: Path | None) -> Override:
    """The overrides of `kreabench run` for `setting`, and whether they compose to it on this machine."""
    words = override_words(setting)
    more = () if config_dir is None else ("--config-dir", str(config_dir))
    try:
        experiment = load(words, config_dir).experiment
        changed = changed_options(targets[setting.target], experiment.targets[0])
        if changed:
            words += changed
            experiment = load(words, config_dir).experiment
        plan = build_plan(experiment)
    except KreabenchError as error:
        return _said(words, more, f"not checked, as it does not compose here: {error.message}")
    if [one.id for one in plan.settings] == [setting.id]:
        return _said(words, more, "")
    if plan.skipped:
        return _said(words, more, f"on this machine it is skipped: {plan.skipped[0].reason}")
    return _said(words, more, "on this machine it composes to another setting: the machine or an acceleration differs")


def _said(words: tuple[str, ...], more: tuple[str, ...], obstacle: str) -> Override:
    return Override(words=words, command=f"kreabench run {shlex.join((*words, *more))}", obstacle=obstacle)
