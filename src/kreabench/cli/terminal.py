"""What the tables on a terminal share. Plain text when piped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kreabench.core.planned import SkippedSetting
from kreabench.report.text import visible

SHOWN_SETTINGS = 40
"""More settings than this are not listed one by one unless asked for."""


def console(*, piped_width: int = 120) -> Console:
    """Standard output; at least 80 columns, and wide enough not to wrap when it is no terminal."""
    out = Console(highlight=False)
    return out if out.is_terminal else Console(highlight=False, width=max(out.width, piped_width))


def make_table(*columns: tuple[str, str]) -> Table:
    """An empty table; each column is its head and `l` or `r` for the side its cells stand on."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    for name, side in columns:
        table.add_column(name, justify="right" if side == "r" else "left", no_wrap=True)
    return table


def say(out: Console, text: str, style: str | None = None, *, wrap: bool = False) -> None:
    """Print lines of text that may hold prompts or a service's messages: no markup, no escape sequences.

    `wrap`: broken between words where the terminal ends; not for what shall be copied.
    """
    shown = "\n".join(visible(line) for line in text.split("\n"))
    out.print(Text(shown, style=style or ""), soft_wrap=not wrap)


def print_skipped(out: Console, skipped: Sequence[SkippedSetting]) -> None:
    """Skipped points of the matrix, gathered by reason."""
    for reason, number in Counter(skip.reason for skip in skipped).most_common():
        say(out, f"skipped {number}: {reason}")
