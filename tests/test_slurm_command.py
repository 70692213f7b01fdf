"""`kreabench run engine=slurm`, `merge` and `resume ENGINE` as their users meet them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kreabench import pipeline
from kreabench.core.engine_spec import SlurmSpec
from kreabench.core.errors import ConfigError, ExitCode
from kreabench.library.drawing import run as run_from_python
from kreabench.rundir.batches import Ended
from kreabench.rundir.directory import RunDirectory
from kreabench.slurm import batches, draw, submit
from kreabench.slurm.jobs import Executor
from tests.command_support import run_command
from tests.slurm_support import JOBS, SMALL

pytest.importorskip("submitit")

Call = Callable[..., "tuple[int, str, str]"]
LOCAL = (*SMALL, *JOBS, "engine.cluster=local")
RUN = Path("runs/trial")


class Cluster:
    """Jobs that are done when they are submitted, and those that are only put into the queue."""

    def __init__(self) -> None:
        self.at_once = True
        self.waiting: list[Callable[[], Any]] = []

    def submit_array(self, fns: Sequence[Callable[[], Any]]) -> Sequence[Any]:
        class Job:
            job_id = "10000000"  # more than there are processes

        for function in fns:
            if self.at_once:
                function()
            else:
                self.waiting.append(function)
        return [Job() for _ in fns]

    def __call__(self, spec: SlurmSpec, folder: Path, name: str) -> Executor:
        return self


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster()
    monkeypatch.setattr(submit.submit_run, "__kwdefaults__", {"retry_failed": False, "make": cluster})
    return cluster


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """Run a command line in an empty folder, without a report: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pipeline, "write_report", lambda run, plan, path: path / "index.html")
    return partial(run_command, capfd)


def test_submitting_says_the_jobs_and_how_to_go_on(call: Call, cluster: Cluster) -> None:
    cluster.at_once = False
    code, out, _ = call("run", *LOCAL)
    assert code == ExitCode.DONE
    assert "submitted 4 requests to 1 job: 10000000" in out
    assert "kreabench merge runs/trial, then kreabench resume runs/trial" in out
    for arguments in (("resume", str(RUN)), ("resume", str(RUN), "engine=local"), ("run", *LOCAL)):
        code, _, err = call(*arguments)
        assert (code, "not merged yet" in err, "kreabench merge runs/trial --close" in err) == (2, True, True)
    cluster.waiting[0]()
    code, out, _ = call("merge", str(RUN))
    assert code == ExitCode.DONE
    assert "4 of 4 samples delivered, 0 failed" in out
    assert "Go on with: kreabench resume runs/trial" in out
    code, out, _ = call("resume", str(RUN))  # nothing is left to submit: it scores and reports
    assert (code, "4 of 4 samples delivered" in out, len(cluster.waiting)) == (0, True, 1)
    assert "nothing new" in call("merge", str(RUN))[1]


def test_waiting_merges_scores_and_reports(call: Call, cluster: Cluster) -> None:
    code, out, _ = call("run", *LOCAL, "engine.wait=true")
    assert code == ExitCode.DONE
    assert "4 samples, 5 records" in out
    assert "report: reports/trial/index.html" in out
    assert len(RunDirectory.open(RUN).samples()) == 4


def test_waiting_for_a_job_that_was_killed_is_no_success(call: Call, cluster: Cluster) -> None:
    cluster.at_once = False  # and then nobody ever runs it
    code, out, _ = call("run", *LOCAL, "engine.wait=true")
    assert code == ExitCode.FAILED_SAMPLES
    assert "was ended from outside" in out
    assert "4 not done" in out
    code, out, _ = call("resume", str(RUN), "engine=local")
    assert (code, "4 of 4 samples delivered" in out) == (0, True)


def test_who_stops_waiting_is_told_what_becomes_of_the_jobs(
    call: Call, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(batches, "wait_for", interrupted)
    code, out, _ = call("run", *LOCAL, "engine.wait=true")
    assert code == ExitCode.INTERRUPTED
    assert "Ctrl-C ends jobs on this machine too" in out
    assert "the jobs go on" not in out


def test_a_job_at_its_budget_ends_the_run_as_any_other(
    call: Call, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = "stopped at the budget: $1.0000 spent"
    monkeypatch.setattr(draw, "_draw", lambda *_: Ended(how="budget", message=message))
    code, out, _ = call("run", *LOCAL, "engine.wait=true")
    assert code == ExitCode.BUDGET
    assert f"{message}. Go on with: kreabench resume runs/trial --budget-usd MORE" in out


def test_a_merged_run_is_compared_and_shown_as_any_other(call: Call, cluster: Cluster) -> None:
    assert call("run", *SMALL, "engine=local", "name=base")[0] == 0
    assert call("run", *LOCAL, "engine.wait=true", "engine.jobs_per_group=2")[0] == 0
    code, out, err = call("compare", "runs/base", str(RUN))
    assert (code, "Traceback" in out) == (0, False), err
    assert "4" in call("show", str(RUN))[1]


def test_closing_frees_a_run_whose_jobs_hang(call: Call, cluster: Cluster) -> None:
    cluster.at_once = False
    call("run", *LOCAL)
    (RUN / "parts/1/jobs.json").unlink()  # nobody knows the jobs
    code, out, _ = call("merge", str(RUN))
    assert (code, "nobody can say whether it runs" in out, "--close" in out) == (0, True, True)
    code, out, _ = call("merge", str(RUN), "--close")
    assert (code, "Go on with" in out) == (0, True)
    assert call("resume", str(RUN), "engine=local")[0] == 0
    cluster.waiting[0]()
    assert len(RunDirectory.open(RUN).samples()) == 4
    assert not [path for path in (RUN / "parts/1").iterdir() if (path / "run.json").exists()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("merge", "runs/nowhere"), "there is no folder runs/nowhere"),
        (("merge", "runs/trial"), "has no parts"),
        (("merge", "runs/trial", "runs/trial"), "is the run itself"),
        (("resume", "runs/trial", "axes.steps=[4]"), "expected engine=NAME"),
        (("resume", "runs/trial", "engine=nowhere"), "engine: found nowhere"),
    ],
)
def test_one_clear_error(call: Call, arguments: tuple[str, ...], message: str) -> None:
    assert call("run", *SMALL)[0] == 0
    code, _, err = call(*arguments)
    assert code == ExitCode.USAGE
    assert message in err


def test_python_has_no_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="engine: found slurm"):
        run_from_python(*LOCAL)
    assert not (tmp_path / "runs").exists()
