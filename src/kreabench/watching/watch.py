"""A canary from its folder: what the days say by now, and what the next day should draw."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kreabench.analysis.daily import daily_level
from kreabench.config.gate_policies import load_policy
from kreabench.config.resolve import load_metrics
from kreabench.core.errors import ConfigError, Problem, RunDirectoryError
from kreabench.core.policies import PolicySpec
from kreabench.decisions.canary import KINDS, CanaryResult, judge_canary, repeats_wanted
from kreabench.decisions.canary_days import open_days
from kreabench.decisions.canary_pictures import judge_pictures
from kreabench.decisions.canary_stretch import Distance
from kreabench.decisions.sides import Side
from kreabench.rundir.directory import RUN_FILE
from kreabench.rundir.files import make_folders, storage_remedy
from kreabench.rundir.lock import hold
from kreabench.scoring.requirements import prepare
from kreabench.watching.distances import distances

LOCK_FILE = "canary.lock"

LEAST_FALSE_ALARMS, MOST_FALSE_ALARMS = 0.05, 36.0
"""A year: fewer cannot be shown by the relabellings that are drawn, and with more nobody would look any more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """How a canary is judged."""

    false_alarms_per_year: float
    measure: str
    """Metric that tells how far a picture is from another one."""
    policy: str
    """Of the gate: a name or a file."""
    config_dir: Path | None = None


class Watch:
    """The folder of one canary, which no other process watches meanwhile."""

    def __init__(self, folder: Path, question: Question, distance: Distance, environ: Mapping[str, str]) -> None:
        """Use `watching`."""
        self.folder = folder
        self._question, self._distance, self._environ = question, distance, environ
        self._opened: dict[Path, Side] = {}

    def repeats(self, setting_id: str) -> int:
        """How often the next day, which draws `setting_id`, should draw each picture."""
        if not any(self.folder.glob(f"*/{RUN_FILE}")):
            return repeats_wanted((), ())
        days, _ = open_days(self.folder, self._opened)
        if days[-1].side.settings[0].id != setting_id:
            return repeats_wanted((), ())
        level = daily_level(self._question.false_alarms_per_year, KINDS)
        return repeats_wanted(days, judge_pictures(days, self._distance, level=level))

    def prepare(self, say: Callable[[str], None]) -> None:
        """Fetch what the metric of the distances lacks, where that can be. Raises EnvironmentProblem."""
        prepare(load_metrics([self._question.measure], self._question.config_dir), self._environ, say)

    def judge(self) -> CanaryResult:
        """The newest day beside those before. Raises ConfigError where there is none."""
        days, notices = open_days(self.folder, self._opened)
        return judge_canary(
            days,
            self._distance,
            self._policy(frozenset(spec.name for spec in days[-1].side.metrics)),
            false_alarms_per_year=self._question.false_alarms_per_year,
            notices=notices,
            begun_anew=len(days) == 1 < len(self._opened),
        )

    def check(self, metrics: frozenset[str]) -> None:
        """Raises ConfigError where the days cannot be judged by the policy that was asked for."""
        self._policy(metrics)

    def _policy(self, metrics: frozenset[str]) -> PolicySpec:
        return load_policy(self._question.policy, metrics, self._question.config_dir)


def known_folder(folder: Path) -> None:
    """Raises ConfigError where no canary is kept at `folder`."""
    if not folder.is_dir():
        expected = "the folder of a canary that has drawn a day"
        raise ConfigError([Problem(key=str(folder), found="no folder", expected=expected)])


@contextmanager
def watching(folder: Path, question: Question, environ: Mapping[str, str]) -> Iterator[Watch]:
    """The canary kept below `folder`, which is made where it is not there. Raises ConfigError for a bad question,
    RunDirectoryError while another process watches it, and where the folder cannot be made."""
    alarms = question.false_alarms_per_year
    if not LEAST_FALSE_ALARMS <= alarms <= MOST_FALSE_ALARMS:
        expected = f"{LEAST_FALSE_ALARMS:g} to {MOST_FALSE_ALARMS:g}"
        raise ConfigError([Problem(key="--false-alarms-per-year", found=f"{alarms:g}", expected=expected)])
    try:
        make_folders(folder)
    except OSError as error:
        raise RunDirectoryError(
            f"cannot make the folder {folder}: {error.strerror}", remedy=storage_remedy(error)
        ) from error
    with (
        hold(folder / LOCK_FILE),
        distances(folder, question.measure, environ, question.config_dir) as distance,
    ):
        yield Watch(folder, question, distance, environ)
