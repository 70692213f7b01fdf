"""The edge to the client library: one method a call, every error a `GenerationError`, no hidden retry."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from urllib.parse import quote

import fal_client
import fal_client.client
import httpx
from fal_client.auth import AuthCredentials
from fal_client.client import CDNTokenManager, FalClientHTTPError, Status, SyncRequestHandle

from kreabench.backends.fal_download import Downloader, DownloadRules, PictureRefused
from kreabench.backends.fal_errors import Answer, Failures
from kreabench.backends.fal_failures import DOWNLOAD, RESULT, SUBMIT, UPLOAD
from kreabench.backends.fal_wire import Network, Wire
from kreabench.backends.opening_errors import no_client
from kreabench.backends.options import FalOptions
from kreabench.core.errors import GenerationError

_HEADERS = {
    # A request that the service tries again, or hands to another endpoint, is no measurement of this one.
    "X-Fal-No-Retry": "1",
    "x-app-fal-disable-fallback": "true",
}
_ASK_AGAIN_AFTER_S = (0.1, 0.4, 1.6)
"""Pauses before an upload, a status, result or picture is asked for again after a fault: nothing is bought by these."""

_CANCEL_TIMEOUT_S = 0.9
_CONNECT_TIMEOUT_S = 10.0

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Slot:
    """What one request after another uses, each with the connections of the one before it.

    A client for many requests at once would open connections in the middle of a run, whenever more of them than before
    happened to read at the same time; above about 40 they would wait within it.
    """

    client: fal_client.SyncClient
    downloader: Downloader


class FalClients:
    """The clients of one session, one for each request in flight, and what is common to all its calls."""

    def __init__(
        self,
        *,
        endpoint: str,
        key: str,
        key_env: str,
        emulated: bool,
        options: FalOptions,
        concurrency: int,
        clock: Callable[[], float],
        pause: Callable[[float], bool],
    ) -> None:
        """`pause` waits so many seconds and says whether to go on."""
        self.endpoint = endpoint
        self.failures = Failures(key=key, key_env=key_env)
        self.start_timeout_s = options.start_timeout_s
        self.timeout = httpx.Timeout(
            options.request_timeout_s, connect=min(options.request_timeout_s, _CONNECT_TIMEOUT_S)
        )
        self.pause = pause
        self.clock = clock
        _tame_the_library(self.timeout, emulated=emulated)
        # Within a function, so that no account of this object's fields shows the key.
        self._make: Callable[[], Any] = lambda: fal_client.SyncClient(key=key, default_timeout=self.timeout)
        self._rules = DownloadRules(
            hosts=options.download_hosts,
            loopback=emulated,
            max_bytes=options.max_download_bytes,
            timeout_s=options.request_timeout_s,
        )
        self._lock = threading.Lock()
        try:
            self.network = Network(clock=clock)
        except OSError as error:
            raise no_client(error) from None
        self._token = CDNTokenManager(AuthCredentials("Key", key))
        self._free = [self._slot() for _ in range(concurrency)]

    def call(self) -> FalCall:
        """For one request of the back end; to be released."""
        with self._lock:
            # The one that was used last: its connections are there.
            slot = self._free.pop() if self._free else self._slot()
        return FalCall(self, slot)

    def release(self, slot: Slot) -> None:
        """A call has ended."""
        with self._lock:
            self._free.append(slot)

    def close(self) -> None:
        """Close all connections."""
        self.network.close()

    def _slot(self) -> Slot:
        client = self._make()
        agent = {"User-Agent": fal_client.client.USER_AGENT}
        # In place of the library's own, which are cached or made for each upload, hide when they connect, give up
        # connections that were idle for 5 s, and ask another host when they cannot connect.
        vars(client)["_client"] = self.network.client(
            timeout=self.timeout,
            service=True,
            follow_redirects=True,
            headers={"Authorization": client._auth.header_value, **agent},
        )
        storage = functools.cache(
            lambda: self.network.client(timeout=self.timeout, service=False, auth=self._authorise, headers=agent)
        )
        vars(client).update(_token_manager=self._token, _get_cdn_client=storage)
        pictures = self.network.client(timeout=self.timeout, service=False)
        return Slot(client=client, downloader=Downloader(self._rules, client=pictures, clock=self.clock))

    def _authorise(self, request: httpx.Request) -> httpx.Request:
        token = self._token.get_token()
        request.headers["Authorization"] = f"{token.token_type} {token.token}"
        return request


class FalCall:
    """All that is asked for one request. Counts what had to be asked again; `wire` knows what was sent when."""

    def __init__(self, clients: FalClients, slot: Slot) -> None:
        self.wire = Wire()
        self.asked_again = 0
        """Reads and uploads repeated after a fault of the way there."""
        self._clients = clients
        self._slot = slot

    def release(self) -> None:
        """It asks nothing any more."""
        self._clients.release(self._slot)

    @property
    def failures(self) -> Failures:
        """Of the session."""
        return self._clients.failures

    def upload(self, content: bytes, content_type: str, file_name: str) -> str:
        """Put a file into the service's storage; its address there."""
        return self._ask(
            UPLOAD,
            lambda: str(self._slot.client.upload(content, content_type, file_name=file_name, fallback_repository=[])),
        )

    def submit(self, arguments: Mapping[str, Any]) -> SyncRequestHandle:
        """Exactly one POST, whatever happens to it."""
        made = len(self.wire.exchanges)
        with self._typed_errors(SUBMIT):
            try:
                handle = self._slot.client.submit(
                    self._clients.endpoint,
                    dict(arguments),
                    headers=_HEADERS,
                    start_timeout=self._clients.start_timeout_s,
                )
            except RuntimeError as error:
                if len(self.wire.exchanges) == made:
                    raise  # httpx says so of a client that was closed: nothing was sent
                raise httpx.ReadError(str(error)) from None
        return handle if _is_at_queue(handle) else self.handle(str(handle.request_id))

    def handle(self, request_id: str) -> SyncRequestHandle:
        """Of a request that was submitted before."""
        handle = self._slot.client.get_handle(self._clients.endpoint, quote(request_id, safe=""))
        return replace(handle, request_id=request_id)

    def status(self, handle: SyncRequestHandle, *, stage: str) -> Status:
        """Ask once for the status (more often only after a fault of the connection)."""
        return self._ask(stage, handle.status)

    def result(self, handle: SyncRequestHandle) -> Any:
        """The result as JSON. The library's own `get` would poll the status once more before it."""

        def read() -> Any:
            response = handle.client.get(handle.response_url, timeout=self._clients.timeout)
            if response.is_error:
                raise FalClientHTTPError("", response.status_code, {}, response)
            return response.json()

        return self._ask(RESULT, read)

    def picture(self, url: str) -> bytes:
        """The file at `url`, if `DownloadRules` allow it."""
        return self._ask(DOWNLOAD, lambda: self._slot.downloader.fetch(url))

    def cancel(self, handle: SyncRequestHandle) -> bool:
        """Brief, and never an error; whether nothing is left that could be fetched or billed."""
        with contextlib.suppress(httpx.HTTPError, httpx.InvalidURL, RuntimeError, ValueError, AttributeError):
            answer = handle.client.put(handle.cancel_url, timeout=_CANCEL_TIMEOUT_S)
            if answer.status_code not in {200, 202}:
                # A 404 of anything else than the request, such as of the path, leaves it in the queue.
                return bool(answer.status_code == 404 and answer.json().get("status") == "NOT_FOUND")
            # It may have begun meanwhile; then the request to cancel it says little.
            body = handle.client.get(handle.status_url, timeout=_CANCEL_TIMEOUT_S).json()
            state, cancelled = body.get("status"), body.get("error_type") == "client_cancelled"
            return bool(state == "IN_QUEUE" or (state == "COMPLETED" and cancelled))
        return False

    def _ask(self, stage: str, read: Callable[[], T]) -> T:
        """What buys nothing: asked again a few times after a fault of the way there."""
        for pause_s in _ASK_AGAIN_AFTER_S:
            try:
                with self._typed_errors(stage, passing=True):
                    return read()
            except _PassingFault as fault:
                if not self._clients.pause(pause_s):
                    raise fault.error from None
                self.asked_again += 1
        with self._typed_errors(stage):
            return read()

    @contextlib.contextmanager
    def _typed_errors(self, stage: str, *, passing: bool = False) -> Iterator[None]:
        """The library's errors (which cannot be pickled and may quote secrets) end here.

        With `passing`, faults of the way there, and not of the request, become `_PassingFault`.
        """
        try:
            yield
        except (FalClientHTTPError, httpx.HTTPStatusError) as error:
            raise self._refused(_answer(error.response), stage, passing) from None
        except PictureRefused as error:
            raise self._refused(error.answer, stage, passing) from None
        except RecursionError as error:  # JSON that is nested too deeply
            raise self.failures.from_exception(ValueError(str(error)), stage) from None
        except (httpx.HTTPError, httpx.InvalidURL, KeyError, TypeError, ValueError) as error:
            typed = self.failures.from_exception(error, stage)
            if passing and isinstance(error, httpx.TransportError) and not isinstance(error, httpx.UnsupportedProtocol):
                raise _PassingFault(typed) from None
            raise typed from None

    def _refused(self, answer: Answer, stage: str, passing: bool) -> Exception:
        typed = self.failures.from_answer(answer, stage)
        return _PassingFault(typed) if passing and answer.is_passing else typed


