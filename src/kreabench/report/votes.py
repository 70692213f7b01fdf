"""Blind votes on a run's pictures: what they say of settings, how far to trust them, and what foretells them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kreabench.analysis.estimates import Estimate
from kreabench.analysis.scores import finite_scores, untrained_scores
from kreabench.analysis.vote_checks import Agreement, Picture, Prediction, agreement, prediction
from kreabench.analysis.votes import Strength, left_share, strengths_of
from kreabench.core.planned import Setting
from kreabench.core.specs import MetricSpec
from kreabench.core.vote_records import VotePicture, VoteRecord
from kreabench.metrics.table import has_direction, row_of
from kreabench.report.csv_text import csv_text
from kreabench.report.format import ABSENT, count, estimate
from kreabench.report.labels import differing_axes, reference_mark, setting_cell
from kreabench.report.parts import Cell, Column, Row, Table
from kreabench.report.settings_table import UNTRAINED
from kreabench.report.text import visible

_SEED = 0

METHOD = (
    "Votes were given blind: two pictures of one prompt, seed and size, sides drawn by lot. Strengths are those of the "
    "Bradley-Terry model: a setting that is 1 stronger is preferred to the other by 73 of 100. A tie is half a win of "
    "each; both bad is no preference, and is counted apart. A normal prior with the deviation 2 keeps them finite and "
    "draws them together where votes are few.",
    "Intervals are 95 %, from a bootstrap over prompts: they say what other prompts would give with the same voters. "
    "A strength counts from the middle of the settings that it was compared with.",
)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Votes:
    """What the votes on one run say."""

    votes: tuple[VoteRecord, ...]
    """On settings that the report is about."""
    left_out: int
    """Votes on others, such as those that a race dropped."""
    settings: Mapping[str, Setting]
    strengths: tuple[Strength, ...]
    agreement: Agreement
    left: Estimate | None
    predictions: tuple[Prediction, ...]
    untrained: frozenset[str]
    """Metrics of which a score was made with random weights."""

    @property
    def voters(self) -> int:
        return len({vote.voter for vote in self.votes})


def votes_on(
    votes: Sequence[VoteRecord], settings: Sequence[Setting], table: pd.DataFrame, metrics: Sequence[MetricSpec]
) -> Votes | None:
    """What `votes` say; `table` is the table of samples. None where there is none on `settings`."""
    known = {setting.id: setting for setting in settings}
    counted = [vote for vote in votes if vote.left.setting_id in known and vote.right.setting_id in known]
    if not counted:
        return None
    rng = np.random.default_rng(_SEED)
    voted = _rows_voted_on(counted, table)
    directed = [spec for spec in metrics if has_direction(spec)]
    predictions = [_prediction(counted, spec, voted, rng) for spec in directed]
    return Votes(
        votes=tuple(counted),
        left_out=len(votes) - len(counted),
        settings=known,
        strengths=strengths_of(counted, rng),
        agreement=agreement(counted, rng),
        left=left_share(counted),
        predictions=tuple(one for one in predictions if one is not None),
        untrained=frozenset(spec.name for spec in directed if untrained_scores(voted, spec).any()),
    )


def _rows_voted_on(votes: Sequence[VoteRecord], table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the very pictures that were seen: a score of a file that was replaced since says nothing of the vote."""
    seen = {_file(one) for vote in votes for one in (vote.left, vote.right)}
    rows = table[table["request_id"].isin([request for request, _, _ in seen])]
    keys = zip(rows["request_id"], rows["image_index"], rows["image_sha256"], strict=True)
    return rows[[key in seen for key in keys]]


def _file(picture: VotePicture) -> tuple[str, int, str]:
    return picture.request_id, picture.image_index, picture.image_sha256


def _prediction(
    votes: Sequence[VoteRecord], spec: MetricSpec, voted: pd.DataFrame, rng: np.random.Generator
) -> Prediction | None:
    row = row_of(spec)
    pairs = zip(voted["request_id"], voted["image_index"], finite_scores(voted, spec), strict=True)
    scores: dict[Picture, float] = {(id_, int(index)): float(value) for id_, index, value in pairs if value == value}
    return prediction(votes, spec.name, scores, higher=row is None or row.better == "higher", rng=rng)


def votes_tables(votes: Votes | None) -> tuple[tuple[str, Table], ...]:
    """Heading and table of what there is; nothing without votes."""
    if votes is None:
        return ()
    tables: list[tuple[str, Table]] = [("Strengths", _strengths_table(votes))]
    if votes.predictions:
        tables.append(("Which metric foretells the votes", _predictions_table(votes)))
    return tuple(tables)


