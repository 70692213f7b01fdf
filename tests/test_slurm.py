"""Jobs of a cluster draw parts of a run: submitted by submitit, killed and started again, merged, gone on with."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console

from kreabench import pipeline
from kreabench.cli.run_show import print_run
from kreabench.config.resolve import load, load_engine
from kreabench.core.engine_spec import SlurmSpec
from kreabench.core.errors import ConfigError, EnvironmentProblem, KreabenchError, Problem, RunDirectoryError
from kreabench.core.records import Cost, Record, SampleRecord, SubmissionRecord
from kreabench.execution.engine import Admit, GroupWork
from kreabench.execution.lane import DISTURBED
from kreabench.execution.local import LocalEngine
from kreabench.execution.pending import pending_work
from kreabench.observer import Observer
from kreabench.plan_build import build_plan
from kreabench.plan_of_run import plan_of
from kreabench.rundir.batches import is_closed, read_batch, read_jobs
from kreabench.rundir.directory import RunDirectory
from kreabench.slurm import draw
from kreabench.slurm.batches import merge_batches, states_of, wait_for
from kreabench.slurm.draw import DrawElement, draw_element
from kreabench.slurm.elements import share_out
from kreabench.slurm.jobs import Executor
from kreabench.slurm.problems import jobs_problems
from kreabench.slurm.submit import Submitted, submit_run
from tests.engine_support import faulty_target, wait_until, worker_pids
from tests.engine_support import start as engine_records
from tests.race_support import racing_experiment
from tests.slurm_support import JOBS, SMALL, slurm, start, touched
from tests.support import UTC, make_group, make_sample

__all__ = ["slurm"]
submitit = pytest.importorskip("submitit")
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")

LOCAL = (*JOBS, "engine.cluster=local")


class InThisProcess:
    """Submits nothing; whoever wants to be a job calls the functions."""

    def __init__(self) -> None:
        self.functions: list[Callable[[], Any]] = []

    def submit_array(self, fns: Sequence[Callable[[], Any]]) -> Sequence[Any]:
        first = len(self.functions)
        self.functions += fns

        class Job:
            def __init__(self, number: int) -> None:
                self.job_id = f"{10_000_000 + first}_{number}"  # more than there are processes

        return [Job(number) for number in range(len(fns))]

    def __call__(self, spec: SlurmSpec, folder: Path, name: str) -> Executor:
        return self


def given_out(run: RunDirectory, **options: Any) -> tuple[Submitted, list[Callable[[], Any]]]:
    cluster = InThisProcess()
    submitted = submit_run(run, make=cluster, **options)
    assert submitted is not None
    return submitted, cluster.functions


def drawn(run: RunDirectory) -> dict[str, tuple[Any, ...]]:
    """What must be the same whoever draws."""
    return {
        key: (one.setting_id, one.group_id, one.prompt_id, one.seed, one.status, [image.sha256 for image in one.images])
        for key, one in run.samples().items()
    }


def go_on(run: RunDirectory, report: Path, **options: Any) -> pipeline.Outcome:
    """Draw the rest on this machine."""
    again = pipeline.reopen(run.path, engine=load_engine(["engine=local"]))
    return pipeline.execute(again, observer=Observer(), report_path=report, **options)


@pytest.fixture
def unreported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "write_report", lambda run, plan, path: path / "index.html")


def by_local_engine(run: RunDirectory) -> dict[str, tuple[Any, ...]]:
    work = pending_work(plan_of(run), run.state(), retry_failed=False)
    spec = load_engine(["engine=local"])
    with run.writer() as writer, closing(LocalEngine(spec).run(work, run.path, lambda group, request: None)) as batches:
        for batch in batches:
            writer.append(*batch)
    return drawn(run)


@pytest.mark.parametrize("jobs_per_group", [1, 2])
def test_jobs_draw_what_the_local_engine_draws(tmp_path: Path, jobs_per_group: int) -> None:
    run = start(tmp_path, *LOCAL, f"engine.jobs_per_group={jobs_per_group}")
    submitted, functions = given_out(run)
    assert (len(functions), submitted.requests) == (jobs_per_group, 4)
    assert [function() for function in functions] == ["done"] * jobs_per_group
    merged, states, free = merge_batches(run.path)
    assert (merged.delivered, merged.left, free) == (4, 0, True)
    assert {state.state for state in states} == {"done"}
    other = start(tmp_path / "other", "engine=local")
    assert other.info.plan_hash == run.info.plan_hash
    assert drawn(run) == by_local_engine(other)
    kinds = {record.kind for record in run.records()}
    assert kinds == {record.kind for record in other.records()} == {"load", "sample"}


@pytest.mark.timeout(120)
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # submitit's own logs
def test_submitits_debug_executor_runs_the_very_same_function(tmp_path: Path) -> None:
    run = start(tmp_path, *LOCAL)
    jobs: list[Any] = []

    class Debug(submitit.DebugExecutor):  # type: ignore[misc, name-defined, unused-ignore]
        def submit_array(self, fns: Sequence[Callable[[], Any]]) -> Sequence[Any]:
            jobs.extend(super().submit_array(fns))
            return jobs

    assert submit_run(run, make=lambda spec, folder, name: Debug(folder)) is not None
    assert [job.result() for job in jobs] == ["done"]
    assert merge_batches(run.path)[0].delivered == 4


@pytest.mark.timeout(120)
@pytest.mark.usefixtures("unreported")
def test_a_job_that_is_killed_leaves_a_part_and_another_engine_goes_on(tmp_path: Path) -> None:
    run = hanging_at_the_last_prompt(tmp_path)
    submitted = submit_run(run)
    assert submitted is not None
    (state,) = states_of(submitted.batch_path)
    part = submitted.batch_path / state.name
    assert state.job_id is not None
    try:
        wait_until(lambda: _content(part / "journal.jsonl").count(b'"kind":"sample"') == 2, "the samples of the job")
        assert states_of(submitted.batch_path)[0].state == "alive"
        with pytest.raises(RunDirectoryError, match=f"given out to jobs .{state.job_id}."):
            go_on(run, tmp_path / "report")
        with pytest.raises(RunDirectoryError, match="not merged yet"):
            submit_run(run)
    finally:
        kill_tree(int(state.job_id))
    journal = part / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"kind":"sample","request_id"')  # as if it had died with the line half written
    merged, states, free = merge_batches(run.path)
    assert (states[0].state, free, merged.parts[0].is_cut) == ("killed", True, True)
    assert merged.delivered == 2
    outcome = go_on(run, tmp_path / "report")
    assert (outcome.delivered, outcome.failed) == (4, 0)
    finished = [record.request_id for record in run.records() if isinstance(record, SampleRecord)]
    assert len(finished) == len(set(finished)) == 4


def hanging_at_the_last_prompt(folder: Path) -> RunDirectory:
    """A run whose first worker to come there never comes back."""
    experiment = load([*SMALL, *LOCAL]).experiment
    target = experiment.targets[0]
    for number in range(100):  # the order of prompts is a hash of all options
        prompt = experiment.prompts[number % 2].text
        faults = [{"kind": "hang", "prompt_contains": prompt, "times": 1}]
        state_dir = folder / str(number)
        options = {**target.options, "faults": faults, "state_dir": str(state_dir)}
        hanging = replace(experiment, targets=(replace(target, options=options),))
        if [request.prompt == prompt for request in build_plan(hanging).groups[0].requests] == [
            False,
            False,
            True,
            True,
        ]:
            state_dir.mkdir()
            return pipeline.start(folder / "run", hanging, "name: hangs\n", os.environ)
    raise AssertionError("no order has the prompt last")


def kill_tree(pid: int) -> None:
    controller = psutil.Process(pid)
    for process in (controller, *controller.children(recursive=True)):
        process.send_signal(signal.SIGKILL)
    wait_until(lambda: not psutil.pid_exists(pid) or controller.status() == "zombie", "the job's end")


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


@pytest.mark.timeout(120)
def test_slurm_gets_an_array_for_each_group_and_no_secret(
    tmp_path: Path, slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "key-id:0123456789abcdef-secret"
    monkeypatch.setenv("FAL_KEY", secret)
    resources = ("engine.partition=gpu", "engine.account=lab", "engine.time_min=90", "engine.jobs_at_once=1")
    more = ("engine.extra={reservation:night,exclusive:true}", "engine.jobs_per_group=2", "engine.mem_gb=1.5")
    run = start(tmp_path, *JOBS, *resources, *more)
    submitted = submit_run(run)
    assert submitted is not None
    assert submitted.main_ids == ("4711",)
    assert sorted(submitted.jobs.ids.values()) == ["4711_0", "4711_1"]
    said: list[str] = []
    assert wait_for(submitted.batch_path, said.append, sleep=_shortly)
    merged, states, free = merge_batches(run.path)
    assert (merged.delivered, free) == (4, True), [path.read_text() for path in submitted.batch_path.rglob("*_log.err")]
    assert {state.state for state in states} == {"done"}
    lines = (slurm / "submitted-4711.sh").read_text(encoding="utf-8").splitlines()
    wanted = ("array=0-1%1", "partition=gpu", "account=lab", "time=90", "reservation=night", "mem=1536MB")
    assert [option for option in wanted if f"#SBATCH --{option}" not in lines] == []
    assert "#SBATCH --exclusive" in lines
    assert not any("gpus" in line for line in lines), "none are wanted"
    assert (slurm / "had-the-key").exists(), "jobs have the environment of who submits"
    holding = [path for path in tmp_path.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert holding == []


def _shortly(seconds: float) -> None:
    import time

    time.sleep(0.1)


@pytest.mark.timeout(120)
def test_a_job_that_waits_keeps_the_run_until_it_is_taken_over(tmp_path: Path, slurm: Path) -> None:
    run = start(tmp_path, *JOBS)
    with touched(slurm / "waits"):
        submitted = submit_run(run)
        assert submitted is not None
        merged, states, free = merge_batches(run.path)
        assert (merged.left, [state.state for state in states], free) == (4, ["alive"], False)
        with touched(slurm / "mute"):
            assert [state.state for state in states_of(submitted.batch_path)] == ["unknown"]
            assert not merge_batches(run.path)[2], "who says nothing may still run"
            assert not wait_for(submitted.batch_path, lambda text: None, sleep=lambda seconds: None)
        assert merge_batches(run.path, close_all=True)[2]
    wait_until(lambda: not any((slurm / "queue").iterdir()), "the job's turn")
    assert not (submitted.batch_path / states[0].name).exists(), "it draws nothing that was taken from it"
    assert given_out(run)[0].requests == 4


def test_what_slurm_refuses_leaves_the_run_free(tmp_path: Path, slurm: Path) -> None:
    run = start(tmp_path, *JOBS, "engine.partition=nowhere")
    with touched(slurm / "refuses"), pytest.raises(EnvironmentProblem, match="invalid partition specified: nowhere"):
        submit_run(run)
    assert is_closed(run.path / "parts/1")
    assert pipeline.reopen(run.path).samples() == {}
    with run.writer():
        pass
    assert given_out(run)[0].batch_path.name == "2"


def test_without_slurm_or_submitit_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = start(tmp_path, *JOBS)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentProblem, match="sbatch and srun not in PATH"):
        submit_run(run)
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(EnvironmentProblem, match=r"pip install 'kreabench\[slurm\]'"):
        submit_run(run)
    assert not (run.path / "parts").exists()


def test_a_job_started_again_goes_on_where_it_was(tmp_path: Path) -> None:
    run = start(tmp_path, *LOCAL)
    submitted, (function,) = given_out(run)
    assert isinstance(function, DrawElement)
    again = pickle.loads(pickle.dumps(function)).checkpoint().function
    assert vars(again) == vars(function)
    taken: list[int] = []
    real = LocalEngine.run

    def dying(self: LocalEngine, work: Any, run_path: Path, admit: Any) -> Any:
        taken.append(sum(len(item.pending) for item in work))
        for batch in real(self, work, run_path, admit):
            yield batch
            if len(taken) == 1 and isinstance(batch[0], SampleRecord):
                raise SystemExit(-1)  # what submitit does near the time limit

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalEngine, "run", dying)
        with pytest.raises(SystemExit):
            function()
        assert [state.state for state in states_of(submitted.batch_path)] == ["killed"]
        assert again() == "done"
    assert taken == [4, 3]
    assert [state.state for state in states_of(submitted.batch_path)] == ["done"]
    assert merge_batches(run.path)[0].delivered == 4


def test_a_batch_that_is_closed_stops_its_jobs(tmp_path: Path) -> None:
    run = start(tmp_path, *LOCAL)
    submitted, (function,) = given_out(run)
    real = LocalEngine.run

    def closing_meanwhile(self: LocalEngine, work: Any, run_path: Path, admit: Any) -> Any:
        for batch in real(self, work, run_path, admit):
            if isinstance(batch[0], SampleRecord):
                (submitted.batch_path / "closed").touch()
            yield batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalEngine, "run", closing_meanwhile)
        assert function() == "closed"
    assert function() == "closed"
    assert merge_batches(run.path)[0].delivered == 1


def test_what_a_node_lacks_is_a_failure_that_a_resume_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacks(*_: Any) -> None:
        raise EnvironmentProblem([Problem(key="torch", found="no GPU", expected="one")])

    monkeypatch.setattr(draw, "check_environment", lacks)
    run = start(tmp_path, *LOCAL)
    _, (function,) = given_out(run)
    assert function() == "failed"
    merged, (state,), free = merge_batches(run.path)
    assert (merged.failed, free) == (4, True)
    assert "no GPU" in str(state)
    assert {sample.error.type for sample in run.samples().values() if sample.error} == {"load_failed"}
    monkeypatch.undo()
    submitted, (function,) = given_out(run)
    assert submitted.requests == 4
    assert function() == "done"
    assert merge_batches(run.path)[0].delivered == 4
    assert {sample.attempt for sample in run.samples().values()} == {1}


def test_samples_say_which_job_drew_them_and_a_part_is_no_run(tmp_path: Path) -> None:
    run = start(tmp_path, *LOCAL)
    submitted, (function,) = given_out(run)
    function()
    (element,) = read_batch(submitted.batch_path).elements
    with pytest.raises(RunDirectoryError, match="is a part of the run"):
        merge_batches(submitted.batch_path / element.name, [submitted.batch_path / element.name])
    merge_batches(run.path)
    assert {sample.worker for sample in run.samples().values()} == {f"1/{element.name}"}


@pytest.mark.parametrize(("jobs", "valid"), [(1, True), (2, False)])
def test_jobs_that_draw_at_once_on_one_machine_time_nothing(tmp_path: Path, jobs: int, valid: bool) -> None:
    run = start(tmp_path, *LOCAL, f"engine.jobs_per_group={jobs}")
    _, functions = given_out(run)
    assert len(functions) == jobs
    for function in functions:
        function()
    merge_batches(run.path)
    delivered = [sample for sample in run.samples().values() if sample.status == "ok"]
    assert delivered
    assert {DISTURBED in sample.flags for sample in delivered} == {not valid}
    assert any(sample.timing_valid for sample in delivered) == valid


def test_show_names_the_jobs_that_have_the_rest_of_a_run(tmp_path: Path) -> None:
    run = start(tmp_path, *LOCAL)
    given_out(run)
    out = Console(file=StringIO(), width=200)
    print_run(out, run, plan_of(run))
    assert isinstance(out.file, StringIO)
    assert "given out to jobs (10000000): kreabench merge" in out.file.getvalue()


def test_a_merge_that_fails_frees_no_run(tmp_path: Path) -> None:
    run = start(tmp_path, *LOCAL)
    submitted, (function,) = given_out(run)
    function()
    with pytest.raises(RunDirectoryError):
        merge_batches(run.path, [tmp_path / "none"], close_all=True)
    assert is_closed(submitted.batch_path)
    with pytest.raises(RunDirectoryError, match="not merged yet"):
        submit_run(run, make=InThisProcess())
    merged, _, free = merge_batches(run.path, close_all=True)
    assert (merged.delivered, free) == (4, True)


def test_a_second_try_by_jobs_is_known_as_one(tmp_path: Path) -> None:
    fault = "target.fake_local.options.faults=[{kind: error, type: server_error, times: 1}]"
    run = start(tmp_path, *LOCAL, f"target.fake_local.options.state_dir={tmp_path}", fault)
    _, (function,) = given_out(run)
    function()
    assert merge_batches(run.path)[0].failed == 1
    submitted, (function,) = given_out(run)
    assert submitted.requests == 1
    function()
    merge_batches(run.path)
    assert sorted(sample.attempt for sample in run.samples().values()) == [1, 1, 1, 2]
    (name,) = {str(sample.worker).partition("/")[2] for sample in run.samples().values()}
    assert {sample.worker for sample in run.samples().values()} == {f"1/{name}", f"2/{name}"}
    assert {sample.status for sample in run.samples().values()} == {"ok"}


def test_hosted_targets_share_one_job_and_what_is_left_of_the_budget(tmp_path: Path) -> None:
    from tests.hosted_support import USD, hosted_target

    run = start(tmp_path, *LOCAL, "axes.steps=[4]", "engine.jobs_per_group=2")
    experiment = replace(
        run.info.experiment, targets=(*run.info.experiment.targets, hosted_target(tmp_path)), budget_usd=1.5 * USD
    )
    mixed = pipeline.start(tmp_path / "mixed", experiment, "name: mixed\n", os.environ)
    submitted, functions = given_out(mixed)
    elements = read_batch(submitted.batch_path).elements
    assert [(element.name.split("-")[0], len(element.requests)) for element in elements] == [
        ("0", 1),
        ("0", 1),
        ("hosted", 2),
    ]
    assert [element.budget_usd for element in elements] == [None, None, 1.5 * USD]
    assert [function() for function in functions] == ["done", "done", "budget"]
    merged, states, _ = merge_batches(mixed.path)
    assert (merged.delivered, merged.left) == (3, 1)
    assert "stopped at the budget" in str(states[-1])
    # What is left of the budget buys nothing any more; the job says what the run has spent of it.
    submitted, (last,) = given_out(mixed)
    assert last() == "budget"
    (state,) = states_of(submitted.batch_path)
    assert state.message == (
        f"stopped at the budget: ${USD:.4f} spent, the next request costs ${USD:.4f}, budget.usd is {1.5 * USD:g}"
    )


def test_what_is_open_at_a_service_is_reserved_once_by_the_job_that_fetches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.hosted_support import USD, hosted_target

    targets = (hosted_target(tmp_path),)
    experiment = replace(start(tmp_path, *LOCAL).info.experiment, targets=targets, budget_usd=2.5 * USD)
    run = pipeline.start(tmp_path / "hosted", experiment, "name: hosted\n", os.environ)
    first, *others = plan_of(run).groups[0].requests
    with run.writer() as writer:
        writer.append(
            SubmissionRecord(
                request_id=first.id,
                setting_id=first.setting_id,
                group_id=plan_of(run).groups[0].id,
                attempt=1,
                at_utc=UTC,
                service_request_id="job-1",
            )
        )
    admitted = []

    def ask(self: LocalEngine, work: Sequence[GroupWork], run_path: Path, admit: Admit) -> Iterator[tuple[Record, ...]]:
        for item in work:
            for request in item.pending:
                if request.id in item.submitted:
                    yield (make_sample(request, group_id=item.group.id, cost=Cost(usd=USD, basis="billed"), images=()),)
                else:
                    admit(item.group, request)
                    admitted.append(request)

    monkeypatch.setattr(LocalEngine, "run", ask)
    submitted, (job,) = given_out(run)
    assert job() == "budget"
    assert admitted == others[:1]
    (state,) = states_of(submitted.batch_path)
    assert f"${USD:.4f} spent, ${USD:.4f} reserved" in state.message


def test_prompts_are_never_split_between_jobs(tmp_path: Path) -> None:
    run = start(tmp_path, *LOCAL, "prompts.limit=5", "run.seeds=[0,1]", "run.repeats=2", "axes.steps=[2,4,6]")
    plan = plan_of(run)
    work = pending_work(plan, run.state(), retry_failed=False)
    for jobs in (1, 2, 3, 5, 50):
        (array,) = share_out(work, jobs, None)
        assert len(array) == min(jobs, 5)
        ids = [request_id for element in array for request_id in element.requests]
        assert sorted(ids) == sorted(request.id for group in plan.groups for request in group.requests)
        prompt_of = {request.id: request.prompt_id for group in plan.groups for request in group.requests}
        prompts = [{prompt_of[request_id] for request_id in element.requests} for element in array]
        assert sum(map(len, prompts)) == 5
        assert len({element.name for element in array}) == len(array)


def test_a_run_begun_on_this_machine_is_gone_on_with_by_jobs(tmp_path: Path) -> None:
    begun = start(tmp_path, "engine=local")
    work = pending_work(plan_of(begun), begun.state(), retry_failed=False)
    with begun.writer() as writer:
        engine = LocalEngine(begun.info.experiment.engine)
        with closing(engine.run(work, begun.path, lambda group, request: None)) as batches:
            for batch in batches:
                writer.append(*batch)
                if len(begun.samples()) == 2:
                    break
    before = drawn(begun)
    engine_spec = load_engine(["engine=slurm", "engine.cluster=local", "engine.gpus_per_job=0"])
    run = pipeline.reopen(begun.path, engine=engine_spec)
    submitted, (function,) = given_out(run)
    assert submitted.requests == 2
    function()
    assert merge_batches(run.path)[0].delivered == 4
    assert drawn(run).items() >= before.items()
    assert RunDirectory.open(run.path).info.experiment.engine.kind == "slurm"


@pytest.mark.timeout(120)
def test_slurms_warning_is_for_the_job_and_not_for_its_worker(tmp_path: Path) -> None:
    group = make_group(target=faulty_target(tmp_path), prompts=3)
    with closing(engine_records(group, tmp_path)) as records:
        found = [next(records)]
        for pid in worker_pids():
            os.kill(pid, signal.SIGUSR2)
        found += records
    assert [record.kind for record in found] == ["load", "sample", "sample", "sample"]


def test_a_part_cannot_be_gone_on_with_alone(tmp_path: Path) -> None:
    run = start(tmp_path, *LOCAL)
    submitted, (function,) = given_out(run)
    function()
    (state,) = states_of(submitted.batch_path)
    part = RunDirectory.open(submitted.batch_path / state.name)
    for act in (lambda: submit_run(part), lambda: go_on(part, tmp_path / "report")):
        with pytest.raises(RunDirectoryError, match="is a part of the run"):
            act()


def test_a_batch_of_another_plan_or_version_is_not_drawn(tmp_path: Path) -> None:
    run = start(tmp_path, *LOCAL)
    submitted, _ = given_out(run)
    name = read_batch(submitted.batch_path).elements[0].name
    file = submitted.batch_path / "batch.json"
    text = file.read_text(encoding="utf-8")
    for changed, match in (
        (text.replace(run.info.plan_hash, "f" * 16), "a batch of plan"),
        (text.replace('"schema_version": 4', '"schema_version": 99'), "schema version 99"),
        (text[:40], "cannot be read"),
    ):
        assert changed != text
        file.write_text(changed, encoding="utf-8")
        with pytest.raises(RunDirectoryError, match=match):
            draw_element(submitted.batch_path, name)
    file.write_text(text, encoding="utf-8")
    with pytest.raises(RunDirectoryError, match="no such element"):
        draw_element(submitted.batch_path, "nobody")


def test_a_killed_submitter_leaves_jobs_that_are_found_and_a_run_that_waits(tmp_path: Path) -> None:
    run = start(tmp_path, *LOCAL)
    submitted, (function,) = given_out(run)
    (submitted.batch_path / "jobs.json").unlink()  # it died before it could write them down
    assert read_jobs(submitted.batch_path) is None
    with pytest.raises(RunDirectoryError, match="of unknown id"):
        submit_run(run)
    merged, states, free = merge_batches(run.path)
    assert (merged.left, [state.state for state in states], free) == (4, ["unknown"], False)
    function()
    merged, states, free = merge_batches(run.path)
    assert (merged.delivered, [state.state for state in states], free) == (4, ["done"], True)


@pytest.mark.parametrize(
    ("overrides", "key", "expected"),
    [
        (["engine.partiton=gpu"], "engine.partiton", "did you mean partition?"),
        (["engine.partition='a b; rm x'"], "engine.partition", "without spaces"),
        (["engine.time_min=0"], "engine.time_min", "greater than or equal to 1"),
        (["engine.extra={time:5}"], "engine.extra.time", "an option of sbatch other than account"),
        (["engine.extra={export:'FAL_KEY=abc'}"], "engine.extra.export", "an option of sbatch other than"),
        (["engine.extra={Bad_key:1}"], "engine.extra.Bad_key", "sbatch"),
        (["engine.cluster=pbs"], "engine.cluster", "'slurm' or 'local'"),
    ],
)
def test_what_the_engine_does_not_have_is_refused(overrides: list[str], key: str, expected: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load([*SMALL, "engine=slurm", *overrides])
    (problem,) = raised.value.problems
    assert problem.key.startswith(key)
    assert expected in problem.expected
    assert "abc" not in str(raised.value)


def test_the_plan_takes_nodes_to_have_the_gpu_that_is_named() -> None:
    machines = [
        load([*SMALL, "engine=slurm", *more]).experiment.machine
        for more in (["engine.gpu_kind=A100"], [], ["engine.gpus_per_job=0"])
    ]
    assert [[gpu.capability for gpu in machine.gpus] for machine in machines if machine] == [[(8, 0)], [None], []]


def test_what_jobs_cannot_do_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    engine = start(tmp_path / "ours", *JOBS).info.experiment.engine
    (problem,) = jobs_problems(replace(racing_experiment(), engine=engine))
    assert problem.key == "run.race"
    with pytest.raises(ConfigError, match=r"scoring\.during_generation: found true"):
        start(tmp_path, *JOBS, "scoring.during_generation=true")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("words", [["engine.wait=true"], ["target=[krea_fal]"], ["engine=local", "axes.steps=[4]"]])
def test_resuming_takes_an_engine_and_nothing_else(words: list[str]) -> None:
    with pytest.raises(ConfigError, match="engine=NAME"):
        load_engine(words)


def test_every_error_of_a_job_is_ours(tmp_path: Path) -> None:
    """Where the node does not see the run, the job says so before it loads anything."""
    with pytest.raises(KreabenchError, match="not a run directory"):
        draw_element(tmp_path / "elsewhere/parts/1", "x")
