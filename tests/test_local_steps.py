"""Only hosted endpoints may lack steps."""

from __future__ import annotations

import pytest

from kreabench.backends.local_steps import local_steps
from tests.support import make_setting


def test_a_local_setting_has_steps() -> None:
    assert local_steps(make_setting(steps=8)).to_run == 8
    some = local_steps(make_setting(steps=8, strength=0.5, task="image-to-image"))
    assert (some.asked, some.to_run) == (8, 4)
    with pytest.raises(ValueError, match="no steps"):
        local_steps(make_setting(steps=None))
