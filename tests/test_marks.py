"""Which tests run when nobody asks for more."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import pytest_collection_modifyitems


@pytest.mark.parametrize(
    ("asked", "run"),
    [
        ("", ["plain", "browser"]),
        ("not browser", ["plain", "browser"]),  # pytest itself leaves out the second
        ("gpu", ["plain", "browser", "gpu"]),
        ("paid or network", ["plain", "browser", "network", "paid"]),
    ],
)
def test_what_needs_a_gpu_the_internet_or_money_waits_to_be_named(asked: str, run: list[str]) -> None:
    names = ("plain", "browser", "gpu", "network", "paid")
    items: list[Any] = [
        SimpleNamespace(name=name, iter_markers=lambda name=name: [SimpleNamespace(name=name)]) for name in names
    ]
    left_out: list[Any] = []
    hook = SimpleNamespace(pytest_deselected=lambda items: left_out.extend(items))
    config: Any = SimpleNamespace(getoption=lambda _: asked, hook=hook)
    pytest_collection_modifyitems(config, items)
    assert [item.name for item in items] == run
    assert {item.name for item in left_out} == set(names) - set(run)
