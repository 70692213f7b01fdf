"""`kreabench merge`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from kreabench.merging import Merged
    from kreabench.rundir.merge import PartMerge


@click.command()
@click.argument("run_path", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("part_paths", metavar="[PART]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--give-up-missing",
    is_flag=True,
    help="Take over parts that lack pictures: `resume` draws those requests again.",
)
@click.option(
    "--close",
    is_flag=True,
    help="Take jobs that may still run for ended: what they have not drawn is free for `resume`.",
)
def merge(run_path: Path, part_paths: tuple[Path, ...], give_up_missing: bool, close: bool) -> None:
    """Bring the parts that jobs of `engine=slurm` drew into their run.

    RUN is the run directory that `kreabench run` printed, PART a folder of a part, or another run directory of the
    same plan; without any, all parts below RUN/parts. Parts are only read, also while they are being written, and
    merging again adds nothing. Scores are not merged: `kreabench score RUN` makes them.

    A request that was drawn in two parts counts once, as it was delivered first; what the other one cost is kept.
    Afterwards `kreabench resume RUN` draws what lacks, by any engine, scores and reports.

    \b
      kreabench merge runs/night
      kreabench merge runs/night /scratch/night/parts/1/krea-local-0
    """
    from kreabench.cli.terminal import console, say
    from kreabench.slurm.batches import merge_batches

    out = console()
    merged, states, free = merge_batches(run_path, part_paths, give_up_missing=give_up_missing, close_all=close)
    print_merged(out, merged)
    for state in states:
        say(out, str(state))
    if free:
        say(out, f"Go on with: kreabench resume {run_path}")
    else:
        say(out, "Merge again when all jobs have ended; --close takes over from those that never will.")


def print_merged(out: Console, merged: Merged) -> None:
    """What came of each part, and of the run."""
    from kreabench.cli.terminal import say
    from kreabench.report.format import count

    for part in merged.parts:
        say(out, _part_line(part))
        for line in _remarks(part):
            say(out, f"  {line}")
    for note in merged.notes:
        say(out, f"! {note}", "bold yellow")
    left = f", {merged.left} not drawn yet" if merged.left else ""
    say(out, f"{merged.delivered} of {count(merged.requests, 'sample')} delivered, {merged.failed} failed{left}")


def _part_line(part: PartMerge) -> str:
    from kreabench.report.format import count

    if not part.records:
        return f"{part.path}: nothing new"
    failed = f", {part.failed} failed" if part.failed else ""
    return f"{part.path}: {count(part.delivered, 'sample')}{failed}, {count(part.records, 'record')}"


def _remarks(part: PartMerge) -> list[str]:
    from kreabench.report.format import count

    lines = []
    if part.twice:
        first = ", ".join(part.twice[:3])
        more = ", …" if len(part.twice) > 3 else ""
        lines.append(f"{count(len(part.twice), 'request')} drawn twice, the first one counts: {first}{more}")
    if part.given_up:
        lines.append(f"{count(len(part.given_up), 'request')} given up, as pictures are missing")
    if part.is_cut:
        lines.append("its last line is not whole, and was left out")
    return lines
