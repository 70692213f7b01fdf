"""Scoring beside drawing: the same scores as afterwards, nothing lost, and refused where it would touch timings."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest
from PIL.Image import Image

from kreabench import pipeline
from kreabench.config.resolve import load
from kreabench.core.errors import ConfigError, ExitCode, RunDirectoryError
from kreabench.core.planned import Plan
from kreabench.core.records import DropRecord
from kreabench.core.score_records import SetScoreRecord
from kreabench.core.specs import MetricSpec, ScoringSpec, ServiceSpec, TargetSpec
from kreabench.metrics.base import Member, Score, ScoreItem
from kreabench.metrics.shared import Shared
from kreabench.metrics.table import METRICS
from kreabench.plan_build import build_plan
from kreabench.rundir.directory import RunDirectory
from kreabench.scoring.background import LOG_FILE, scoring_beside
from kreabench.scoring.beside import score_rest
from kreabench.scoring.follow import follow_run
from kreabench.scoring.placement import disturbance, on_device
from kreabench.scoring.summary import ScoringSummary
from tests.engine_support import is_gone, wait_until
from tests.race_support import racing_experiment
from tests.scoring_support import counts, deliver, group_of, new_run, reference_and_fast, requests_of, score_with
from tests.support import ROOT, UTC, make_experiment, make_plan, make_prompt, make_target, picture

LIGHT = MetricSpec(name="light", kind="light", options={})
PAIRED = MetricSpec(name="paired", kind="paired", options={})
PAID = MetricSpec(name="paid", kind="paid", options={})
SET = MetricSpec(name="set", kind="set", options={}, per="set")


class Light:
    """Mean brightness, less the reference's where it is given one."""

    calls: ClassVar[list[int]] = []

    def __init__(self) -> None:
        self.needs = ()

    def open(self, shared: Shared) -> dict[str, Any]:
        return {"version": 1}

    def score(self, items: Sequence[ScoreItem]) -> list[Score]:
        Light.calls.append(len(items))
        return [Score(status="ok", value=float(_light(item.image) - _light(item.reference))) for item in items]

    def features(self, items: Sequence[ScoreItem]) -> list[Any]:
        import numpy as np

        return [np.array([_light(item.image)], np.float32) for item in items]

    def compare(self, pictures: Sequence[Member], reference: Sequence[Member]) -> Score:
        return Score(status="ok", value=float(sum(float(member.features[0]) for member in pictures)))

    def close(self) -> None:
        """Nothing is held."""


def _light(image: Image | None) -> int:
    return sum(image.resize((1, 1)).getpixel((0, 0))) if image is not None else 0  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = replace(METRICS["psnr"], location=f"{__name__}:Light", options=f"{__name__}:Light", needs_reference=False)
    monkeypatch.setitem(METRICS, "light", plain)
    monkeypatch.setitem(METRICS, "paired", replace(plain, needs_reference=True))
    monkeypatch.setitem(METRICS, "paid", replace(plain, paid=True))
    monkeypatch.setitem(METRICS, "set", replace(plain, per="set"))
    monkeypatch.setattr(Light, "calls", [])


class Follower:
    """`follow_run` in a thread, while the test draws."""

    def __init__(self, run: RunDirectory, plan: Plan, *metrics: MetricSpec) -> None:
        self._arguments = (run, plan, metrics)
        self.summary: ScoringSummary | None = None
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def _follow(self) -> None:
        run, plan, metrics = self._arguments
        with run.score_writer() as writer:
            self.summary = follow_run(run, plan, metrics=metrics, writer=writer, look_every_s=0.005)

    def result(self) -> ScoringSummary:
        self._thread.join(90)
        assert self.summary is not None
        return self.summary


@contextmanager
def followed(run: RunDirectory, plan: Plan, *metrics: MetricSpec) -> Iterator[Follower]:
    """Drawing goes on within the block; at its end the follower has ended too."""
    with run.drawing():
        follower = Follower(run, plan, *metrics)
        yield follower
    follower.result()


def empty_run(path: Path, plan: Plan, **changes: Any) -> RunDirectory:
    return new_run(path, make_plan(replace(plan.groups[0], requests=())), **changes)


def lines(run: RunDirectory) -> list[tuple[str, str]]:
    return [(record.metric, record.request_id) for record in run.score_lines()]


def by_key(run: RunDirectory) -> dict[Any, Any]:
    """Every score that holds, of pictures and sets."""
    found: dict[Any, Any] = {(record.request_id, record.image_index, record.metric): record for record in run.scores()}
    of_sets: list[SetScoreRecord] = run.set_scores()
    return found | {(record.setting_id, record.metric): record for record in of_sets}


