"""Do the seeds of a setting still give different pictures? Reads the Vendi scores of sets, prompt by prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kreabench.analysis.estimates import CONFIDENCE, Estimate, p_in_words, prompt_mean
from kreabench.analysis.families import holm
from kreabench.analysis.student import t_test
from kreabench.core.per_prompt import from_details
from kreabench.core.planned import Setting
from kreabench.core.score_records import SetScoreRecord
from kreabench.core.specs import MetricSpec

MIN_PROMPTS = 5
"""Prompts with as many pictures on both sides, below which no test is made."""
LEVEL = (1 - CONFIDENCE) / 2
"""Greatest corrected one-sided p that is reported: as for a setting whose 95 % interval excludes 0."""
LEAST_LOSS = 0.2
"""Least loss that matters, as a share of the reference's diversity beyond a single picture (a Vendi score of 1)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Collapse:
    """A setting whose pictures of one prompt are more alike than the reference's."""

    setting_id: str
    metric: str
    vendi: float
    """Mean over the prompts compared, as is `reference_vendi`: different pictures a prompt, effectively."""
    reference_vendi: float
    difference: Estimate
    """Of both, prompt by prompt, with its interval over prompts."""
    pictures_per_prompt: float
    p: float
    """One-sided, corrected for the number of settings compared (Holm)."""

    @property
    def loss(self) -> float:
        """Share of the reference's diversity beyond one picture that is gone."""
        return (self.reference_vendi - self.vendi) / (self.reference_vendi - 1)

    @property
    def text(self) -> str:
        """One sentence, without the setting's name."""
        return (
            "pictures of different seeds are more alike than the reference's: diversity collapsed from "
            f"{self.reference_vendi:.1f} to {self.vendi:.1f} of {self.pictures_per_prompt:.3g} pictures a prompt"
            f" ({self.metric}, {self.difference.n} prompts, {p_in_words(self.p)})"
        )


def find_collapses(
    scores: Sequence[SetScoreRecord], settings: Sequence[Setting], metrics: Sequence[MetricSpec]
) -> tuple[Collapse, ...]:
    """Every loss of diversity against the reference setting that is both sure and large enough to matter.

    Student's one-sided paired t test over prompts, as pictures of a prompt are no independent observations; only
    prompts with equally many pictures on both sides, as the score grows with their number; Holm's correction over
    the settings of a metric (Scandinavian Journal of Statistics 6, 1979). Scores of untrained encoders are left out.
    """
    found: list[Collapse] = []
    for spec in metrics:
        if spec.kind == "vendi":
            tested = list(_tested([score for score in scores if score.metric == spec.name], settings))
            found += [one for one in _corrected(tested) if one.p <= LEVEL and one.loss >= LEAST_LOSS]
    return tuple(found)


def _tested(scores: Sequence[SetScoreRecord], settings: Sequence[Setting]) -> Iterator[Collapse]:
    usable = {score.setting_id: score for score in scores if score.status == "ok" and not score.untrained}
    for setting in settings:
        score, reference = usable.get(setting.id), usable.get(setting.reference_id or "")
        if score is not None and reference is not None and score is not reference:
            compared = _compared(score, reference)
            if compared is not None:
                yield compared


def _compared(score: SetScoreRecord, reference: SetScoreRecord) -> Collapse | None:
    ours, theirs = from_details(score.details), from_details(reference.details)
    prompts = [prompt for prompt in ours if prompt in theirs and ours[prompt][1] == theirs[prompt][1]]
    if len(prompts) < MIN_PROMPTS:
        return None
    values = np.array([ours[prompt][0] for prompt in prompts])
    references = np.array([theirs[prompt][0] for prompt in prompts])
    difference = prompt_mean(values - references, prompts)
    if difference is None or references.mean() <= 1:  # nothing to lose
        return None
    return Collapse(
        setting_id=score.setting_id,
        metric=score.metric,
        vendi=float(values.mean()),
        reference_vendi=float(references.mean()),
        difference=difference,
        pictures_per_prompt=float(np.mean([ours[prompt][1] for prompt in prompts])),
        p=_p_of_loss(values - references),
    )


def _p_of_loss(differences: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    if np.ptp(differences) == 0:  # no spread, of which a t test makes nothing
        return 0.0 if differences[0] < 0 else 1.0
    return t_test(differences, "less")


def _corrected(tested: Sequence[Collapse]) -> list[Collapse]:
    corrected = holm([one.p for one in tested])
    return [one if p is None else replace(one, p=p) for one, p in zip(tested, corrected, strict=True)]
