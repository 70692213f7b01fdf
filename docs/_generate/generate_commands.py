"""Every command with the text of its `--help`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from kreabench.cli.main import cli

WIDTH = 100
"""Columns of a help text."""


def commands() -> str:
    """A heading a command, as Markdown."""
    return "\n\n".join(_sections(cli, "kreabench", None))


def _sections(command: click.Command, path: str, parent: click.Context | None) -> Iterator[str]:
    context = click.Context(command, info_name=path if parent is None else path.split()[-1], parent=parent)
    context.terminal_width = context.max_content_width = WIDTH
    yield f"## `{path}`\n\n```text\n{command.get_help(context)}\n```"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                yield from _sections(found, f"{path} {name}", context)
