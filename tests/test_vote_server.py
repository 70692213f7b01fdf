"""The vote's server: blind, private, and sure of what it has acknowledged."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import PIL.Image
import pytest
from starlette.testclient import TestClient

from kreabench.cli.main import main
from kreabench.core.errors import ConfigError, EnvironmentProblem, StorageError
from kreabench.core.vote_records import MAX_VOTER
from kreabench.rundir.pictures import read_picture
from kreabench.rundir.votes import VOTES_FILE, VoteWriter, read_votes, vote_writer
from kreabench.voting import connection
from kreabench.voting.ballot import MAX_SESSIONS
from kreabench.voting.guard import Link, make_link
from kreabench.voting.serve import VoteOptions, serve
from tests.vote_support import PORT, Voted, made_run, opened, planned_run


@pytest.fixture
def voted(tmp_path: Path) -> Iterator[Voted]:
    """A vote on a small run."""
    with opened(*made_run(tmp_path / "run")) as one:
        yield one


def start(voted: Voted, voter: str = "Ada") -> dict[str, Any]:
    answer = voted.post("start", voter=voter)
    assert answer.status_code == 200, answer.text
    state: dict[str, Any] = answer.json()
    return state


def give(voted: Voted, state: dict[str, Any], choice: str = "left", seconds: float = 1.5) -> dict[str, Any]:
    answer = voted.post("vote", session=state["session"], pair=state["pair"]["id"], choice=choice, seconds=seconds)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


# Voting


def test_a_vote_is_on_the_disk_before_its_answer(voted: Voted) -> None:
    state = start(voted)
    pair = state["pair"]
    after = give(voted, state, "right", 3.25)
    (vote,) = voted.votes()
    assert (vote.id, vote.voter, vote.choice, vote.seconds) == (pair["id"], "Ada", "right", 3.25)
    assert vote.prompt == pair["prompt"]
    assert vote.left.setting_id != vote.right.setting_id
    assert (after["done"], after["of"], after["undo"]) == (1, 48, pair["id"])
    assert after["pair"] == state["next"]


def test_the_record_names_the_pictures_as_they_were_shown(voted: Voted) -> None:
    state = start(voted)
    shown = voted.client.get(f"/{voted.link.token}/picture/{state['pair']['left']}")
    samples = voted.run.samples()
    give(voted, state)
    (vote,) = voted.votes()
    image = samples[vote.left.request_id].images[vote.left.image_index]
    assert image.sha256 == vote.left.image_sha256
    with PIL.Image.open(io.BytesIO(shown.content)) as png:
        np.testing.assert_array_equal(np.asarray(png), np.asarray(read_picture(voted.run.path, image)))


def test_nothing_that_is_sent_tells_which_setting_drew_a_picture(tmp_path: Path) -> None:
    with opened(*made_run(tmp_path / "run")) as voted:
        state = start(voted)
        secret = {
            setting for sample in voted.run.samples().values() for setting in (sample.setting_id, sample.request_id)
        }
        for _ in range(10):
            sent = json.dumps(state)
            for id_ in (state["pair"]["left"], state["pair"]["right"]):
                answer = voted.client.get(f"/{voted.link.token}/picture/{id_}")
                sent += str(answer.headers)
                with PIL.Image.open(io.BytesIO(answer.content)) as png:
                    assert png.format == "PNG"
                    assert png.info == {}
            assert not [
                word for word in (*secret, "mini_local", "none", "high", "steps", "png ") if f'"{word}"' in sent
            ]
            assert set(state["pair"]) == {"id", "left", "right", "width", "height", "prompt", "look_for"}
            state = give(voted, state)


def test_sides_are_drawn_by_lot(voted: Voted) -> None:
    state = start(voted)
    while state["pair"]:
        state = give(voted, state)
    first = [vote.left.setting_id < vote.right.setting_id for vote in voted.votes()]
    assert len(first) >= 40
    assert 0.2 < np.mean(first) < 0.8


def test_the_same_vote_twice_is_one_vote_and_another_answer_is_refused(voted: Voted) -> None:
    state = start(voted)
    after = give(voted, state)
    assert give(voted, state) == after
    other = voted.post("vote", session=state["session"], pair=state["pair"]["id"], choice="tie", seconds=1.0)
    assert other.status_code == 409
    assert len(voted.votes()) == 1


def test_undo_shows_the_pair_again_and_counts_once(voted: Voted) -> None:
    state = start(voted)
    after = give(voted, state, "left")
    undone = voted.post("undo", session=state["session"], pair=after["undo"]).json()
    assert (undone["done"], undone["undo"]) == (0, None)
    assert undone["pair"]["prompt"] == state["pair"]["prompt"]
    assert undone["pair"]["id"] != state["pair"]["id"]
    assert undone["next"] == after["pair"]
    assert voted.votes() == []
    assert voted.post("undo", session=state["session"], pair=after["undo"]).json() == undone
    give(voted, undone, "tie")
    assert [vote.choice for vote in voted.votes()] == ["tie"]
    assert (voted.run.path / VOTES_FILE).read_text().count("\n") == 3
    # A vote that was taken back is never given again under its id.
    late = voted.post("vote", session=state["session"], pair=state["pair"]["id"], choice="left", seconds=1.0)
    assert late.status_code == 409


def test_skipping_writes_nothing_and_the_pair_does_not_come_back(voted: Voted) -> None:
    state = start(voted)
    seen = {state["pair"]["left"]}
    for _ in range(5):
        state = voted.post("skip", session=state["session"], pair=state["pair"]["id"]).json()
        assert state["done"] == 0
        assert state["pair"]["left"] not in seen
        seen.add(state["pair"]["left"])
    assert voted.votes() == []


def test_a_voter_ends_at_the_number_of_pairs(tmp_path: Path) -> None:
    with opened(*made_run(tmp_path / "run"), pairs=3) as voted:
        state = start(voted)
        for _ in range(3):
            assert state["pair"]
            state = give(voted, state)
        assert (state["done"], state["of"], state["pair"], state["next"]) == (3, 3, None, None)
        back = voted.post("undo", session=state["session"], pair=state["undo"]).json()
        assert back["pair"] is not None


def test_several_voters_at_once_lose_nothing(voted: Voted) -> None:
    def vote(name: str) -> None:
        state = start(voted, name)
        for _ in range(12):
            state = give(voted, state, "tie")

    threads = [threading.Thread(target=vote, args=(f"voter {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    votes = voted.votes()
    assert len(votes) == len({vote.id for vote in votes}) == 48
    assert len({vote.voter for vote in votes}) == 4


def test_a_later_server_does_not_ask_a_voter_the_same_again(tmp_path: Path) -> None:
    run, pool = made_run(tmp_path / "run")
    with opened(run, pool, pairs=30) as first:
        state = start(first)
        while state["pair"]:
            state = give(first, state)
    with opened(run, pool, pairs=1000) as second:
        state = start(second)
        assert state["of"] == pool.count() - 30
        while state["pair"]:
            state = give(second, state)
        pairs = [frozenset((vote.left, vote.right)) for vote in second.votes()]
        assert len(set(pairs)) == len(pairs) == pool.count()


def test_a_voter_named_on_the_command_line_is_not_asked(tmp_path: Path) -> None:
    with opened(*made_run(tmp_path / "run"), voter="Grace") as voted:
        assert start(voted, "")["voter"] == "Grace"
        assert 'data-ask="no"' in voted.client.get(f"/{voted.link.token}/").text


def test_a_picture_that_is_gone_or_changed_is_never_shown(tmp_path: Path) -> None:
    run, pool = made_run(tmp_path / "run")
    files = sorted((run.path / "images").rglob("*.png"))
    files[0].unlink()
    files[1].write_bytes(files[2].read_bytes())
    with opened(run, pool, pairs=1000) as voted:
        state = start(voted)
        while state["pair"]:
            for side in ("left", "right"):
                assert voted.client.get(f"/{voted.link.token}/picture/{state['pair'][side]}").status_code == 200
            state = give(voted, state)
    assert pool.broken == 2


def test_a_vote_that_the_disk_refuses_is_not_acknowledged(voted: Voted, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: VoteWriter, record: object) -> None:
        cause = OSError(errno.ENOSPC, "No space left on device")
        raise StorageError("cannot write /home/somebody/votes.jsonl", remedy="Free space.") from cause

    state = start(voted)
    monkeypatch.setattr(VoteWriter, "append", refuse)
    answer = voted.post("vote", session=state["session"], pair=state["pair"]["id"], choice="left", seconds=1.0)
    assert (answer.status_code, voted.votes()) == (507, [])
    assert "No space left" in answer.text
    assert "somebody" not in answer.text
    monkeypatch.undo()
    give(voted, state)
    assert len(voted.votes()) == 1


def test_a_picture_that_goes_while_it_is_held_is_told_and_can_be_skipped(tmp_path: Path) -> None:
    with opened(*made_run(tmp_path / "run")) as voted:
        state = start(voted)
        for path in (voted.run.path / "images").rglob("*.png"):
            path.unlink()
        answer = voted.client.get(f"/{voted.link.token}/picture/{state['pair']['left']}")
        assert answer.status_code == 410
        assert str(tmp_path) not in answer.text
        after = voted.post("skip", session=state["session"], pair=state["pair"]["id"])
        assert after.status_code == 200


# Who may ask


@pytest.mark.parametrize("path", ["/", "/vote.js", "/picture/x", "/wrong/", "/wrong/vote.js", "/%E2%82%AC/", "//"])
def test_without_the_token_there_is_nothing(voted: Voted, path: str) -> None:
    assert voted.client.get(path).status_code == 404
    assert voted.client.get(f"/{voted.link.token}").status_code == 404
    assert voted.client.get(f"/{voted.link.token[:-1]}/").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "vote.js/", 404),
        ("GET", "vote.html", 404),
        ("GET", "picture/..%2F..%2Frun.json", 404),
        ("GET", "..%2Frun.json", 404),
        ("HEAD", "vote", 405),
        ("OPTIONS", "vote", 415),
        ("PUT", "vote", 415),
    ],
)
def test_with_the_token_there_is_nothing_else(voted: Voted, method: str, path: str, status: int) -> None:
    answer = voted.client.request(method, f"/{voted.link.token}/{path}", follow_redirects=False)
    assert answer.status_code == status
    assert "access-control-allow-origin" not in answer.headers


def test_nobody_votes_on_another_voters_pair(voted: Voted) -> None:
    mine, theirs = start(voted, "Ada"), start(voted, "Ben")
    body = {"session": theirs["session"], "pair": mine["pair"]["id"]}
    assert voted.post("vote", **body, choice="left", seconds=1.0).status_code == 409
    assert voted.post("skip", **body).status_code == 409
    give(voted, mine)
    assert voted.post("undo", **body).status_code == 409
    assert [vote.voter for vote in voted.votes()] == ["Ada"]


@pytest.mark.parametrize(
    "host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:1", f"192.168.7.7:{PORT}"]
)
def test_another_host_is_refused_also_with_the_token(voted: Voted, host: str) -> None:
    """Of DNS rebinding, and of the link of one socket used on another."""
    assert voted.client.get(f"/{voted.link.token}/", headers={"Host": host}).status_code == 421


def test_each_link_works_under_its_own_hosts(voted: Voted) -> None:
    assert voted.client.get(f"/{voted.link.token}/", headers={"Host": f"localhost:{PORT}"}).status_code == 200
    assert voted.client.get(f"/{voted.shared.token}/", headers={"Host": f"192.168.7.7:{PORT}"}).status_code == 200
    assert voted.client.get(f"/{voted.shared.token}/").status_code == 421
    assert make_link("::1", 80).hosts == {"[::1]:80", "[::1]"}


def test_every_answer_is_private(voted: Voted) -> None:
    state = start(voted)
    paths = (
        f"/{voted.link.token}/",
        f"/{voted.link.token}/vote.js",
        f"/{voted.link.token}/picture/{state['pair']['left']}",
    )
    for path in (*paths, "/wrong/"):
        headers = voted.client.get(path).headers
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none';")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert "set-cookie" not in headers


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("vote", b"", 400),
        ("vote", b"[]", 400),
        ("vote", b'{"session":1,"pair":2,"choice":3,"seconds":4}', 400),
        ("vote", b"\xff", 400),
        ("vote", b'{"session":"' + b"x" * 5000 + b'"}', 413),
        ("vote", b'{"session":"nobody","pair":"p","choice":"left","seconds":1}', 404),
        ("vote", b'{"session":"SESSION","pair":"p","choice":"left","seconds":1}', 409),
        ("vote", b'{"session":"SESSION","pair":"NEXT","choice":"left","seconds":1}', 409),
        ("vote", b'{"session":"SESSION","pair":"PAIR","choice":"best","seconds":1}', 422),
        ("vote", b'{"session":"SESSION","pair":"PAIR","choice":"left","seconds":-1}', 422),
        ("vote", b'{"session":"SESSION","pair":"PAIR","choice":"left","seconds":1e99}', 422),
        ("vote", b'{"session":"SESSION","pair":"PAIR","choice":"left","seconds":NaN}', 400),
        ("undo", b'{"session":"SESSION","pair":"PAIR"}', 409),
        ("skip", b'{"session":"SESSION","pair":"../../run.json"}', 409),
        ("start", b'{"voter":""}', 422),
        ("start", b'{"voter":"  "}', 422),
        ("start", b'{"voter":"' + b"x" * (MAX_VOTER + 1) + b'"}', 422),
        ("start", b'{"voter":"\\ud800"}', 400),
        ("state", b'{"session":"nobody"}', 404),
        ("nothing", b"{}", 404),
    ],
)
def test_hostile_posts_are_refused_and_write_nothing(voted: Voted, path: str, body: bytes, status: int) -> None:
    state = start(voted)
    for word, value in (("SESSION", state["session"]), ("PAIR", state["pair"]["id"]), ("NEXT", state["next"]["id"])):
        body = body.replace(word.encode(), value.encode())
    answer = voted.client.post(
        f"/{voted.link.token}/{path}", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == status, answer.text
    assert (voted.run.path / VOTES_FILE).read_bytes() == b""
    give(voted, state)


def test_another_sites_page_cannot_vote(voted: Voted) -> None:
    state = start(voted)
    body = {"session": state["session"], "pair": state["pair"]["id"], "choice": "left", "seconds": 1.0}
    path = f"/{voted.link.token}/vote"
    assert voted.client.post(path, json=body, headers={"Origin": "https://evil.example"}).status_code == 403
    assert voted.client.post(path, json=body, headers={"Origin": "null"}).status_code == 403
    assert voted.client.post(path, data=body).status_code == 415
    assert voted.client.post(path, content=json.dumps(body), headers={"Content-Type": "text/plain"}).status_code == 415
    assert voted.client.get(path).status_code == 405
    assert voted.votes() == []
    same = voted.client.post(path, json=body, headers={"Origin": f"http://127.0.0.1:{PORT}"})
    assert same.status_code == 200


def test_names_of_all_scripts_are_kept_as_given(voted: Voted) -> None:
    name = '<script>alert(1)</script> \u202eAda, "Ben" & Ада'
    give(voted, start(voted, name))
    assert voted.votes()[0].voter == name


def test_there_is_an_end_to_the_number_of_voters(voted: Voted) -> None:
    client: TestClient = voted.client
    for _ in range(MAX_SESSIONS):
        assert client.post(f"/{voted.link.token}/start", json={"voter": "Ada"}).status_code == 200
    assert client.post(f"/{voted.link.token}/start", json={"voter": "Ada"}).status_code == 429


# The process


@pytest.fixture(scope="module")
def run_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planned_run(tmp_path_factory.mktemp("vote") / "run").path


class Process:
    """`kreabench vote` as people run it."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-B", "-m", "kreabench", "vote", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,  # what a buffer took along with the first line, `communicate` would not see
        )
        assert self.process.stdout is not None
        self.first = self.process.stdout.readline().decode()
        found = re.search(r"http://\S+/", self.first)
        assert found is not None, self.process.communicate(timeout=30)
        self.url = found[0]

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        answer = httpx.post(self.url + path, json=body, timeout=30)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def end(self, number: int) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out.decode(), err.decode()


