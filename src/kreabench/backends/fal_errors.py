"""Errors of fal, and of the way there, as `GenerationError`: judged by the table, in messages without secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kreabench.backends.fal_failures import ANSWERS, SUBMIT, TRANSPORT, AnswerRow, Verdict
from kreabench.backends.service_values import retry_after_s
from kreabench.core.errors import GenerationError

_MESSAGE_LENGTH = 500
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_GATEWAY_STATUS = {502, 503, 504}
_OF_SERVICE = {"detail", "error_type"}
_HEADERS_OF_SERVICE = ("x-fal-request-id", "x-fal-error-type")


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An HTTP error of the service, without the client library's classes."""

    status_code: int
    headers: Mapping[str, str]
    body: Any
    """Parsed JSON; None where the body is none."""
    text: str

    @property
    def is_of_service(self) -> bool:
        """Whether fal itself said it, not a gateway before it (whose errors are HTML)."""
        return isinstance(self.body, dict) or self._is_headed

    @property
    def is_surely_of_service(self) -> bool:
        """Whether it has the shape of fal's errors too, which the JSON of a gateway has not."""
        return self._is_headed or (isinstance(self.body, dict) and not _OF_SERVICE.isdisjoint(self.body))

    @property
    def _is_headed(self) -> bool:
        return any(name in self.headers for name in _HEADERS_OF_SERVICE)

    @property
    def is_passing(self) -> bool:
        """Whether a read met a fault of the way there, and no outcome of the request: ask again."""
        return self.status_code == 429 or (self.status_code in _GATEWAY_STATUS and not self.is_of_service)

    @property
    def error_type(self) -> str | None:
        """fal's name of the error, from the body or its header."""
        named = self.body.get("error_type") if isinstance(self.body, dict) else None
        return named if isinstance(named, str) else self.headers.get("x-fal-error-type")

    @property
    def detail(self) -> Any:
        """fal's account: a text, or a list of findings for invalid input."""
        return self.body.get("detail", self.text) if isinstance(self.body, dict) else self.text


class Failures:
    """Makes the errors of one session; knows the secrets that no message may hold."""

    def __init__(self, *, key: str, key_env: str) -> None:
        parts = [key, *key.split(":")]
        self._secrets = sorted({part for part in parts if len(part) >= 4}, key=len, reverse=True)
        self._key_env = key_env

    def hide(self, text: str) -> str:
        """`text` without the key, in valid Unicode: JSON may name half a character."""
        for secret in self._secrets:
            text = text.replace(secret, "[key]")
        return text.encode("utf-8", "replace").decode()

    def scrub(self, text: str) -> str:
        """`text` on one line, without the key, cut to a readable length."""
        text = _UNPRINTABLE.sub(" ", self.hide(text)).strip()
        return text if len(text) <= _MESSAGE_LENGTH else f"{text[: _MESSAGE_LENGTH - 1]}…"

    def from_answer(self, answer: Answer, stage: str) -> GenerationError:
        """An HTTP status that is no success."""
        named = f" ({answer.error_type})" if answer.error_type else ""
        message = f"HTTP {answer.status_code}{named}: {_detail_text(answer.detail)}"
        error = self.make(_judge_answer(answer, stage), message, stage)
        if error.type == "rate_limited":
            error.retry_after_s = retry_after_s(answer.headers)
        return error

    def from_exception(self, error: Exception, stage: str) -> GenerationError:
        """The connection failed or timed out before an answer was whole, or the answer lacks what was promised."""
        text = f"{type(error).__name__}: {error}"
        if isinstance(error, KeyError | TypeError | ValueError):
            text = f"the service's answer was not understood: {text}"
        return self.make(_judge_exception(error, stage), text, stage)

    def make(self, verdict: Verdict, message: str, stage: str) -> GenerationError:
        """The error of a verdict."""
        return GenerationError(
            self.scrub(message),
            type=verdict.type,
            stage=stage,
            transient=verdict.transient,
            fetch_again=verdict.fetch_again,
            remedy=verdict.remedy.format(key_env=self._key_env),
        )


def _judge_answer(answer: Answer, stage: str) -> Verdict:
    # The last row takes whatever the others leave.
    return next(row.verdict for row in ANSWERS if _fits(row, answer, stage))


def _fits(row: AnswerRow, answer: Answer, stage: str) -> bool:
    if row.stages is not None and stage not in row.stages:
        return False
    # Before the request has a name, what a gateway says must not be taken for fal's word: a second one may be billed.
    of_service = answer.is_surely_of_service if stage == SUBMIT else answer.is_of_service
    if row.from_service is not None and row.from_service != of_service:
        return False
    if row.finding is not None and row.finding not in _finding_types(answer.detail):
        return False
    if row.statuses is None and row.error_types is None:
        return True
    return answer.status_code in (row.statuses or ()) or answer.error_type in (row.error_types or ())


def _judge_exception(error: Exception, stage: str) -> Verdict:
    return next(
        row.verdict
        for row in TRANSPORT
        if (row.stages is None or stage in row.stages) and isinstance(error, row.errors) and row.words in str(error)
    )


def _finding_types(detail: Any) -> list[Any]:
    return [finding.get("type") for finding in detail if isinstance(finding, dict)] if isinstance(detail, list) else []


def _detail_text(detail: Any) -> str:
    """`prompt: Field required [missing]; …` for findings; other details as they are."""
    if not isinstance(detail, list):
        return str(detail)
    return "; ".join(_finding_text(finding) for finding in detail)


def _finding_text(finding: Any) -> str:
    if not isinstance(finding, dict):
        return str(finding)
    location: Sequence[Any] = finding.get("loc") or ()
    where = ".".join(str(part) for part in location if part != "body")
    text = f"{finding.get('msg', '')} [{finding.get('type', 'unknown')}]"
    return f"{where}: {text}" if where else text
