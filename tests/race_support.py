"""A race without workers or models: pictures whose brightness is their quality, and times that are known."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image, ImageStat

from kreabench.backends.base import GeneratedImage
from kreabench.core.planned import Request, Setting
from kreabench.core.policies import MarginSpec
from kreabench.core.questions import QualityLoss, QuestionSpec
from kreabench.core.records import Record
from kreabench.core.specs import AxesSpec, ExperimentSpec, MetricSpec, RaceSpec, ReferenceSpec
from kreabench.execution.engine import Admit, GroupWork
from kreabench.metrics.base import Score, ScoreItem
from kreabench.metrics.table import METRICS, MetricRow
from kreabench.rundir.images import store_image
from tests.support import encode_image, make_experiment, make_prompt, make_sample, make_timings, picture

KIND = "brightness_of_a_test"
DARK = {2: 0.3}
"""Steps → how much darker than the reference, of 1."""
PROMPTS = 14
FIRST = 6


@dataclass(frozen=True)
class NoOptions:
    """None."""


class Brightness:
    """Mean of all channels."""

    needs = ()

    def open(self, shared: Any) -> dict[str, Any]:
        return {"version": 1}

    def score(self, items: Sequence[ScoreItem]) -> list[Score]:
        return [Score(status="ok", value=sum(ImageStat.Stat(item.image).mean) / 3) for item in items]

    def close(self) -> None:
        """Nothing is held."""


def metric_row(**changes: Any) -> MetricRow:
    row = replace(
        METRICS["clip_score"], location="tests.race_support:Brightness", options="tests.race_support:NoOptions"
    )
    return replace(row, unit="levels", range=(0.0, 255.0), needs_prompt=False, **changes)


def racing_experiment(**changes: Any) -> ExperimentSpec:
    """2, 4, 6 and 8 steps, of which 8 are the reference, 2 are too dark, and 6 slower than 4, which are good enough."""
    loss = QualityLoss(metric="brightness", margin=MarginSpec(kind="absolute", value=5.0))
    question = QuestionSpec(objective="latency", quality_metric=None, max_quality_loss=(loss,))
    base = make_experiment(
        axes=AxesSpec(steps=(2, 4, 6, 8), guidance=(4.5,), size=("64x64",), num_images=(1,), output_format=("png",)),
        prompts=tuple(map(make_prompt, range(PROMPTS))),
        seeds=(0, 1),
        reference=ReferenceSpec(acceleration="none", steps="max"),
        metrics=(MetricSpec(name="brightness", kind=KIND, options={}),),
        race=RaceSpec(question=question, looks=5, first_prompts=FIRST),
    )
    return replace(base, **changes)


class Drawer:
    """An engine that draws in this process."""

    def __init__(self) -> None:
        self.drawn: list[Request] = []

    def run(self, work: Sequence[GroupWork], run_path: Path, admit: Admit) -> Generator[tuple[Record, ...], None, None]:
        for item in work:
            settings = {setting.id: setting for setting in item.group.settings}
            for request in item.pending:
                admit(item.group, request)
                self.drawn.append(request)
                yield (self._sample(run_path, item, settings[request.setting_id], request),)

    def _sample(self, run_path: Path, item: GroupWork, setting: Setting, request: Request) -> Record:
        chance = hashlib.sha256(request.id.encode()).digest()[0] / 255
        steps = setting.steps or 0
        drawn = picture(64, 64, seed=request.seed + 10 * int(request.prompt_id.removeprefix("prompt-")))
        dark = DARK.get(steps, 0.0) + 0.02 * chance
        image = Image.blend(drawn, Image.new("RGB", (64, 64)), dark)
        content = GeneratedImage(content=encode_image(image), seed=request.seed, nsfw=None)
        return make_sample(
            request,
            group_id=item.group.id,
            timings=make_timings(end_to_end_s=0.1 * steps + 0.0001 * chance),
            images=(store_image(run_path, setting, request, 0, content),),
        )
