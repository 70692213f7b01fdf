"""A run is read out of samples.parquet only where that is provably what the journals say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from kreabench.core.errors import RunDirectoryError
from kreabench.core.planned import Plan
from kreabench.core.records import DropRecord, LoadRecord
from kreabench.plan_build import build_plan
from kreabench.rundir import table as table_module
from kreabench.rundir.directory import JOURNAL_FILE, SCORES_FILE, TABLE_FILE, RunDirectory
from kreabench.rundir.join import Joined, join
from kreabench.rundir.samples import Samples, read_samples
from kreabench.rundir.table import join_table, read_table, rebuild_table
from tests.decided_runs import decided_run
from tests.support import UTC, make_sample, make_score


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A finished run, one of whose settings racing dropped."""
    drop = DropRecord(
        setting_id="abc", at_utc=UTC, look=1, looks=4, prompts=2, constraint="dominated", level=0.05, reason="slower"
    )
    return decided_run(tmp_path / "run", drops=(drop,))[0]


def no_plan() -> NoReturn:
    raise AssertionError("the table was joined anew")


def read_and_count(run: RunDirectory) -> tuple[Samples, int]:
    """The samples, and how often they were joined."""
    asked: list[Plan] = []

    def plan() -> Plan:
        asked.append(build_plan(run.info.experiment))
        return asked[-1]

    return read_samples(run, plan), len(asked)


def assert_as_joined(run: RunDirectory, samples: Samples) -> None:
    """All that is said is what the journals say."""
    pd.testing.assert_frame_equal(samples.frame, join_table(run, build_plan(run.info.experiment)))
    records = list(run.records())
    assert samples.identities == {score.metric: score.identity for score in run.score_lines()}
    assert samples.loads == tuple(record for record in records if isinstance(record, LoadRecord))
    assert samples.drops == tuple(record for record in records if isinstance(record, DropRecord))


def test_a_table_that_agrees_is_read_without_a_plan(run: RunDirectory) -> None:
    samples = read_samples(run, no_plan)
    assert_as_joined(run, samples)
    assert [drop.reason for drop in samples.drops] == ["slower"]
    assert len(samples.loads) == 1


def add_sample(run: RunDirectory) -> None:
    last = list(run.samples().values())[-1]
    with run.writer() as writer:
        writer.append(replace(last, attempt=2))


def add_score(run: RunDirectory) -> None:
    sample = list(run.samples().values())[-1]
    with run.score_writer() as writer:
        writer.append_scores([make_score(sample, value=99.0)])


def rewrite_without_metadata(run: RunDirectory) -> None:
    path = run.path / TABLE_FILE
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)


def ask_for_a_metric_less(run: RunDirectory) -> None:
    run.info = replace(run.info, experiment=replace(run.info.experiment, metrics=run.info.experiment.metrics[:1]))
    run.save_info()


