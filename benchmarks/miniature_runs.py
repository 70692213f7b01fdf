"""Runs of the miniature, drawn through the tool itself and kept for all parts of the benchmark that ask for them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

import kreabench
from kreabench.analysis.estimates import UNBOUNDED, Bounds, Estimate, difference_bounds, prompt_mean
from kreabench.analysis.paired import pair_scores
from kreabench.metrics.table import METRICS as ROWS
from kreabench.rundir.directory import RunDirectory
from miniature_prompts import balanced_captions, write_prompts

if TYPE_CHECKING:
    from kreabench import Run

METRIC = "drawn_accuracy"
STEPS, GUIDANCE = 8, 3.0
"""What the miniature's target draws with where nothing else is said."""
ACCURACY, ALL_RIGHT = "accuracy", "all right"
"""Columns of `pictures`: the metric as a share, and whether nothing at all is wrong: 1 or 0."""
WORDS = ("count", "colour", "shape", "size", "place", "relation", "background", "texture")
"""What is checked, in the order of tables; of two shapes `colour` and `shape` are those of both."""
PLAIN_METRICS = (METRIC, "psnr", "ssim", "look")
CLIP_METRICS = ("mini_clip_score", "mini_aesthetic")
"""Of the CLIP that was trained on the same world."""
TWO_AT_ONCE = 2


@dataclass(kw_only=True)
class Bench:
    """What is measured, with how much, and what was drawn so far."""

    folder: Path
    model: str
    """A folder of a pipeline, or a built-in's name."""
    prompts: int
    """Captions of the curves; gates and truths take a fixed share and multiple of it."""
    retrained: Path | None = None
    """Folder of a pipeline that was retrained, from another seed say."""
    clip: bool = True
    """Whether pictures are also scored by the small CLIP."""
    drawn: dict[str, Run] = field(default_factory=dict)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Of the curves."""
        return (*PLAIN_METRICS, *(CLIP_METRICS if self.clip else ()))

    @property
    def seeds(self) -> int:
        return 2

    @property
    def judged(self) -> int:
        """Captions of a gate or a recommendation, each with four seeds: as many as experiment=regression has."""
        return max(12, round(0.6 * self.prompts))

    @property
    def known(self) -> int:
        """Captions of a truth, each with one seed, none of them among those that decisions see."""
        return 2 * self.prompts

    def captions(self, truth: bool) -> Path:
        """The prompt set that decisions see, or the one of which the truth is known."""
        file = self.folder / f"{'truth' if truth else 'captions'}-{self.prompts}.jsonl"
        if not file.exists():
            drawn = balanced_captions(self.prompts + self.known)
            chosen = drawn[self.prompts :] if truth else drawn[: self.prompts]
            write_prompts(file, chosen, first=self.prompts + 1 if truth else 1)
        return file

    def words(
        self,
        name: str,
        *more: str,
        model: str | None = None,
        metrics: tuple[str, ...] = (),
        limit: int | None = None,
        seeds: int | None = None,
        truth: bool = False,
    ) -> tuple[str, ...]:
        """The overrides of a run called `name`."""
        chosen = list(range(self.seeds if seeds is None else seeds))
        return (
            f"name={name}",
            f"run.dir={self.folder / 'runs'}",
            f"report.dir={self.folder / 'reports'}",
            "target=[mini_local]",
            f"target.mini_local.model={model or self.model}",
            "axes.size=[48x48]",
            f"axes.steps=[{STEPS}]",
            f"axes.guidance=[{GUIDANCE}]",
            f"prompts.file={self.captions(truth)}",
            f"prompts.limit={limit or 'null'}",
            f"run.seeds={chosen}",
            f"metrics=[{','.join(metrics or self.metrics)}]",
            *more,
        )

    def draw(self, name: str, *words: str) -> Run:
        """The finished run of these overrides, once a benchmark."""
        if name not in self.drawn:
            finished = kreabench.run(*words)
            if not finished.ok:
                print(f"{name}: {finished!r}", file=sys.stderr)
            self.drawn[name] = finished.run
        return self.drawn[name]

    def draw_beside(self, runs: Mapping[str, tuple[str, ...]]) -> dict[str, Run]:
        """Runs whose pictures count and whose times do not, two at once, each by the command line."""
        with ThreadPoolExecutor(TWO_AT_ONCE) as pool:
            list(pool.map(self._command, runs, runs.values()))
        return {name: self.drawn[name] for name in runs}

    def _command(self, name: str, words: tuple[str, ...]) -> None:
        if name not in self.drawn:
            command = [sys.executable, "-m", "kreabench", "run", *words]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode not in (0, 4):
                raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
            self.drawn[name] = kreabench.open_run(self.folder / "runs" / name)


def pictures(run: Run) -> pd.DataFrame:
    """One row a delivered picture: the table of samples, and each thing that its caption names: 1 right, 0 wrong."""
    samples = run.samples
    samples = samples[samples["image_index"].notna()].reset_index(drop=True)
    details = {
        (score.request_id, score.image_index): _by_kind(score.details)
        for score in RunDirectory.open(run.path).scores()
        if score.metric == METRIC and score.status == "ok"
    }
    keys = zip(samples["request_id"], samples["image_index"].astype(int), strict=True)
    found = pd.DataFrame([details.get(key, {}) for key in keys], index=samples.index)
    for name in (*WORDS, ALL_RIGHT):
        samples[name] = found.get(name, np.nan)
    scores = pd.to_numeric(samples[f"score_{METRIC}"]).to_numpy(dtype=float, na_value=np.nan)
    samples[ACCURACY] = scores / full_scale()
    return samples


def full_scale() -> float:
    """The metric's value where everything is right."""
    return ROWS[METRIC].range[1] or 1.0


def _by_kind(details: Mapping[str, float]) -> dict[str, float]:
    """Shares of a picture: `colour_1` and `colour_2` are one kind."""
    kinds: dict[str, list[float]] = {}
    for name, value in details.items():
        if (kind := name.rstrip("_12")) in WORDS:
            kinds.setdefault(kind, []).append(value)
    shares = {kind: float(np.mean(values)) for kind, values in kinds.items()}
    return {**shares, ALL_RIGHT: details["all_right"]}


def chosen(rows: pd.DataFrame, **values: object) -> pd.DataFrame:
    """The rows of one setting."""
    for column, value in values.items():
        rows = rows[rows[column] == value]
    return rows


def mean(rows: pd.DataFrame, column: str) -> Estimate | None:
    """Over prompts, with its interval; None where nothing is known."""
    if column not in rows:
        return None
    known = rows[rows[column].notna()]
    return prompt_mean(known[column].to_numpy(dtype=float), list(known["prompt_id"]), bounds=_bounds(column))


def paired(base: pd.DataFrame, candidate: pd.DataFrame, column: str) -> Estimate | None:
    """Candidate − base over pictures of the same prompt and seed, with its interval over prompts."""
    both = base.merge(candidate, on=["prompt_id", "seed", "image_index"], suffixes=("_base", "_candidate"))
    left, right = (both[f"{column}_{side}"].to_numpy(dtype=float, na_value=np.nan) for side in ("base", "candidate"))
    scores = pair_scores(left, right, both["prompt_id"].to_numpy(dtype=object))
    if not scores.difference.size:
        return None
    return prompt_mean(scores.difference, scores.prompts, bounds=difference_bounds(_bounds(column)))


def _bounds(column: str) -> Bounds:
    return (0.0, 1.0) if column in (*WORDS, ACCURACY, ALL_RIGHT) else UNBOUNDED
