"""Decisions as a notebook shows them: the same frozen results that the commands print, which know how to look."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import fields
from typing import Any, TypeVar

from kreabench.core.planned import Setting
from kreabench.decisions import comparison, gate
from kreabench.report.page import Page
from kreabench.report.recommend import content as recommend_content

ResultT = TypeVar("ResultT")


class Shown(ABC):
    """A result that a notebook shows as tables, and a console in a line."""

    __slots__ = ()

    @abstractmethod
    def page(self) -> Page:
        """What is shown, as data."""

    def _repr_html_(self) -> str:
        from kreabench.report.fragment import render_fragment

        return render_fragment(self.page())

    def __repr__(self) -> str:
        from kreabench.report.fragment import plain_text

        return f"<{type(self).__name__} {plain_text(self.page())}>"


class Comparison(Shown, comparison.Comparison):
    """What `compare` found: `settings` holds each pair of settings with its metrics, costs, rates and fidelity."""

    __slots__ = ()

    def page(self) -> Page:
        from kreabench.report.comparison.page import build_comparison

        return build_comparison(self, worst=0)


class GateResult(Shown, gate.GateResult):
    """What `gate` judged: `outcome` is passed, regressed or inconclusive, `checks` says why."""

    __slots__ = ()

    def page(self) -> Page:
        from kreabench.report.gate.page import gate_page

        return gate_page(self)


class Recommendation(Shown, recommend_content.RecommendReport):
    """What `recommend` chose: `answer`, and in `recommendation` every setting's verdict; front, and local or hosted."""

    __slots__ = ()

    @property
    def answer(self) -> Setting | None:
        """The setting to use; None where none is shown to qualify."""
        found = self.recommendation.answer
        return None if found is None else found.entrant.setting

    @property
    def overrides(self) -> tuple[str, ...]:
        """What to give `kreabench.run` to draw with the answer; empty without one."""
        return () if self.override is None else self.override.words

    def page(self) -> Page:
        from kreabench.report.recommend.page import recommend_page

        return recommend_page(self)


def shown_as(kind: type[ResultT], result: Any) -> ResultT:
    """`result` as the subclass `kind` of its class, with the same values."""
    return kind(**{field.name: getattr(result, field.name) for field in fields(result)})
