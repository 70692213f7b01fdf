"""What a user names on the command line, and which settings are compared with which."""

from __future__ import annotations

from pathlib import Path

import pytest

from kreabench.core.errors import ConfigError
from kreabench.decisions.matching import partners, partners_in_run
from kreabench.decisions.selection import choose, split_name
from tests.compare_support import make_side
from tests.support import make_setting

REFERENCE = make_setting(steps=8)
SETTINGS = (
    REFERENCE,
    make_setting(steps=4, reference_id=REFERENCE.id),
    make_setting(steps=8, acceleration="high", reference_id=REFERENCE.id),
    make_setting(steps=4, acceleration="high", width=192, guidance=None, reference_id=None),
)


def test_a_path_that_exists_is_no_selection(tmp_path: Path) -> None:
    odd = tmp_path / "run:steps=8"
    odd.mkdir()
    assert split_name(str(odd)) == (odd, "")
    assert split_name(f"{odd}:steps=4") == (odd, "steps=4")
    assert split_name("runs/demo") == (Path("runs/demo"), "")


@pytest.mark.parametrize(
    ("selection", "chosen"),
    [
        ("", (0, 1, 2, 3)),
        ("reference", (0,)),
        ("steps=4", (1, 3)),
        ("steps=8,acceleration=high", (2,)),
        ("size=192x128", (3,)),
        ("guidance=4.5", (0, 1, 2)),
        (f"id={SETTINGS[1].id[:6]}", (1,)),
    ],
)
def test_selections(selection: str, chosen: tuple[int, ...]) -> None:
    assert choose(SETTINGS, selection, name="RUN") == tuple(SETTINGS[number] for number in chosen)


@pytest.mark.parametrize("selection", ["step=4", "steps", "steps=", "steps=many", "size=big", "steps=99", "id=0"])
def test_a_selection_that_means_nothing_says_what_would(selection: str) -> None:
    with pytest.raises(ConfigError, match=r"steps|settings|WIDTHxHEIGHT"):
        choose(SETTINGS, selection, name="RUN")


def test_partners_are_equal_on_every_axis_with_several_values() -> None:
    steps = (2, 4, 8)
    base = make_side([make_setting(steps=n) for n in steps])
    candidate = make_side([make_setting(steps=n, acceleration="high", target="other") for n in reversed(steps)])
    found = partners(base, candidate)
    assert [(here.steps, there.steps) for here, there in found] == [(8, 8), (4, 4), (2, 2)]
    assert {there.acceleration for _, there in found} == {"high"}


def test_a_setting_without_a_partner_is_not_forced_on_one() -> None:
    base = make_side([make_setting(steps=2), make_setting(steps=4)])
    candidate = make_side([make_setting(steps=4), make_setting(steps=8)])
    assert [there.steps for _, there in partners(base, candidate)] == [4]
    with pytest.raises(ConfigError, match="steps"):
        partners(base, make_side([make_setting(steps=16), make_setting(steps=32)]))


def test_references_are_no_candidates() -> None:
    side = make_side(SETTINGS)
    assert partners_in_run(side, SETTINGS) == [(REFERENCE, SETTINGS[1]), (REFERENCE, SETTINGS[2])]
    with pytest.raises(ConfigError, match="reference"):
        partners_in_run(side, (REFERENCE,))
