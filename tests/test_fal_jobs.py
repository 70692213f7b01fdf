"""The emulator's queue, runners and books: order, bounds, and what goes wrong in one job harms no other."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from kreabench.backends.options import FalEmulatorOptions
from kreabench.core.errors import EnvironmentProblem, GenerationError
from kreabench.emulator import dispatch
from kreabench.emulator.billing import bill
from kreabench.emulator.dispatch import Dispatcher, QueueFull
from kreabench.emulator.distributions import parse_time
from kreabench.emulator.endpoints import Endpoint, read_endpoints
from kreabench.emulator.files import PictureReader
from kreabench.emulator.jobs import Asked, Delivered, Job, Outcome, Refused
from kreabench.emulator.order import Order
from kreabench.emulator.painters import FolderPainter, PatternPainter, make_painter
from kreabench.emulator.pipeline_painter import PipelinePainter
from kreabench.emulator.studio import Studio
from kreabench.emulator.truth import Books, TruthLog
from kreabench.emulator.validation import Validator
from kreabench.emulator.work import Worker
from tests.support import encode_image, picture

KREA: Endpoint = read_endpoints()["fal-ai/flux/krea"]
BODY = {"prompt": "x", "image_size": {"width": 32, "height": 32}}
WANTED = Validator().check(KREA, BODY)


def _job(body: Any = BODY, **asked: Any) -> Job:
    return Job(asked=Asked(endpoint=KREA, body=body, **asked))


def _delivered(size: int = 10) -> Delivered:
    return Delivered(
        wanted=WANTED,
        seed=0,
        size=(32, 32),
        pictures=(b"x" * size,),
        flagged=(False,),
        inference_s=0.0,
        bill=bill(KREA.price, (32, 32), 1, 1_000_000),
    )


def _at_once(size: int = 10) -> Callable[[Job], Awaitable[Outcome | None]]:
    async def work(job: Job) -> Outcome | None:
        return _delivered(size)

    return work


async def _finish(dispatcher: Dispatcher, count: int, **asked: Any) -> list[Job]:
    finished = [_job(**asked) for _ in range(count)]
    for job in finished:
        dispatcher.submit(job)
        await job.done.wait()
    return finished


def test_only_the_newest_results_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "KEPT_RESULTS", 5)
    forgotten: list[Job] = []

    async def go() -> None:
        dispatcher = Dispatcher(_at_once(), on_forget=forgotten.append)
        finished = await _finish(dispatcher, 8)
        assert [dispatcher.find(job.id) is None for job in finished] == [True] * 3 + [False] * 5
        assert forgotten == finished[:3]

    asyncio.run(go())


def test_results_are_also_bounded_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "KEPT_BYTES", 100)

    async def go() -> None:
        dispatcher = Dispatcher(_at_once(40))
        finished = await _finish(dispatcher, 3)
        assert [dispatcher.find(job.id) is None for job in finished] == [True, False, False]
        (big,) = await _finish(dispatcher, 1, body_bytes=1000)
        assert dispatcher.find(big.id) is big, "the newest result is always there to be fetched"

    asyncio.run(go())


def test_what_is_not_to_be_stored_is_soon_gone() -> None:
    now = [0.0]

    async def go() -> None:
        dispatcher = Dispatcher(_at_once(), clock=lambda: now[0])
        stored, unstored = _job(), _job(store=False)
        for job in (stored, unstored):
            dispatcher.submit(job)
            await job.done.wait()
        assert unstored.finished is not None
        now[0] = unstored.finished.monotonic_s + dispatch.UNSTORED_S - 1
        assert dispatcher.find(unstored.id) is unstored
        now[0] += 2
        assert dispatcher.find(unstored.id) is None
        assert dispatcher.find(stored.id) is stored

    asyncio.run(go())


def test_the_queue_takes_no_more_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "MAX_QUEUED", 2)

    async def go() -> None:
        dispatcher = Dispatcher(_at_once())
        for _ in range(2):
            job = _job()
            job.queue_s = 60
            dispatcher.submit(job)
        with pytest.raises(QueueFull):
            dispatcher.submit(_job())
        await dispatcher.close()

    asyncio.run(go())


class _Stepwise:
    """Work that ends when it is told to."""

    def __init__(self) -> None:
        self.started: list[Job] = []
        self.gates: dict[str, asyncio.Event] = {}

    async def __call__(self, job: Job) -> Outcome | None:
        self.started.append(job)
        gate = self.gates[job.id] = asyncio.Event()
        await gate.wait()
        return _delivered()

    async def finish(self, job: Job) -> None:
        self.gates[job.id].set()
        await job.done.wait()
        await _turns()


async def _turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_low_priority_waits_behind_normal_and_order_is_kept_within_each() -> None:
    async def go() -> None:
        work = _Stepwise()
        dispatcher = Dispatcher(work)
        running, low, normal, low_2, normal_2 = (_job(low_priority=low) for low in (False, True, False, True, False))
        for job in (running, low, normal, low_2, normal_2):
            dispatcher.submit(job)
        await _turns()
        assert [dispatcher.position(job) for job in (normal, normal_2, low, low_2)] == [0, 1, 2, 3]
        for job in (running, normal, normal_2, low, low_2):
            await work.finish(job)
        assert work.started == [running, normal, normal_2, low, low_2]

    asyncio.run(go())


def test_as_many_run_as_there_are_runners_and_the_account_allows() -> None:
    async def go() -> None:
        for runners, concurrency, expected in ((3, None, 3), (3, 2, 2), (1, 5, 1)):
            work = _Stepwise()
            dispatcher = Dispatcher(work, runners=runners, concurrency=concurrency)
            jobs = [_job() for _ in range(5)]
            for job in jobs:
                dispatcher.submit(job)
            await _turns()
            assert len(work.started) == dispatcher.in_progress() == expected
            assert len({job.runner for job in work.started}) == expected
            await work.finish(work.started[0])
            assert len(work.started) == expected + 1
            await dispatcher.close()

    asyncio.run(go())


def test_a_hint_goes_back_to_the_runner_that_served_it() -> None:
    async def go() -> None:
        work = _Stepwise()
        dispatcher = Dispatcher(work, runners=3)
        first, hinted = _job(), _job(hint="mine")
        for job in (first, hinted):
            dispatcher.submit(job)
        await _turns()
        await work.finish(first)
        await work.finish(hinted)
        again, other = _job(hint="mine"), _job()
        for job in (again, other):
            dispatcher.submit(job)
        await _turns()
        assert again.runner == hinted.runner != other.runner
        await dispatcher.close()

    asyncio.run(go())


def test_the_first_request_of_a_runner_waits_longer_in_the_queue() -> None:
    async def go() -> None:
        dispatcher = Dispatcher(_at_once(), cold_start_s=0.1)
        (cold,), (warm,) = await _finish(dispatcher, 1), await _finish(dispatcher, 1)
        for job, least, most in ((cold, 0.1, 5.0), (warm, 0.0, 0.09)):
            assert job.started is not None
            assert least <= job.started.monotonic_s - job.accepted.monotonic_s < most

    asyncio.run(go())


def test_a_job_that_is_cancelled_while_its_runner_loads_never_starts() -> None:
    async def go() -> None:
        dispatcher = Dispatcher(_at_once(), cold_start_s=0.05)
        job = _job()
        dispatcher.submit(job)
        await _turns()
        assert dispatcher.cancel(job)
        (next_,) = await _finish(dispatcher, 1)
        assert (job.started, next_.state) == (None, "COMPLETED")
        assert isinstance(job.outcome, Refused)

    asyncio.run(go())


def test_stopping_cuts_a_long_job_short_and_leaves_it_unfinished() -> None:
    async def go() -> None:
        work = _Stepwise()
        dispatcher = Dispatcher(work)
        job = _job()
        dispatcher.submit(job)
        await _turns()
        await dispatcher.close()
        assert (job.state, job.outcome) == ("IN_PROGRESS", None)

    asyncio.run(go())


class _BrokenPainter:
    """Fails as told; counts what is done to it."""

    def __init__(self, error: Exception, *, at_open: bool = False) -> None:
        self.error = error
        self.at_open = at_open
        self.closed = 0

    def open(self) -> None:
        if self.at_open:
            raise self.error

    def paint(self, order: Order) -> list[bytes]:
        if order.prompt == "x":
            raise self.error
        return PatternPainter().paint(order)

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize(
    ("error", "error_type", "detail"),
    [
        (GenerationError("no memory", type="out_of_memory", stage="denoise"), "runner_server_error", "no memory"),
        (ZeroDivisionError("a secret detail"), "internal_error", "Internal Server Error"),
    ],
)
def test_a_job_that_fails_is_a_500_and_the_runner_goes_on(
    error: Exception, error_type: str, detail: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    painter = _BrokenPainter(error)
    studio = Studio(painter)
    studio.start()

    async def go() -> None:
        worker = Worker(studio, PictureReader("http://127.0.0.1:1"), FalEmulatorOptions())
        dispatcher = Dispatcher(worker)
        bad, good = _job(), _job({**BODY, "prompt": "y"})
        for job in (bad, good):
            dispatcher.submit(job)
        await asyncio.wait_for(good.done.wait(), 30)
        assert isinstance(bad.outcome, Refused)
        assert (bad.outcome.status_code, bad.outcome.error_type) == (500, error_type)
        assert bad.outcome.body["detail"] == detail
        assert isinstance(good.outcome, Delivered)

    asyncio.run(go())
    studio.stop()
    assert painter.closed == 1


def test_a_painter_that_cannot_open_stops_the_start() -> None:
    painter = _BrokenPainter(EnvironmentProblem([]), at_open=True)
    studio = Studio(painter)
    with pytest.raises(EnvironmentProblem):
        studio.start()
    studio.stop()
    assert painter.closed == 1


def test_every_level_of_the_endpoint_needs_features() -> None:
    with pytest.raises(
        EnvironmentProblem, match="--accelerations: found none, fast; expected features for each of none"
    ):
        PipelinePainter(FalEmulatorOptions(accelerations={"none": {}, "fast": {}}))


def _order(**changes: Any) -> Order:
    values: dict[str, Any] = {
        "prompt": "x",
        "seed": 1,
        "steps": 4,
        "guidance": 4.5,
        "width": 48,
        "height": 32,
        "num_images": 1,
        "output_format": "png",
        "acceleration": "none",
    }
    return Order(**(values | changes))


def test_the_pictures_of_a_folder_are_scaled_to_the_asked_size(tmp_path: Path) -> None:
    from PIL import Image

    for index in range(3):
        (tmp_path / f"{index}.png").write_bytes(encode_image(picture(seed=index)))
    (tmp_path / "notes.txt").write_text("no picture")
    painter = make_painter(FalEmulatorOptions(images="folder", folder=str(tmp_path)))
    painter.open()
    drawn = painter.paint(_order(num_images=40))
    assert len(set(drawn)) == 3
    assert painter.paint(_order(num_images=40)) == drawn
    (tmp_path / "drawn.png").write_bytes(drawn[0])
    with Image.open(tmp_path / "drawn.png") as image:
        assert image.size == (48, 32)


def test_a_folder_without_pictures_and_a_file_that_is_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="--folder: found nothing"):
        make_painter(FalEmulatorOptions(images="folder"))
    with pytest.raises(EnvironmentProblem, match="expected a folder of pictures"):
        FolderPainter(tmp_path)
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(EnvironmentProblem, match=r"a\.png; expected a picture"):
        FolderPainter(tmp_path).open()


@pytest.mark.parametrize(
    ("text", "low", "high", "mean"),
    [("2", 2, 2, 2), (0.5, 0.5, 0.5, 0.5), ("uniform:1,2", 1, 2, 1.5), ("lognormal:0.7,0.3", 0.1, 4, 0.732)],
)
def test_service_times_are_drawn_from_their_distribution(text: Any, low: float, high: float, mean: float) -> None:
    drawn = [parse_time(text).draw(random.Random(seed)) for seed in range(2000)]
    assert low <= min(drawn) <= max(drawn) <= high
    assert sum(drawn) / len(drawn) == pytest.approx(mean, rel=0.05)


@pytest.mark.parametrize(
    "text", ["fast", "-1", "nan", "inf", "uniform:1", "uniform:2,1", "lognormal:0,1", "normal:1,2"]
)
def test_times_that_are_none_say_what_is_accepted(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected seconds such as 2, uniform:LOW,HIGH"):
        parse_time(text)


def test_a_full_disk_costs_the_truth_log_its_line_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    with TruthLog(Path("/dev/full")) as log:
        log.write({"request_id": "r1"})
    assert "the truth log lost request r1" in caplog.text


def test_a_job_is_written_once_when_nothing_more_is_expected_of_it(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"

    async def go(books: Books) -> None:
        dispatcher = Dispatcher(_at_once(), on_finish=books.finished)
        job = _job()
        books.submitted(job)
        (uncollected,) = await _finish(dispatcher, 1)
        dispatcher.submit(job)
        await job.done.wait()
        assert path.read_text() == ""
        job.result_sent = job.finished
        books.settle(job)
        assert path.read_text() == "", "its picture was not fetched yet"
        assert job.finished is not None
        job.pictures_sent[0] = job.finished
        books.settle(job)
        books.settle(job, for_good=True)
        books.settle(uncollected, for_good=True)
        assert [json.loads(line)["request_id"] for line in path.read_text().splitlines()] == [job.id, uncollected.id]
        assert books.totals([])["billed_usd"] == 0.05

    with TruthLog(path) as log:
        asyncio.run(go(Books(log)))
