"""The pictures of a run: in one go, or in the rounds of a race, with a look at the scores between two of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, closing

from kreabench.core.errors import BudgetReached
from kreabench.core.planned import Plan
from kreabench.core.records import Record
from kreabench.drops import drops_of
from kreabench.execution.budget import Budget
from kreabench.execution.engine import Engine, GroupWork
from kreabench.observer import Observer
from kreabench.race.look import is_decided, journal_look, look_at, rounds_left
from kreabench.race.rounds import Round, split_work, without_settings
from kreabench.report.format import count
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.writers import RunWriter
from kreabench.scoring.background import Background
from kreabench.scoring.beside import score_rest, start_beside
from kreabench.scoring.spending import scores_usd


class Drawing:
    """The pictures of a run, in one go, or in the rounds of a race."""

    def __init__(
        self,
        run: RunDirectory,
        plan: Plan,
        writer: RunWriter,
        budget: Budget,
        engine: Engine,
        observer: Observer,
        stack: ExitStack,
    ) -> None:
        self._run, self._plan, self._writer, self._budget = run, plan, writer, budget
        self._engine, self._observer, self._stack = engine, observer, stack

    def draw(self, work: Sequence[GroupWork]) -> tuple[Background | None, str | None]:
        """Draw `work`, less what a race drops meanwhile.

        Gives the scoring that may still go on beside it, and the message of a spent budget.
        """
        beside: Background | None = None
        with self._run.drawing():
            for one in rounds_left(self._run):
                if one.look is not None and is_decided(self._run, self._plan):
                    continue  # a round of its own would load models again, and its look could drop nothing
                if not work:
                    break  # what scores beside the last pictures goes on, and is waited for
                now, work = split_work(work, one.prompts)
                beside = start_beside(self._run, self._stack) if now else None
                message = _generate(self._run, self._writer, now, self._budget, self._engine, self._observer.record)
                if message is not None:
                    return beside, message
                if one.look is not None and work:  # where nothing is left to draw, dropping would spare nothing
                    with self._run.looking():
                        dropped, message = self._look(one, beside)
                    beside = None
                    if message is not None:
                        return beside, message
                    before = _count(work)
                    work = without_settings(work, dropped)
                    self._observer.dropped(before - _count(work))
        return beside, None

    def _look(self, one: Round, beside: Background | None) -> tuple[Collection[str], str | None]:
        """Score what the race needs, and drop settings. Gives all that were ever dropped.

        Where scores stop at the budget nothing is decided, and its message is given: scores that are missing would
        speak for settings that are not good enough.
        """
        from kreabench.race.seen import metrics_of  # loads scipy, which a run without a race does not need here

        race, metrics = self._run.info.experiment.race, self._run.info.experiment.metrics
        assert race is not None  # noqa: S101 - else no round ends with a look
        self._observer.note(f"look {one.look} at {len(one.prompts)} prompts: scoring")
        scoring = score_rest(
            self._run,
            self._plan,
            beside,
            metrics=metrics_of(race.question, metrics),
            progress=self._observer.scoring,
            note=self._observer.note,
        )
        if scoring.budget_message is not None:
            return (), f"stopped before look {one.look} of the race: {scoring.budget_message}"
        if scoring.failed or scoring.problems:
            failed = count(scoring.failed, "score")
            self._observer.note(
                f"look {one.look} goes without {failed} that failed, the first: {scoring.first_trouble}"
            )
        if self._budget.limit_usd is not None:
            self._budget.scores_usd = scores_usd(self._run)
        drops, over = look_at(self._run, self._plan, race, one)
        journal_look(self._writer, drops, over)
        labels = {setting.id: setting.label for setting in self._plan.settings}
        for drop in drops:
            self._observer.note(f"dropped {labels[drop.setting_id]}: {drop.reason}")
        self._observer.note(f"look {over.look} of {over.looks}: {over.settings} of {len(labels)} settings go on")
        return drops_of(self._run), None


def _count(work: Sequence[GroupWork]) -> int:
    return sum(len(item.pending) for item in work)


def _generate(
    run: RunDirectory,
    writer: RunWriter,
    work: Sequence[GroupWork],
    budget: Budget,
    engine: Engine,
    tell: Callable[[Record, float], None],
) -> str | None:
    """Journal the records as they come. Returns the message of a spent budget."""
    # Closed also when journalling fails or Ctrl-C comes: no worker and no service outlives the loop.
    with closing(engine.run(work, run.path, budget.admit)) as batches:
        try:
            for batch in batches:
                writer.append(*batch)
                for record in batch:
                    budget.record(record)
                    tell(record, budget.spent_usd)
        except BudgetReached as reached:
            return reached.message
    return None
