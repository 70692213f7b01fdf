"""The edge to the client library: one method a call, every error a `GenerationError`, no hidden retry."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import fal_client
import fal_client.client
import httpx
from fal_client.client import FalClientHTTPError, Status, SyncRequestHandle

from kreabench.backends.fal_download import Downloader, DownloadRules
from kreabench.backends.fal_errors import Answer, Failures
from kreabench.backends.options import FalOptions
from kreabench.core.errors import GenerationError

_HEADERS = {
    # A request that the service tries again, or hands to another endpoint, is no measurement of this one.
    "X-Fal-No-Retry": "1",
    "x-app-fal-disable-fallback": "true",
}
_ASK_AGAIN_AFTER_S = (0.1, 0.4, 1.6)
"""Pauses before a status, result or picture is asked for again after a fault; such reads change nothing there."""

_CANCEL_TIMEOUT_S = 5.0

T = TypeVar("T")


class FalCalls:
    """Submit, status, result, picture, cancel. Counts what had to be asked again and keeps the last headers."""

    def __init__(
        self,
        *,
        endpoint: str,
        key: str,
        key_env: str,
        emulated: bool,
        options: FalOptions,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self.endpoint = endpoint
        self.failures = Failures(key=key, key_env=key_env)
        self.headers: dict[str, str] = {}
        """Of all answers since `forget`: the library drops them, and runner and billed units are only there."""
        self.asked_again = 0
        """Reads repeated since `forget`."""
        self._start_timeout_s = options.start_timeout_s
        self._sleep = sleep
        _tame_the_library(options.request_timeout_s)
        rules = DownloadRules(
            hosts=options.download_hosts,
            loopback=emulated,
            max_bytes=options.max_download_bytes,
            timeout_s=options.request_timeout_s,
        )
        try:
            self._client = fal_client.SyncClient(key=key, default_timeout=options.request_timeout_s)
            self._http: httpx.Client = self._client._client
            self._downloader = Downloader(rules, clock=clock)
        except OSError as error:  # also ssl.SSLError
            raise GenerationError(
                f"the client cannot be made: {error}",
                type="load_failed",
                stage="load",
                remedy="Check SSL_CERT_FILE and SSL_CERT_DIR.",
            ) from None
        self._http.event_hooks = {"response": [lambda response: self.headers.update(response.headers)]}

    def forget(self) -> None:
        """Before each request."""
        self.headers.clear()
        self.asked_again = 0

    def submit(self, arguments: Mapping[str, Any]) -> SyncRequestHandle:
        """Exactly one POST, whatever happens to it."""
        with self._typed_errors("submit"):
            return self._client.submit(
                self.endpoint, dict(arguments), headers=_HEADERS, start_timeout=self._start_timeout_s
            )

    def status(self, handle: SyncRequestHandle, *, stage: str) -> Status:
        """Ask once for the status (more often only after a fault of the connection)."""
        return self._ask(stage, handle.status)

    def result(self, handle: SyncRequestHandle) -> Any:
        """The result as JSON. The library's own `get` would poll the status once more before it."""

        def read() -> Any:
            response = self._http.get(handle.response_url)
            if response.is_error:
                raise FalClientHTTPError("", response.status_code, {}, response)
            return response.json()

        return self._ask("result", read)

    def picture(self, url: str) -> bytes:
        """The file at `url`, if `DownloadRules` allow it."""
        return self._ask("download", lambda: self._downloader.fetch(url))

    def cancel(self, handle: SyncRequestHandle) -> None:
        """Best effort, and brief: nobody waits for the picture any more, but it might still be billed."""
        with contextlib.suppress(httpx.HTTPError, httpx.InvalidURL):
            self._http.put(handle.cancel_url, timeout=_CANCEL_TIMEOUT_S)

    def close(self) -> None:
        """Close all connections."""
        self._downloader.close()
        self._http.close()

    def _ask(self, stage: str, read: Callable[[], T]) -> T:
        """A read that changes nothing on the other side: asked again a few times after a fault of the way there."""
        for pause_s in _ASK_AGAIN_AFTER_S:
            try:
                with self._typed_errors(stage, passing=True):
                    return read()
            except _PassingFault:
                self.asked_again += 1
                self._sleep(pause_s)
        with self._typed_errors(stage):
            return read()

    @contextlib.contextmanager
    def _typed_errors(self, stage: str, *, passing: bool = False) -> Iterator[None]:
        """The library's errors (which cannot be pickled and may quote secrets) end here.

        With `passing`, faults of the way there, and not of the request, become `_PassingFault`.
        """
        try:
            yield
        except FalClientHTTPError as error:
            answer = _answer(error.response)
            if passing and answer.is_passing:
                raise _PassingFault from None
            raise self.failures.from_answer(answer, stage) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if passing and isinstance(error, httpx.TransportError):
                raise _PassingFault from None
            raise self.failures.from_transport(error, stage) from None
        except (KeyError, TypeError, ValueError) as error:
            raise self.failures.not_understood(error, stage) from None


def _tame_the_library(request_timeout_s: float) -> None:
    """Settings that fal-client has for the whole process only."""
    # One attempt a call: the library would POST again after a reset, and a second job would be billed.
    fal_client.client.MAX_ATTEMPTS = 1
    # And no backup host: up to 5 s of failing to connect would pass unseen for a part of a stage.
    fal_client.client._BACKUP_DOMAINS = {}
    fal_client.client.QUEUE_POLL_TIMEOUT = httpx.Timeout(request_timeout_s)


class _PassingFault(Exception):
    """Ask again."""


def _answer(response: httpx.Response) -> Answer:
    try:
        body = response.json()
    except ValueError:
        body = None
    return Answer(status_code=response.status_code, headers=response.headers, body=body, text=response.text)
