"""What `run` and `resume` do with `engine=slurm`: submit what is left, and say how to go on, or wait."""

from __future__ import annotations

from rich.console import Console

from kreabench.cli.merge import print_merged
from kreabench.cli.terminal import say
from kreabench.report.format import count
from kreabench.rundir.directory import RunDirectory


def submit_and_wait(out: Console, run: RunDirectory, *, retry_failed: bool) -> tuple[bool, str | None]:
    """Whether to go on with scores and the report: nothing was left to draw, or it was waited for and merged.

    And the message of a job that stopped at the budget.
    """
    from kreabench.slurm.batches import merge_batches, wait_for
    from kreabench.slurm.submit import submit_run

    submitted = submit_run(run, retry_failed=retry_failed)
    if submitted is None:
        return True, None
    spec = run.info.experiment.engine.slurm
    assert spec is not None  # noqa: S101 - of this kind of engine
    ids = ",".join(submitted.main_ids)
    say(out, f"submitted {count(submitted.requests, 'request')} to {count(len(submitted.jobs.ids), 'job')}: {ids}")
    how = f"kreabench merge {run.path}, then kreabench resume {run.path}"
    if not spec.wait:
        look = f" (squeue --jobs={ids})" if spec.cluster == "slurm" else ""
        say(out, f"Go on when they have ended{look}: {how}")
        return False, None
    try:
        heard = wait_for(submitted.batch_path, lambda text: say(out, text))
    except KeyboardInterrupt:
        fate = "the jobs go on"
        if spec.cluster == "local":
            fate = "Ctrl-C ends jobs on this machine too; they go on where it reached this command alone"
        say(out, f"{fate}. When they have ended: {how}")
        raise
    if not heard:
        say(out, f"squeue does not answer, so nobody waits any longer. When the jobs have ended: {how}")
        return False, None
    merged, states, _ = merge_batches(run.path)
    print_merged(out, merged)
    for state in states:
        if state.state != "done":
            say(out, f"! {state}", "bold yellow")
    return True, next((state.message for state in states if state.state == "budget"), None)