def _tame_the_library(timeout: httpx.Timeout, *, emulated: bool) -> None:
    """Settings that fal-client has for the whole process only."""
    # One attempt a call: the library would POST again after a reset, and a second job would be billed.
    fal_client.client.MAX_ATTEMPTS = 1
    fal_client.client.QUEUE_POLL_TIMEOUT = timeout
    if emulated:
        # The storage has no environment variable; the stand-in keeps uploads where it keeps its queue.
        host = fal_client.client.QUEUE_URL_FORMAT.rstrip("/")
        fal_client.client.REST_URL = host
        fal_client.client.CDN_URL = host


def _is_at_queue(handle: SyncRequestHandle) -> bool:
    """Whether the addresses that the service gave are its own: the key goes there, so no other will do."""
    queue = httpx.URL(fal_client.client.QUEUE_URL_FORMAT)
    try:
        given = [httpx.URL(url) for url in (handle.status_url, handle.response_url, handle.cancel_url)]
    except (TypeError, httpx.InvalidURL):
        return False
    return all((url.scheme, url.host, url.port) == (queue.scheme, queue.host, queue.port) for url in given)


class _PassingFault(Exception):
    """Ask again; if not, this is the error."""

    def __init__(self, error: GenerationError) -> None:
        super().__init__()
        self.error = error


def _answer(response: httpx.Response) -> Answer:
    try:
        body = response.json()
    except (ValueError, RecursionError):
        body = None
    return Answer(status_code=response.status_code, headers=response.headers, body=body, text=response.text)
