"""The cluster: jobs are submitted by submitit, and asked after with squeue."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import psutil

from kreabench.core.engine_spec import SlurmSpec
from kreabench.core.errors import EnvironmentProblem, Problem, one_line
from kreabench.rundir.batches import Jobs

_ASKING_LIMIT_S = 60.0


class Job(Protocol):
    """What we need of submitit's."""

    job_id: str


class Executor(Protocol):
    """What we need of submitit's: submits functions, an array of them at once."""

    def submit_array(self, fns: Sequence[Callable[[], Any]]) -> Sequence[Job]: ...


def check_cluster(spec: SlurmSpec) -> None:
    """Raises EnvironmentProblem where submitit is not installed or there is no Slurm."""
    _submitit()
    lacking = [name for name in ("sbatch", "srun") if shutil.which(name) is None]
    if spec.cluster == "slurm" and lacking:
        raise _no_cluster(f"no Slurm: {' and '.join(lacking)} not in PATH")


def make_executor(spec: SlurmSpec, folder: Path, name: str) -> Executor:
    """Submits to the cluster; its files, which hold no environment, lie in `folder`."""
    submitit = _submitit()
    kind = submitit.LocalExecutor if spec.cluster == "local" else submitit.SlurmExecutor
    executor = kind(folder, max_num_timeout=spec.max_requeues)
    if spec.cluster == "local":
        executor.update_parameters(timeout_min=spec.time_min, gpus_per_node=spec.gpus_per_job)
    else:
        executor.update_parameters(**_parameters(spec, name))
    typed: Executor = executor
    return typed


def submit(executor: Executor, functions: Sequence[Callable[[], Any]]) -> list[str]:
    """The ids of the jobs, in order. Raises EnvironmentProblem with what the cluster said where it refuses."""
    try:
        return [job.job_id for job in executor.submit_array(functions)]
    except (_submitit().core.utils.FailedJobError, _submitit().core.utils.FailedSubmissionError, OSError) as error:
        raise _no_cluster(f"sbatch refused the job: {one_line(error, 600)}") from error


def alive(jobs: Jobs) -> dict[str, bool | None]:
    """Element → whether its job waits or runs; None where nobody can say."""
    ask = _alive_here if jobs.cluster == "local" else _alive_in_queue
    answers: dict[str, bool | None] = {}
    for main in {job.split("_")[0] for job in jobs.ids.values()}:
        answers.update(ask(main, [job for job in jobs.ids.values() if job.split("_")[0] == main]))
    return {name: answers[job] for name, job in jobs.ids.items()}


def _parameters(spec: SlurmSpec, name: str) -> dict[str, Any]:
    optional: Mapping[str, Any] = {
        "partition": spec.partition,
        "account": spec.account,
        "qos": spec.qos,
        "constraint": spec.constraint,
        "mem": f"{round(1024 * spec.mem_gb)}MB" if spec.mem_gb else None,
        "gpus_per_node": spec.gpus_per_job or None,  # a cluster without GPUs refuses to be asked for none
        "array_parallelism": spec.jobs_at_once,
        "additional_parameters": dict(spec.extra) or None,
    }
    return {
        "job_name": name,
        "time": spec.time_min,
        "nodes": 1,
        "ntasks_per_node": 1,
        "cpus_per_task": spec.cpus_per_job,
        "srun_args": [f"--cpus-per-task={spec.cpus_per_job}"],  # since Slurm 22.05 srun no longer inherits it
        **{key: value for key, value in optional.items() if value is not None},
    }


def _alive_in_queue(main: str, ids: Sequence[str]) -> dict[str, bool | None]:
    """By squeue, which knows waiting and running jobs; what it no longer knows has ended."""
    command = ["squeue", "--noheader", "--array", "--format=%i", f"--jobs={main}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ASKING_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return dict.fromkeys(ids)
    if done.returncode != 0 and "invalid job id" not in done.stderr.lower():
        return dict.fromkeys(ids)
    listed = set(done.stdout.split())
    return {job: job in listed for job in ids}


def _alive_here(main: str, ids: Sequence[str]) -> dict[str, bool | None]:
    """submitit's stand-in for a cluster: a process of this machine, whose id is the job's."""
    try:
        process = psutil.Process(int(main))
        runs = process.status() != psutil.STATUS_ZOMBIE and "submitit.local._local" in process.cmdline()
    except (psutil.NoSuchProcess, ValueError):
        runs = False
    return dict.fromkeys(ids, runs)


def _submitit() -> ModuleType:
    try:
        import submitit
    except ImportError as error:
        raise EnvironmentProblem(
            [Problem(key="engine", found="submitit is not installed", expected="it: pip install 'kreabench[slurm]'")]
        ) from error
    module: ModuleType = submitit
    return module


def _no_cluster(found: str) -> EnvironmentProblem:
    remedy = "engine.cluster=local tries it without a cluster."
    return EnvironmentProblem([Problem(key="engine", found=found, expected="jobs that Slurm takes", remedy=remedy)])
