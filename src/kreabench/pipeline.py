"""The stages in order: check, generate, score, table, report. Each reads what the one before it wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from kreabench.backends.table import backend_class
from kreabench.core.engine_spec import EngineSpec
from kreabench.core.errors import ConfigError, EnvironmentProblem, ExitCode, Problem, RunDirectoryError
from kreabench.core.planned import Plan
from kreabench.core.specs import ExperimentSpec, MetricSpec, TargetSpec
from kreabench.drawing import Drawing
from kreabench.drops import Standing, drops_of, standing_of
from kreabench.execution.budget import Budget
from kreabench.execution.engine import Engine
from kreabench.execution.local_seats import check_devices
from kreabench.execution.pending import journal_skips, nothing_to_draw, pending_work
from kreabench.execution.table import engine_for
from kreabench.observer import Observer
from kreabench.plan_build import build_plan
from kreabench.plan_difference import describe_difference
from kreabench.plan_of_run import plan_of
from kreabench.pricing import budget_problems
from kreabench.race.look import check_same_race
from kreabench.race.rounds import race_problems
from kreabench.report.options import ReportOptions
from kreabench.rundir.batches import refuse_open_batches
from kreabench.rundir.directory import RunDirectory, RunInfo, spare_run
from kreabench.rundir.inputs import Sources
from kreabench.rundir.parts import refuse_part
from kreabench.rundir.provenance import collect
from kreabench.rundir.table import rebuild_table
from kreabench.scoring.beside import score_rest
from kreabench.scoring.follow import await_next_round, follow_run
from kreabench.scoring.placement import check_placement, on_device
from kreabench.scoring.requirements import prepare
from kreabench.scoring.spending import purse_of, scores_usd
from kreabench.scoring.stage import score_run
from kreabench.scoring.summary import ScoringSummary
from kreabench.slurm.problems import jobs_problems


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a run ended."""

    run_path: Path
    standing: Standing
    spent_usd: float
    """On hosted requests, as counted against the budget; what scores cost is in `scoring`."""
    budget_message: str | None
    """Why drawing stopped; None where it did not."""
    scoring: ScoringSummary
    report_index: Path | None
    """None where no report was asked for."""

    @property
    def requests(self) -> int:
        """Planned, less those that were not to be drawn: what racing spared, and what closed loops did not come to."""
        return self.standing.requests

    @property
    def delivered(self) -> int:
        return self.standing.delivered

    @property
    def failed(self) -> int:
        """For another reason than that their level of load was ended."""
        return self.standing.failed

    @property
    def exit_code(self) -> ExitCode:
        """As the design promises."""
        if self.budget_message or self.scoring.budget_message:
            return ExitCode.BUDGET
        if self.delivered < self.requests:  # also by jobs that were ended from outside
            return ExitCode.FAILED_SAMPLES
        return self.scoring.exit_code


def check_environment(plan: Plan, engine: EngineSpec, group_ids: Sequence[str] | None = None) -> None:
    """Ask each back end what this machine lacks. Raises EnvironmentProblem with everything found.

    What draws elsewhere is asked there, by the engine, before it loads a model.
    """
    problems: dict[str, Problem] = {}
    for group in plan.groups:
        here = engine.kind == "local" or group.target.hosted
        if here and (group_ids is None or group.id in group_ids):
            found = backend_class(group.target.backend).check(group.target, group.accelerations)
            problems.update((str(problem), problem) for problem in found)
    if problems:
        raise EnvironmentProblem(tuple(problems.values()))


