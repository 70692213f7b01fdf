"""A loopback service with OpenAI's chat interface, which the real client talks to; a test says what strikes next."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import hashlib
import json
import math
import os
import socket
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from kreabench.metrics.base import Score, ScoreItem
from kreabench.metrics.judge import Judge
from kreabench.metrics.shared import Purse, Shared
from tests.support import picture

KEY = "sk-loopback-0123456789"
PRICES = {"usd_per_million_input_tokens": 1000.0, "usd_per_million_output_tokens": 1000.0, "expected_input_tokens": 992}
"""A call is expected to cost one dollar, and costs $1.001 by the usage that the service tells."""

Make = Callable[..., Judge]


def item(prompt: str = "a red bicycle", **changes: Any) -> ScoreItem:
    """A small picture and its prompt."""
    return ScoreItem(**{"image": picture(32, 24), "prompt": prompt, "reference": None, **changes})


def only(metric: Judge, *, script: Iterable[Any] = (), service: JudgeServer | None = None, **changes: Any) -> Score:
    """The score of one item; `script` is what `service` answers first."""
    if service is not None:
        service.script.extend(script)
    [score] = metric.score([item(**changes)])
    return score


def yes(probability: float, *, word: str = "Yes", other: str = "No") -> dict[str, Any]:
    """A choice whose first token is the likelier of two words."""
    share = {word: probability, other: 1 - probability}
    top = [{"token": token, "logprob": math.log(p) if p > 0 else -9999.0, "bytes": None} for token, p in share.items()]
    best = max(share, key=lambda token: share[token])
    return choice(best, [{**top[list(share).index(best)], "top_logprobs": top}])


def choice(text: str, tokens: list[dict[str, Any]] | None = None, **changes: Any) -> dict[str, Any]:
    """One choice of a completion."""
    logprobs = None if tokens is None else {"content": tokens, "refusal": None}
    message = {"role": "assistant", "content": text, "refusal": None}
    return {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": "stop", **changes}


def completion(*choices: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A body of the service."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 1, "total_tokens": 1001}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "judge-1",
        "choices": list(choices),
        "usage": usage,
        **changes,
    }


def error(message: str, code: str | None = None) -> dict[str, Any]:
    """A body of a failure."""
    return {"error": {"message": message, "type": "error", "param": None, "code": code}}


class JudgeServer:
    """What it is asked is in `requests`; what it answers next in `script`, and after that a number by the request."""

    def __init__(self) -> None:
        self.url = ""
        self._epoch = 0
        self._judges: list[Judge] = []
        self.app = Starlette(routes=[Route("/v1/chat/completions", self._answer, methods=["POST"])])
        self.reset()

    def reset(self) -> None:
        """As new; what hangs is let go, and the judges that were made are closed."""
        self._epoch += 1
        while self._judges:
            self._judges.pop().close()
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.script: deque[Any] = deque()
        """Bodies of completions, (status, body, headers), bytes, or the words `hang` and `drip`."""
        self.always: Any = None
        """What to answer once the script is empty."""
        self.most_at_once = 0
        self._at_once: set[int] = set()

    def judge(self, *, purse: Purse | None = None, key: str = KEY, url: str = "", **options: Any) -> Judge:
        """An opened judge that asks this service, one question at a time."""
        metric = Judge(**{"model": "judge-1", "concurrency": 1, "timeout_s": 5.0, "max_attempts": 2, **options})
        environ = {"KREABENCH_JUDGE_URL": url or self.url, "KREABENCH_JUDGE_KEY": key}
        metric.open(Shared(environ=environ, purse=purse or Purse(limit_usd=None)))
        self._judges.append(metric)
        return metric

    def questions(self) -> list[str]:
        """What was asked, in the order of arrival."""
        return [str(request["messages"][-1]["content"][-1]["text"]) for request in self.requests]

    async def _answer(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        at_once = self._at_once
        at_once.add(id(request))
        self.most_at_once = max(self.most_at_once, len(at_once))
        try:
            await asyncio.sleep(0.005)
            if request.headers.get("authorization") != f"Bearer {KEY}":
                return JSONResponse(error(f"Incorrect API key: {request.headers.get('authorization')}"), 401)
            return await self._say(self.script.popleft() if self.script else self.always, body)
        finally:
            at_once.discard(id(request))

    async def _say(self, what: Any, body: dict[str, Any]) -> Response:
        if what is None:
            digest = hashlib.sha256(json.dumps(body["messages"], sort_keys=True).encode()).digest()
            return JSONResponse(completion(yes((digest[0] + 1) / 257)))
        if what == "hang":
            epoch = self._epoch
            for _ in range(300):
                if epoch != self._epoch:
                    break
                await asyncio.sleep(0.01)
            return Response(status_code=503)
        if what == "drip":
            return StreamingResponse(self._drip(), media_type="application/json")
        if isinstance(what, bytes):
            return Response(what, media_type="application/json")
        if isinstance(what, tuple):
            status, said, headers = what
            return JSONResponse(said, status, headers=headers)
        return JSONResponse(what)

    async def _drip(self) -> AsyncIterator[bytes]:
        for _ in range(60):
            yield b" "
            await asyncio.sleep(0.05)


@contextlib.contextmanager
def judge_server() -> Iterator[JudgeServer]:
    """The service, until the block ends."""
    service = JudgeServer()
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(service.app, log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: server.run(sockets=[listener]), daemon=True)
    thread.start()
    service.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    try:
        yield service
    finally:
        service.reset()
        server.should_exit = True
        thread.join(10)
        listener.close()


@functools.cache
def shared_judge() -> str:
    """The address of one service for all tests of this process; it ends with it."""
    stack = contextlib.ExitStack()
    service = stack.enter_context(judge_server())
    atexit.register(stack.close)
    return service.url


def judge_options() -> dict[str, Any]:
    """Options of a judge that asks the shared service, whose variables are set from now on."""
    os.environ["KREABENCH_TEST_JUDGE_URL"] = shared_judge()
    os.environ["KREABENCH_TEST_JUDGE_KEY"] = KEY
    return {
        "model": "judge-1",
        "base_url_env": "KREABENCH_TEST_JUDGE_URL",
        "key_env": "KREABENCH_TEST_JUDGE_KEY",
        "timeout_s": 5.0,
        "max_attempts": 1,
    }
