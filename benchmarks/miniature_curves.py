"""How accuracy goes with steps, guidance and accelerations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from kreabench.analysis.estimates import Estimate, prompt_mean
from kreabench.analysis.ratios import ratio_of_medians
from kreabench.core.per_prompt import from_details
from kreabench.rundir.directory import RunDirectory
from miniature_prompts import ONE, TWO
from miniature_runs import ACCURACY, ALL_RIGHT, GUIDANCE, STEPS, WORDS, chosen, mean, paired, pictures
from miniature_tables import Table, percent, points, with_interval

if TYPE_CHECKING:
    from kreabench import Run
    from miniature_runs import Bench

STEP_COUNTS = (1, 2, 4, 8, 12, 28)
GUIDANCES = (0.0, 1.0, 2.0, 3.0, 4.5, 8.0, 12.0)
GUIDANCE_SEEDS = 4
"""Diversity is seen between the seeds of a caption."""
BEYOND = 8.0
"""Guidance that was trained for ends here."""
CACHE_THRESHOLDS = {"cache_10": 0.1, "cache_20": 0.2, "cache_40": 0.4, "cache_80": 0.8}
"""Profile of first-block caching → its threshold; `first_block_cache` itself has the one that ships."""
PROFILES = (
    "none",
    "regular",
    "fuse_qkv",
    "high",
    "int8_weight_only",
    "int8_dynamic",
    "fp8_weight_only",
    "fp8_storage",
    "first_block_cache",
    *CACHE_THRESHOLDS,
    "taylorseer",
    "pab",
    "magcache",
    "fastercache",
)
"""Those that a processor without a compiler can do."""


def steps_run(bench: Bench) -> Run:
    """All numbers of steps, each picture held against that of the most."""
    words = bench.words("steps", f"axes.steps={list(STEP_COUNTS)}", "reference.steps=max")
    return bench.draw("steps", *words)


def guidance_run(bench: Bench) -> Run:
    """All guidances at the usual number of steps."""
    words = bench.words(
        "guidance",
        f"axes.guidance={list(GUIDANCES)}",
        metrics=(*bench.metrics, *(["mini_vendi"] if bench.clip else [])),
        seeds=GUIDANCE_SEEDS,
        limit=bench.judged,
    )
    return bench.draw("guidance", *words)


def acceleration_run(bench: Bench) -> Run:
    """All accelerations at the usual number of steps."""
    return bench.draw("accelerations", *bench.words("accelerations", *profile_words(PROFILES), seeds=1))


def profile_words(profiles: tuple[str, ...]) -> tuple[str, ...]:
    """Overrides that choose these profiles."""
    own = {name: CACHE_THRESHOLDS[name] for name in profiles if name in CACHE_THRESHOLDS}
    shipped = [name for name in profiles if name not in own]
    return (
        f"acceleration=[{','.join(shipped)}]",
        *(
            f"+acceleration.{name}={{description: first-block caching, features: "
            f"{{first_block_cache: {{threshold: {threshold}}}}}}}"
            for name, threshold in own.items()
        ),
    )


def steps_tables(bench: Bench) -> list[Table]:
    """Accuracy by steps: each attribute, their mean, all of them, and the rise."""
    rows = pictures(steps_run(bench))
    by_steps = {steps: chosen(rows, steps=steps) for steps in STEP_COUNTS}
    header = ("", *(f"{steps} step{'s' if steps > 1 else ''}" for steps in STEP_COUNTS))
    names = [*WORDS, ACCURACY, ALL_RIGHT]
    shown = {ACCURACY: "mean of a picture", ALL_RIGHT: "pictures with all right"}
    attributes = Table(
        title="Accuracy by steps",
        note=f"Share of attributes read back right, in percent, with 95 % intervals over {bench.prompts} captions × "
        f"{bench.seeds} seeds, guidance {GUIDANCE}.",
        header=header,
        rows=tuple(
            (shown.get(name, name), *(percent(mean(part, name)) for part in by_steps.values())) for name in names
        ),
    )
    return [attributes, _rise(by_steps), _kinds(by_steps, header)]


def _rise(by_steps: dict[int, pd.DataFrame]) -> Table:
    base = by_steps[STEP_COUNTS[0]]
    return Table(
        title="What more steps bring",
        note="Points more than with 1 step: pictures of the same caption and seed, with 95 % intervals over captions.",
        header=("from 1 step to", "mean of a picture", "pictures with all right"),
        rows=tuple(
            (f"{steps}", points(paired(base, part, ACCURACY)), points(paired(base, part, ALL_RIGHT)))
            for steps, part in by_steps.items()
            if part is not base
        ),
    )


def _kinds(by_steps: dict[int, pd.DataFrame], header: tuple[str, ...]) -> Table:
    return Table(
        title="One shape and two",
        note="In percent; captions of one shape and of two apart.",
        header=header,
        rows=tuple(
            (
                f"{category}, {label}",
                *(percent(mean(chosen(part, category=category), name)) for part in by_steps.values()),
            )
            for category in (ONE, TWO)
            for name, label in ((ACCURACY, "mean of a picture"), (ALL_RIGHT, "all right"))
        ),
    )


def guidance_tables(bench: Bench) -> list[Table]:
    """Accuracy, CLIP score, colourfulness and diversity by guidance."""
    run = guidance_run(bench)
    rows = pictures(run)
    base = chosen(rows, guidance=GUIDANCE)
    diverse = _diversity(run)
    return [
        Table(
            title="Guidance",
            note=f"At {STEPS} steps, {bench.judged} captions × {GUIDANCE_SEEDS} seeds. The differences of accuracy "
            f"are paired with guidance {GUIDANCE}. Vendi counts different pictures among the seeds of a caption. The "
            f"model was trained for guidance from 1 to {BEYOND:g}.",
            header=(
                "guidance",
                "accuracy, %",
                "difference, points",
                "all right, %",
                "CLIP score",
                "colourfulness",
                "Vendi",
            ),
            rows=tuple(
                (
                    f"{guidance:g}",
                    percent(mean(part, ACCURACY)),
                    "–" if guidance == GUIDANCE else points(paired(base, part, ACCURACY)),
                    percent(mean(part, ALL_RIGHT)),
                    with_interval(mean(part, "score_clip_score")),
                    with_interval(mean(part, "score_colourfulness"), digits=1),
                    with_interval(diverse.get(guidance)),
                )
                for guidance in GUIDANCES
                for part in [chosen(rows, guidance=guidance)]
            ),
        )
    ]


def _diversity(run: Run) -> dict[float, Estimate | None]:
    """Guidance → Vendi score of a prompt's pictures, over prompts."""
    guidance = {setting.id: setting.guidance for setting in run.plan.settings}
    found: dict[float, Estimate | None] = {}
    for score in RunDirectory.open(run.path).set_scores():
        of_prompt = from_details(score.details)
        if score.metric == "vendi" and of_prompt:
            found[guidance[score.setting_id] or 0.0] = prompt_mean(
                [value for value, _ in of_prompt.values()], list(of_prompt)
            )
    return found


