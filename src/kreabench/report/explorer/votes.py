"""What the blind votes on runs' pictures say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kreabench.report.explorer.data import PredictionData, StrengthData, VotesData
from kreabench.report.explorer.quantities import value_of
from kreabench.report.explorer.sources import Source
from kreabench.report.votes import METHOD, Votes, notes_of


def votes_of(sources: Sequence[Source]) -> Iterator[VotesData]:
    """One for each run that was voted on."""
    for source in sources:
        if source.evidence.votes is not None:
            yield _data(source, source.evidence.votes)


def _data(source: Source, votes: Votes) -> VotesData:
    alpha = votes.agreement.alpha
    return VotesData(
        run=source.id,
        votes=len(votes.votes),
        voters=votes.voters,
        strengths=tuple(
            StrengthData(
                setting=source.setting_id(one.setting_id),
                strength=None if one.strength is None else value_of(one.strength),
                group=one.group,
                wins=one.wins,
                losses=one.losses,
                ties=one.ties,
                both_bad=one.both_bad,
            )
            for one in votes.strengths
        ),
        agreement=None if alpha is None else value_of(alpha),
        predictions=tuple(PredictionData(quantity=one.metric, share=value_of(one.share)) for one in votes.predictions),
        notes=(*METHOD, *notes_of(votes)),
    )
