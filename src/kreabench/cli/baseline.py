"""`kreabench baseline`."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def baseline() -> None:
    """Keep what a comparison needs of a run in one small file, for git.

    The file stands wherever `compare`, `gate` and `history` take a run.
    """


@baseline.command()
@click.argument("run", metavar="RUN[:SELECTION]")
@click.option("--out", type=click.Path(path_type=Path), help="The file [default: baselines/<name of the run>.jsonl].")
@click.option("--unfinished", is_flag=True, help="Also where requests of the run have no sample yet.")
def export(run: str, out: Path | None, unfinished: bool) -> None:
    """Write a run's scores, costs and hashes to a file.

    RUN is a run directory such as runs/demo; SELECTION names some of its settings, such as acceleration=high,steps=8
    or reference. No picture, prompt, path or secret is written. Exporting a run twice gives the same file. An
    older baseline of that name is replaced.
    """
    from kreabench.decisions.baseline import baseline_of, write_baseline
    from kreabench.decisions.sides import open_side

    side = open_side(run)
    path = out or Path("baselines") / f"{side.run_name}.jsonl"
    content = baseline_of(side, unfinished=unfinished)
    write_baseline(path, content)
    rows = content.count(b"\n") - 1
    click.echo(f"baseline: {path} ({rows} {'line' if rows == 1 else 'lines'}, {len(content) / 1000:.1f} kB)")


@baseline.command()
@click.argument("file", metavar="FILE[:SELECTION]")
def show(file: str) -> None:
    """Print what a baseline file says.

    Where it is from, its settings, its metrics and the versions it was drawn with.
    """
    from kreabench.cli.baseline_table import print_baseline
    from kreabench.cli.terminal import console
    from kreabench.core.errors import ConfigError, Problem
    from kreabench.decisions.sides import open_side

    side = open_side(file)
    if side.picture_folder is not None:
        problem = Problem(key=file, found="a run directory", expected="a baseline file", remedy="Use `kreabench show`.")
        raise ConfigError([problem])
    print_baseline(console(), side)
