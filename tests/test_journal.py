"""What was journalled stays, what was cut off is never seen, and a refused write leaves no trace."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kreabench.core.errors import RunDirectoryError, StorageError
from kreabench.core.records import (
    Cost,
    Failure,
    FailureRecord,
    HostedCall,
    ImageRecord,
    LoadRecord,
    Memory,
    Record,
    SampleRecord,
    SkipRecord,
    Timings,
    WarmupRecord,
)
from kreabench.rundir import codec
from kreabench.rundir.directory import JOURNAL_FILE, RunDirectory
from kreabench.rundir.journal import JournalWriter, read_lines
from tests.disk_support import small_disk
from tests.support import ROOT, make_failure, make_run, make_sample, make_score, make_timings

TEXT = st.text(max_size=12)
FLOAT = st.floats(allow_nan=False, allow_infinity=False)
COUNT = st.integers(0, 2**63 - 1)
JSON = st.recursive(
    st.none() | st.booleans() | COUNT | FLOAT | TEXT, lambda inner: st.lists(inner, max_size=2), max_leaves=3
)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


TIMINGS = st.builds(
    Timings,
    end_to_end_s=FLOAT,
    stages_s=st.dictionaries(TEXT, FLOAT, max_size=3),
    residual_s=FLOAT,
    steps_s=st.lists(FLOAT, max_size=3).map(tuple),
    first_call=st.booleans(),
    resolution_s=maybe(FLOAT),
)
COST = st.builds(Cost, usd=maybe(FLOAT), basis=st.sampled_from(["billed", "price_list", "device_hour", "none"]))
FAILURE = st.builds(
    Failure,
    type=TEXT,
    stage=TEXT,
    message=TEXT,
    remedy=TEXT,
    transient=st.booleans(),
    signal=maybe(st.integers(1, 64)),
)
IMAGE = st.builds(
    ImageRecord,
    index=COUNT,
    path=TEXT,
    sha256=TEXT,
    size_bytes=COUNT,
    width=COUNT,
    height=COUNT,
    format=TEXT,
    seed=maybe(st.integers(0, 2**64 - 1)),
    nsfw=maybe(st.booleans()),
    degenerate=maybe(TEXT),
)
SAMPLE = st.builds(
    SampleRecord,
    request_id=TEXT,
    setting_id=TEXT,
    group_id=TEXT,
    prompt_id=TEXT,
    seed=COUNT,
    repeat=COUNT,
    attempt=COUNT,
    status=st.sampled_from(["ok", "failed"]),
    started_utc=TEXT,
    steps_run=maybe(COUNT),
    timings=maybe(TIMINGS),
    timing_valid=st.booleans(),
    memory=maybe(
        st.builds(
            Memory, peak_rss_bytes=maybe(COUNT), peak_allocated_bytes=maybe(COUNT), peak_reserved_bytes=maybe(COUNT)
        )
    ),
    hosted=maybe(
        st.builds(
            HostedCall,
            service_request_id=TEXT,
            attempts=COUNT,
            polls=COUNT,
            queue_s=maybe(FLOAT),
            inference_s=maybe(FLOAT),
            runner=maybe(TEXT),
            billable_units=maybe(FLOAT),
        )
    ),
    cost=COST,
    images=st.lists(IMAGE, max_size=2).map(tuple),
    error=maybe(FAILURE),
)
RECORD: st.SearchStrategy[Record] = st.one_of(
    SAMPLE,
    st.builds(
        LoadRecord,
        group_id=TEXT,
        target=TEXT,
        started_utc=TEXT,
        load_s=FLOAT,
        identity=st.dictionaries(TEXT, JSON, max_size=3),
    ),
    st.builds(WarmupRecord, group_id=TEXT, setting_id=TEXT, started_utc=TEXT, timings=TIMINGS, cost=COST),
    st.builds(
        FailureRecord,
        group_id=TEXT,
        setting_id=maybe(TEXT),
        request_id=maybe(TEXT),
        attempt=COUNT,
        started_utc=TEXT,
        error=FAILURE,
        cost=COST,
    ),
    st.builds(
        SkipRecord,
        target=TEXT,
        acceleration=TEXT,
        steps=COUNT,
        guidance=FLOAT,
        size=TEXT,
        num_images=COUNT,
        output_format=TEXT,
        reason=TEXT,
    ),
)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return make_run(tmp_path / "run")


def read(path: Path) -> list[Record]:
    return list(read_lines(path, codec.decode_record, remedy="Delete it."))


@settings(deadline=None)
@given(records=st.lists(RECORD, max_size=4), later=RECORD, data=st.data())
def test_a_cut_at_any_byte_costs_the_cut_line_alone(records: list[Record], later: Record, data: st.DataObject) -> None:
    lines = [codec.encode(record) + b"\n" for record in records]
    content = b"".join(lines)
    cut = data.draw(st.integers(0, len(content)), label="cut")
    whole = content[: content.rfind(b"\n", 0, cut) + 1]
    kept = records[: whole.count(b"\n")]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        path.write_bytes(content[:cut])

        assert read(path) == kept
        assert path.read_bytes() == content[:cut], "reading changes nothing"

        with closing(JournalWriter(path)) as writer:
            assert path.read_bytes() == whole
            writer.append([codec.encode(later)])
        assert read(path) == [*kept, later]
        assert path.read_bytes() == whole + codec.encode(later) + b"\n"


@pytest.mark.parametrize("torn", [0, 1, 65_535, 65_536, 200_000])
def test_the_last_newline_is_found_wherever_it_is(tmp_path: Path, torn: int) -> None:
    path = tmp_path / "journal.jsonl"
    lines = (codec.encode(make_sample()) + b"\n") * 200
    path.write_bytes(lines + b"x" * torn)
    JournalWriter(path).close()
    assert path.read_bytes() == lines


def test_a_file_that_is_one_torn_line_becomes_empty(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"\x00" * 150_000)
    JournalWriter(path).close()
    assert path.read_bytes() == b""


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"\x00" * 40,
        b'{"kind":"sample"}',
        b'{"kind":"surprise"}',
        b"[]",
        codec.encode(make_sample()).replace(b'"seed":0', b'"seed":"0"'),
        codec.encode(make_sample()) * 2,
    ],
)
def test_a_damaged_line_names_file_line_and_remedy(run: RunDirectory, damage: bytes) -> None:
    journal = run.path / JOURNAL_FILE
    good = codec.encode(make_sample())
    journal.write_bytes(b"\n".join([good, damage, good, b""]))
    with pytest.raises(RunDirectoryError) as caught:
        run.state()
    assert f"{journal}, line 2, is damaged" in caught.value.message
    assert "Delete that line" in caught.value.remedy
    assert "kreabench resume" in caught.value.remedy


def test_a_damaged_score_line_names_its_file(run: RunDirectory) -> None:
    scores = run.path / "scores.jsonl"
    scores.write_bytes(b"{}\n")
    with pytest.raises(RunDirectoryError, match=r"scores\.jsonl, line 1, is damaged") as caught:
        list(run.scores())
    assert "kreabench score" in caught.value.remedy


def test_an_unreadable_journal_is_said_so(run: RunDirectory) -> None:
    (run.path / JOURNAL_FILE).mkdir()
    with pytest.raises(RunDirectoryError, match=r"cannot read .*journal\.jsonl: Is a directory"):
        run.state()


def test_readers_see_each_line_while_the_writer_goes_on(run: RunDirectory) -> None:
    with run.writer() as writer:
        for number in range(3):
            writer.append(make_sample(request_id=str(number)))
            assert list(run.samples()) == [str(done) for done in range(number + 1)]


@pytest.mark.parametrize(
    "value", [{"residual_s": float("nan")}, {"resolution_s": float("nan")}, {"end_to_end_s": float("inf")}]
)
def test_what_json_cannot_hold_is_refused_and_not_turned_into_nothing(
    run: RunDirectory, value: dict[str, float]
) -> None:
    with run.writer() as writer:
        with pytest.raises(ValueError, match="read back"):
            writer.append(make_sample(timings=make_timings(**value)))
        with run.score_writer() as scores, pytest.raises(ValueError, match="read back"):
            scores.append_scores([make_score(), make_score(value=float("nan"))])
        writer.append(make_sample())
    assert len(list(run.records())) == 1
    assert list(run.scores()) == []


def test_scores_are_appended_all_or_none(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    first = [make_score(metric="clip"), make_score(metric="psnr")]
    with run.score_writer() as writer:
        writer.append_scores(first)
        writer.append_scores([])
        real, calls = os.write, []

        def full_after_a_while(descriptor: int, content: bytes) -> int:
            calls.append(content)
            if len(calls) == 1:
                return real(descriptor, content[: len(content) - 30])
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "write", full_after_a_while)
        with pytest.raises(StorageError, match="No space left on device") as caught:
            writer.append_scores([make_score(metric="ssim"), make_score(metric="other")])
        monkeypatch.undo()
        assert "Free space" in caught.value.remedy
        assert (run.path / "scores.jsonl").read_bytes().count(b"\n") == 2
        with pytest.raises(StorageError, match="takes no more lines"):
            writer.append_scores([make_score(metric="ssim")])
    assert list(run.scores()) == first


@pytest.mark.parametrize(
    ("call", "error", "kept"),
    [
        ("fsync", OSError(errno.EIO, "Input/output error"), ["first"]),
        ("fsync", KeyboardInterrupt(), ["first", "second"]),
        ("write", KeyboardInterrupt(), ["first"]),
    ],
    ids=["sync fails", "interrupt in the sync", "interrupt in the write"],
)
def test_of_a_line_that_was_not_finished_all_or_nothing_stays(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch, call: str, error: BaseException, kept: list[str]
) -> None:
    """A whole line stays after an interrupt: readers have seen it, and its sample may have been paid for."""
    write = os.write

    def refuse(descriptor: int, content: bytes = b"") -> int:
        write(descriptor, content[: len(content) // 2])
        raise error

    with run.writer() as writer:
        writer.append(make_sample(request_id="first"))
        monkeypatch.setattr(os, call, refuse)
        with pytest.raises(StorageError if isinstance(error, OSError) else KeyboardInterrupt):
            writer.append(make_sample(request_id="second"))
        monkeypatch.undo()
    assert list(run.samples()) == kept
    assert (run.path / JOURNAL_FILE).read_bytes().endswith(b"\n")


FILL = """
import resource, sys
from pathlib import Path
from kreabench.core.errors import StorageError
from kreabench.rundir.directory import RunDirectory
from tests.support import make_sample

