"""The HTTP face of the emulated service. One listener; the Host header tells the run host from the queue host.

Protocol: fal.ai's queue API as fal-client 1.0.3 speaks it. The queue host also stands for rest.fal.ai and v3.fal.media.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Host, Route, Router

from kreabench.emulator.answers import not_found, result_body
from kreabench.emulator.routes.collecting import Collecting
from kreabench.emulator.routes.requests import guarded
from kreabench.emulator.routes.submitting import Submitting
from kreabench.emulator.routes.uploading import Uploading
from kreabench.emulator.routes.watching import Watching
from kreabench.emulator.service import QUEUE_HOST, RUN_HOST, Service

ACCOUNT_PATH = "/emulator/account"


def build_app(service: Service, *, on_ready: Callable[[], None] = lambda: None) -> Starlette:
    """The application; `on_ready` is called once the server is about to answer."""
    service.webhooks.body_of = lambda job, delivered: result_body(service.place, job, delivered)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        on_ready()
        yield

    return Starlette(
        routes=[
            Host(RUN_HOST, Router(_run_routes(service), default=_unknown)),
            Host(QUEUE_HOST, Router(_queue_routes(service), default=_unknown)),
        ],
        lifespan=lifespan,
    )


def _run_routes(service: Service) -> list[Route]:
    submitting = Submitting(service)
    return [
        _account(service),
        Route("/{endpoint:path}/stream", guarded(submitting.stream), methods=["POST"]),
        Route("/{endpoint:path}", guarded(submitting.run), methods=["POST"]),
        _NOWHERE,
    ]


def _queue_routes(service: Service) -> list[Route]:
    watching, collecting, uploading = Watching(service), Collecting(service), Uploading(service)
    request_path = "/{app:path}/requests/{request_id}"
    token = service.uploads.token
    return [
        _account(service),
        Route(f"{request_path}/status", guarded(watching.status), methods=["GET"]),
        Route(f"{request_path}/status/stream", guarded(watching.stream), methods=["GET"]),
        Route(f"{request_path}/response", guarded(collecting.result), methods=["GET"]),
        Route(f"{request_path}/cancel", guarded(collecting.cancel), methods=["PUT"]),
        Route(request_path, guarded(collecting.result), methods=["GET"]),
        Route("/storage/auth/token", guarded(uploading.token), methods=["POST"]),
        Route("/storage/upload/initiate", guarded(uploading.initiate), methods=["POST"]),
        Route("/files/upload", guarded(uploading.upload, bearer=token), methods=["POST"]),
        Route("/files/{folder}/{name}", collecting.file, methods=["GET"]),
        Route("/files/{folder}/{name}", uploading.put, methods=["PUT"]),
        Route("/{endpoint:path}", guarded(Submitting(service).submit), methods=["POST"]),
        _NOWHERE,
    ]


def _account(service: Service) -> Route:
    async def account(_: Request) -> Response:
        return JSONResponse(service.books.totals(service.dispatcher.jobs()))

    return Route(ACCOUNT_PATH, account, methods=["GET"])


async def _nowhere(request: Request) -> Response:
    return not_found(request)


_NOWHERE = Route("/{path:path}", _nowhere, methods=["GET", "PUT", "PATCH", "DELETE"])
"""Any path may be an endpoint that is POSTed to; for all else an unknown one is 404, not 405."""


async def _unknown(scope: Any, receive: Any, send: Any) -> None:
    await not_found(Request(scope))(scope, receive, send)
