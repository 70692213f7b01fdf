"""What can be wrong with weights, before it has the key of an option; `WeightsNeed` makes problems of it."""

from __future__ import annotations


class WeightsMissing(Exception):
    """They are not here, or not as they should be; its text says which and where."""

    def __init__(self, found: str, *, form: str = "") -> None:
        super().__init__(found)
        self.form = form
        """What they must be in, where they are here in another form."""


class WeightsDamaged(WeightsMissing):
    """They are here with other content than was promised."""


class FetchRefused(Exception):
    """Why weights could not be fetched, and what to do about it."""

    def __init__(self, found: str, remedy: str) -> None:
        super().__init__(found)
        self.found = found
        self.remedy = remedy
