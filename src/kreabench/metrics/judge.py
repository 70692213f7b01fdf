"""A judge: a vision model behind OpenAI's chat interface answers yes or no to questions about a picture.

The score is the mean, over the questions, of the probability of yes: VQAScore (Lin et al., arXiv 2404.01291), asked of
any service that has the interface: OpenAI, its many imitators, or a server of one's own (vLLM, llama.cpp, Ollama).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from kreabench.core.errors import BudgetReached, EnvironmentProblem, one_line
from kreabench.metrics.base import OutOfBudget, Score, ScoreItem, failed
from kreabench.metrics.judge_connect import connect, needs_of, price_problems
from kreabench.metrics.judge_questions import SYSTEM_TEXT, check_templates, messages_for, questions_for, show
from kreabench.metrics.judge_service import JudgeService, QuestionFailed
from kreabench.metrics.needs import Need
from kreabench.metrics.shared import Shared

VERSION = 1
"""Of this implementation; raised when the same picture would be asked about differently."""

_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeOptions:
    """Whom to ask, what, and for how much."""

    model: str = "gpt-4o-2024-11-20"
    """As the service calls it; a dated one, where there is one, so that scores stay comparable."""
    base_url_env: str = "KREABENCH_JUDGE_URL"
    """The environment variable that holds the service's address, with its path: `https://api.openai.com/v1`."""
    key_env: str | None = "KREABENCH_JUDGE_KEY"
    """The environment variable that holds the key; None for a service that wants none."""
    questions: tuple[str, ...] = ('Does this picture show "{prompt}"? Answer yes or no.',)
    """Asked where the prompt file has no questions of its own. `{prompt}` and `{look_for}` are put in, quoted."""
    logprobs: Literal["auto", "required", "never"] = "auto"
    """Whether to use probabilities where the service gives them, to fail without them, or to go by the word alone."""
    top_logprobs: int = 20
    """How many alternatives to ask for; some services give fewer than OpenAI's 20."""
    temperature: float | None = 0.0
    """None sends none, for models that take no other than their own."""
    answer_tokens: int = 8
    """Most tokens of an answer, one word being wanted. A model that thinks before it speaks needs more."""
    answer_tokens_parameter: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """How the service calls that limit."""
    image_detail: Literal["auto", "low", "high"] = "auto"
    """How closely the model is to look; `auto` leaves it to the service."""
    max_side_px: int | None = 1024
    """Larger pictures are shrunk, and their scores say so; None never shrinks."""
    max_prompt_characters: int = 4000
    """Longer prompts are cut, and their scores say so."""
    concurrency: int = 4
    """Pictures asked about at once."""
    timeout_s: float = 60.0
    """Of one attempt."""
    max_attempts: int = 4
    """Of one question, where the service is busy or the connection breaks."""
    usd_per_million_input_tokens: float | None = None
    """0 for a server of one's own; None is unknown, and refused where there is a budget."""
    usd_per_million_output_tokens: float | None = None
    expected_input_tokens: int = 1500
    """Of one question with its picture: what is held back of the budget before each call."""

    def __post_init__(self) -> None:
        """Raises ValueError, which `config/` turns into a message that names the key."""
        for name in ("base_url_env", "key_env"):  # people put the key itself there: the value is not said
            value = getattr(self, name)
            if value is not None and not _VARIABLE.fullmatch(value):
                raise ValueError(f"{name} must be the name of an environment variable, such as KREABENCH_JUDGE_KEY")
        if not self.model.strip():
            raise ValueError("model must be the service's name of a vision model, and is empty")
        if not self.questions:
            raise ValueError("questions must hold at least one")
        check_templates(self.questions)
        choices = {
            "logprobs": ("auto", "required", "never"),
            "answer_tokens_parameter": ("max_tokens", "max_completion_tokens"),
            "image_detail": ("auto", "low", "high"),
        }
        for name, accepted in choices.items():
            if getattr(self, name) not in accepted:
                raise ValueError(f"{name} must be {', '.join(accepted[:-1])} or {accepted[-1]}")
        self._check_numbers()

    def _check_numbers(self) -> None:
        for name, least in (
            ("top_logprobs", 2),
            ("answer_tokens", 1),
            ("max_side_px", 16),
            ("max_prompt_characters", 1),
            ("concurrency", 1),
            ("max_attempts", 1),
            ("expected_input_tokens", 1),
            ("temperature", 0),
            ("usd_per_million_input_tokens", 0),
            ("usd_per_million_output_tokens", 0),
        ):
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise ValueError(f"{name} must be at least {least}, and is {value}")
        if not self.timeout_s > 0:
            raise ValueError(f"timeout_s must be above 0, and is {self.timeout_s}")