def test_the_scores_are_those_of_a_later_scoring(tmp_path: Path) -> None:
    plan = make_plan(group_of(*reference_and_fast(num_images=2), prompts=4))
    run = empty_run(tmp_path / "run", plan)
    with followed(run, plan, LIGHT, PAIRED, SET) as follower:
        for number, (setting, request) in enumerate(reversed(requests_of(plan))):
            images = None if number == 3 else [picture(64, 64, seed=10 * number + index) for index in range(2)]
            deliver(run, setting, request, images)
            if number == 4:
                wait_until(lambda: len(lines(run)) > 0, "a score while pictures are drawn")

    later = tmp_path / "later"
    shutil.copytree(run.path, later)
    for name in ("scores.jsonl", "set_scores.jsonl"):
        (later / name).unlink()
    expected = score_with(RunDirectory.open(later), plan, LIGHT, PAIRED, SET)

    assert by_key(run) == by_key(RunDirectory.open(later))
    assert follower.result() == expected
    assert len(lines(run)) == len(set(lines(run))) * 2, "each of two pictures was scored once"
    reused = score_with(run, plan, LIGHT, PAIRED, SET)
    assert counts(reused, "light") == counts(reused, "paired") == {"reused": 14}
    assert counts(reused, "set") == {"reused": 2}


def test_it_waits_for_references_instead_of_saying_that_there_are_none(tmp_path: Path) -> None:
    reference, fast = reference_and_fast()
    plan = make_plan(group_of(reference, fast, prompts=1))
    request = {setting.id: request for setting, request in requests_of(plan)}
    run = empty_run(tmp_path / "run", plan)

    with followed(run, plan, LIGHT, PAIRED):
        deliver(run, fast, request[fast.id], [picture(64, 64)])
        wait_until(lambda: ("light", request[fast.id].id) in lines(run), "its own score")
        assert ("paired", request[fast.id].id) not in lines(run)
        deliver(run, reference, request[reference.id], [picture(64, 64, seed=3)])
        wait_until(lambda: ("paired", request[fast.id].id) in lines(run), "the comparison")

    assert {record.status for record in run.scores() if record.request_id == request[fast.id].id} == {"ok"}
    assert len(lines(run)) == 4, "nothing was written that had to be written again"


def test_it_makes_room_for_a_look_of_a_race_and_goes_on_without_what_that_drops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "check_placement", lambda *arguments, **options: None)
    experiment = racing_experiment(metrics=(LIGHT, PAID), budget_usd=1.0, prompts=(make_prompt(0),), race=None)
    run, plan = pipeline.start(tmp_path / "run", experiment, "", {}), build_plan(experiment)
    going, *_, kept = plan.settings
    first, second = (entry for entry in requests_of(plan) if entry[0] == going)
    last = next(entry for entry in requests_of(plan) if entry[0] == kept)
    drop = DropRecord(
        setting_id=going.id, at_utc=UTC, look=1, looks=1, prompts=1, constraint="latency", level=0.05, reason="slow"
    )
    ended: list[ScoringSummary | None] = []
    drawing = ExitStack()
    drawing.enter_context(run.drawing())
    follower = threading.Thread(target=lambda: ended.append(pipeline.follow(run, progress=lambda done, total: None)))
    follower.start()
    deliver(run, *first, [picture(64, 64)])
    wait_until(lambda: lines(run) == [("light", first[1].id)], "a score before the look")
    with run.looking(), run.score_writer(waiting=lambda pid: None), run.writer() as writer:
        writer.append(drop)
    deliver(run, *second, [picture(64, 64)])
    deliver(run, *last, [picture(64, 64)])
    wait_until(lambda: ("light", last[1].id) in lines(run), "a score after the look")
    drawing.close()
    follower.join(30)
    assert ended[0] is not None
    assert lines(run) == [("light", first[1].id), ("light", last[1].id), ("paid", last[1].id)]


def test_a_picture_that_is_drawn_anew_meanwhile_is_scored_anew(tmp_path: Path) -> None:
    plan = make_plan(group_of(prompts=1))
    (setting, request), *_ = requests_of(plan)
    run = empty_run(tmp_path / "run", plan)

    with followed(run, plan, LIGHT):
        deliver(run, setting, request, [picture(64, 64)])
        wait_until(lambda: len(lines(run)) == 1, "the first score")
        new = deliver(run, setting, request, [picture(64, 64, seed=9)])

    (record,) = run.scores()
    assert record.image_sha256 == new.images[0].sha256