limit = int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
with RunDirectory.open(Path(sys.argv[1])).writer() as writer:
    for number in range(10_000):
        try:
            writer.append(make_sample(request_id=str(number)))
        except StorageError as error:
            print(error)
            break
        print(number, flush=True)
"""


def fill_until_refused(run: RunDirectory, limit: int) -> tuple[list[str], str]:
    """Append in another process until the disk refuses: the ids it was told are safe, and the message."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", FILL, str(run.path), str(limit)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=ROOT,
    )
    numbers = [line for line in done.stdout.splitlines() if line.isdecimal()]
    return numbers, done.stdout


def check_resumable(run: RunDirectory, acknowledged: list[str]) -> None:
    assert acknowledged
    assert (run.path / JOURNAL_FILE).read_bytes().endswith(b"\n")
    assert list(run.samples()) == acknowledged


def test_at_the_file_size_limit_nothing_acknowledged_is_lost(run: RunDirectory) -> None:
    limit = 5_000
    acknowledged, output = fill_until_refused(run, limit)
    check_resumable(run, acknowledged)
    assert limit - 1_000 < (run.path / JOURNAL_FILE).stat().st_size <= limit, "the last line did not fit"
    assert "File too large" in output
    assert "ulimit -f" in output
    with run.writer() as writer:
        writer.append(make_sample(request_id="after"))
    assert list(run.samples()) == [*acknowledged, "after"]


def test_on_a_full_disk_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "256k") as disk:
        check_full_disk(disk)


def check_full_disk(small_disk: Path) -> None:
    run = make_run(small_disk / "run")
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 100_000)
    acknowledged, output = fill_until_refused(run, 0)
    check_resumable(run, acknowledged)
    assert "No space left on device" in output
    assert "Free space" in output
    ballast.unlink()
    with run.writer() as writer:
        writer.append(make_sample(request_id="after", error=make_failure()))
    assert list(run.samples()) == [*acknowledged, "after"]
