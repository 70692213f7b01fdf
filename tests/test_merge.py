"""Parts become one run: every record once, nothing lost to a kill, nothing taken from another plan."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kreabench.core.errors import RunDirectoryError, StorageError
from kreabench.core.records import (
    SCHEMA_VERSION,
    Cost,
    DropRecord,
    FailureRecord,
    HostedCall,
    Record,
    SampleRecord,
    SkipRecord,
    SubmissionRecord,
)
from kreabench.execution.budget import Budget
from kreabench.merging import merge
from kreabench.plan_build import build_plan
from kreabench.rundir import codec
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.merge import Merger
from kreabench.rundir.parts import batch_folders, parts_of, refuse_part
from tests.hosted_support import hosted_target
from tests.merge_support import (
    EXPERIMENT,
    GROUP,
    INFO,
    PLAN,
    REQUESTS,
    check_pictures,
    crash,
    delivered,
    failed,
    lines_of,
    load,
    make_part,
    write_journal,
)
from tests.support import ROOT, UTC, make_experiment, make_prompt

LATER = "2026-01-02T04:00:00.000Z"


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return make_part(tmp_path / "run")


def part(run: RunDirectory, name: str, *records: Record, batch: int = 1, cut: int | None = None) -> RunDirectory:
    return make_part(run.path / "parts" / str(batch) / name, records, cut=cut)


def test_two_parts_become_one_run_and_stay_as_they_are(run: RunDirectory) -> None:
    first = part(run, "a", load(0), *map(delivered, REQUESTS[:6]))
    second = part(run, "b", load(1), *map(delivered, REQUESTS[6:]))
    before = [lines_of(first), lines_of(second)]
    merged = merge(run.path)
    assert [(one.records, one.delivered, one.known) for one in merged.parts] == [(7, 6, 0), (7, 6, 0)]
    assert (merged.requests, merged.delivered, merged.failed, merged.left) == (12, 12, 0, 0)
    assert lines_of(run) == [*before[0], *before[1]]
    assert [lines_of(first), lines_of(second)] == before
    check_pictures(run)
    assert (run.path / "samples.parquet").is_file()


def test_merging_again_adds_nothing(run: RunDirectory) -> None:
    part(run, "a", load(), crash(REQUESTS[0]), delivered(REQUESTS[0], attempt=2), failed(REQUESTS[1]))
    merge(run.path)
    before = lines_of(run)
    again = merge(run.path)
    assert lines_of(run) == before
    assert [(one.records, one.known) for one in again.parts] == [(0, 4)]
    copy = shutil.copytree(run.path / "parts/1/a", run.path.parent / "copy")
    assert [one.records for one in merge(run.path, [copy, copy]).parts] == [0]


def test_a_part_that_grows_is_taken_up_to_its_last_whole_line(run: RunDirectory) -> None:
    records: list[Record] = [load(), *map(delivered, REQUESTS[:4])]
    whole = len(b"".join(codec.encode(record) + b"\n" for record in records[:3]))
    growing = part(run, "a", *records, cut=whole + 40)
    merged = merge(run.path)
    assert [(one.records, one.is_cut) for one in merged.parts] == [(3, True)]
    write_journal(growing, records)
    assert [(one.records, one.known, one.is_cut) for one in merge(run.path).parts] == [(2, 3, False)]
    assert list(run.records()) == records
    check_pictures(run)


def test_of_two_deliveries_the_first_counts_and_the_cost_of_both(run: RunDirectory) -> None:
    first, second = delivered(REQUESTS[0], usd=0.03), delivered(REQUESTS[0], utc=LATER, usd=0.05)
    part(run, "a", first)
    part(run, "b", second, delivered(REQUESTS[1]))
    merged = merge(run.path)
    assert [one.twice for one in merged.parts] == [(), (REQUESTS[0].id,)]
    assert run.samples()[REQUESTS[0].id] == first
    check_pictures(run)
    (extra,) = [record for record in run.records() if isinstance(record, FailureRecord)]
    assert (extra.error.type, extra.request_id, extra.cost) == (
        "duplicate",
        REQUESTS[0].id,
        Cost(usd=0.05, basis="billed"),
    )
    before = lines_of(run)
    assert all(one.records == 0 and not one.twice for one in merge(run.path).parts)
    # The order in which parts are named later does not change what counts.
    merge(run.path, [run.path / "parts/1/b", run.path / "parts/1/a"])
    assert lines_of(run) == before


def test_what_two_fetched_of_one_job_of_a_service_was_bought_once(run: RunDirectory) -> None:
    hosted = HostedCall(
        service_request_id="job-1", attempts=1, polls=1, queue_s=None, inference_s=None, runner=None, billable_units=1.0
    )
    first, second = (replace(delivered(REQUESTS[0], utc=utc, usd=0.03), hosted=hosted) for utc in (UTC, LATER))
    part(run, "a", first)
    part(run, "b", second, delivered(REQUESTS[1]))
    merged = merge(run.path)
    assert [(one.twice, one.known) for one in merged.parts] == [((), 0), ((), 1)]
    assert [record.cost.usd for record in run.records() if isinstance(record, SampleRecord | FailureRecord)] == [
        0.03,
        None,
    ]
    again = replace(second, hosted=replace(hosted, service_request_id="job-2"))
    part(run, "c", again)
    assert merge(run.path).parts[-1].twice == (REQUESTS[0].id,)


def test_a_budget_knows_what_was_paid_twice(tmp_path: Path) -> None:
    experiment = replace(EXPERIMENT, targets=(hosted_target(tmp_path),))
    plan = build_plan(experiment)
    group = plan.groups[0]
    request = group.requests[0]

    def bought(utc: str) -> SampleRecord:
        return replace(delivered(request, utc=utc, usd=0.04), group_id=group.id)

    run = make_part(tmp_path / "run", experiment=experiment, plan=plan)
    for name, utc in (("a", UTC), ("b", LATER)):
        make_part(run.path / "parts/1" / name, [bought(utc)], experiment=experiment, plan=plan)
    merge(run.path)
    budget = Budget(1.0, plan)
    for record in run.records():
        budget.record(record)
    assert budget.spent_usd == pytest.approx(0.08)


def test_a_failed_sample_gives_way_to_a_later_part_and_never_the_other_way_round(run: RunDirectory) -> None:
    part(run, "a", failed(REQUESTS[0]), delivered(REQUESTS[1]))
    part(run, "b", delivered(REQUESTS[0], attempt=2), failed(REQUESTS[1]), batch=2)
    merge(run.path)
    assert {sample.status for sample in run.samples().values()} == {"ok"}
    state = run.state()
    assert state.tries == {REQUESTS[0].id: 2, REQUESTS[1].id: 2}
    check_pictures(run)


def test_what_was_never_tried_is_no_second_try(run: RunDirectory) -> None:
    part(run, "a", delivered(REQUESTS[0]))
    part(run, "b", failed(REQUESTS[0], stage="load"))
    merge(run.path)
    assert run.state().tries == {REQUESTS[0].id: 1}


def test_what_the_run_drew_itself_counts_before_any_part(run: RunDirectory) -> None:
    own = delivered(REQUESTS[0])
    write_journal(run, [load(), own])
    part(run, "a", delivered(REQUESTS[0], utc=LATER), delivered(REQUESTS[1]))
    merge(run.path)
    assert run.samples()[REQUESTS[0].id] == own
    assert len(run.samples()) == 2
    check_pictures(run)


def test_submissions_stay_open_and_settled_as_they_are(run: RunDirectory) -> None:
    def sent(number: int, service_id: str | None) -> SubmissionRecord:
        request = REQUESTS[number]
        return SubmissionRecord(
            request_id=request.id,
            setting_id=request.setting_id,
            group_id=GROUP.id,
            attempt=1,
            at_utc=UTC,
            service_request_id=service_id,
        )

    part(run, "a", sent(0, None), sent(0, "one"), delivered(REQUESTS[0]), sent(1, None), sent(1, "two"), sent(2, None))
    merge(run.path)
    assert run.state().submitted == {REQUESTS[1].id: "two", REQUESTS[2].id: None}


def test_another_run_directory_of_the_same_plan_is_a_part_too(run: RunDirectory, tmp_path: Path) -> None:
    skip = SkipRecord(
        target="x", acceleration="y", steps=1, guidance=1.0, size="1x1", num_images=1, output_format="png", reason="z"
    )
    other = make_part(tmp_path / "other", [skip, load(), *map(delivered, REQUESTS[:3])])
    merged = merge(run.path, [other.path])
    assert (merged.delivered, [one.records for one in merged.parts]) == (3, [4])


@pytest.mark.parametrize("give_up", [False, True])
def test_a_picture_that_is_missing_is_said_and_drawn_again_only_on_request(run: RunDirectory, give_up: bool) -> None:
    lost, bent, kept = (delivered(request, usd=0.01) for request in REQUESTS[:3])
    folder = part(run, "a", lost, bent, kept).path
    (folder / lost.images[0].path).unlink()
    (folder / bent.images[0].path).write_bytes(b"another")
    if not give_up:
        with pytest.raises(RunDirectoryError, match=r"is gone .* and 1 more") as raised:
            merge(run.path)
        assert "--give-up-missing" in raised.value.remedy
        assert lines_of(run) == []
        return
    merged = merge(run.path, give_up_missing=True)
    assert merged.parts[0].given_up == (lost.request_id, bent.request_id)
    state = run.state()
    assert state.samples.keys() == {kept.request_id}
    assert state.tries == {sample.request_id: 1 for sample in (lost, bent, kept)}
    check_pictures(run)
    before = lines_of(run)
    write_journal(RunDirectory.open(folder), [lost, bent, kept])  # they come back: that changes nothing any more
    assert merge(run.path).parts[0].records == 0
    assert lines_of(run) == before


def test_a_part_of_another_plan_is_refused_before_anything_is_merged(run: RunDirectory) -> None:
    part(run, "a", delivered(REQUESTS[0]))
    other = make_experiment(seeds=(0,), prompts=(make_prompt(0), make_prompt(7)))
    make_part(run.path / "parts/1/b", experiment=other, plan=build_plan(other))
    with pytest.raises(RunDirectoryError, match="another plan") as raised:
        merge(run.path)
    assert "prompt-7" in raised.value.message
    assert "Nothing was merged" in raised.value.remedy
    assert lines_of(run) == []


def test_a_part_of_a_newer_version_is_refused(run: RunDirectory) -> None:
    make_part(run.path / "parts/1/a", schema_version=SCHEMA_VERSION + 1)
    with pytest.raises(RunDirectoryError, match=f"schema version {SCHEMA_VERSION + 1}"):
        merge(run.path)


STRANGE: dict[str, Record] = {
    "of another plan": replace(delivered(REQUESTS[0]), request_id="f" * 16),
    "of another seed": replace(delivered(REQUESTS[0]), seed=77),
    "of another group": replace(load(), group_id="elsewhere"),
    "an attempt of another plan": replace(crash(REQUESTS[0]), request_id="f" * 16),
    "outside the folder": replace(
        delivered(REQUESTS[0]), images=(replace(delivered(REQUESTS[0]).images[0], path="images/../../../x.png"),)
    ),
    "under a second name": replace(
        delivered(REQUESTS[0]),
        images=(
            replace(
                delivered(REQUESTS[0]).images[0],
                path=delivered(REQUESTS[5]).images[0].path.replace("/", "//"),
            ),
        ),
    ),
    "over another file": replace(
        delivered(REQUESTS[0]), images=(replace(delivered(REQUESTS[0]).images[0], path="run.json"),)
    ),
    "over another picture": replace(
        delivered(REQUESTS[0]),
        images=(replace(delivered(REQUESTS[0]).images[0], path=delivered(REQUESTS[5]).images[0].path),),
    ),
    "of a race": DropRecord(
        setting_id=REQUESTS[0].setting_id,
        at_utc=UTC,
        look=1,
        looks=1,
        prompts=5,
        constraint="dominated",
        level=0.05,
        reason="x",
    ),
}


@pytest.mark.parametrize("record", STRANGE.values(), ids=STRANGE)
def test_records_that_cannot_be_of_this_run_are_refused(run: RunDirectory, record: Record) -> None:
    folder = make_part(run.path / "parts/1/a", [delivered(REQUESTS[5])]).path
    journal = folder / "journal.jsonl"
    journal.write_bytes(journal.read_bytes() + codec.encode(record) + b"\n")
    with pytest.raises(RunDirectoryError, match="line 2"):
        merge(run.path)
    assert lines_of(run) == []
    assert not (run.path / "images").exists()


def test_a_damaged_line_names_itself_and_its_remedy(run: RunDirectory) -> None:
    folder = part(run, "a", load(), delivered(REQUESTS[0])).path
    journal = folder / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b'"load"', b'"lo\xffd"'))
    with pytest.raises(RunDirectoryError, match=r"journal\.jsonl, line 1, is damaged") as raised:
        merge(run.path)
    assert "kreabench merge" in raised.value.remedy


def test_a_part_without_run_json_was_not_begun(run: RunDirectory) -> None:
    part(run, "a", delivered(REQUESTS[0]))
    (run.path / "parts/1/b").mkdir()
    (run.path / "parts/not a number").mkdir()
    assert [folder.name for folder in parts_of(run.path)] == ["a"]
    with pytest.raises(RunDirectoryError, match="not a run directory"):
        merge(run.path, [run.path / "parts/1/b"])
    with pytest.raises(RunDirectoryError, match="the run itself"):
        merge(run.path, [run.path])


def test_no_part_at_all(run: RunDirectory) -> None:
    with pytest.raises(RunDirectoryError, match="has no parts"):
        merge(run.path)


def test_parts_given_out_later_come_later(run: RunDirectory) -> None:
    for number in (10, 9, 1):
        part(run, "a", batch=number)
    assert [folder.name for folder in batch_folders(run.path)] == ["1", "9", "10"]


def test_a_part_is_not_gone_on_with_as_if_it_were_a_run(run: RunDirectory) -> None:
    refuse_part(run.path)
    folder = part(run, "a").path
    with pytest.raises(RunDirectoryError, match="is a part of the run") as raised:
        refuse_part(folder)
    assert f"kreabench resume {run.path}" in raised.value.remedy


def test_one_merger_at_a_time(run: RunDirectory) -> None:
    part(run, "a", delivered(REQUESTS[0]))
    with run.writer(), pytest.raises(RunDirectoryError, match=f"in use by another kreabench, process {os.getpid()}"):
        merge(run.path)
    assert merge(run.path).delivered == 1


def test_versions_and_devices_that_differ_are_said(run: RunDirectory) -> None:
    make_part(run.path / "parts/1/a", [load(0, device_model="A100")], versions={"kreabench": "0.1.0", "torch": "2.11"})
    make_part(run.path / "parts/1/b", [load(1, device_model="H100")], versions={"kreabench": "0.1.0", "linux": "6"})
    versions, devices = merge(run.path).notes
    assert "torch 2.11 (run: none): a" in versions
    assert "A100 and on H100" in devices


def test_an_emulated_part_makes_an_emulated_run(run: RunDirectory, tmp_path: Path) -> None:
    target = replace(EXPERIMENT.targets[0], untrained=False)
    plain = make_part(tmp_path / "plain", experiment=replace(EXPERIMENT, targets=(target,)))
    part(plain, "a", delivered(REQUESTS[0]))
    merge(plain.path)
    assert RunDirectory.open(plain.path).info.experiment.targets[0].untrained


def test_a_disk_that_refuses_pictures_leaves_a_run_that_can_be_merged_again(run: RunDirectory) -> None:
    part(run, "a", *map(delivered, REQUESTS))
    (run.path / "images").write_bytes(b"a file where a folder must be")
    with pytest.raises(StorageError, match="cannot write"):
        merge(run.path)
    assert lines_of(run) == []
    (run.path / "images").unlink()
    assert merge(run.path).delivered == len(REQUESTS)
    check_pictures(run)


def test_pictures_are_copied_where_they_cannot_be_linked(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("kreabench.rundir.files.os.link", refuse)
    folder = part(run, "a", delivered(REQUESTS[0])).path
    merge(run.path)
    check_pictures(run)
    name = delivered(REQUESTS[0]).images[0].path
    assert (run.path / name).stat().st_ino != (folder / name).stat().st_ino


def test_a_linked_picture_is_the_file_and_not_a_pointer_to_it(run: RunDirectory, tmp_path: Path) -> None:
    sample = delivered(REQUESTS[0])
    picture = part(run, "a", sample).path / sample.images[0].path
    elsewhere = tmp_path / "elsewhere.png"
    picture.rename(elsewhere)
    picture.symlink_to(elsewhere)
    merge(run.path)
    shutil.rmtree(run.path / "parts")
    elsewhere.unlink()
    check_pictures(run)


@st.composite
def histories(draw: st.DrawFn) -> list[Record]:
    """The journal of a run that had crashes, failures and resumes."""
    records: list[Record] = [load(0)]
    for number, request in enumerate(REQUESTS):
        attempt = 1
        for _ in range(draw(st.integers(0, 2))):
            tried = crash if draw(st.booleans()) else failed
            records.append(tried(request, attempt=attempt))
            attempt += 1
        if draw(st.booleans()):
            records.append(delivered(request, attempt=attempt))
        if draw(st.integers(0, 5)) == 0:
            records.append(load(number + 1))
    return records


@given(data=st.data(), history=histories(), parts=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_any_split_and_any_truncation_merge_to_the_same_records(
    data: st.DataObject, history: list[Record], parts: int
) -> None:
    where = data.draw(st.lists(st.integers(0, parts - 1), min_size=len(history), max_size=len(history)))
    split = [[record for record, number in zip(history, where, strict=True) if number == part] for part in range(parts)]
    sizes = [sum(len(codec.encode(record)) + 1 for record in records) for records in split]
    cuts = [0] * parts
    with tempfile.TemporaryDirectory() as folder, undurable():
        run, *folders = [RunDirectory(Path(folder) / str(number), INFO) for number in range(parts + 1)]
        for one in (run, *folders):
            one.path.mkdir()
        for _ in range(data.draw(st.integers(0, 2))):  # merged while they are being written, some of them, in any order
            cuts = [data.draw(st.integers(cut, size)) for cut, size in zip(cuts, sizes, strict=True)]
            for one, records, cut in zip(folders, split, cuts, strict=True):
                write_journal(one, records, cut=cut)
            take(run, data.draw(st.permutations(folders)))
            assert _final(run) == _final_of([record for one in folders for record in one.records()])
            check_pictures(run)
        for one, records in zip(folders, split, strict=True):
            write_journal(one, records)
        take(run, data.draw(st.permutations(folders)))
        assert _final(run) == _final_of(history)
        assert _known(run) == _known_of(history)
        check_pictures(run)


def take(run: RunDirectory, parts: Sequence[RunDirectory]) -> None:
    """As `merge`, without the table."""
    with run.writer() as writer:
        merger = Merger(run, PLAN, writer)
        for one in parts:
            merger.merge(one)


@contextmanager
def undurable() -> Iterator[None]:
    """Thousands of fsyncs take minutes on a busy disk; what is lost without them is the kill test's affair."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


