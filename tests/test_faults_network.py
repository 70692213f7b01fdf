"""The network to a hosted service goes in the middle of everything: typed records, nothing bought twice, and a resume
that finishes the run. The real fal client talks to the loopback fal through a relay that is cut."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kreabench.backends.encoding import encode_picture
from kreabench.core.planned import LoadGroup
from kreabench.core.records import Record, SampleRecord, SubmissionRecord
from kreabench.emulator.order import Order
from kreabench.emulator.painters import PatternPainter
from kreabench.execution.pending import pending_work
from kreabench.rundir.directory import RunDirectory
from tests import fal_emulator_support
from tests.cutting_proxy import CuttingProxy, cutting_proxy
from tests.engine_support import start, worker_pids
from tests.fal_emulator_support import Served, served
from tests.fal_support import fal_target, levels
from tests.hosted_support import PRICE
from tests.support import make_group, make_plan, make_run, make_setting

REQUESTS = 6
_NO_NAMES = """
import os, socket
_look_up = socket.getaddrinfo
def getaddrinfo(*arguments, **options):
    if os.path.exists({flag!r}):
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return _look_up(*arguments, **options)
socket.getaddrinfo = getaddrinfo
"""


@dataclass
class Line:
    """A run, its hosted service, and what lies between them."""

    run: RunDirectory
    group: LoadGroup
    proxy: CuttingProxy
    environ: dict[str, str]
    service: Served
    no_names: Path
    """While this file is there, no name is resolved."""

    def go_on(self, when: Callable[[Record], bool] = lambda record: False, do: Callable[[], object] = bool) -> None:
        """Draw what is left; `do` something once `when` a record has come."""
        state, done = self.run.state(), False
        for work in pending_work(make_plan(self.group), state, retry_failed=False):
            options = {name: getattr(work, name) for name in ("pending", "deaths", "tries", "submitted")}
            with self.run.writer() as writer:
                for record in start(self.group, self.run.path, environ=self.environ, **options):
                    writer.append(record)
                    if not done and when(record):
                        done = True
                        do()
        assert worker_pids() == []

    def account(self) -> dict[str, Any]:
        """What the service has in its books."""
        return self.service.service.books.totals(())


class NoisePainter(PatternPainter):
    """Pictures that no format makes small."""

    def paint(self, order: Order) -> list[bytes]:
        import numpy as np
        from PIL.Image import fromarray

        noise = np.random.default_rng(order.seed).integers(0, 256, (order.height, order.width, 3), np.uint8)
        return [encode_picture(fromarray(noise), order.output_format)] * order.num_images


@contextmanager
def line(folder: Path) -> Iterator[Line]:
    site, no_names = folder / "site", folder / "no-names"
    site.mkdir()
    (site / "sitecustomize.py").write_text(_NO_NAMES.format(flag=str(no_names)), encoding="utf-8")
    options: dict[str, Any] = {"request_timeout_s": 5.0, "download_hosts": ("localhost", "127.0.0.1")}
    target = fal_target(emulated=True, price=PRICE, options=options)
    setting = make_setting(target=target.name)
    group = make_group([setting], target=target, accelerations=levels("none"), prompts=REQUESTS, concurrency=2)
    with (
        cutting_proxy() as proxy,
        served(http=False, through=proxy.through, queue_s=0.1, inference_s=0.2, runners=2) as service,
    ):
        paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
        environ = {**os.environ, **service.environment, "PYTHONPATH": os.pathsep.join(paths)}
        run = make_run(folder / "run")
        yield Line(run=run, group=group, proxy=proxy, environ=environ, service=service, no_names=no_names)


def is_intended(record: Record) -> bool:
    return isinstance(record, SubmissionRecord) and record.service_request_id is None


def is_named(record: Record) -> bool:
    return isinstance(record, SubmissionRecord) and record.service_request_id is not None


def is_delivered(record: Record) -> bool:
    return isinstance(record, SampleRecord) and record.status == "ok"


def check_cut(line: Line) -> dict[str, SampleRecord]:
    """What the journal says while the line is still cut; what was delivered before."""
    now = line.run.samples()
    assert len(now) == REQUESTS
    errors = [sample.error for sample in now.values() if sample.error]
    assert errors, "nothing noticed"
    assert {error.type for error in errors} <= {"network", "timeout", "truncated", "load_failed"}
    assert all(error.message and error.remedy for error in errors)
    for sample in now.values():
        if sample.error and sample.error.stage not in {"submit"}:
            assert sample.error.transient, f"{sample.error} would not be tried again"
    return {id_: sample for id_, sample in now.items() if sample.status == "ok"}


def check_end(line: Line, before: dict[str, SampleRecord]) -> None:
    after = line.run.samples()
    assert {id_: after[id_] for id_ in before} == before, "what was measured has changed"
    account = line.account()
    assert account["jobs_with_a_body_seen_before"] == 0, "something was bought twice"
    for sample in after.values():
        if sample.error is None:
            assert (line.run.path / sample.images[0].path).stat().st_size == sample.images[0].size_bytes
        else:  # nobody can know whether it arrived, so it is not sent again unasked
            assert (sample.error.type, sample.error.stage, sample.error.transient) == ("network", "submit", False)
    lost = sum(sample.error is not None for sample in after.values())
    assert lost <= 2, "only what was being sent when the line was cut"
    assert REQUESTS - lost <= account["jobs"] <= REQUESTS
    assert line.run.state().submitted == {}


@pytest.mark.parametrize(
    ("when", "name"), [(is_intended, "submit"), (is_named, "poll"), (is_delivered, "between")], ids=lambda value: value
)
def test_a_line_that_is_cut(tmp_path: Path, when: Callable[[Record], bool], name: str) -> None:
    with line(tmp_path) as cable:
        cable.go_on(when, cable.proxy.cut)
        before = check_cut(cable)
        assert before or name != "between"
        cable.proxy.mend()
        cable.go_on()
        check_end(cable, before)
        if name == "poll":
            fetched = [sample for sample in cable.run.samples().values() if sample.hosted and sample.hosted.recovered]
            assert fetched, "what had been submitted was fetched"
            assert not any(sample.timing_valid for sample in fetched)


def test_a_line_that_is_cut_in_a_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fal_emulator_support, "make_painter", lambda _: NoisePainter())
    with line(tmp_path) as cable:
        cable.proxy.cut_after_bytes = 24_000  # more than any answer but a picture
        cable.go_on()
        assert cable.proxy.is_cut.is_set(), "no picture was as large as that"
        before = check_cut(cable)
        errors = {id_: sample.error for id_, sample in cable.run.samples().items() if sample.error}
        cut_in_download = [id_ for id_, error in errors.items() if error.stage == "download"]
        assert cut_in_download
        cable.proxy.mend()
        cable.go_on()
        check_end(cable, before)
        assert {cable.run.samples()[id_].status for id_ in cut_in_download} == {"ok"}


def test_names_that_are_not_resolved_any_more(tmp_path: Path) -> None:
    with line(tmp_path) as cable:

        def lose_names() -> None:
            cable.no_names.touch()
            cable.proxy.break_connections()

        cable.go_on(is_delivered, lose_names)
        before = check_cut(cable)
        assert before
        cable.no_names.unlink()
        cable.go_on()
        check_end(cable, before)


def test_a_line_that_breaks_for_a_moment_costs_no_more_than_what_was_being_sent(tmp_path: Path) -> None:
    with line(tmp_path) as cable:
        cable.go_on(is_named, cable.proxy.break_connections)
        cable.go_on()
        check_end(cable, {})