def start(
    path: Path,
    experiment: ExperimentSpec,
    config_yaml: str,
    environ: Mapping[str, str],
    input_files: Sources | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> RunDirectory:
    """A new run directory, or the one that is there when it holds the same plan.

    `input_files`: where each input picture is now, to be copied into a new directory. What the metrics of a new run
    need is fetched first, where that can be; `say` is told.

    Raises RunDirectoryError, saying what differs, when it holds another plan, ConfigError for a plan without
    requests, and EnvironmentProblem for what this machine lacks.
    """
    plan = build_plan(experiment)
    if not plan.request_count:
        raise ConfigError([nothing_to_draw(plan)])
    if problems := [*race_problems(experiment, plan), *jobs_problems(experiment)]:
        raise ConfigError(problems)
    if not (path / "run.json").exists():
        check_environment(plan, experiment.engine)
        if experiment.engine.kind == "local":
            check_devices(experiment.engine.devices, experiment.targets)
        check_placement(experiment, experiment.targets)
        if not all(target.random_weights for target in experiment.targets):  # nothing scores their pictures
            prepare(on_device(experiment.metrics, experiment.scoring.device), environ, say)
        info = collect(plan.hash, experiment, environ=environ, now=datetime.now(UTC))
        return RunDirectory.create(path, info, config_yaml, input_files)
    run = RunDirectory.open(path)
    if run.info.plan_hash != plan.hash:
        differences = "\n  ".join(describe_difference(run.info.experiment, experiment))
        raise RunDirectoryError(
            f"{path} holds another plan:\n  {differences}",
            remedy="Choose another name=…, or delete the folder if it is not needed any more.",
        )
    check_same_race(run, experiment)
    return _with_asked(run, replace(experiment, targets=branded(experiment.targets, run.info.experiment.targets)))


def branded(targets: Sequence[TargetSpec], before: Sequence[TargetSpec]) -> tuple[TargetSpec, ...]:
    """`targets` as they are asked for now. What was drawn by untrained weights or an emulated service stays so.

    So does a note about the model that drew it.
    """
    notes = {target.name: target.model_note for target in before}
    untrained = {target.name for target in before if target.untrained}
    emulated = {target.name for target in before if target.emulated}
    return tuple(
        replace(
            target,
            untrained=target.untrained or target.name in untrained,
            emulated=target.emulated or target.name in emulated,
            model_note=notes.get(target.name) or target.model_note,
        )
        for target in targets
    )


def reopen(path: Path, *, budget_usd: float | None = None, engine: EngineSpec | None = None) -> RunDirectory:
    """The run at `path`, to go on with; `budget_usd` replaces its budget, `engine` its engine.

    Raises ConfigError if the budget cannot be kept.
    """
    run = RunDirectory.open(path)
    if engine is not None:
        run = _with_asked(run, replace(run.info.experiment, engine=engine))
    if budget_usd is None:
        return run
    if problems := budget_problems(run.info.experiment.targets):
        raise ConfigError(problems)
    return _with_asked(run, replace(run.info.experiment, budget_usd=budget_usd))


def _with_asked(run: RunDirectory, experiment: ExperimentSpec) -> RunDirectory:
    """The same run, asked for with another engine, budget or other metrics: what the plan's identity leaves free."""
    info: RunInfo = replace(run.info, experiment=experiment)
    return RunDirectory(run.path, info)


def execute(
    run: RunDirectory,
    *,
    observer: Observer,
    report_path: Path | None,
    retry_failed: bool = False,
    engine: Engine | None = None,
    draw: bool = True,
) -> Outcome:
    """Generate what is missing, score it and report, where `report_path` says to. The journal is locked throughout.

    Without `draw`: only the rest. Raises RunDirectoryError for a part of a run, and while jobs may still draw what is
    missing.
    """
    if report_path is not None:
        spare_run(report_path)
    refuse_part(run.path)
    plan = plan_of(run)
    with run.writer() as writer, ExitStack() as stack:
        refuse_open_batches(run.path)
        run.save_info()
        journal_skips(run, writer, plan)
        state = run.state()
        work = pending_work(plan, state, retry_failed=retry_failed, dropped=drops_of(run))
        if draw:
            check_environment(plan, run.info.experiment.engine, [item.group.id for item in work])
            check_placement(run.info.experiment, [item.group.target for item in work])
        limit_usd = run.info.experiment.budget_usd
        budget = Budget(limit_usd, plan, scores_usd=0.0 if limit_usd is None else scores_usd(run))
        for record in run.records():
            budget.record(record)
        left = {request.id for item in work for request in item.pending}
        final = [sample for sample in state.samples.values() if sample.request_id not in left]
        failed = sum(sample.status == "failed" for sample in final)
        observer.generating(len(final) + len(left), len(final), failed)
        beside, budget_message = None, None
        if draw:
            engine = engine or engine_for(run.info.experiment.engine)
            beside, budget_message = Drawing(run, plan, writer, budget, engine, observer, stack).draw(work)
        observer.stage("scoring")
        scoring = score_rest(run, plan, beside, progress=observer.scoring, note=observer.note)
        if report_path is not None:
            observer.stage("report")
        rebuild_table(run, plan)
    index = None if report_path is None else write_report(run, plan, report_path)
    return _outcome(run, plan, budget, budget_message, scoring, index)


def write_report(run: RunDirectory, plan: Plan, out: Path) -> Path:
    """See `report.write.write_report`, which is imported when it is needed: it loads matplotlib and scipy."""
    from kreabench.report import write

    return write.write_report(run, plan, out, options=ReportOptions(today=datetime.now(UTC).date()))


def _outcome(
    run: RunDirectory,
    plan: Plan,
    budget: Budget,
    budget_message: str | None,
    scoring: ScoringSummary,
    index: Path | None,
) -> Outcome:
    return Outcome(
        run_path=run.path,
        standing=standing_of(run, plan),
        spent_usd=budget.spent_usd,
        budget_message=budget_message,
        scoring=scoring,
        report_index=index,
    )


def rescore(
    run: RunDirectory,
    *,
    metrics: Sequence[MetricSpec],
    again: bool,
    progress: Callable[[int, int], None],
    device: str | None = None,
) -> ScoringSummary:
    """Score an existing run and rebuild its table. `metrics` become metrics of the run, so that reports show them.

    `device` is for this time, instead of the run's own `scoring.device`. What metrics lack is a failed score; ask
    `prepare` first where it is to be refused.
    """
    plan = plan_of(run)
    named = {spec.name: spec for spec in (*run.info.experiment.metrics, *metrics)}
    run = _with_asked(run, replace(run.info.experiment, metrics=tuple(named.values())))
    with run.writer(), run.score_writer() as writer:
        run.save_info()
        summary = score_run(
            run,
            plan,
            metrics=on_device(metrics, device or run.info.experiment.scoring.device),
            writer=writer,
            again=again,
            progress=progress,
            purse=purse_of(run, plan),
        )
        rebuild_table(run, plan)
    return summary


def follow(run: RunDirectory, *, progress: Callable[[int, int], None], device: str | None = None) -> ScoringSummary:
    """Score a run that another process draws, over all looks of a race, until that has ended and all is scored.

    Raises ConfigError where that would touch its timings, RunDirectoryError where another process scores.
    """
    while True:
        await_next_round(run)  # the look holds the scores, also one that was under way when this began
        if (summary := follow_to_look(run, progress=progress, device=device)) is not None:
            return summary


def follow_to_look(
    run: RunDirectory, *, progress: Callable[[int, int], None], device: str | None = None
) -> ScoringSummary | None:
    """As `follow`, but None where a race comes to a look before the end: the process that draws scores then itself."""
    plan = plan_of(run)
    experiment = run.info.experiment
    device = device or experiment.scoring.device
    if run.is_drawn:
        check_placement(experiment, experiment.targets, device=device, key="--follow")
    with run.score_writer() as writer:
        metrics = on_device(experiment.metrics, device)
        summary = follow_run(run, plan, metrics=metrics, writer=writer, progress=progress)
    if summary is not None:
        with suppress(RunDirectoryError), run.writer():  # the process that drew rebuilds it itself, if it still lives
            rebuild_table(run, plan)
    return summary
