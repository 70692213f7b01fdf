"""The command that draws the recommended setting again, composed here to see whether it does."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from kreabench.config.resolve import load
from kreabench.core.errors import KreabenchError
from kreabench.core.planned import Setting
from kreabench.core.specs import TargetSpec
from kreabench.decisions.recommend_override import changed_options, override_words
from kreabench.plan import build_plan
from kreabench.report.recommend_content import Override


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
