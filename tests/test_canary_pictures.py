"""A silent change of the hosted model is told from noise, from failed days and from other files of equal pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from kreabench.analysis import separation
from kreabench.decisions.canary import repeats_wanted
from kreabench.decisions.canary_days import Asked, Day, Drawn
from kreabench.decisions.canary_pictures import PictureVerdict, before, judge_pictures
from tests.canary_support import LEVEL, PROMPTS, Gallery, draw, make_day, places

OLD, NEW = places(1), places(2)

Pictures = Mapping[Asked, tuple[Drawn, ...]]


def judged(gallery: Gallery, *pictures: Pictures, level: float = LEVEL) -> tuple[list[Day], Sequence[PictureVerdict]]:
    days = [make_day(number, drawn) for number, drawn in enumerate(pictures, 1)]
    return days, judge_pictures(days, gallery.distance, level=level)


def states(gallery: Gallery, *pictures: Pictures) -> list[str]:
    return [verdict.state for verdict in judged(gallery, *pictures)[1]]


def test_a_service_that_repeats_exactly_changes_once_and_is_then_as_before() -> None:
    gallery = Gallery()
    old = draw(gallery, OLD, repeats=2)
    new = draw(gallery, NEW)
    days, found = judged(gallery, old, old, draw(gallery, OLD), new, new)
    assert [verdict.state for verdict in found] == ["first", "identical", "identical", "changed", "identical"]
    assert "all 8 pictures differ" in found[3].reason
    assert "bit by bit (32 of 32 repeats)" in found[3].reason
    assert found[3].days == ("day-1", "day-2", "day-3")
    assert (found[2].exact, found[2].identical, found[2].compared) == (True, 8, 8)
    assert [day.name for day in before(days, found, 3)] == ["day-1", "day-2", "day-3"]
    assert [day.name for day in before(days, found, 4)] == ["day-4"]


def test_the_second_day_shows_a_change_where_the_first_repeated_itself() -> None:
    gallery = Gallery()
    assert states(gallery, draw(gallery, OLD, repeats=2), draw(gallery, NEW)) == ["first", "changed"]


def test_without_repeats_nothing_is_known_of_the_service() -> None:
    gallery = Gallery()
    _, found = judged(gallery, draw(gallery, OLD), draw(gallery, NEW))
    assert (found[1].state, found[1].exact) == ("undecided", None)
    assert "too little was drawn" in found[1].reason


@pytest.mark.parametrize(("changed", "state"), [(2, "undecided"), (7, "changed")])
def test_a_change_of_some_prompts_is_a_matter_of_how_many(changed: int, state: str) -> None:
    gallery = Gallery()
    mixed = np.concatenate([NEW[:changed], OLD[changed:]])
    old = draw(gallery, OLD, repeats=2)
    _, found = judged(gallery, old, old, draw(gallery, mixed))
    assert found[2].state == state
    assert f"{changed} of 8 pictures" in found[2].reason


def test_noise_is_no_change_and_a_change_is_seen_through_it() -> None:
    gallery, rng = Gallery(), np.random.default_rng(4)
    old = [draw(gallery, OLD, noise=1.0, repeats=2, rng=rng) for _ in range(3)]
    quiet = [draw(gallery, OLD, noise=1.0, rng=rng) for _ in range(4)]
    new = [draw(gallery, NEW, noise=1.0, repeats=2, rng=rng) for _ in range(3)]
    _, found = judged(gallery, *old, *quiet, *new)
    assert [verdict.state for verdict in found] == ["first"] + 6 * ["within"] + ["changed"] + 2 * ["within"]
    assert found[7].separation is not None
    assert found[7].separation.within is not None
    assert found[7].separation.between > 3 * found[7].separation.within
    assert found[6].exact is False


def test_half_a_year_of_noise_raises_alarms_no_oftener_than_the_level_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Day by day as it is used, references and all; at a level at which there is something to count."""
    monkeypatch.setattr(separation, "RESAMPLES", 1999)
    gallery, rng = Gallery(), np.random.default_rng(9)
    pictures = [draw(gallery, OLD, noise=1.0, repeats=2 if number < 3 else 1, rng=rng) for number in range(180)]
    found = [verdict.state for verdict in judged(gallery, *pictures, level=0.02)[1]]
    assert found.count("changed") <= 12, "scipy.stats.binom.isf(1e-4, 180, 0.02)"
    assert found.count("within") >= 160


