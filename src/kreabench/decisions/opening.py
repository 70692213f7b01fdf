"""Opens what a comparison names on the command line, and reads no run twice."""

from __future__ import annotations

from dataclasses import replace

from kreabench.core.planned import Setting
from kreabench.decisions.selection import choose, split_name
from kreabench.decisions.sides import Side, chosen, open_side


def open_two(base: str, candidate: str) -> tuple[Side, Side]:
    """Both sides; raises as `sides.open_side`."""
    (path, first), (other, second) = split_name(base), split_name(candidate)
    if path.resolve() != other.resolve():
        return open_side(base), open_side(candidate)
    whole = open_side(str(path))
    return _named(whole, base, first), _named(whole, candidate, second)


def open_with_references(text: str) -> tuple[Side, tuple[Setting, ...]]:
    """A whole run, so that every reference is there, and the settings that are to be compared with theirs."""
    path, selection = split_name(text)
    whole = open_side(str(path))
    return whole, choose(whole.settings, selection, name=text)


def _named(whole: Side, text: str, selection: str) -> Side:
    return chosen(replace(whole, name=text), selection)
