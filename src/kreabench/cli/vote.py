"""`kreabench vote`."""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kreabench.core.vote_records import MAX_VOTER

if TYPE_CHECKING:
    from kreabench.core.errors import StorageError
    from kreabench.voting.guard import Link
    from kreabench.voting.serve import Outcome


def _name(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and (not value.strip() or len(value) > MAX_VOTER):
        raise click.BadParameter(f"found {len(value)} characters; expected 1 to {MAX_VOTER}, not only spaces")
    return value


@click.command()
@click.argument("run_name", metavar="RUN[:SELECTION]")
@click.option("--voter", metavar="NAME", callback=_name, help="Who votes [default: asked on the page].")
@click.option(
    "--pairs", type=click.IntRange(min=1), default=50, show_default=True, help="Most pairs that each voter is shown."
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="Port; 0: one that is free.")
@click.option("--open", "opened", is_flag=True, help="Open the page in this machine's browser, too.")
@click.option(
    "--share",
    metavar="ADDRESS",
    help="Let others vote, too: an address of this machine, for which a second link is made. Not encrypted.",
)
def vote(run_name: str, voter: str | None, pairs: int, port: int, opened: bool, share: str | None) -> int:
    """Vote blind on pairs of a run's pictures, on a page of this machine.

    RUN is a run directory such as runs/demo; with a selection, such as runs/demo:acceleration=high, votes are on these
    settings alone. The page shows two pictures of one prompt, seed and size; which setting made them is hidden, before
    and after. Votes go to votes.jsonl in the run directory, each safe on the disk before the page shows the next pair;
    `kreabench report` tells what they say.

    Only this machine can reach the page, and only with the printed link. Ctrl-C ends the vote: that is exit code 0.
    """
    from kreabench.decisions.selection import choose, split_name
    from kreabench.plan_of_run import plan_of
    from kreabench.rundir.directory import RunDirectory
    from kreabench.voting.pool import pool_of
    from kreabench.voting.serve import VoteOptions, serve

    path, selection = split_name(run_name)
    run = RunDirectory.open(path)
    plan = plan_of(run)
    pool = pool_of(run, plan, choose(plan.settings, selection, name=run_name), name=run_name)

    def ready(link: Link, shared: Link | None) -> None:
        _announce(link, shared, len(pool.settings))
        if opened and not webbrowser.open(link.url):
            click.echo("no browser could be opened: open the link yourself", err=True)

    options = VoteOptions(voter=voter, pairs=pairs, port=port, share=share)
    outcome = serve(run, pool, options, ready=ready, unsaved=_complain)
    _summarise(outcome, path)
    return 0


def _announce(link: Link, shared: Link | None, settings: int) -> None:
    click.echo(f"vote on {settings} settings: {link.url}")
    if shared is not None:
        click.echo(f"link for others:     {shared.url}")
        click.echo(
            "WARNING: whoever has that link and reaches this machine sees the pictures and prompts and can vote; "
            "what is sent is not encrypted.",
            err=True,
        )
    click.echo("Ctrl-C ends the vote.")
    sys.stdout.flush()


def _complain(error: StorageError) -> None:
    click.echo(f"a vote was not saved: {error}\n{error.remedy}", err=True)


def _summarise(outcome: Outcome, path: Path) -> None:
    standing = outcome.votes - outcome.undone
    votes, voters = "vote" if standing == 1 else "votes", "voter" if outcome.voters == 1 else "voters"
    click.echo(f"{standing} {votes} by {outcome.voters} {voters}, {outcome.undone} taken back")
    if outcome.broken:
        click.echo(f"{outcome.broken} pictures could not be shown: their files are gone or damaged", err=True)
    if standing:
        click.echo(f"`kreabench report {path}` tells what they say")