def _strengths_table(votes: Votes) -> Table:
    axes = differing_axes([votes.settings[one.setting_id] for one in votes.strengths])
    several = len({one.group for one in votes.strengths}) > 1
    group = (Column(title="Group", note="Only strengths of one group can be compared."),) if several else ()
    return Table(
        columns=(
            Column(title="Setting"),
            *group,
            Column(title="Strength", unit="log odds", note="Bradley-Terry; 0 is the middle.", numeric=True),
            *(Column(title=title, numeric=True) for title in ("Won", "Lost", "Tied", "Both bad", "Prompts")),
        ),
        rows=tuple(
            Row(
                cells=(
                    setting_cell(votes.settings[one.setting_id], axes),
                    *((Cell(text=f"{one.group + 1}"),) if several else ()),
                    _cell(one.strength, "never preferred, tied or rejected"),
                    *(Cell(text=f"{n:,}") for n in (one.wins, one.losses, one.ties, one.both_bad, one.prompts)),
                ),
                mark=reference_mark(votes.settings[one.setting_id]),
                setting=one.setting_id,
            )
            for one in votes.strengths
        ),
        caption=f"What {count(len(votes.votes), 'blind vote')} of {count(votes.voters, 'person', 'people')} say of "
        f"{count(len(votes.strengths), 'setting')}, strongest first.",
        notes=(*METHOD, *notes_of(votes)),
    )


def votes_line(votes: Votes) -> str:
    """What the votes say in one sentence, for a terminal."""
    said = f"{count(len(votes.votes), 'blind vote')} of {count(votes.voters, 'person', 'people')}"
    groups = len({one.group for one in votes.strengths})
    strongest = votes.strengths[0]
    if strongest.strength is None:
        return f"{said}: no setting was preferred to another."
    if groups > 1:
        return (
            f"{said}, in {groups} groups of settings that were never compared with each other; strengths in the report."
        )
    value, interval = estimate(strongest.strength)
    name = visible(votes.settings[strongest.setting_id].label)
    return f"{said}: {name} is the strongest of {len(votes.strengths)} ({value}{f'; {interval}' if interval else ''})."


def votes_csv(votes: Votes, brand: str = "") -> str:
    """One row a vote, in the order they were given; the names of voters as they gave them. `brand`: see `csv_text`."""
    rows = [
        {
            "vote_id": vote.id,
            "at_utc": vote.at_utc,
            "voter": vote.voter,
            "choice": vote.choice,
            "prompt_id": vote.prompt_id,
            "prompt": vote.prompt,
            "seed": vote.seed,
            **_side("left", vote.left, votes.settings),
            **_side("right", vote.right, votes.settings),
            "seconds": vote.seconds,
        }
        for vote in votes.votes
    ]
    return csv_text(rows, ("vote_id",), brand)


def _side(side: str, picture: VotePicture, settings: Mapping[str, Setting]) -> dict[str, str | int]:
    return {
        f"{side}_setting_id": picture.setting_id,
        f"{side}_setting": settings[picture.setting_id].label,
        f"{side}_request_id": picture.request_id,
        f"{side}_image_index": picture.image_index,
        f"{side}_image_sha256": picture.image_sha256,
    }


def notes_of(votes: Votes) -> Iterator[str]:
    """How far the votes can be trusted, a sentence each."""
    groups = len({one.group for one in votes.strengths})
    if groups > 1:
        yield (
            f"The settings fall into {groups} groups that were never compared with each other, such as sizes: "
            "strengths of two groups have no common scale."
        )
    yield _agreement_note(votes.agreement)
    if votes.left is not None:
        value, interval = estimate(votes.left)
        yield (
            f"The left picture got a share of {value} ({interval}) of {count(votes.left.n, 'decided vote')}: what "
            "differs from one half is habit, which favours no setting, as sides are drawn by lot."
        )
    bad = sum(vote.choice == "both_bad" for vote in votes.votes)
    if bad:
        yield f"{count(bad, 'vote')} found both pictures bad."
    if votes.left_out:
        yield f"{count(votes.left_out, 'vote')} on settings that are in no table of this report are left out."


def _agreement_note(found: Agreement) -> str:
    if found.alpha is not None:
        value, interval = estimate(found.alpha)
        said = f"({interval}), " if interval else ""
        return (
            f"Voters agree with Krippendorff's alpha = {value}, {said}on {count(found.pairs, 'pair')} that two or more "
            "saw: 1 is perfect, 0 is chance."
        )
    if found.identical:
        return (
            f"On {count(found.pairs, 'pair')} that two or more saw, all answers are one and the same: how far that is "
            "beyond chance cannot be told."
        )
    return "No pair was answered by two voters: how far people agree is unknown."


def _predictions_table(votes: Votes) -> Table:
    return Table(
        columns=(
            Column(title="Metric"),
            Column(title="Right", note="Share of decided votes; one half is chance.", numeric=True),
            Column(title="Votes", numeric=True),
            Column(title="Prompts", numeric=True),
        ),
        rows=tuple(
            Row(
                cells=(
                    Cell(text=visible(one.metric), remark=UNTRAINED if one.metric in votes.untrained else ""),
                    _cell(one.share, ""),
                    Cell(text=f"{one.share.n:,}"),
                    Cell(text=f"{one.prompts:,}"),
                )
            )
            for one in sorted(votes.predictions, key=lambda one: -one.share.value)
        ),
        caption="Share of the decided votes in which the preferred picture has the better score; 0.5 is chance.",
        notes=(
            "Equal scores count half. Only votes on two pictures with a score count. Intervals are 95 %, over prompts "
            "(Korn and Graubard).",
        ),
    )


def _cell(value: Estimate | None, why: str) -> Cell:
    if value is None:
        return Cell(text=ABSENT, detail=why, absent=True)
    text, interval = estimate(value)
    return Cell(text=text, detail=interval or "one prompt: no interval")
