"""The purse of a scoring: what is spent and what calls in flight may cost never pass the limit together."""

from __future__ import annotations

import threading

import pytest

from kreabench.core.errors import BudgetReached
from kreabench.metrics.shared import Purse


def test_what_is_held_back_counts_and_comes_back() -> None:
    purse = Purse(limit_usd=3.0, spent_usd=0.5)
    purse.hold(2.0)

    with pytest.raises(BudgetReached, match=r"\$1.0000, with \$0.5000 of \$3.0000 spent"):
        purse.reserve(1.0)
    purse.pay(0.25)
    purse.release(2.0)

    purse.reserve(2.25)
    assert purse.spent_usd == pytest.approx(0.75)


def test_money_that_is_only_held_back_is_waited_for() -> None:
    purse = Purse(limit_usd=3.0)
    purse.hold(2.0)
    with pytest.raises(BudgetReached):
        purse.hold(2.0, wait=False)

    waiting = threading.Thread(target=purse.hold, args=(2.0,), daemon=True)
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    purse.pay(1.0)
    purse.release(2.0)
    waiting.join(5)

    assert not waiting.is_alive()
    assert purse.held_usd == pytest.approx(2.0)


def test_who_waits_hears_that_the_money_is_spent() -> None:
    purse = Purse(limit_usd=3.0)
    purse.hold(2.0)
    heard: list[BudgetReached] = []

    def hold() -> None:
        try:
            purse.hold(2.0)
        except BudgetReached as error:
            heard.append(error)

    waiting = threading.Thread(target=hold, daemon=True)
    waiting.start()
    purse.pay(2.0)
    purse.release(2.0)
    waiting.join(5)

    assert len(heard) == 1


def test_without_a_limit_everything_goes() -> None:
    purse = Purse(limit_usd=None)

    purse.hold(1e9)
    purse.reserve(1e9)
    purse.pay(1e9)

    assert purse.spent_usd == 1e9