def test_ctrl_c_ends_a_vote_with_a_summary_and_exit_code_0(run_path: Path) -> None:
    (run_path / VOTES_FILE).unlink(missing_ok=True)
    vote = Process(str(run_path), "--share", "127.0.0.2")
    assert vote.url.startswith("http://127.0.0.1:")
    state = vote.post("start", voter="Ada")
    for _ in range(2):
        state = vote.post("vote", session=state["session"], pair=state["pair"]["id"], choice="left", seconds=1.0)
    vote.post("undo", session=state["session"], pair=state["undo"])
    code, out, err = vote.end(signal.SIGINT)
    assert code == 0, err
    assert "1 vote by 1 voter, 1 taken back" in out
    other = re.search(r"link for others: +(http://127\.0\.0\.2:\S+)", out)
    assert other is not None
    assert other[1].split("/")[3] != vote.url.split("/")[3]
    assert "WARNING: whoever has that link" in err
    assert "Traceback" not in err


def test_a_full_disk_is_told_to_voter_and_terminal_and_the_server_stays(run_path: Path) -> None:
    (run_path / VOTES_FILE).write_text("")
    vote = Process(str(run_path))
    state = vote.post("start", voter="Ada")
    resource.prlimit(vote.process.pid, resource.RLIMIT_FSIZE, (100, 100))
    body = {"session": state["session"], "pair": state["pair"]["id"], "choice": "left", "seconds": 1.0}
    for reason in ("File too large", "a write failed before"):
        answer = httpx.post(vote.url + "vote", json=body, timeout=30)
        assert answer.status_code == 507
        assert reason in answer.text
        assert str(run_path) not in answer.text
    assert httpx.get(vote.url).status_code == 200
    code, out, err = vote.end(signal.SIGINT)
    assert code == 0
    assert "0 votes by 0 voters" in out
    assert f"a vote was not saved: cannot write {run_path / VOTES_FILE}" in err
    assert read_votes(run_path) == []


