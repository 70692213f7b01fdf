"""One look of a race: scores what it needs, decides, and says so in the journal before anything more is drawn."""

from __future__ import annotations

from collections.abc import Callable

from kreabench.core.errors import RunDirectoryError
from kreabench.core.planned import Plan
from kreabench.core.records import DropRecord, LookRecord
from kreabench.core.specs import ExperimentSpec, RaceSpec
from kreabench.drops import drops_of, looks_of
from kreabench.execution.clock import utc_now
from kreabench.metrics.table import row_of
from kreabench.race.rounds import Round, rounds_of
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.table import join_table
from kreabench.rundir.writers import RunWriter


def rounds_left(run: RunDirectory) -> tuple[Round, ...]:
    """Rounds of which the look is not over; looks that are over are never made again."""
    over = {record.look for record in looks_of(run)}
    return tuple(one for one in rounds_of(run.info.experiment) if one.look not in over)


def is_decided(run: RunDirectory, plan: Plan) -> bool:
    """Whether a race has dropped every setting that it may drop."""
    dropped = drops_of(run)
    return all(setting.id in dropped or setting.reference_id == setting.id for setting in plan.settings)


def check_same_race(run: RunDirectory, experiment: ExperimentSpec) -> None:
    """Raises RunDirectoryError where another race is asked of a run whose race has begun: its drops would not hold."""
    if experiment.race != run.info.experiment.race and (looks_of(run) or drops_of(run)):
        raise RunDirectoryError(
            f"{run.path} has raced for another question, or with other looks, and what it dropped is not drawn",
            remedy=f"Go on with `kreabench resume {run.path}`, or choose another name=… for the new question.",
        )


def look_at(
    run: RunDirectory, plan: Plan, race: RaceSpec, one: Round, *, now: Callable[[], str] = utc_now
) -> tuple[tuple[DropRecord, ...], LookRecord]:
    """What this look drops, and that it is over; writes nothing.

    Of a look that a crash cut short, what it had dropped before is taken as given, and not said again.
    """
    from kreabench.analysis.racing import decide, levels_of  # load scipy, which no other run needs here
    from kreabench.race.seen import look_data, metrics_of
    from kreabench.race.words import drop_record

    looks = len(rounds_of(run.info.experiment)) - 1
    look = one.look
    assert look is not None  # noqa: S101 - the last round ends without one
    before = drops_of(run)
    gone = {setting_id for setting_id, drop in before.items() if drop.look < look}
    settings = tuple(setting for setting in plan.settings if setting.id not in gone)
    metrics = metrics_of(race.question, run.info.experiment.metrics)
    data = look_data(join_table(run, plan), settings, one.prompts, metrics, race.question)
    levels = levels_of(race.question, looks=looks, settings=len(plan.settings))
    rows = {spec.name: row_of(spec) for spec in metrics}
    at_utc = now()
    found = tuple(
        drop_record(drop, settings, race.question, rows, look=look, looks=looks, at_utc=at_utc)
        for drop in decide(data, race.question, levels)
    )
    new = tuple(drop for drop in found if drop.setting_id not in before)
    over = LookRecord(
        at_utc=at_utc,
        look=look,
        looks=looks,
        prompts=len(one.prompts),
        settings=len(plan.settings) - len(before) - len(new),
    )
    return new, over


def journal_look(writer: RunWriter, drops: tuple[DropRecord, ...], over: LookRecord) -> None:
    """Durable on return, with one fsync."""
    writer.append(*drops, over)