def _final(run: RunDirectory) -> dict[str, tuple[str, int]]:
    return {key: (sample.status, sample.attempt) for key, sample in run.samples().items()}


def _final_of(records: list[Record]) -> dict[str, tuple[str, int]]:
    """What must come of `records` in any order: the delivered one, else the last attempt."""
    final: dict[str, tuple[str, int]] = {}
    for record in records:
        if isinstance(record, SampleRecord):
            key, state = record.request_id, (record.status, record.attempt)
            final[key] = max(final.get(key, state), state, key=lambda one: (one[0] == "ok", one[1]))
    return final


def _known(run: RunDirectory) -> tuple[list[str], dict[str, int]]:
    return _known_of(list(run.records()))


def _known_of(records: list[Record]) -> tuple[list[str], dict[str, int]]:
    """Loads, and tries of each request: a sample that was overtaken is kept as a failure."""
    loads = sorted(record.started_utc for record in records if record.kind == "load")
    tries: dict[str, int] = {}
    for record in records:
        if isinstance(record, SampleRecord | FailureRecord) and record.request_id is not None:
            tries[record.request_id] = tries.get(record.request_id, 0) + 1
    return loads, tries


KILLS = """
import os, shutil, signal, sys
from pathlib import Path
from kreabench import merging
from kreabench.rundir import files, journal, merge
from kreabench.rundir.directory import RunDirectory

origin, calls = Path(sys.argv[1]), 0
merge._LINES_AT_ONCE = 2
merging.rebuild_table = lambda run, plan: None  # written whole or not at all, as another test has it

def forked(act):
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        act()
        os._exit(0)
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)

def dying(path, at):
    def counted(function, before=lambda *arguments: None):
        def call(*arguments):
            global calls
            calls += 1
            if calls == at:
                before(*arguments)
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments)
        return call

    write = files.write_all
    half = lambda descriptor, content: write(descriptor, content[: len(content) // 2])
    for module, name in ((os, "link"), (os, "fsync"), (Path, "replace"), (os, "ftruncate")):
        setattr(module, name, counted(getattr(module, name)))
    files.write_all = journal.write_all = counted(write, half)
    merging.merge(path)

def seen(path):
    run = RunDirectory.open(path)
    pictures = sorted((str(file.relative_to(path)), file.read_bytes()) for file in (path / "images").rglob("*.*"))
    return sorted((path / "journal.jsonl").read_bytes().splitlines()), pictures

wanted, NEVER = None, 10_000
for at in (NEVER, *range(1, 1_000)):
    path = origin.with_name(f"killed-{at}")
    shutil.copytree(origin, path)
    code = forked(lambda: dying(path, at))
    if code == -signal.SIGKILL:
        assert forked(lambda: merging.merge(path)) == 0, at
    else:
        assert code == 0, code
    wanted = wanted or seen(path)
    assert seen(path) == wanted, at
    if code == 0 and at != NEVER:
        break
    shutil.rmtree(path)
print(at - 1)
"""


def test_a_kill_at_any_moment_loses_nothing(run: RunDirectory) -> None:
    part(run, "a", load(0), *map(delivered, REQUESTS[:4]))
    part(run, "b", load(1), delivered(REQUESTS[3], utc=LATER), *map(delivered, REQUESTS[4:6]))
    command = [sys.executable, "-c", KILLS, str(run.path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    kills = int(done.stdout)
    assert kills > 20, "it was not killed where it matters"
    merged = RunDirectory.open(run.path.with_name(f"killed-{kills + 1}"))
    assert sorted(merged.samples()) == sorted(request.id for request in REQUESTS[:6])
    records = list(merged.records())
    assert sum(isinstance(record, SampleRecord) for record in records) == 6
    assert sum(record.kind == "load" for record in records) == 2
    assert [record.error.type for record in records if isinstance(record, FailureRecord)] == ["duplicate"]
    check_pictures(merged)