def test_what_spends_from_a_limited_purse_waits_until_drawing_has_ended(tmp_path: Path) -> None:
    plan = make_plan(group_of(prompts=1))
    run = empty_run(tmp_path / "run", plan, budget_usd=1.0)

    with followed(run, plan, LIGHT, PAID):
        for setting, request in requests_of(plan):
            deliver(run, setting, request, [picture(64, 64)])
        wait_until(lambda: len(lines(run)) == 2, "the scores that cost nothing")
        assert {metric for metric, _ in lines(run)} == {"light"}

    assert sorted(metric for metric, _ in lines(run)) == ["light", "light", "paid", "paid"]


def test_one_process_scores_at_a_time(tmp_path: Path) -> None:
    plan = make_plan(group_of(prompts=1))
    run = new_run(tmp_path / "run", plan)
    told: list[str] = []

    with run.score_writer(), pytest.raises(RunDirectoryError, match=f"process {os.getpid()}"):
        score_with(run, plan, LIGHT)

    release = threading.Event()

    def occupy(held: threading.Event) -> None:
        with run.score_writer():
            held.set()
            release.wait(30)

    held = threading.Event()
    thread = threading.Thread(target=occupy, args=(held,))
    thread.start()
    held.wait(30)
    threading.Timer(0.1, release.set).start()
    run = RunDirectory(run.path, replace(run.info, experiment=make_experiment(metrics=(LIGHT,))))
    summary = score_rest(run, plan, None, progress=lambda done, total: None, note=told.append)
    thread.join()

    assert told == [f"waiting for process {os.getpid()}, which scores this run"]
    assert counts(summary, "light") == {"scored": 2}


def test_a_finished_run_is_scored_and_that_is_all(tmp_path: Path) -> None:
    experiment = make_experiment(metrics=(LIGHT,))
    run = pipeline.start(tmp_path / "run", experiment, "", {})
    plan = build_plan(experiment)
    for setting, request in requests_of(plan):
        deliver(run, setting, request, [picture(setting.width, setting.height)])

    summary = pipeline.follow(run, progress=lambda done, total: None)

    assert counts(summary, "light") == {"scored": len(requests_of(plan))}
    assert (run.path / "samples.parquet").exists()


LOCAL = make_target(name="local", backend="diffusers", options={"device": "auto"})
ON_GPU = replace(LOCAL, options={"device": "cuda:1"})
FAKE = make_target()
HOSTED = make_target(name="bought", hosted=True, backend="fal", options={})
EMULATED = replace(
    HOSTED,
    service=ServiceSpec(kind="fal-emulator", options={"images": "pipeline", "pipeline": {"device": "cpu"}}),
)
PATTERNS = replace(HOSTED, service=ServiceSpec(kind="fal-emulator", options={"images": "patterns"}))
CLIP = MetricSpec(name="clip", kind="clip_score", options={"device": "auto"})
PSNR = MetricSpec(name="psnr", kind="psnr", options={})


@pytest.mark.parametrize(
    ("target", "metric", "device", "gpus", "key"),
    [
        (LOCAL, PSNR, None, 0, "asked"),  # auto is the processor here
        (LOCAL, PSNR, None, 1, None),
        (LOCAL, CLIP, None, 1, "metrics.clip.options.device"),
        (LOCAL, CLIP, "cpu", 1, None),
        (LOCAL, CLIP, "cuda:0", 2, "scoring.device"),
        (LOCAL, CLIP, "cuda:1", 2, None),
        (LOCAL, CLIP, "cuda:1", 0, "asked"),  # wherever its models run, pictures are decoded on the processor
        (ON_GPU, CLIP, None, 2, None),
        (ON_GPU, CLIP, "cuda:1", 2, "scoring.device"),
        (replace(LOCAL, options={"device": "cuda"}), CLIP, "cuda:0", 1, "scoring.device"),
        (replace(LOCAL, options={"device": "cpu"}), PSNR, None, 1, "asked"),
        (FAKE, CLIP, None, 0, None),
        (HOSTED, CLIP, None, 1, None),
        (EMULATED, PSNR, None, 0, "asked"),
        (PATTERNS, PSNR, None, 0, None),
    ],
)
def test_where_it_would_touch_timings(
    target: TargetSpec, metric: MetricSpec, device: str | None, gpus: int, key: str | None
) -> None:
    problem = disturbance([HOSTED, target], [metric], device, gpus, key="asked")

    assert (problem.key if problem else None) == key
    if problem is not None:
        assert target.name in problem.found
        assert "timings" in problem.expected


