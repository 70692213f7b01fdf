"""`kreabench push` and `kreabench pull`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

LINE_EVERY_S = 5.0


@click.command()
@click.argument("run_path", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("url", metavar="URL")
@click.option("--allow-missing", is_flag=True, help="Also where pictures of the run are gone or were changed.")
def push(run_path: Path, url: str, allow_missing: bool) -> None:
    """Send a run to shared storage: what is not there yet.

    RUN is a run directory; it may be drawn or scored meanwhile, and is then sent as far as it is. URL is
    s3://BUCKET/PATH, gs://BUCKET/PATH or file:///FOLDER, one of its own for each run. Keys are taken from the
    environment, as the clients of these stores do; AWS_ENDPOINT_URL names an S3 service of your own.

    \b
      kreabench push runs/demo s3://benchmarks/runs/demo

    A push that was cut off goes on when it is repeated; until it is done, readers see the run as it was before. Where
    the URL has lines of a journal that RUN lacks, pull first.

    Exit codes: 0 done; 2 refused, or the store cannot be used; 130 interrupted.
    """
    from kreabench.cli.terminal import console, say
    from kreabench.remote.push import push as send
    from kreabench.remote.stores import open_store
    from kreabench.remote.urls import parse_url
    from kreabench.report.format import count

    location = parse_url(url)
    out = console()
    begun_s = time.monotonic()
    done = send(run_path, open_store(location), allow_missing=allow_missing, progress=_progress(out, "sent"))
    seconds = time.monotonic() - begun_s
    if done.left_out:
        say(out, f"! without {count(len(done.left_out), 'picture')}, such as {done.left_out[0]}", "yellow")
    if not done.exclusive:
        say(
            out,
            "! this store ignores If-None-Match: let one machine at a time push to this URL",
            "yellow",
        )
    if done.found_objects:
        say(out, f"{count(done.found_objects, 'object')} of a push that was cut off were there already")
    what = "nothing was new"
    if done.sent_objects:
        what = f"{count(done.sent_objects, 'object')}, {done.sent_bytes / 1e6:.1f} MB in {seconds:.1f} s"
    say(out, f"pushed: {location} ({count(done.pictures, 'picture')}; {what})")


@click.command()
@click.argument("url", metavar="URL")
@click.argument("run_path", metavar="RUN", type=click.Path(path_type=Path))
def pull(url: str, run_path: Path) -> None:
    """Bring a pushed run into a folder, every file verified.

    URL is where it was pushed to. RUN is a new folder, or one that holds the same run: it gets what it lacks, and
    what it has more stays. A pull that was cut off goes on when it is repeated. `report`, `show`, `compare`, `gate`,
    `recommend` and `history` read a URL without it.

    \b
      kreabench pull s3://benchmarks/runs/demo runs/demo

    Exit codes: 0 done; 2 refused, or the store cannot be used; 130 interrupted.
    """
    from kreabench.cli.terminal import console, say
    from kreabench.remote.pull import pull as bring
    from kreabench.remote.stores import open_store
    from kreabench.remote.urls import parse_url
    from kreabench.report.format import count

    location = parse_url(url)
    out = console()
    begun_s = time.monotonic()
    done = bring(open_store(location), run_path, progress=_progress(out, "brought"))
    seconds = time.monotonic() - begun_s
    if done.kept:
        say(out, f"! {', '.join(done.kept)} goes on here behind what was pushed, and stays: push it", "yellow")
    what = "nothing was new"
    if done.fetched_files:
        what = f"{count(done.fetched_files, 'file')}, {done.fetched_bytes / 1e6:.1f} MB in {seconds:.1f} s"
    say(out, f"pulled: {run_path} ({what})")


def _progress(out: Console, verb: str) -> Callable[[int, int], None]:
    """Says every few seconds how far it is."""
    from kreabench.cli.terminal import say

    last_s = time.monotonic()

    def tell(done_bytes: int, total_bytes: int) -> None:
        nonlocal last_s
        now_s = time.monotonic()
        if now_s - last_s >= LINE_EVERY_S:
            last_s = now_s
            say(out, f"{verb} {done_bytes / 1e6:.1f} of {total_bytes / 1e6:.1f} MB")

    return tell
