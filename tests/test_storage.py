"""Runs on shared storage: what is sent once, what is brought, and what happens where either is cut off."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from kreabench.core.errors import RunDirectoryError, StorageError
from kreabench.core.specs import InputImage
from kreabench.remote.commits import KEPT, newest
from kreabench.remote.packing import ALONE_BYTES, PACK_BYTES, packs_of
from kreabench.remote.pull import pull
from kreabench.remote.push import push
from kreabench.remote.snapshot import Named
from kreabench.remote.stores import Store, open_store
from kreabench.remote.urls import parse_url
from kreabench.rundir.directory import JOURNAL_FILE, RunDirectory
from tests.storage_support import Watched, contents, draw, drawn_run, folder_store, stored_sample
from tests.support import encode_image, make_run, make_score, picture


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    name = request.node.name
    return open_store(
        parse_url(f"file://{tmp_path}/store/demo" if request.param == "file" else f"memory://{name}/demo")
    )


def test_a_run_comes_back_as_it_was(store: Store, tmp_path: Path) -> None:
    run = drawn_run(tmp_path / "run")
    with run.score_writer() as writer:
        writer.append_scores([make_score(stored_sample(run.path, 0))])
    (run.path / "logs").mkdir()
    (run.path / "logs" / "worker-1.log").write_text("loaded")
    (run.path / "notes.txt").write_text("no part of a run")
    done = push(run.path, store)
    assert (done.number, done.pictures) == (1, 5)
    pull(store, tmp_path / "copy")
    expected = contents(run.path)
    expected.pop("notes.txt")
    assert contents(tmp_path / "copy") == expected
    assert list(RunDirectory.open(tmp_path / "copy").records()) == list(run.records())


def test_a_second_push_reads_one_manifest_and_sends_nothing(tmp_path: Path) -> None:
    run = drawn_run(tmp_path / "run", 300)
    watched = Watched(folder_store(tmp_path / "store"))
    push(run.path, watched)
    assert sum(call == "put" and name.startswith(("packs/", "blobs/")) for call, name in watched.calls) < 5
    watched.calls.clear()
    assert push(run.path, watched).sent_objects == 0
    assert watched.calls == [("sizes", "manifests"), ("get", "manifests/00000001.json")]


def test_what_was_drawn_since_is_a_new_part_and_old_parts_stay(store: Store, tmp_path: Path) -> None:
    run = drawn_run(tmp_path / "run")
    push(run.path, store)
    before = store.sizes("parts")
    draw(run, range(5, 8))
    push(run.path, store)
    after = store.sizes("parts")
    assert before.items() < after.items()
    assert sorted(name.split("/")[-1][:6] for name in after) == ["000001", "000002"]
    pull(store, tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(run.path)


def test_an_unfinished_last_line_is_not_sent(store: Store, tmp_path: Path) -> None:
    run = drawn_run(tmp_path / "run")
    whole = (run.path / JOURNAL_FILE).read_bytes()
    with (run.path / JOURNAL_FILE).open("ab") as file:
        file.write(b'{"kind":"sam')
    push(run.path, store)
    pull(store, tmp_path / "copy")
    assert (tmp_path / "copy" / JOURNAL_FILE).read_bytes() == whole


def test_equal_pictures_lie_there_once(store: Store, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    content = bytes(range(256)) * 40
    with run.writer() as writer:
        writer.append(*(stored_sample(run.path, number, content) for number in range(20)))
    assert push(run.path, store).pictures == 20
    assert sum(size for name, size in store.sizes().items() if name.startswith(("packs", "blobs"))) < 3 * len(content)


def test_packs_keep_their_order_and_their_size() -> None:
    pictures = [Named(path=str(n), sha256=f"{n:064x}", size_bytes=300_000) for n in range(45)]
    pictures.insert(7, Named(path="large", sha256="f" * 64, size_bytes=ALONE_BYTES))
    packs = packs_of(pictures)
    assert sorted(member.path for pack in packs for member in pack.members) == sorted(p.path for p in pictures)
    assert all(pack.stored.size_bytes <= PACK_BYTES for pack in packs)
    assert [pack.stored.name[:6] for pack in packs].count("blobs/") == 1
    fewer = packs_of(pictures[:30])
    assert {pack.stored.name for pack in fewer[:-1]} <= {pack.stored.name for pack in packs}, "what was sent is found"


def test_a_push_that_was_cut_off_is_told_and_goes_on(tmp_path: Path) -> None:
    run = drawn_run(tmp_path / "run")

    def fail(call: str, name: str) -> None:
        if call == "create" and name.startswith("manifests/"):
            raise StorageError("the network is gone")

    store = folder_store(tmp_path / "store")
    with pytest.raises(StorageError, match="gone"):
        push(run.path, Watched(store, fail))
    with pytest.raises(RunDirectoryError, match="pushed in part: 4 objects, and no manifest"):
        pull(store, tmp_path / "copy")
    done = push(run.path, store)
    assert (done.sent_objects, done.found_objects) == (0, 4)
    pull(store, tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(run.path)


def test_readers_see_the_last_commit_until_the_next_is_whole(tmp_path: Path) -> None:
    run = drawn_run(tmp_path / "run")
    store = folder_store(tmp_path / "store")
    push(run.path, store)
    before = contents(run.path)
    draw(run, [9])

    def look(call: str, name: str) -> None:
        if call == "create" and name.startswith("manifests/"):
            pull(store, tmp_path / "meanwhile")

    push(run.path, Watched(store, look))
    assert contents(tmp_path / "meanwhile") == before


def test_a_pull_that_was_cut_off_is_no_run_and_goes_on(tmp_path: Path) -> None:
    run = drawn_run(tmp_path / "run")
    store = folder_store(tmp_path / "store")
    push(run.path, store)

    def fail(call: str, name: str) -> None:
        if call == "get" and name.startswith("parts/"):
            raise StorageError("the network is gone")

    with pytest.raises(StorageError):
        pull(Watched(store, fail), tmp_path / "copy")
    with pytest.raises(RunDirectoryError, match="not a run"):
        RunDirectory.open(tmp_path / "copy")
    watched = Watched(store)
    pull(watched, tmp_path / "copy")
    assert not [name for _, name in watched.calls if name.startswith("packs/")], "pictures came the first time"
    assert contents(tmp_path / "copy") == contents(run.path)


def test_what_is_damaged_there_is_refused(store: Store, tmp_path: Path) -> None:
    run = drawn_run(tmp_path / "run")
    push(run.path, store)
    for name, what in [
        (next(n for n in store.sizes() if n.startswith("packs/")), "images/"),
        *[(next(n for n in store.sizes() if n.startswith("parts/")), "parts/")],
    ]:
        whole = store.get(name)
        store.put(name, bytes([whole[0] ^ 1]) + whole[1:])
        with pytest.raises(RunDirectoryError, match=f"{what}.*SHA-256 differs"):
            pull(store, tmp_path / "copy")
        store.put(name, whole)
    pull(store, tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(run.path)


def test_a_damaged_copy_is_repaired(store: Store, tmp_path: Path) -> None:
    run = drawn_run(tmp_path / "run")
    push(run.path, store)
    pull(store, tmp_path / "copy")
    bad = tmp_path / "copy" / "images" / "setting" / "prompt-s3.png"
    bad.write_bytes(bytes(len(bad.read_bytes())))
    assert pull(store, tmp_path / "copy").fetched_files == 1
    assert contents(tmp_path / "copy") == contents(run.path)


def test_pictures_that_are_gone_are_said_unless_they_are_there_already(store: Store, tmp_path: Path) -> None:
    run = drawn_run(tmp_path / "run")
    lost = run.path / "images" / "setting" / "prompt-s2.png"
    content = lost.read_bytes()
    lost.write_bytes(bytes(len(content)))
    with pytest.raises(RunDirectoryError, match=r"changed since.*prompt-s2\.png"):
        push(run.path, store)
    lost.unlink()
    with pytest.raises(RunDirectoryError, match=r"gone.*prompt-s2\.png"):
        push(run.path, store)
    assert push(run.path, store, allow_missing=True).left_out == ("images/setting/prompt-s2.png",)
    lost.write_bytes(content)
    assert push(run.path, store).pictures == 5
    shutil.rmtree(run.path / "images")
    draw(run, [7])
    assert push(run.path, store).pictures == 6
    pull(store, tmp_path / "copy")
    assert len(list((tmp_path / "copy" / "images").rglob("*.png"))) == 6


def test_two_machines_go_on_in_turn_and_lose_nothing(store: Store, tmp_path: Path) -> None:
    here, there = drawn_run(tmp_path / "here"), tmp_path / "there"
    push(here.path, store)
    pull(store, there)
    with RunDirectory.open(there).score_writer() as writer:
        writer.append_scores([make_score(stored_sample(there, 0))])
    push(there, store)
    draw(here, [5])
    with pytest.raises(RunDirectoryError, match=r"lines of scores\.jsonl that .* lacks\n  Bring them"):
        push(here.path, store)
    assert pull(store, here.path).kept == (JOURNAL_FILE,)
    push(here.path, store)
    pull(store, there)
    assert contents(there) == contents(here.path)
    assert len(list(RunDirectory.open(there).scores())) == 1
    assert len(RunDirectory.open(there).samples()) == 6


def test_scores_made_since_the_push_keep_their_table(store: Store, tmp_path: Path) -> None:
    run = drawn_run(tmp_path / "run")
    (run.path / "samples.parquet").write_bytes(b"without scores")
    push(run.path, store)
    with run.score_writer() as writer:
        writer.append_scores([make_score(stored_sample(run.path, 0))])
    (run.path / "samples.parquet").write_bytes(b"with scores")
    assert pull(store, run.path).kept == ("scores.jsonl",)
    assert (run.path / "samples.parquet").read_bytes() == b"with scores"


def test_what_a_resume_has_asked_for_stays_with_what_it_drew(store: Store, tmp_path: Path) -> None:
    run = drawn_run(tmp_path / "run")
    push(run.path, store)
    asked = replace(run.info, experiment=replace(run.info.experiment, budget_usd=70.0))
    with run.writer():
        RunDirectory(run.path, asked).save_info()
    draw(run, [5])
    pull(store, run.path)
    assert RunDirectory.open(run.path).info.experiment.budget_usd == 70.0


@pytest.mark.parametrize("changed", [None, b"a note of mine"])
def test_an_input_that_is_there_is_pushed_again_though_it_is_gone_here(
    store: Store, tmp_path: Path, changed: bytes | None
) -> None:
    content = encode_image(picture(16, 16))
    sha256 = hashlib.sha256(content).hexdigest()
    image = InputImage(name="source.png", sha256=sha256, format="png", width=16, height=16)
    source = tmp_path / "source.png"
    source.write_bytes(content)
    plain = make_run(tmp_path / "plain").info
    prompts = tuple(replace(prompt, images=(image,)) for prompt in plain.experiment.prompts)
    info = replace(plain, experiment=replace(plain.experiment, prompts=prompts))
    run = RunDirectory.create(tmp_path / "run", info, "name: test\n", {sha256: source})
    push(run.path, store)
    (kept,) = (run.path / "inputs").iterdir()
    kept.unlink()
    if changed is not None:
        kept.write_bytes(changed)
    draw(run, [0])
    push(run.path, store)
    pull(store, tmp_path / "copy")
    assert (tmp_path / "copy" / "inputs" / kept.name).read_bytes() == content


def test_runs_that_went_on_differently_are_both_kept(store: Store, tmp_path: Path) -> None:
    here, there = drawn_run(tmp_path / "here"), tmp_path / "there"
    push(here.path, store)
    pull(store, there)
    draw(RunDirectory.open(there), [6, 7])
    push(there, store)
    draw(here, [8])
    before = contents(here.path), store.sizes("parts")
    with pytest.raises(RunDirectoryError, match="went on differently"):
        push(here.path, store)
    with pytest.raises(RunDirectoryError, match="went on differently"):
        pull(store, here.path)
    assert (contents(here.path), store.sizes("parts")) == before


def test_another_run_is_neither_pushed_over_nor_pulled_over(store: Store, tmp_path: Path) -> None:
    run = drawn_run(tmp_path / "run")
    push(run.path, store)
    other = make_run(tmp_path / "other", created_utc="2026-02-02T00:00:00Z")
    with pytest.raises(RunDirectoryError, match="holds another run"):
        push(other.path, store)
    with pytest.raises(RunDirectoryError, match="is another run"):
        pull(store, other.path)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("words")
    with pytest.raises(RunDirectoryError, match=r"holds chapter\.txt and is no run"):
        pull(store, tmp_path / "thesis")


def test_a_pull_that_was_killed_leaves_nothing_behind(tmp_path: Path) -> None:
    run, copy = drawn_run(tmp_path / "run"), tmp_path / "copy"
    store = folder_store(tmp_path / "store")
    push(run.path, store)
    copy.mkdir()
    (copy / "..pull.json.part").write_bytes(b'{"plan')  # its first file
    pull(store, copy)
    assert contents(copy) == contents(run.path)
    lost = next((copy / "images").rglob("*.png"))
    lost.rename(lost.with_name(".0123456789abcdef.part"))
    pull(store, copy)
    assert contents(copy) == contents(run.path)


def test_no_run_is_pushed_into_a_run_directory(tmp_path: Path) -> None:
    run, other = drawn_run(tmp_path / "run"), drawn_run(tmp_path / "other")
    before = contents(run.path)
    for one in (run, other):
        with pytest.raises(RunDirectoryError, match="is a run directory, not a pushed run"):
            push(one.path, folder_store(run.path))
    assert contents(run.path) == before


def test_a_run_in_use_is_not_pulled_over(tmp_path: Path) -> None:
    run = drawn_run(tmp_path / "run")
    store = folder_store(tmp_path / "store")
    push(run.path, store)
    with run.writer(), pytest.raises(RunDirectoryError, match="in use"):
        pull(store, run.path)


def test_old_manifests_go_with_what_only_they_name(store: Store, tmp_path: Path) -> None:
    run = drawn_run(tmp_path / "run")
    for number in range(5):
        (run.path / "samples.parquet").write_bytes(b"table %d" % number)
        push(run.path, store)
    assert len(store.sizes("manifests")) == KEPT
    head = newest(store)
    assert head is not None
    assert set(head.manifest.object_names()) <= set(store.sizes())
    assert len([name for name in store.sizes() if name.startswith("blobs/")]) == 2 + KEPT
    assert pull(store, tmp_path / "copy").number == 5
    assert contents(tmp_path / "copy") == contents(run.path)


def test_nothing_there_says_so(store: Store, tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="no run was pushed to"):
        pull(store, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_run_directory_is_no_pushed_run(tmp_path: Path) -> None:
    run = drawn_run(tmp_path / "run")
    with pytest.raises(RunDirectoryError, match="is a run directory, not a pushed run"):
        pull(folder_store(run.path), tmp_path / "copy")


def test_a_newer_format_is_told(store: Store, tmp_path: Path) -> None:
    run = drawn_run(tmp_path / "run")
    push(run.path, store)
    head = newest(store)
    assert head is not None
    from kreabench.remote.manifest import encode_manifest, manifest_name

    store.create(manifest_name(2), encode_manifest(replace(head.manifest, format=99)))
    with pytest.raises(RunDirectoryError, match="has format 99; this kreabench reads 1"):
        pull(store, tmp_path / "copy")