def acceleration_tables(bench: Bench) -> list[Table]:
    """What each acceleration costs in accuracy and saves in time."""
    run = acceleration_run(bench)
    rows = pictures(run)
    base = chosen(rows, acceleration="none")
    skipped = {skip.acceleration: skip.reason for skip in run.plan.skipped}
    lines = []
    for profile in PROFILES:
        part = chosen(rows, acceleration=profile)
        if part.empty:
            lines.append((_named(profile), skipped.get(profile, "failed"), *["–"] * 5))
            continue
        lines.append(
            (
                _named(profile),
                percent(mean(part, ACCURACY)),
                "–" if profile == "none" else points(paired(base, part, ACCURACY)),
                "–" if profile == "none" else points(paired(base, part, ALL_RIGHT)),
                f"{_identical(base, part):.0%}",
                with_interval(mean(part[np.isfinite(part["score_psnr"])], "score_psnr"), digits=1),
                with_interval(_time_ratio(base, part)),
            )
        )
    return [
        Table(
            title="Accelerations",
            note=f"At {STEPS} steps and guidance {GUIDANCE}, {bench.prompts} captions × 1 seed, on one thread of a "
            "processor. Differences, equal pictures and PSNR are to `none`, caption by caption; PSNR is of the "
            "pictures that differ. The time is that of denoising, as a ratio of medians to `none`; what is loaded "
            "anew for its acceleration was timed some minutes later, which the intervals do not hold.",
            header=(
                "",
                "accuracy, %",
                "difference, points",
                "all right, points",
                "equal pictures",
                "PSNR, dB",
                "time ratio",
            ),
            rows=tuple(lines),
        )
    ]


def _named(profile: str) -> str:
    return f"first_block_cache, threshold {CACHE_THRESHOLDS[profile]:g}" if profile in CACHE_THRESHOLDS else profile


def _identical(base: pd.DataFrame, other: pd.DataFrame) -> float:
    """Share of pictures that are the same file."""
    both = base.merge(other, on=["prompt_id", "seed", "image_index"])
    return float((both["image_sha256_x"] == both["image_sha256_y"]).mean())


def _time_ratio(base: pd.DataFrame, other: pd.DataFrame) -> Estimate | None:
    """Of denoising: median over median."""
    if base is other:
        return None
    names = sorted({*base["prompt_id"], *other["prompt_id"]})
    values, codes = [], []
    for side in (base, other):
        fit = side[side["timing_valid"].fillna(value=False).astype(bool)]
        values.append(fit["stage_denoise_s"].to_numpy(dtype=float))
        codes.append(np.searchsorted(names, fit["prompt_id"].to_numpy(dtype=str)).astype(np.int64))
    return ratio_of_medians(values[0], values[1], codes[0], codes[1])
