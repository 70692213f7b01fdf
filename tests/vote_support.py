"""Votes and ballots for tests: made-up voters who prefer by known strengths."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from starlette.testclient import TestClient

from kreabench.backends.base import GeneratedImage
from kreabench.core.planned import Plan
from kreabench.core.vote_records import Choice, VotePicture, VoteRecord
from kreabench.plan_build import build_plan
from kreabench.rundir.directory import RunDirectory, RunInfo
from kreabench.rundir.images import store_image
from kreabench.rundir.votes import VoteWriter, read_votes, vote_writer
from kreabench.voting.app import PictureFiles, build_app
from kreabench.voting.ballot import Ballot
from kreabench.voting.dealer import Dealer
from kreabench.voting.guard import Link, make_link
from kreabench.voting.pool import Pair, Pool, pool_of
from tests.report_runs import make_run
from tests.support import encode_image, make_experiment, make_sample, make_target, picture
from tests.support import make_run as make_bare_run

PORT = 4321


def made_vote(
    left: str, right: str, choice: Choice, *, prompt: str = "p0", voter: str = "Ada", seed: int = 0, id_: str = ""
) -> VoteRecord:
    """Of settings by name; each has one picture a prompt and seed."""
    return VoteRecord(
        id=id_ or f"{left}-{right}-{prompt}-{seed}-{voter}",
        at_utc="2026-11-26T10:00:00.000Z",
        voter=voter,
        left=made_picture(left, prompt, seed),
        right=made_picture(right, prompt, seed),
        prompt_id=prompt,
        prompt="a red bicycle",
        seed=seed,
        choice=choice,
        seconds=2.5,
    )


def made_picture(setting: str, prompt: str, seed: int) -> VotePicture:
    request = f"{setting}-{prompt}-{seed}"
    return VotePicture(
        setting_id=setting, request_id=request, image_index=0, image_sha256=hashlib.sha256(request.encode()).hexdigest()
    )


def preferred(rng: np.random.Generator, difference: float, *, tie: float = 0.0) -> Choice:
    """Of a left picture that is so much stronger."""
    if rng.random() < tie:
        return "tie"
    return "left" if rng.random() < 1 / (1 + math.exp(-difference)) else "right"


def answer(pair: Pair, strength: Mapping[str, float], rng: np.random.Generator, number: int) -> VoteRecord:
    """A vote on `pair` of a dealer by known strengths."""
    return VoteRecord(
        id=str(number),
        at_utc="2026-11-26T10:00:00.000Z",
        voter="Ada",
        left=pair.one.voted,
        right=pair.other.voted,
        prompt_id=pair.prompt_id,
        prompt="",
        seed=0,
        choice=preferred(rng, strength[pair.one.setting_id] - strength[pair.other.setting_id]),
        seconds=1.0,
    )


_made: dict[str, tuple[dict[Path, bytes], RunInfo, Plan]] = {}
"""What was asked of `made_run` → the files of that run, which is made once; what it is and what was planned."""


def made_run(path: Path, **changes: Any) -> tuple[RunDirectory, Pool]:
    """A run of four settings of one size, with drawn pictures, and what can be voted on."""
    given: dict[str, Any] = {
        "targets": (make_target(name="mini_local", model="builtin:mini-flux", usd_per_hour=2.5),),
        "accelerations": ("none", "high"),
        "steps": (2, 8),
        "sizes": ((128, 128),),
    }
    asked = repr(sorted(changes.items()))
    if asked not in _made:
        run, plan = make_run(path, **(given | changes))
        files = {file.relative_to(path): file.read_bytes() for file in path.rglob("*") if file.is_file()}
        _made[asked] = files, run.info, plan
    files, info, plan = _made[asked]
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    run = RunDirectory(path, info)
    return run, pool_of(run, plan, plan.settings, name="run")


def planned_run(path: Path) -> RunDirectory:
    """A run as the command line opens it: two settings, two prompts and eight seeds, with pictures."""
    experiment = make_experiment(axes=replace(make_experiment().axes, steps=(2, 4)), seeds=tuple(range(8)))
    plan = build_plan(experiment)
    run = make_bare_run(path, plan_hash=plan.hash, experiment=experiment)
    settings = {setting.id: setting for setting in plan.settings}
    with run.writer() as writer:
        for request in (one for group in plan.groups for one in group.requests):
            content = encode_image(picture(seed=int(request.id[:8], 16)))
            image = GeneratedImage(content=content, seed=request.seed, nsfw=None)
            stored = store_image(run.path, settings[request.setting_id], request, 0, image)
            writer.append(make_sample(request, images=(stored,)))
    return run


@dataclass(frozen=True, kw_only=True)
class Voted:
    """A vote that can be talked to."""

    run: RunDirectory
    ballot: Ballot
    client: TestClient
    link: Link
    shared: Link

    def post(self, path: str, **body: Any) -> Any:
        """What is answered."""
        return self.client.post(f"/{self.link.token}/{path}", json=body)

    def votes(self) -> list[VoteRecord]:
        """Those that stand on the disk."""
        return read_votes(self.run.path)


def make_ballot(
    run: RunDirectory, pool: Pool, writer: VoteWriter, *, voter: str | None = None, pairs: int = 50
) -> Ballot:
    """As the command line makes it, with a seeded lot for the order of pairs."""
    dealer = Dealer(pool, read_votes(run.path), np.random.default_rng(5))
    return Ballot(pool, dealer, writer, voter=voter, pairs=pairs, readable=PictureFiles(run.path).png)


@contextmanager
def opened(run: RunDirectory, pool: Pool, *, voter: str | None = None, pairs: int = 50) -> Iterator[Voted]:
    """The application, without a socket."""
    with vote_writer(run.path) as writer:
        ballot = make_ballot(run, pool, writer, voter=voter, pairs=pairs)
        link, shared = make_link("127.0.0.1", PORT, "localhost"), make_link("192.168.7.7", PORT)
        app = build_app(ballot, PictureFiles(run.path), [link, shared])
        with TestClient(app, base_url=f"http://127.0.0.1:{PORT}") as client:
            yield Voted(run=run, ballot=ballot, client=client, link=link, shared=shared)


def all_pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """Each once."""
    return [(one, other) for number, one in enumerate(names) for other in names[number + 1 :]]