class Judge:
    """See the module. Options as in `JudgeOptions`.

    Money: before the first question about a picture, what all of them are expected to cost is held back of the purse,
    and each call pays what the service says it used. Where the budget does not allow a picture's questions, neither
    it nor any after it is asked about: `score` raises OutOfBudget with the scores of the others, now and later.
    """

    def __init__(self, **options: Any) -> None:
        """Raises ValueError for options that no machine can fulfil."""
        self._options = JudgeOptions(**options)
        self._service: JudgeService | None = None
        self._reached: BudgetReached | None = None
        self.needs: tuple[Need, ...] = needs_of(self._options)

    def open(self, shared: Shared) -> dict[str, Any]:
        """Make the client; nothing is sent. Raises EnvironmentProblem.

        The host is part of the identity, because two services serve one model differently; the rest of the address is
        not, as it may hold an account's name.
        """
        options = self._options
        problems = [problem for need in self.needs if (problem := need.problem(shared.environ)) is not None]
        problems += price_problems(options) if shared.purse.limit_usd is not None else []
        if problems:
            raise EnvironmentProblem(problems)
        self._reached = None
        self._service = connect(options, shared)
        return {
            "version": VERSION,
            "model": options.model,
            "host": urlsplit(shared.environ[options.base_url_env]).netloc.casefold(),
            "system": SYSTEM_TEXT,
            "questions": list(options.questions),
            "logprobs": options.logprobs,
            "temperature": options.temperature,
            "image_detail": options.image_detail,
            "max_side_px": options.max_side_px,
            "max_prompt_characters": options.max_prompt_characters,
        }

    def score(self, items: Sequence[ScoreItem]) -> list[Score]:
        """One score an item, `concurrency` of them at once. Raises OutOfBudget as the class says."""
        service = self._service
        if service is None:
            raise RuntimeError("score() before open()")
        if not items:
            return []
        scores: list[Score | None] = [None] * len(items)

        def work(number: int) -> None:
            scores[number] = self._score(service, items[number])

        if self._reached is None:
            _in_threads(work, len(items), self._options.concurrency, service.stop)
        if self._reached is not None:
            raise OutOfBudget(self._reached, scores)
        return [score for score in scores if score is not None]

    def close(self) -> None:
        """Hang up."""
        if self._service is not None:
            self._service.stop.set()
            self._service.client.close()
            self._service = None

    def _score(self, service: JudgeService, item: ScoreItem) -> Score | None:
        """None where the budget did not allow a single question."""
        try:
            asked = questions_for(item, self._options.questions, self._options.max_prompt_characters)
            if not asked.questions:
                reason = "no question applies: the prompt has none of its own, and says not what to look for"
                return Score(status="not_applicable", value=None, reason=reason)
            shown = show(item, self._options.max_side_px)
        except Exception as error:  # one bad picture must not cost the others their score
            return failed(one_line(error))
        if self._reached is not None:
            return None
        try:
            tab = service.tab(len(asked.questions))
        except BudgetReached as error:
            self._reached = error
            return None
        details: dict[str, float] = {}
        notes = list(shown.notes)
        reason = ""
        try:
            for number, question in enumerate(asked.questions, 1):
                verdict = service.ask(messages_for(question, shown, self._options.image_detail), tab)
                details[f"q{number}"] = verdict.probability
                notes += [note for note in verdict.notes if note not in notes]
        except (QuestionFailed, BudgetReached) as error:
            self._reached = error if isinstance(error, BudgetReached) else self._reached
            reason = f"q{len(details) + 1} has no answer: {_one_line(error)}"
        except Exception as error:  # an answer that nobody foresaw must not cost the others their score
            reason = f"q{len(details) + 1} has no answer: {service.scrub(one_line(error))}"
        finally:
            tab.close()
        return Score(
            status="failed" if reason else "ok",
            value=None if reason else sum(details.values()) / len(details),
            reason=reason,
            truncated=asked.truncated,
            notes=tuple(notes),
            usd=tab.usd,
            details=details,
        )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _in_threads(work: Callable[[int], None], count: int, most: int, stop: threading.Event) -> None:
    """`work` for each number below `count`, in order, in at most `most` threads. An interrupt waits for none."""
    numbers = iter(range(count))
    lock = threading.Lock()

    def run() -> None:
        while not stop.is_set():
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            work(number)

    threads = [threading.Thread(target=run, daemon=True, name=f"judge-{n}") for n in range(min(most, count))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException:
        stop.set()
        raise
