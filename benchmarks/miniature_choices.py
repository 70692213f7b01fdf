"""Whether the setting that is truly best is recommended, and whether a race finds it with fewer pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import kreabench
from kreabench.analysis.estimates import Estimate
from kreabench.analysis.noise import seed_noise
from miniature_curves import profile_words
from miniature_runs import ACCURACY, METRIC, chosen, mean, paired, pictures
from miniature_tables import Table, percent, points

if TYPE_CHECKING:
    import pandas as pd

    from kreabench import Run
    from kreabench.core.planned import Setting
    from miniature_runs import Bench

STEP_COUNTS = (1, 2, 4, 8, 12)
PROFILES = ("none", "cache_40")
SEEDS = 4
SHARE = 0.5
"""Of a noise floor that may be lost: what `kreabench recommend` asks for where nothing else is said."""
REFERENCE = ("reference.steps=max",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Truth:
    """One setting, as many other captions know it."""

    acceleration: str
    steps: int
    accuracy: Estimate | None
    change: Estimate | None
    """Against the reference, in shares; None of the reference itself."""
    latency_s: float
    """Median, in the sweep."""

    def is_good_enough(self, margin: float) -> bool:
        """By what is known of it best."""
        return self.change is None or self.change.value > -margin


def choice_tables(bench: Bench) -> list[Table]:
    """Recommendation, truth and race."""
    axes = (f"axes.steps={list(STEP_COUNTS)}", *REFERENCE, *profile_words(PROFILES))
    asked: dict[str, Any] = {"metrics": (METRIC,), "seeds": SEEDS, "limit": bench.judged}
    sweep = bench.draw("sweep", *bench.words("sweep", *axes, **asked))
    question = (
        "run.race=true",
        "race.objective=latency",
        f"race.max_quality_loss={{{METRIC}: {{noise_floor: {SHARE}}}}}",
        f"race.first_prompts={max(5, bench.judged // 8)}",
    )
    race = bench.draw("race", *bench.words("race", *axes, *question, **asked))
    known = bench.draw_beside({"known": bench.words("known", *axes, metrics=(METRIC,), seeds=1, truth=True)})["known"]
    margin = SHARE * _noise(pictures(sweep))
    truths = _truths(pictures(known), sweep)
    best = min((one for one in truths if one.is_good_enough(margin)), key=lambda one: one.latency_s)
    named = {name: _named(run) for name, run in (("the sweep", sweep), ("the race", race))}
    return [_settings_table(bench, truths, margin, best, named), _race_table(sweep, race, named, truths, margin, best)]


def _named(run: Run) -> tuple[str, int] | None:
    """The setting that is recommended for least latency."""
    answer: Setting | None = kreabench.recommend(
        run, objective="latency", max_quality_loss={METRIC: f"{SHARE}noise"}
    ).answer
    return None if answer is None else (answer.acceleration, answer.steps or 0)


def _noise(rows: pd.DataFrame) -> float:
    """The noise floor of the reference, in shares."""
    base = chosen(rows, acceleration="none", steps=STEP_COUNTS[-1])
    return seed_noise(base[ACCURACY].to_numpy(dtype=float), base["prompt_id"], base["seed"]).sd or 0.0


def _truths(rows: pd.DataFrame, sweep: Run) -> list[Truth]:
    latencies = sweep.samples.groupby(["acceleration", "steps"])["end_to_end_s"].median()
    base = chosen(rows, acceleration="none", steps=STEP_COUNTS[-1])
    found = []
    for acceleration in PROFILES:
        for steps in STEP_COUNTS:
            part = chosen(rows, acceleration=acceleration, steps=steps)
            is_reference = (acceleration, steps) == ("none", STEP_COUNTS[-1])
            found.append(
                Truth(
                    acceleration=acceleration,
                    steps=steps,
                    accuracy=mean(part, ACCURACY),
                    change=None if is_reference else paired(base, part, ACCURACY),
                    latency_s=float(latencies[acceleration, steps]),
                )
            )
    return found


def _settings_table(
    bench: Bench, truths: list[Truth], margin: float, best: Truth, named: dict[str, tuple[str, int] | None]
) -> Table:
    def mark(one: Truth) -> str:
        own = (one.acceleration, one.steps)
        marks = ["truly the best"] if one is best else []
        return ", ".join([*marks, *(f"named by {name}" for name, answer in named.items() if answer == own)])

    return Table(
        title="Which setting to use",
        note=f"Truth: {bench.known} captions × 1 seed. A setting is good enough where it truly loses less than "
        f"{100 * margin:.1f} points, half a noise floor, against {STEP_COUNTS[-1]} steps without acceleration; of "
        f"these the fastest is best. `kreabench recommend` saw {bench.judged} other captions × {SEEDS} seeds and "
        "names what it can show to be good enough.",
        header=("setting", "true accuracy, %", "true change, points", "good enough", "median s", ""),
        rows=tuple(
            (
                f"{one.acceleration}, {one.steps} steps",
                percent(one.accuracy),
                points(one.change),
                _yes(one.is_good_enough(margin)),
                f"{one.latency_s:.3f}",
                mark(one),
            )
            for one in sorted(truths, key=lambda one: one.latency_s)
        ),
    )


def _race_table(
    sweep: Run, race: Run, named: dict[str, tuple[str, int] | None], truths: list[Truth], margin: float, best: Truth
) -> Table:
    drawn, raced = len(sweep.samples), len(race.samples)
    by_name = {(one.acceleration, one.steps): one for one in truths}

    def words(answer: tuple[str, int] | None) -> tuple[str, str, str]:
        if answer is None:
            return "none", "–", "no"
        one = by_name[answer]
        return f"{answer[0]}, {answer[1]} steps", _yes(one.is_good_enough(margin)), _yes(one is best)

    return Table(
        title="Racing",
        note="The same question asked of a race, which drops what cannot be the answer.",
        header=("", "pictures", "answer", "truly good enough", "truly the best"),
        rows=(
            ("all settings drawn", f"{drawn:,}", *words(named["the sweep"])),
            ("race", f"{raced:,} ({1 - raced / drawn:.0%} saved)", *words(named["the race"])),
        ),
    )


def _yes(so: bool) -> str:
    return "yes" if so else "no"
