"""Calls of a judge: one question a call, with bounded attempts, every dollar counted, and no secret in any message.

The client is OpenAI's own with its retries off, so that each attempt is seen and paid for here.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kreabench.metrics.judge_answers import (
    Completion,
    NotUnderstoodError,
    RefusedError,
    Verdict,
    read_completion,
    verdict_of,
)
from kreabench.metrics.judge_errors import CallFailed, attempt_failed, body_failed
from kreabench.metrics.shared import Purse

if TYPE_CHECKING:
    import openai

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 60.0
"""Between two attempts; a service that asks for more is given up for this question."""
_UNREACHABLE_IN_A_ROW = 5
"""Questions without any connection after which no more are asked."""
_MOST_BYTES = 4_000_000
"""Of an answer: a yes with twenty alternatives takes some 5 KB."""
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_MESSAGE_LENGTH = 300
NO_USAGE = "the service did not say what it used: dollars are as expected"


class QuestionFailed(Exception):
    """A question has no answer; the message says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prices:
    """What a call costs."""

    usd_per_million_input_tokens: float | None
    usd_per_million_output_tokens: float | None
    expected_input_tokens: int
    expected_output_tokens: int

    def usd(self, input_tokens: int | None = None, output_tokens: int | None = None) -> float | None:
        """Of this many tokens, of those expected where a number is None; None where the prices are not known."""
        if self.usd_per_million_input_tokens is None or self.usd_per_million_output_tokens is None:
            return None
        read = self.expected_input_tokens if input_tokens is None else input_tokens
        written = self.expected_output_tokens if output_tokens is None else output_tokens
        return (read * self.usd_per_million_input_tokens + written * self.usd_per_million_output_tokens) / 1e6


@dataclass(frozen=True, kw_only=True, slots=True)
class CallSettings:
    """How a judge is called."""

    model: str
    logprobs: str
    """auto, required or never."""
    top_logprobs: int
    parameters: Mapping[str, Any]
    """Further parameters of the request."""
    timeout_s: float
    """Of one attempt, as a whole."""
    max_attempts: int


class Tab:
    """What the questions about one picture may cost, held back in the purse, and what they have cost."""

    def __init__(self, purse: Purse, calls: int, usd: float | None) -> None:
        """Raises BudgetReached. Waits where other calls in flight alone stand in the way."""
        self._purse = purse
        self._held_usd = 0.0
        self.usd = usd if usd is None else 0.0
        """Spent; None where prices are not known."""
        if usd is not None:
            purse.hold(usd * calls)
            self._held_usd = usd * calls

    def cover(self, usd: float | None) -> None:
        """Before a call that may cost `usd`: hold what attempts that may have been billed, or calls that cost more than
        was expected, have used up. Raises BudgetReached."""
        if usd is not None and usd > self._held_usd:
            self._purse.hold(usd - self._held_usd, wait=False)
            self._held_usd = usd

    def pay(self, usd: float | None) -> None:
        """Count a call that was, or may have been, billed, out of what is held as far as that goes."""
        if usd is None or self.usd is None:
            return
        self._purse.pay(usd)
        self.usd += usd
        self._release(min(usd, self._held_usd))

    def close(self) -> None:
        """Give back what is left."""
        self._release(self._held_usd)

    def _release(self, usd: float) -> None:
        if usd:
            self._purse.release(usd)
            self._held_usd -= usd