def test_one_device_for_all_metrics_that_have_one() -> None:
    assert [spec.options for spec in on_device([CLIP, PSNR], "cuda:1")] == [{"device": "cuda:1"}, {}]
    assert on_device([CLIP, PSNR], None) == (CLIP, PSNR)


def test_it_is_refused_before_anything_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kreabench.pipeline.check_environment", lambda *_: None)
    target = replace(LOCAL, options={"device": "cpu"})
    asked = make_experiment(targets=(target,), metrics=(PSNR,), scoring=ScoringSpec(during_generation=True))

    with pytest.raises(ConfigError, match=r"scoring\.during_generation.*draws on the processor"):
        pipeline.start(tmp_path / "run", asked, "", {})
    assert not (tmp_path / "run").exists()

    run = pipeline.start(tmp_path / "run", replace(asked, scoring=ScoringSpec()), "", {})
    with run.drawing(), pytest.raises(ConfigError, match=r"--follow.*timings would be touched"):
        pipeline.follow(run, progress=lambda done, total: None)
    assert not list(run.scores())


def test_a_device_that_there_is_not_is_an_error_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match=r"scoring\.device: found 'gpu'; expected auto, cpu, cuda or cuda:N"):
        load(["experiment=trial", "scoring.device=gpu"])
    asked = load(["experiment=trial", "scoring.device=cuda:1", "scoring.during_generation=true"]).experiment
    assert asked.scoring == ScoringSpec(during_generation=True, device="cuda:1")
    assert load(["experiment=trial"]).experiment.scoring == ScoringSpec()


SMALL = ("experiment=trial", "prompts.limit=2", "run.seeds=[0]", "run.warmup=0", "metrics=[look]")
"""Metrics that need no torch, which takes longer to import than all else."""


@contextmanager
def command(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "kreabench", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}/src"},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def children_that_score(pid: int) -> list[psutil.Process]:
    try:
        return [child for child in psutil.Process(pid).children() if "--follow" in child.cmdline()]
    except psutil.NoSuchProcess:
        return []


def test_a_run_ends_with_all_scores_whatever_becomes_of_the_scoring_beside_it(tmp_path: Path) -> None:
    run_path = tmp_path / "runs" / "trial"
    with command(tmp_path, "run", *SMALL, "scoring.during_generation=true") as process:
        wait_until(lambda: bool(children_that_score(process.pid)), "a process that scores")
        (scorer,) = children_that_score(process.pid)
        wait_until((run_path / "scores.lock").exists, "it has begun")
        scorer.kill()
        out, _ = process.communicate(timeout=120)

    assert process.returncode == ExitCode.DONE, out
    assert "was killed by signal 9" in out
    assert is_gone(scorer.pid)
    run = RunDirectory.open(run_path)
    wanted = 4 * len(run.info.experiment.metrics)
    assert len(list(run.scores())) == len(list(run.score_lines())) == wanted
    assert {record.status for record in run.scores()} == {"ok"}


def test_the_process_beside_gives_way_and_ends_when_drawing_has_ended(tmp_path: Path) -> None:
    experiment = make_experiment(metrics=(PSNR,))
    run = pipeline.start(tmp_path / "run", experiment, "", {})
    requests = requests_of(build_plan(experiment))
    with ExitStack() as drawing:
        drawing.enter_context(run.drawing())
        with scoring_beside(run.path, "cpu") as beside:
            for setting, request in requests:
                deliver(run, setting, request, [picture(setting.width, setting.height)])
            wait_until(lambda: len(list(run.scores())) == len(requests), "all scores, while drawing goes on")
            assert psutil.Process(beside.pid).nice() == 19
            assert os.getsid(beside.pid) == beside.pid
            before = (run.path / "scores.jsonl").read_bytes()
            drawing.close()
            assert beside.wait() == ""

    assert (run.path / "scores.jsonl").read_bytes() == before
    assert f"scored {len(requests)} of {len(requests)}" in (run.path / LOG_FILE).read_text()
    assert (run.path / "samples.parquet").exists()


def test_ctrl_c_ends_it_and_keeps_what_it_has(tmp_path: Path) -> None:
    experiment = make_experiment(metrics=(PSNR,))
    run = pipeline.start(tmp_path / "run", experiment, "", {})
    (setting, request), *_ = requests_of(build_plan(experiment))
    with run.drawing(), command(tmp_path, "score", "run", "--follow") as process:
        deliver(run, setting, request, [picture(setting.width, setting.height)])
        wait_until(lambda: bool(list(run.scores())), "a score")
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=90)

    assert process.returncode == ExitCode.INTERRUPTED, out
    assert "Traceback" not in out
    assert len(list(run.scores())) == 1
    with run.score_writer():
        pass
