"""The vote itself: who is shown what, which answers are accepted, and what is written. Knows nothing of HTTP."""

from __future__ import annotations

import random
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from kreabench.core.errors import RunDirectoryError
from kreabench.core.vote_records import CHOICES, MAX_VOTER, UndoRecord, VoteRecord
from kreabench.execution.clock import utc_now
from kreabench.rundir.votes import VoteWriter
from kreabench.voting.dealer import Dealer
from kreabench.voting.pool import Pair, Picture, Pool

MAX_SESSIONS = 200
_MOST_SECONDS = 7 * 24 * 3600.0
_AHEAD = 2
"""Pairs that a voter holds: the one in sight, and the next, which the page loads meanwhile."""


class Refused(Exception):
    """What was asked cannot be done; nothing was written."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        """Of HTTP."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Handed:
    """A pair as one voter sees it. Its ids say nothing, and are another time others."""

    id: str
    pair: Pair
    left: Picture
    right: Picture
    left_id: str
    right_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A pair as the page may know it."""

    id: str
    left: str
    right: str
    width: int
    height: int
    prompt: str
    look_for: str


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """What the page shows."""

    session: str
    voter: str
    done: int
    of: int
    pair: Shown | None
    """None where all is voted on."""
    next: Shown | None
    undo: str | None
    """Id of the vote that can be taken back."""


@dataclass(kw_only=True, slots=True)
class _Session:
    id: str
    voter: str
    of: int
    held: list[Handed] = field(default_factory=list)
    given: list[tuple[Handed, VoteRecord]] = field(default_factory=list)
    taken_back: set[str] = field(default_factory=set)


class Ballot:
    """All voters of one server. Safe to call from several threads."""

    def __init__(
        self,
        pool: Pool,
        dealer: Dealer,
        writer: VoteWriter,
        *,
        voter: str | None,
        pairs: int,
        readable: Callable[[Picture], object],
    ) -> None:
        """`voter`: the name of all voters, None to ask; `pairs`: how many each is shown.

        `readable` raises RunDirectoryError for a picture that cannot be shown.
        """
        self.votes = self.undone = 0
        self.voters: set[str] = set()
        self.voter = voter
        self._pool, self._dealer, self._writer, self._readable = pool, dealer, writer, readable
        self._pairs = pairs
        self._sessions: dict[str, _Session] = {}
        self._pictures: dict[str, Picture] = {}
        self._lock = threading.Lock()
        self._lot = random.SystemRandom()

    def start(self, voter: str) -> State:
        """A new voter. Raises Refused for a name that is none, and where too many vote already."""
        name = voter if self.voter is None else self.voter
        if not name.strip() or len(name) > MAX_VOTER:
            raise Refused(422, f"a name has 1 to {MAX_VOTER} characters")
        with self._lock:
            if len(self._sessions) >= MAX_SESSIONS:
                raise Refused(429, f"{MAX_SESSIONS} people vote already")
            left = self._pool.count() - self._dealer.seen_by(name)
            session = _Session(id=secrets.token_urlsafe(16), voter=name, of=min(self._pairs, max(left, 0)))
            self._sessions[session.id] = session
            return self._state(session)

    def state(self, session_id: str) -> State:
        """Where a voter is. Raises Refused for an unknown one."""
        with self._lock:
            return self._state(self._session(session_id))

    def vote(self, session_id: str, handed_id: str, choice: str, seconds: float) -> State:
        """Accept an answer; it is durable on return. The same answer again changes nothing.

        Raises Refused for anything but the pair in sight, and a second answer to one; StorageError.
        """
        if choice not in CHOICES or not 0 <= seconds <= _MOST_SECONDS:
            raise Refused(422, f"a vote is one of {', '.join(CHOICES)}, with the seconds that it took")
        with self._lock:
            session = self._session(session_id)
            before = next((vote for _, vote in session.given if vote.id == handed_id), None)
            if before is not None:
                if before.choice != choice:
                    raise Refused(409, "this pair has another answer already: take that back first")
                return self._state(session)
            handed = self._in_sight(session, handed_id)
            vote = VoteRecord(
                id=handed.id,
                at_utc=utc_now(),
                voter=session.voter,
                left=handed.left.voted,
                right=handed.right.voted,
                prompt_id=handed.pair.prompt_id,
                prompt=handed.left.request.prompt,
                seed=handed.left.request.seed,
                choice=choice,
                seconds=seconds,
            )
            self._writer.append(vote)
            self._release(session, handed)
            self._dealer.take(vote)
            session.given.append((handed, vote))
            self.votes += 1
            self.voters.add(session.voter)
            return self._state(session)

    def skip(self, session_id: str, handed_id: str) -> State:
        """Pass over the pair in sight: no vote, and not shown to this voter again. Raises as `vote`."""
        with self._lock:
            session = self._session(session_id)
            self._release(session, self._in_sight(session, handed_id))
            return self._state(session)

    def undo(self, session_id: str, vote_id: str) -> State:
        """Take back the last vote, whose pair is in sight again; durable on return. Again: changes nothing.

        Raises Refused for any other vote; StorageError.
        """
        with self._lock:
            session = self._session(session_id)
            if vote_id in session.taken_back:
                return self._state(session)
            if not session.given or session.given[-1][1].id != vote_id:
                raise Refused(409, "only the last vote can be taken back")
            handed, vote = session.given[-1]
            self._writer.append(UndoRecord(id=vote.id, at_utc=utc_now()))
            session.given.pop()
            session.taken_back.add(vote.id)
            self._dealer.take_back(vote)
            self._dealer.expect(handed.pair, 1)
            session.held.insert(0, self._hand(handed.left, handed.right, handed.pair))
            self.undone += 1
            return self._state(session)

    def picture(self, picture_id: str) -> Picture:
        """Of a pair that a voter holds. Raises Refused."""
        found = self._pictures.get(picture_id)
        if found is None:
            raise Refused(404, "no such picture")
        return found

    def _session(self, session_id: str) -> _Session:
        found = self._sessions.get(session_id)
        if found is None:
            raise Refused(404, "no such voter: the vote was started anew")
        return found

    def _in_sight(self, session: _Session, handed_id: str) -> Handed:
        if not session.held or session.held[0].id != handed_id or len(session.given) >= session.of:
            raise Refused(409, "this pair is not the one in sight")
        return session.held[0]

    def _release(self, session: _Session, handed: Handed) -> None:
        session.held.remove(handed)
        self._dealer.expect(handed.pair, -1)
        for id_ in (handed.left_id, handed.right_id):
            del self._pictures[id_]

    def _state(self, session: _Session) -> State:
        wanted = min(_AHEAD, session.of - len(session.given))
        while len(session.held) < wanted and (handed := self._draw(session.voter)) is not None:
            session.held.append(handed)
        if not session.held:  # broken or skipped: there are fewer than there were
            session.of = len(session.given)
        held = session.held[:wanted] if wanted > 0 else []
        return State(
            session=session.id,
            voter=session.voter,
            done=len(session.given),
            of=session.of,
            pair=self._shown(held[0]) if held else None,
            next=self._shown(held[1]) if len(held) > 1 else None,
            undo=session.given[-1][1].id if session.given else None,
        )

    def _draw(self, voter: str) -> Handed | None:
        while (pair := self._dealer.deal(voter)) is not None:
            broken = [picture for picture in (pair.one, pair.other) if not self._can_show(picture)]
            if not broken:
                left, right = self._lot.sample((pair.one, pair.other), 2)
                return self._hand(left, right, pair)
            self._dealer.give_back(pair, voter)
            for picture in broken:
                self._pool.drop(picture)
        return None

    def _can_show(self, picture: Picture) -> bool:
        try:
            self._readable(picture)
        except RunDirectoryError:
            return False
        return True

    def _hand(self, left: Picture, right: Picture, pair: Pair) -> Handed:
        ids = [secrets.token_urlsafe(12) for _ in range(3)]
        self._pictures |= {ids[1]: left, ids[2]: right}
        return Handed(id=ids[0], pair=pair, left=left, right=right, left_id=ids[1], right_id=ids[2])

    def _shown(self, handed: Handed) -> Shown:
        prompt = self._pool.prompts.get(handed.pair.prompt_id)
        return Shown(
            id=handed.id,
            left=handed.left_id,
            right=handed.right_id,
            width=handed.left.image.width,
            height=handed.left.image.height,
            prompt=handed.left.request.prompt,
            look_for=(prompt.look_for if prompt else None) or "",
        )
