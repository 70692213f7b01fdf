"""What a reader came for: which setting, what it saves and costs, how sure, and what got worse."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Literal

import numpy as np

from kreabench.analysis.resampling import DRAWS
from kreabench.core.errors import ConfigError
from kreabench.decisions.recommend import Recommendation, recommend
from kreabench.decisions.recommend_evidence import Contest, contest_of
from kreabench.decisions.recommend_question import Asked, Limits, ask, same_question
from kreabench.report.evidence import Evidence
from kreabench.report.explorer.data import RegressionData, VerdictData
from kreabench.report.explorer.regressions import regressions_of
from kreabench.report.explorer.short_names import spoken_names
from kreabench.report.explorer.sources import Source
from kreabench.report.format import count
from kreabench.report.recommend.remarks import scope
from kreabench.report.recommend.words import amount, state_lines
from kreabench.report.text import visible
from kreabench.report.verdict_words import spoiled, sureness, verdict_sentence

State = Literal["recommended", "undecided", "none", "unknown"]
LEVEL = 0.05
"""As `kreabench recommend` asks unless told otherwise."""
MIN_DRAWS = 100
_TIMINGS = 5_000_000
"""Timings that all draws together may sort through: a larger run has fewer draws."""


def verdict_of(
    sources: Sequence[Source], across: tuple[RegressionData, ...] = (), across_sentence: str = ""
) -> VerdictData:
    """Of one run its recommendation and what is worse than its reference.

    Of several (`across_sentence` says what came of comparing them, `across` what got worse against the first) nothing
    is recommended: the state is `none` where something got worse, else `undecided`.
    """
    if len(sources) > 1 or across_sentence:
        return VerdictData(
            state="none" if across else "undecided",
            setting=None,
            sentence=across_sentence,
            sureness="",
            assumed=(),
            regressions=across,
            regressions_note="",
            command=_compare_command(sources),
        )
    source = sources[0]
    regressions, note = regressions_of(source)
    state, setting, sentence, sure, assumed = _recommended(source)
    if spoils := [one.sentence for one in regressions if state == "recommended" and one.setting == setting]:
        name = spoken_names(source)[str(setting).removeprefix(f"{source.id}/")]
        state, setting, sentence = "undecided", None, spoiled(name, spoils)
    return VerdictData(
        state=state,
        setting=setting,
        sentence=sentence,
        sureness=sure,
        assumed=assumed,
        regressions=regressions,
        regressions_note=note,
        command=f"kreabench recommend {_relative(source)}",
    )


_Told = tuple[State, str | None, str, str, tuple[str, ...]]
"""State, setting, sentence, sureness, and what was assumed."""


def _recommended(source: Source) -> _Told:
    one = source.evidence
    if why := _nothing_to_choose(one):
        return "unknown", None, why, "", ()
    contest = contest_of(
        one.side, one.side.settings, {name: t.hosted for name, t in one.targets.items()}, one.fidelity.settings
    )
    try:
        asked = ask(contest, objective=None, metric=None, losses=(), limits=Limits(), level=LEVEL)
    except ConfigError:  # nothing has a latency
        return "unknown", None, "Nothing can be recommended: no sample is fit for timing.", "", ()
    if asked.question.quality_metric is None:
        return "unknown", None, _without_quality(source, contest), "", ()
    found = recommend(contest, asked.question, draws=_draws(contest))
    setting = None if found.answer is None else source.setting_id(found.answer.entrant.setting.id)
    names = spoken_names(source)
    sentence, sure = verdict_sentence(contest, found, names), sureness(contest, found, names)
    return _state(found), setting, sentence, sure, _assumed(one, asked, found)


def _nothing_to_choose(one: Evidence) -> str:
    """Why nothing can be recommended; empty where something may be."""
    delivered = sum(summary.ok for summary in one.summaries)
    if not delivered:
        failed = sum(summary.failed for summary in one.summaries)
        what = "every sample that ran has failed" if failed else "nothing was drawn yet"
        return f"Nothing can be recommended: {what}."
    if len(one.side.settings) < 2 and one.dropped:
        return f"There is nothing to choose among: a race dropped {count(len(one.dropped), 'setting')}, and left one."
    if len(one.side.settings) < 2:
        return "There is nothing to choose among: the run has one setting."
    if not any(summary.ok for summary in one.summaries if summary.is_reference):
        return "Nothing can be recommended: no reference delivered a picture that others could be compared with."
    if not one.fidelity.settings:
        return (
            "Nothing is recommended: each setting is the reference of its own target, size and guidance, so none is "
            "compared with another."
        )
    return ""


def _without_quality(source: Source, contest: Contest) -> str:
    """No recommendation by costs alone: the fastest setting is often the one that draws the worst."""
    why = "no metric of this run has scores that tell the quality of a picture by itself"
    timed = [
        (latency.value, entrant)
        for entrant in contest.entrants
        if (latency := entrant.costs["latency"].median) is not None
    ]
    value, fastest = min(timed, key=lambda pair: pair[0])
    name = spoken_names(source)[fastest.setting.id]
    return f"Nothing is recommended, as {why}. The fastest is {name}: {amount('latency', value)} a request."


def _draws(contest: Contest) -> int:
    timings = sum(entrant.costs["latency"].values.size for entrant in contest.entrants)
    return int(np.clip(_TIMINGS // max(timings, 1), MIN_DRAWS, DRAWS))


def _state(found: Recommendation) -> State:
    """A reference that stays because the faster ones are not decided is no recommendation."""
    if found.answer is None:
        return "undecided" if any(one.standing == "not decided" for one in found.verdicts) else "none"
    kept = found.answer.entrant.is_reference and found.undecided_but_better
    return "undecided" if kept else "recommended"


def _assumed(one: Evidence, asked: Asked, found: Recommendation) -> tuple[str, ...]:
    race = one.experiment.race
    other = race is not None and not same_question(race.question, asked.question)
    return (*asked.assumed, *scope(found), *state_lines(0, one.side.dropped, other))


def _relative(source: Source) -> str:
    """As it is named below the folder that runs are made in: no page tells where that is."""
    return shlex.quote(f"runs/{visible(source.evidence.run.path.name)}")


def _compare_command(sources: Sequence[Source]) -> str:
    return f"kreabench compare {' '.join(map(_relative, sources[:2]))}" if len(sources) > 1 else ""
