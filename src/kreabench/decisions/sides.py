"""One side of a comparison: the samples of a run, or of a baseline file, with what must be known to compare them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from kreabench.analysis.notices import notice
from kreabench.analysis.settings import requested_by_setting
from kreabench.core.errors import RunDirectoryError
from kreabench.core.ids import stable_hash
from kreabench.core.planned import Plan, Setting
from kreabench.core.score_records import FloorScoreRecord
from kreabench.core.specs import MetricSpec, Prompt
from kreabench.decisions.baseline_file import decode_baseline
from kreabench.decisions.baseline_table import table_of
from kreabench.decisions.provenance import facts_for, facts_of, versions_of
from kreabench.decisions.selection import choose, split_name
from kreabench.drops import by_scores, samples_in, sent_in, told_of
from kreabench.metrics.table import per_image
from kreabench.pairing_floors import compiled_settings
from kreabench.plan_of_run import plan_of
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.samples import Samples, read_samples


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Side:
    """What is compared with another side. Made from a run directory or from a baseline file; both say all of this."""

    name: str
    """As the user named it."""
    run_name: str
    created_utc: str
    table: pd.DataFrame
    """Samples of `settings`: columns of `rundir.table`, or those of them that a baseline file keeps."""
    settings: tuple[Setting, ...]
    metrics: tuple[MetricSpec, ...]
    """With a score a picture."""
    identities: Mapping[str, str]
    """Metric → identity of its scores in `table`: kind, version, options and weights."""
    prompts: Mapping[str, str]
    """Prompt id → hash of its text and input pictures."""
    facts: Mapping[str, str]
    """Names of `comparability.KEYS` → what this side has; one that is not known is absent. Besides, those of each
    target (`provenance.OF_TARGET`), from which a selection knows its own."""
    versions: Mapping[str, str]
    """Packages, models and drivers → version: what a comparison may be about; see `provenance.versions_of`."""
    requested: Mapping[str, int]
    """Setting id → planned requests."""
    notice: str | None
    """Notes on models, and what keeps numbers from being about a real one: untrained weights, an emulated service."""
    picture_folder: Path | None
    """Below which `image_path` lies; None for a baseline file, which has no pictures."""
    dropped: Mapping[str, str] = field(default_factory=dict)
    """Setting id → why racing dropped it. Its samples are not in `table`, and it is not in `settings`."""
    dropped_by_scores: int = 0
    """How many of `dropped` their own scores spoke against."""
    floor_scores: tuple[FloorScoreRecord, ...] = ()
    """Of the noise floors of its references; see `decisions.floors`."""
    compiled: frozenset[str] = frozenset()
    """Ids of settings that differ from their reference by compilation alone; see `pairing_floors.compiled_settings`."""

    @property
    def unfinished(self) -> int:
        """Requests planned for `settings` that have no final sample."""
        done = self.table.drop_duplicates("request_id")["setting_id"].value_counts()
        return sum(max(self.requested[s.id] - int(done.get(s.id, 0)), 0) for s in self.settings)


def open_side(text: str) -> Side:
    """The side that `RUN`, `RUN:SELECTION` or a baseline file means.

    Raises RunDirectoryError for a run that is still drawn, one that is damaged or of another version, and such a file,
    ConfigError for a selection that means nothing.
    """
    path, selection = split_name(text)
    if path.is_file():
        return chosen(_of_baseline(path, text), selection)
    run = RunDirectory.open(path)
    if run.is_drawn:
        raise RunDirectoryError(f"{path} is still being drawn", remedy="Wait for its end, or stop it, then compare.")
    return chosen(_of_run(run, text), selection)


def chosen(side: Side, selection: str) -> Side:
    """`side` with the settings of `selection` alone."""
    settings = choose(side.settings, selection, name=side.name)
    if len(settings) == len(side.settings):
        return side
    ids = [setting.id for setting in settings]
    targets = {setting.target for setting in settings}
    return replace(
        side,
        settings=settings,
        table=side.table[side.table["setting_id"].isin(ids)],
        facts=facts_for(side.facts, targets),
    )


def _of_run(run: RunDirectory, name: str) -> Side:
    plan = plan_of(run)
    samples = read_samples(run, lambda: plan)
    if run.info.experiment.traffic is not None:  # what a closed loop did not come to is not missing
        records = tuple(run.records())
        plan = told_of(plan, samples_in(records), (), sent_in(records))
    return side_of(run, plan, samples, name)


def side_of(run: RunDirectory, plan: Plan, samples: Samples, name: str) -> Side:
    """A run whose plan and samples were read already."""
    experiment = run.info.experiment
    dropped = {drop.setting_id: drop.reason for drop in samples.drops}
    return Side(
        name=name,
        run_name=experiment.name,
        created_utc=run.info.created_utc,
        table=samples.frame[~samples.frame["setting_id"].isin(list(dropped))],
        settings=tuple(setting for setting in plan.settings if setting.id not in dropped),
        metrics=per_image(experiment.metrics),
        identities=samples.identities,
        prompts={prompt.id: prompt_hash(prompt) for prompt in experiment.prompts},
        facts=facts_of(experiment, samples.loads, plan.settings),
        versions=versions_of(run.info, samples.loads),
        requested=requested_by_setting(plan),
        notice=notice(experiment.targets),
        picture_folder=run.path,
        dropped=dropped,
        dropped_by_scores=sum(by_scores(drop, experiment.race) for drop in samples.drops),
        floor_scores=samples.floor_scores,
        compiled=compiled_settings(plan),
    )


def _of_baseline(path: Path, name: str) -> Side:
    header, rows = decode_baseline(path)
    return Side(
        name=name,
        run_name=header.run_name,
        created_utc=header.created_utc,
        table=table_of(header, rows),
        settings=header.settings,
        metrics=header.metrics,
        identities=header.identities,
        prompts=header.prompts,
        facts=header.facts,
        versions=header.versions,
        requested=header.requested,
        notice=header.notice,
        picture_folder=None,
        dropped=header.dropped,
    )


def prompt_hash(prompt: Prompt) -> str:
    """Equal for prompts that ask for the same picture."""
    return stable_hash([prompt.text, [image.sha256 for image in prompt.images]])
