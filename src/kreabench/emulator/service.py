"""What all routes share: the jobs, the books, the files, the connections, and where the service is."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from kreabench.backends.options import FalEmulatorOptions
from kreabench.emulator.connections import Connections
from kreabench.emulator.dispatch import Dispatcher, QueueFull
from kreabench.emulator.distributions import parse_time
from kreabench.emulator.endpoints import Endpoint
from kreabench.emulator.faults import FaultPlan
from kreabench.emulator.files import PictureReader, StoredFile, Uploads
from kreabench.emulator.jobs import Asked, Delivered, Job, Moment
from kreabench.emulator.studio import Studio
from kreabench.emulator.truth import Books, TruthLog
from kreabench.emulator.webhooks import Webhooks
from kreabench.emulator.work import Worker

RUN_HOST = "localhost"
QUEUE_HOST = "127.0.0.1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where the service listens."""

    scheme: str
    port: int

    @property
    def run_host(self) -> str:
        """Stands for fal.run."""
        return f"{RUN_HOST}:{self.port}"

    @property
    def queue_host(self) -> str:
        """Stands for queue.fal.run, rest.fal.ai and v3.fal.media."""
        return f"{QUEUE_HOST}:{self.port}"

    @property
    def queue_url(self) -> str:
        """Without a slash at its end."""
        return f"{self.scheme}://{self.queue_host}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TooMany(Exception):
    """No job was made: too many requests at once."""

    why: str
    retry_after_s: int | None = None


@dataclass(kw_only=True)
class Service:
    """One emulated fal. Used from the event loop."""

    place: Place
    options: FalEmulatorOptions
    endpoints: Mapping[str, Endpoint]
    books: Books
    dispatcher: Dispatcher
    uploads: Uploads
    webhooks: Webhooks
    connections: Connections
    faults: FaultPlan
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    submissions: int = 0

    def submission(self, asked: Asked, received: Moment) -> Job:
        """A job for `asked`, numbered and with its fault and times drawn; not yet in the queue."""
        number = self.submissions
        self.submissions += 1
        seed = self.options.seed
        rng = random.Random() if seed is None else random.Random(f"times {seed} {number}")  # noqa: S311
        return Job(
            asked=asked,
            number=number,
            received=received,
            fault=self.faults.fault_of(number),
            queue_s=parse_time(self.options.queue_s).draw(rng),
            inference_s=parse_time(self.options.inference_s).draw(rng),
        )

    def accept(self, job: Job) -> None:
        """Put `job` in the queue and in the books. Raises TooMany."""
        limit = self.options.submit_limit
        if job.fault == "rate_limit":
            raise self._refused("rate_limit fault")
        if job.asked.via != "queue" and self.dispatcher.at_limit():
            raise self._refused("concurrency limit")
        if limit is not None and self.dispatcher.unfinished() >= limit:
            raise self._refused("submit limit", retry_after_s=1)
        try:
            self.dispatcher.submit(job)
        except QueueFull:
            raise self._refused("queue full") from None
        self.books.submitted(job)

    def file(self, folder: str, name: str) -> StoredFile | None:
        """An upload, or a picture of a job, as an input of another one."""
        job = self.dispatcher.find(folder)
        if job is not None and isinstance(job.outcome, Delivered):
            stem = name.partition(".")[0]
            if stem.isdecimal() and int(stem) < len(job.outcome.pictures):
                content_type = f"image/{job.outcome.wanted.output_format}"
                return StoredFile(content=job.outcome.pictures[int(stem)], content_type=content_type)
            return None
        return self.uploads.get(folder, name)

    def settle(self, job: Job) -> None:
        """To be called whenever something of the job was handed over."""
        self.books.settle(job)

    async def close(self) -> None:
        """End what is running and write every job that is not in the truth log yet."""
        self.closing.set()
        await self.dispatcher.close()
        await self.webhooks.close()
        for job in self.dispatcher.jobs():
            self.books.settle(job, for_good=True)

    def _refused(self, why: str, retry_after_s: int | None = None) -> TooMany:
        self.books.refused_submit(why)
        return TooMany(why=why, retry_after_s=retry_after_s)


def make_service(
    options: FalEmulatorOptions, place: Place, endpoints: Mapping[str, Endpoint], studio: Studio, truth: TruthLog
) -> Service:
    """The parts put together. `studio` is started and stopped by the caller. Raises ValueError on bad options."""
    books = Books(truth)
    uploads = Uploads(place.queue_url)
    webhooks = Webhooks()
    reader = PictureReader(place.queue_url)

    def finished(job: Job) -> None:
        books.finished(job)
        webhooks.finished(job)

    dispatcher = Dispatcher(
        Worker(studio, reader, options),
        runners=options.runners,
        concurrency=options.concurrency,
        cold_start_s=options.cold_start_s,
        on_finish=finished,
        on_forget=lambda job: books.settle(job, for_good=True),
    )
    service = Service(
        place=place,
        options=options,
        endpoints=endpoints,
        books=books,
        dispatcher=dispatcher,
        uploads=uploads,
        webhooks=webhooks,
        connections=Connections(),
        faults=FaultPlan(probabilities=options.fault, seed=options.seed),
    )
    reader.lookup = service.file
    return service