def test_connections_that_dawdle_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PATIENCE_S", 0.2)
    run, pool = made_run(tmp_path / "run")
    head = "POST /{}/start HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{{"
    ended: list[bytes] = []

    def visit(link: Link, _: Link | None) -> None:
        def dawdle() -> None:
            host = link.url.split("/")[2]
            for sent in (b"", b"GET / HTTP/1.1\r\nHost:", head.format(link.token, host).encode()):
                with socket.create_connection(("127.0.0.1", int(host.split(":")[1])), timeout=20) as client:
                    client.sendall(sent)
                    with contextlib.suppress(ConnectionResetError):
                        ended.append(client.recv(100))
                        continue
                    ended.append(b"")
            signal.raise_signal(signal.SIGINT)

        threading.Thread(target=dawdle).start()

    serve(run, pool, VoteOptions(), ready=visit, unsaved=print)
    assert ended == [b"", b"", b""]


def test_without_share_only_the_loopback_listens(run_path: Path) -> None:
    vote = Process(str(run_path))
    port = int(vote.url.split(":")[2].split("/")[0])
    try:
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.2", port), timeout=5)
    finally:
        code, out, _ = vote.end(signal.SIGTERM)
    assert code == 0
    assert "0 votes by 0 voters" in out
    assert "WARNING" not in out