@dataclass(kw_only=True, slots=True)
class JudgeService:
    """An opened judge. Several threads may ask at once."""

    client: openai.OpenAI
    settings: CallSettings
    prices: Prices
    purse: Purse
    secrets: Sequence[str]
    stop: threading.Event = field(default_factory=threading.Event)
    given_up: str = ""
    """Why nothing more is asked; empty while all is well."""
    _expected_usd: float | None = None
    _probabilities: bool = True
    _unreachable: int = 0

    def __post_init__(self) -> None:
        self._expected_usd = self.prices.usd()
        self._probabilities = self.settings.logprobs != "never"

    def tab(self, calls: int) -> Tab:
        """Raises BudgetReached."""
        return Tab(self.purse, calls, self._expected_usd)

    def scrub(self, text: str) -> str:
        """On one line, without the key, cut to a readable length."""
        for secret in self.secrets:
            text = text.replace(secret, "[key]")
        text = _UNPRINTABLE.sub(" ", text.encode("utf-8", "replace").decode()).strip()
        return text if len(text) <= _MESSAGE_LENGTH else f"{text[: _MESSAGE_LENGTH - 1]}…"

    def ask(self, messages: list[dict[str, Any]], tab: Tab) -> Verdict:
        """The answer to one question. Raises QuestionFailed and BudgetReached."""
        attempt = 0
        while True:
            if self.stop.is_set() or self.given_up:
                raise QuestionFailed(self.given_up or "interrupted")
            tab.cover(self._expected_usd)
            attempt += 1
            probabilities = self._probabilities
            try:
                completion, notes = self._call(messages, tab, probabilities)
                return self._verdict(completion, notes, probabilities)
            except (NotUnderstoodError, RefusedError) as error:
                raise QuestionFailed(self.scrub(str(error))) from None
            except CallFailed as error:
                if probabilities and self._without_probabilities(error):
                    attempt -= 1
                else:
                    self._next_attempt(error, attempt)

    def _verdict(self, completion: Completion, notes: tuple[str, ...], probabilities: bool) -> Verdict:
        required = self.settings.logprobs == "required"
        verdict = verdict_of(completion, probabilities=probabilities, required=required)
        if completion.model and completion.model != self.settings.model:
            notes = (*notes, f"answered by {self.scrub(completion.model)}")
        return Verdict(probability=verdict.probability, notes=(*verdict.notes, *notes))

    def _call(
        self, messages: list[dict[str, Any]], tab: Tab, probabilities: bool
    ) -> tuple[Completion, tuple[str, ...]]:
        """One attempt. Raises CallFailed and NotUnderstoodError."""
        try:
            content = self._send(messages, probabilities)
            for secret in self.secrets:  # before any of it is cut short for a message, and half a key left over
                content = content.replace(secret.encode(), b"[key]")
            self._unreachable = 0
            completion = read_completion(content)
        except CallFailed as error:
            if error.may_be_billed:
                tab.pay(self._expected_usd)
            raise
        except NotUnderstoodError:
            tab.pay(self._expected_usd)
            raise
        usd = self.prices.usd(completion.input_tokens, completion.output_tokens)
        tab.pay(usd)
        if usd is not None and self._expected_usd is not None:
            self._expected_usd = max(self._expected_usd, usd)  # what has been asked once may be asked again
        silent = completion.input_tokens is None or completion.output_tokens is None
        return completion, (NO_USAGE,) if silent and usd is not None else ()

    def _send(self, messages: list[dict[str, Any]], probabilities: bool) -> bytes:
        """The body of the answer. Raises CallFailed."""
        import httpx2
        import openai

        parameters = dict(self.settings.parameters)
        if probabilities:
            parameters |= {"logprobs": True, "top_logprobs": self.settings.top_logprobs}
        deadline = time.monotonic() + self.settings.timeout_s
        create: Any = self.client.chat.completions.with_streaming_response.create  # to see each chunk arrive
        try:
            with create(model=self.settings.model, messages=messages, **parameters) as response:
                content = bytearray()
                for chunk in response.iter_bytes():
                    content += chunk
                    if time.monotonic() > deadline:  # the client's own limit is for each chunk
                        raise body_failed(f"no whole answer within {self.settings.timeout_s:g} s")
                    if len(content) > _MOST_BYTES:
                        raise body_failed(f"the answer is longer than {_MOST_BYTES} bytes", again=False)
                return bytes(content)
        except (openai.OpenAIError, httpx2.HTTPError) as error:
            raise attempt_failed(error) from None

    def _without_probabilities(self, error: CallFailed) -> bool:
        """Whether the service takes no question with probabilities: then, with `auto`, all others go without."""
        if self.settings.logprobs != "auto" or not error.about_logprobs:
            return False
        self._probabilities = False
        return True

    def _next_attempt(self, error: CallFailed, attempt: int) -> None:
        """Wait for the next attempt, or raise QuestionFailed where there is none."""
        message = self.scrub(str(error))
        if error.unreachable and attempt == self.settings.max_attempts:
            self._unreachable += 1
        if error.final or self._unreachable >= _UNREACHABLE_IN_A_ROW:
            self.given_up = f"{message}; nothing more is asked of this judge"
        wait_s = min(_FIRST_WAIT_S * 2 ** (attempt - 1), _LONGEST_WAIT_S)
        if error.retry_after_s is not None:
            wait_s = error.retry_after_s
        if not error.again or error.final or attempt >= self.settings.max_attempts or wait_s > _LONGEST_WAIT_S:
            times = f" ({attempt} attempts)" if attempt > 1 else ""
            raise QuestionFailed(f"{message}{times}")
        self.stop.wait(wait_s)
