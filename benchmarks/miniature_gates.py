"""What `kreabench gate` says of changed versions, beside what they truly lose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import kreabench
from kreabench.analysis.estimates import Estimate
from kreabench.core.errors import KreabenchError
from miniature_runs import ACCURACY, METRIC, STEPS, full_scale, paired, pictures
from miniature_tables import Table, points
from miniature_versions import Version, made, versions_of

if TYPE_CHECKING:
    from kreabench import Run
    from miniature_runs import Bench

POLICY = "default"
SEEDS = 4
TRUTH = "truth"


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """One version."""

    name: str
    change: Estimate | None
    """Truly, of mean accuracy, in shares; of captions that the gate has not seen. None where no picture differs."""
    truth_known: bool
    margin: float | None
    """That the gate took, in shares."""
    verdict: str
    """On accuracy."""
    others: str
    """Checks of the policy besides that did not pass."""

    @property
    def deserved(self) -> str:
        """What the truth asks for; empty where it asks for nothing.

        A gate calls a loss regressed that is established and not shown to be within the margin. So a true loss within
        the margin deserves no verdict, and one of which the truth's interval holds the margin neither.
        """
        if self.margin is None or not self.truth_known:
            return ""
        if self.change is None:
            return "passed"
        low, high = self.change.interval or (self.change.value, self.change.value)
        if high < -self.margin:
            return "regressed"
        return "passed" if low > -self.margin and high >= 0 else ""

    @property
    def met(self) -> str:
        """Whether the verdict is as deserved, in words."""
        if self.margin is None:
            return "NO"
        if not self.deserved:
            return "either" if self.truth_known else "–"
        if self.verdict == self.deserved:
            return "yes"
        return "undecided" if self.verdict == "inconclusive" else "NO"


def gate_tables(bench: Bench) -> list[Table]:
    """All versions."""
    judged = [*_judged_all(bench, versions_of(bench.model, bench.retrained))]
    missing = "" if bench.retrained else " No retrained pipeline was given (`--retrained`)."
    decided = [one for one in judged if one.met in ("yes", "NO", "undecided")]
    return [
        Table(
            title="Versions, damaged on purpose and changed without harm",
            note=f"The true change of mean accuracy at {STEPS} steps is that of {bench.known} captions × 1 seed "
            f"which no gate saw. The verdicts are those of `kreabench gate --policy {POLICY}` over {bench.judged} "
            f"other captions × {SEEDS} seeds, on accuracy, whose margin is half a noise floor. A version must "
            "regress where its true loss is shown to exceed the margin, and pass where it is shown to be within it "
            "and not shown to be a loss; a true loss within the margin may be called either. "
            f"{sum(one.met == 'yes' for one in decided)} of {len(decided)} such verdicts are as deserved, "
            f"{sum(one.met == 'undecided' for one in decided)} are left undecided, "
            f"{sum(one.met == 'NO' for one in decided)} are wrong. Besides stands what else did not pass; two runs "
            f"were drawn at once, so that times scatter.{missing}",
            header=(
                "version",
                "true change, points",
                "margin, points",
                "verdict on accuracy",
                "deserved",
                "as deserved",
                "besides",
            ),
            rows=tuple(_row(one) for one in judged),
        )
    ]


def _row(one: Judged) -> tuple[str, ...]:
    change = points(one.change) if one.change else ("the same pictures" if one.truth_known else "–")
    margin = "–" if one.margin is None else f"{100 * one.margin:.1f}"
    return (one.name, change, margin, one.verdict, one.deserved or "either", one.met, one.others)


def _judged_all(bench: Bench, versions: tuple[Version, ...]) -> list[Judged]:
    models = {version.name: made(version, bench.model, bench.folder / "models") for version in versions}
    asked = {"gate-base": _words(bench, "gate-base", bench.model, ())}
    for version in versions:
        name = f"gate-{version.slug}"
        asked[name] = _words(bench, name, models[version.name], version.words)
    drawn = bench.draw_beside(asked)
    same = {version.name: _same_pictures(drawn["gate-base"], drawn[f"gate-{version.slug}"]) for version in versions}
    truths = {f"{TRUTH}-base": _words(bench, f"{TRUTH}-base", bench.model, (), truth=True)}
    for version in versions:
        if not same[version.name]:
            name = f"{TRUTH}-{version.slug}"
            truths[name] = _words(bench, name, models[version.name], version.words, truth=True)
    known = bench.draw_beside(truths)
    base = pictures(known[f"{TRUTH}-base"])
    found = []
    for version in versions:
        run = known.get(f"{TRUTH}-{version.slug}")
        change = None if run is None else paired(base, pictures(run), ACCURACY)
        candidate = drawn[f"gate-{version.slug}"]
        truth_known = same[version.name] or change is not None
        found.append(_judged(version.name, change, truth_known, drawn["gate-base"], candidate))
    return found


def _words(bench: Bench, name: str, model: str, more: tuple[str, ...], *, truth: bool = False) -> tuple[str, ...]:
    seeds, limit = (1, None) if truth else (SEEDS, bench.judged)
    return bench.words(name, *more, model=model, metrics=(METRIC,), seeds=seeds, limit=limit, truth=truth)


def _same_pictures(base: Run, other: Run) -> bool:
    """Whether every picture is the same file."""
    keys = ["prompt_id", "seed", "image_index"]
    sides = [run.samples.set_index(keys)["image_sha256"].dropna() for run in (base, other)]
    return bool(len(sides[0])) and sides[0].sort_index().equals(sides[1].sort_index())


def _judged(name: str, change: Estimate | None, truth_known: bool, base: Run, candidate: Run) -> Judged:
    try:
        result = kreabench.gate(base, candidate, POLICY)
    except KreabenchError as error:
        return Judged(
            name=name,
            change=change,
            truth_known=truth_known,
            margin=None,
            verdict=f"refused: {error.message}",
            others="–",
        )
    check = next((one for one in result.checks if one.name == METRIC), None)
    others = [one for one in result.checks if one.name != METRIC and one.outcome != "passed"]
    return Judged(
        name=name,
        change=change,
        truth_known=truth_known,
        margin=None if check is None or check.margin is None else check.margin / full_scale(),
        verdict="not judged" if check is None else check.outcome,
        others=", ".join(f"{one.name} {one.outcome}" for one in others) or "–",
    )