def test_kill_9_loses_no_acknowledged_vote(run_path: Path) -> None:
    (run_path / VOTES_FILE).unlink(missing_ok=True)
    vote = Process(str(run_path), "--pairs", "1000")
    acknowledged: list[str] = []

    def press() -> None:
        state = vote.post("start", voter="Ada")
        while state["pair"]:
            id_ = state["pair"]["id"]
            try:
                state = vote.post("vote", session=state["session"], pair=id_, choice="tie", seconds=0.1)
            except httpx.HTTPError:
                return
            acknowledged.append(id_)

    thread = threading.Thread(target=press)
    thread.start()
    while len(acknowledged) < 5 and thread.is_alive():
        time.sleep(0.005)
    vote.process.kill()
    vote.process.communicate(timeout=30)
    thread.join()
    kept = {one.id for one in read_votes(run_path)}
    assert len(acknowledged) >= 5
    assert set(acknowledged) <= kept
    again = Process(str(run_path))  # the dead server's lock is no hindrance
    assert again.end(signal.SIGINT)[0] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("RUN",), "in use by another kreabench"),
        (("RUN:steps=99",), "a selection of its settings"),
        (("RUN:steps=4",), "usable pictures of 1 of 1 settings"),
        (("RUN", "--voter", " "), "not only spaces"),
        (("RUN/nowhere",), "not a run directory"),
    ],
)
def test_a_second_server_and_wrong_words_are_refused_with_code_2(
    run_path: Path, words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with vote_writer(run_path), pytest.raises(SystemExit) as ended:
        main(["vote", *(word.replace("RUN", str(run_path)) for word in words)])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_run_without_its_pictures_cannot_be_voted_on(
    run_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run_path, copy, ignore=shutil.ignore_patterns("images"))
    with pytest.raises(SystemExit) as ended:
        main(["vote", str(copy)])
    assert ended.value.code == 2
    assert "none of its pictures on this disk" in capsys.readouterr().err


def test_pictures_of_two_sizes_alone_are_no_pair(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="same prompt, seed and size"):
        made_run(tmp_path / "run", accelerations=("none",), steps=(2,), sizes=((128, 128), (192, 128)))


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "example.com", "127.0.0.1", "203.0.113.9"])
def test_only_an_address_of_this_machine_can_be_shared(tmp_path: Path, address: str) -> None:
    run, pool = made_run(tmp_path / "run")
    with pytest.raises(EnvironmentProblem, match="--share"):
        serve(run, pool, VoteOptions(share=address), ready=lambda link, shared: None, unsaved=print)


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    run, pool = made_run(tmp_path / "run")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EnvironmentProblem, match=f"--port.*{port}"):
            serve(run, pool, VoteOptions(port=port), ready=lambda link, shared: None, unsaved=print)