def test_days_of_machines_that_draw_a_little_differently_are_no_changes() -> None:
    """Each day one of two machines draws all, far from the other beside its own noise."""
    gallery, rng = Gallery(), np.random.default_rng(2)
    machines = [OLD, OLD + rng.normal(size=(1, 6))]
    pictures = [draw(gallery, machines[number], noise=0.1, repeats=2, rng=rng) for number in (0, 1, 0, 1, 1, 0, 1)]
    new = draw(gallery, NEW, noise=0.1, repeats=2, rng=rng)
    _, found = judged(gallery, *pictures, new)
    assert [verdict.state for verdict in found] == ["first", "undecided"] + 5 * ["within"] + ["changed"]
    assert "how unlike two days of this service are is not known yet" in found[1].reason


def test_a_failed_day_is_said_and_changes_nothing() -> None:
    gallery = Gallery()
    old = draw(gallery, OLD, repeats=2)
    days, found = judged(gallery, old, old, {}, draw(gallery, NEW, only=[0, 1, 2]), draw(gallery, OLD))
    assert [verdict.state for verdict in found] == ["first", "identical", "failed", "failed", "identical"]
    assert "nothing was delivered" in found[2].reason
    assert "3 of 8 pictures were delivered" in found[3].reason
    assert [day.name for day in before(days, found, 4)] == ["day-1", "day-2"]


def test_a_day_of_most_prompts_is_judged_by_those() -> None:
    gallery = Gallery()
    old = draw(gallery, OLD, repeats=2)
    _, found = judged(gallery, old, old, draw(gallery, OLD, only=range(5)), draw(gallery, NEW, only=range(5)))
    assert [verdict.state for verdict in found[2:]] == ["identical", "changed"]
    assert found[2].compared == 5


def test_another_size_is_a_change_that_is_named() -> None:
    gallery = Gallery()
    old = draw(gallery, OLD, repeats=2)
    _, found = judged(gallery, old, draw(gallery, OLD, size=(32, 64), file="small"))
    assert found[1].state == "changed"
    assert "another size: 32×64, not 64×64" in found[1].reason


def test_other_files_of_equal_pixels_are_no_change() -> None:
    gallery = Gallery()
    _, found = judged(gallery, draw(gallery, OLD, repeats=2), draw(gallery, OLD, file="another encoder"))
    assert found[1].state == "identical"
    assert "the files differ, the pixels do not" in found[1].reason


def test_pictures_that_are_gone_leave_it_undecided() -> None:
    gallery = Gallery()
    old, new = draw(gallery, OLD, repeats=2), draw(gallery, NEW)
    for drawings in old.values():
        del gallery.points[drawings[0].sha256]
        break
    assert states(gallery, old, new)[1] == "changed"  # its hash is known all the same
    there = {drawings[0].sha256 for drawings in new.values()}
    gallery.points = {name: point for name, point in gallery.points.items() if name in there}
    _, found = judged(gallery, old, new)
    assert found[1].state == "undecided"
    assert "cannot be read any more" in found[1].reason


def test_a_day_is_drawn_twice_while_little_is_known_of_its_model() -> None:
    gallery = Gallery()
    old, new = draw(gallery, OLD, repeats=2), draw(gallery, NEW)
    assert repeats_wanted((), ()) == 2
    wanted = [
        repeats_wanted(*judged(gallery, *pictures))
        for pictures in ([old], [old, {}, old], [old, old, old], [old, old, old, new], [old, old, new, new, new])
    ]
    assert wanted == [2, 2, 1, 2, 1]


def test_the_same_days_give_the_same_answers() -> None:
    gallery, rng = Gallery(), np.random.default_rng(4)
    pictures = [draw(gallery, OLD, noise=1.0, repeats=2, rng=rng) for _ in range(4)]
    assert judged(gallery, *pictures)[1] == judged(gallery, *pictures)[1]
    assert len(pictures[0]) == PROMPTS
