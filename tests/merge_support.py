"""Runs and parts of them with records made by hand, for the tests of merging."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kreabench.core.planned import Plan, Request
from kreabench.core.records import SCHEMA_VERSION, Cost, FailureRecord, ImageRecord, LoadRecord, Record, SampleRecord
from kreabench.core.specs import ExperimentSpec
from kreabench.plan_build import build_plan
from kreabench.rundir import codec
from kreabench.rundir.directory import RunDirectory, RunInfo
from tests.support import UTC, make_experiment, make_failure, make_sample

EXPERIMENT = make_experiment(seeds=tuple(range(6)), metrics=())
"""Twelve requests of one load group."""
PLAN = build_plan(EXPERIMENT)
GROUP = PLAN.groups[0]
REQUESTS = GROUP.requests
INFO = RunInfo(
    schema_version=SCHEMA_VERSION,
    plan_hash=PLAN.hash,
    created_utc=UTC,
    experiment=EXPERIMENT,
    versions={"kreabench": "0.1.0"},
    environment={},
    git_revision=None,
)


def make_part(
    path: Path,
    records: Iterable[Record] = (),
    *,
    experiment: ExperimentSpec = EXPERIMENT,
    plan: Plan = PLAN,
    cut: int | None = None,
    **changes: Any,
) -> RunDirectory:
    """A run directory of `plan` with these records and their pictures; its journal ends after `cut` bytes."""
    info = replace(INFO, plan_hash=plan.hash, experiment=experiment)
    run = RunDirectory.create(path, replace(info, **changes), "name: test\n")
    write_journal(run, records, cut=cut)
    return run


def write_journal(run: RunDirectory, records: Iterable[Record], *, cut: int | None = None) -> None:
    """Have the journal hold `records` and nothing else."""
    listed = list(records)
    for record in listed:
        if not isinstance(record, SampleRecord):
            continue
        for image in record.images:
            file = run.path / image.path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content_of(record, image.index))
    content = b"".join(codec.encode(record) + b"\n" for record in listed)
    (run.path / "journal.jsonl").write_bytes(content[:cut])


def content_of(sample: SampleRecord, index: int = 0) -> bytes:
    """What stands for a picture: nobody decodes it here."""
    return f"{sample.request_id} {sample.attempt} {sample.started_utc} {index}".encode() * 20


def delivered(request: Request, *, attempt: int = 1, utc: str = UTC, usd: float | None = None) -> SampleRecord:
    """The sample of `request` with one picture."""
    sample = make_sample(
        request,
        group_id=GROUP.id,
        attempt=attempt,
        started_utc=utc,
        cost=Cost(usd=usd, basis="none" if usd is None else "billed"),
        images=(),
    )
    content = content_of(sample)
    image = ImageRecord(
        index=0,
        path=f"images/some-setting/{request.id}-0.png",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        width=128,
        height=128,
        format="png",
        seed=request.seed,
        nsfw=None,
        degenerate=None,
    )
    return replace(sample, images=(image,))


def failed(request: Request, *, attempt: int = 1, stage: str = "denoise", **changes: Any) -> SampleRecord:
    """The sample of `request`, which failed and may be tried again."""
    return make_sample(
        request, group_id=GROUP.id, attempt=attempt, error=make_failure(stage=stage, transient=True), **changes
    )


def crash(request: Request, *, attempt: int = 1) -> FailureRecord:
    """A worker died with `request` in hand."""
    return FailureRecord(
        group_id=GROUP.id,
        setting_id=request.setting_id,
        request_id=request.id,
        attempt=attempt,
        started_utc=UTC,
        error=make_failure(transient=True),
    )


def load(number: int = 0, **identity: Any) -> LoadRecord:
    """Load `number` of the group."""
    return LoadRecord(
        group_id=GROUP.id,
        target=GROUP.target.name,
        started_utc=f"2026-01-02T03:{number:02}:05.678Z",
        load_s=1.0 + number,
        identity={"model": "x", **identity},
    )


def pictures_of(run: RunDirectory) -> dict[str, bytes]:
    """Path → content of every file below images/."""
    folder = run.path / "images"
    return {str(file.relative_to(run.path)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def check_pictures(run: RunDirectory) -> None:
    """Every delivered sample has its pictures, as it says, and no file is left over."""
    samples = run.samples().values()
    wanted = {image.path: image.sha256 for sample in samples for image in sample.images}
    found = {path: hashlib.sha256(content).hexdigest() for path, content in pictures_of(run).items()}
    assert found == wanted


def lines_of(run: RunDirectory) -> Sequence[bytes]:
    return (run.path / "journal.jsonl").read_bytes().splitlines()
