"""The emulator's queue and runner keep their memory bounded and survive what goes wrong in one job."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kreabench.backends.options import FalEmulatorOptions
from kreabench.core.errors import EnvironmentProblem, GenerationError
from kreabench.emulator import jobs
from kreabench.emulator.jobs import Delivered, Job, JobQueue, QueueFull, Refused, billable_units
from kreabench.emulator.painters import Order, PatternPainter, PipelinePainter
from kreabench.emulator.runner import Runner
from kreabench.emulator.schema import KreaInput
from kreabench.emulator.truth import TruthLog

WANTED = KreaInput(prompt="x")


def _job() -> Job:
    return Job(body={"prompt": "x", "image_size": {"width": 32, "height": 32}}, start_timeout_s=None)


def _queue() -> JobQueue:
    return JobQueue(queue_s=0.0, on_finish=lambda _: None)


def _delivered(size: int) -> Delivered:
    return Delivered(wanted=WANTED, seed=0, pictures=(b"x" * size,), inference_s=0.0, billable_units=1.0)


def _finish(queue: JobQueue, count: int, size: int) -> list[Job]:
    finished = []
    for _ in range(count):
        queue.submit(_job())
        job = queue.take()
        assert job is not None
        queue.finish(job, _delivered(size))
        finished.append(job)
    return finished


def test_only_the_newest_results_are_kept() -> None:
    queue = _queue()
    finished = _finish(queue, jobs.KEPT_RESULTS + 3, 10)
    assert [queue.find(job.id) is None for job in finished[:5]] == [True, True, True, False, False]
    assert queue.find(finished[-1].id) is finished[-1]


def test_results_are_also_bounded_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "KEPT_BYTES", 100)
    queue = _queue()
    finished = _finish(queue, 3, 40)
    assert [queue.find(job.id) is None for job in finished] == [True, False, False]
    big = _finish(queue, 1, 1000)[0]
    assert queue.find(big.id) is big, "the newest result is always there to be fetched"


def test_the_queue_takes_no_more_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MAX_QUEUED", 2)
    queue = _queue()
    queue.submit(_job())
    queue.submit(_job())
    with pytest.raises(QueueFull):
        queue.submit(_job())


@pytest.mark.parametrize(
    ("width", "height", "count", "megapixel", "units"),
    [
        (1024, 1024, 1, 1_000_000, 2.0),
        (1024, 1024, 1, 1_048_576, 1.0),
        (1024, 768, 1, 1_000_000, 1.0),
        (512, 512, 4, 1_000_000, 4.0),
        (2048, 2048, 1, 1_048_576, 4.0),
    ],
)
def test_each_picture_is_billed_by_whole_megapixels(
    width: int, height: int, count: int, megapixel: int, units: float
) -> None:
    assert billable_units(width, height, count, megapixel) == units


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


@pytest.fixture
def queue() -> Iterator[JobQueue]:
    queue = _queue()
    yield queue
    queue.close()


@pytest.mark.parametrize(
    ("error", "error_type", "detail"),
    [
        (GenerationError("no memory", type="out_of_memory", stage="denoise"), "runner_server_error", "no memory"),
        (ZeroDivisionError("a secret detail"), "internal_error", "Internal Server Error"),
    ],
)
def test_a_job_that_fails_is_a_500_and_the_runner_goes_on(
    queue: JobQueue, error: Exception, error_type: str, detail: str
) -> None:
    painter = _BrokenPainter(error)
    runner = Runner(queue, painter, FalEmulatorOptions())
    runner.start()
    bad, good = _job(), Job(body={"prompt": "y", "image_size": {"width": 32, "height": 32}}, start_timeout_s=None)
    queue.submit(bad)
    queue.submit(good)
    good.done.result(timeout=30)
    runner.stop()
    assert isinstance(bad.outcome, Refused)
    assert (bad.outcome.status_code, bad.outcome.error_type, bad.outcome.body["detail"]) == (500, error_type, detail)
    assert isinstance(good.outcome, Delivered)
    assert painter.closed == 1


def test_a_painter_that_cannot_open_stops_the_start(queue: JobQueue) -> None:
    painter = _BrokenPainter(EnvironmentProblem([]), at_open=True)
    runner = Runner(queue, painter, FalEmulatorOptions())
    with pytest.raises(EnvironmentProblem):
        runner.start()
    runner.stop()
    assert painter.closed == 1


def test_stopping_cuts_a_long_job_short(queue: JobQueue) -> None:
    runner = Runner(queue, PatternPainter(), FalEmulatorOptions(inference_s=600))
    runner.start()
    job = _job()
    queue.submit(job)
    while job.state == "IN_QUEUE":
        pass
    runner.stop(timeout_s=30)
    assert job.state == "COMPLETED"
    assert isinstance(job.outcome, Refused)


def test_every_level_of_the_endpoint_needs_features() -> None:
    with pytest.raises(
        EnvironmentProblem, match="--accelerations: found none, fast; expected features for each of none"
    ):
        PipelinePainter(FalEmulatorOptions(accelerations={"none": {}, "fast": {}}))


def test_a_full_disk_costs_the_truth_log_its_line_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    with TruthLog(Path("/dev/full")) as log:
        log.write({"request_id": "r1"})
    assert "the truth log lost request r1" in caplog.text
