"""Every command with the text of its `--help`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from kreabench.cli.main import cli

WIDTH = 80
"""Columns of a help text."""


def commands() -> str:
    """A heading a command, as Markdown."""
    return "\n\n".join(_sections(cli, "kreabench", None))


def _sections(command: click.Command, path: str, parent: click.Context | None) -> Iterator[str]:
    name = path if parent is None else path.split()[-1]
    context = click.Context(command, info_name=name, parent=parent, **command.context_settings)
    context.terminal_width = context.max_content_width = WIDTH
    yield f"## `{path}`\n\n```text\n{command.get_help(context)}\n```"
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None and not found.hidden:
                yield from _sections(found, f"{path} {child}", context)