CHANGES: dict[str, Callable[[RunDirectory], object]] = {
    "a sample more": add_sample,
    "a score more": add_score,
    "no scores": lambda run: (run.path / SCORES_FILE).unlink(),
    "another metric asked for": ask_for_a_metric_less,
    "an older table": rewrite_without_metadata,
    "no table": lambda run: (run.path / TABLE_FILE).unlink(),
    "no parquet": lambda run: (run.path / TABLE_FILE).write_bytes(b"PAR1 nothing PAR1"),
    "half a table": lambda run: (run.path / TABLE_FILE).write_bytes((run.path / TABLE_FILE).read_bytes()[:-200]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_table_that_may_not_agree_is_joined_anew(run: RunDirectory, change: Callable[[RunDirectory], object]) -> None:
    change(run)
    samples, joined = read_and_count(run)
    assert joined == 1
    assert_as_joined(run, samples)


def test_a_table_of_another_layout_is_joined_anew(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kreabench.rundir.fingerprint.LAYOUT", 0)
    assert read_and_count(run)[1] == 1


def test_a_table_of_another_plan_is_joined_anew(run: RunDirectory) -> None:
    rebuild_table(run, replace(build_plan(run.info.experiment), hash="of another version"))
    assert read_and_count(run)[1] == 1


def test_a_table_is_not_trusted_with_any_byte_flipped(run: RunDirectory) -> None:
    path = run.path / TABLE_FILE
    whole, frame = path.read_bytes(), read_samples(run, no_plan).frame
    random = np.random.default_rng(0)
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    places = [*random.integers(4, footer, 8), *random.integers(footer, len(whole), 24)]
    for place in map(int, places):
        path.write_bytes(bytes([*whole[:place], whole[place] ^ 1 << int(random.integers(8)), *whole[place + 1 :]]))
        samples, joined = read_and_count(run)
        assert joined == 1, place
        pd.testing.assert_frame_equal(samples.frame, frame)


@pytest.mark.parametrize("from_end", [9, 400, -20])
def test_a_report_does_not_read_a_damaged_table(run: RunDirectory, from_end: int) -> None:
    path = run.path / TABLE_FILE
    content = bytearray(path.read_bytes())
    content[-from_end] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunDirectoryError, match=r"samples\.parquet") as caught:
        read_table(run)
    assert "kreabench score" in caught.value.remedy


def test_an_older_table_is_still_read_by_a_report(run: RunDirectory) -> None:
    frame = read_table(run)
    rewrite_without_metadata(run)
    pd.testing.assert_frame_equal(read_table(run), frame)


@pytest.mark.parametrize("name", [JOURNAL_FILE, SCORES_FILE])
def test_a_damaged_journal_is_told_whatever_the_table_holds(run: RunDirectory, name: str) -> None:
    path = run.path / name
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b'"', b"'", 1)
    path.write_bytes(b"".join(lines))
    with pytest.raises(RunDirectoryError, match=rf"{name}, line 3, is damaged"):
        read_and_count(run)


@pytest.mark.parametrize("name", [JOURNAL_FILE, SCORES_FILE])
def test_an_unfinished_last_line_is_no_line(run: RunDirectory, name: str) -> None:
    before = read_samples(run, no_plan)
    with (run.path / name).open("ab") as file:
        file.write(b'{"kind":"sample","request_id":"')
    samples, _ = read_and_count(run)
    pd.testing.assert_frame_equal(samples.frame, before.frame)
    assert samples.identities == before.identities


def test_reading_writes_nothing(run: RunDirectory) -> None:
    def state() -> Iterator[tuple[str, int, bytes]]:
        for path in sorted(path for path in run.path.iterdir() if path.is_file()):
            yield path.name, path.stat().st_mtime_ns, path.read_bytes()

    add_sample(run)
    before = list(state())
    run.path.chmod(0o555)
    try:
        assert read_and_count(run)[1] == 1
    finally:
        run.path.chmod(0o755)
    assert list(state()) == before


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_is_added_while_a_table_is_made_makes_it_stale(
    run: RunDirectory, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow_join(*arguments: Any) -> Joined:
        if when == "before":
            add_score(run)
        joined = join(*arguments)
        if when == "after":
            add_score(run)
        return joined

    monkeypatch.setattr(table_module, "join", slow_join)
    rebuild_table(run, build_plan(run.info.experiment))
    samples, joined = read_and_count(run)
    assert joined == 1
    assert_as_joined(run, samples)


def test_a_sample_drawn_again_and_a_metric_of_another_identity_are_joined_alike(run: RunDirectory) -> None:
    sample = next(sample for sample in run.samples().values() if sample.images)
    with run.score_writer() as writer:
        writer.append_scores([make_score(sample, value=1.0, identity="a newer one"), make_score(sample, metric="new")])
    rebuild_table(run, build_plan(run.info.experiment))
    frame = read_samples(run, no_plan).frame
    assert frame["score_clip"].dropna().tolist() == [1.0]
    assert frame["score_new"].notna().sum() == 1
    assert make_sample().request_id not in set(frame["request_id"])
