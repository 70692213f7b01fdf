"""What a judge's answer means: the probability of yes, out of a chat completion as it came.

Lin et al., "Evaluating Text-to-Visual Generation with Image-to-Text Generation" (VQAScore, arXiv 2404.01291): the
probability that the first word of the answer is yes. Here it is the share of yes among yes and no, so that a service
that spends some probability on other words is not marked down for it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

LEAST_MASS = 0.1
"""Of yes and no together: where the judge wanted to say something else, their ratio means nothing."""

NO_PROBABILITIES = "no probabilities: yes or no only"

_AROUND_A_WORD = " \t\r\n▁Ġ\"'“”‘’*_`.,:;!()[]<>|"
"""What tokens carry beside the word, the marks of a blank in two families of tokenisers among it."""
_BLANK_TOKENS = 8
"""Leading tokens without a word that are passed over: a line break, a quote, markup."""
_MOST_TOKENS = 10**9
"""Of one call: above it is no usage of anybody's."""
_SLACK = 1e-3
"""Logarithms of probabilities that rounding took above 0."""


class NotUnderstoodError(ValueError):
    """The answer is not what it should be; the message says how."""


class RefusedError(ValueError):
    """The service will not say anything about this picture or question."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """A chat completion, as far as it matters."""

    choice: Mapping[str, Any] | None
    """None where the answer holds none."""
    model: str
    """As the service calls what answered; may be empty."""
    input_tokens: int | None
    output_tokens: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The answer to one question."""

    probability: float
    """Of yes, from 0 to 1."""
    notes: tuple[str, ...] = ()


def read_completion(content: bytes) -> Completion:
    """Raises NotUnderstoodError for what is no JSON object, or tells of an error."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise NotUnderstoodError(f"the answer is no JSON object: {content[:80].decode('utf-8', 'replace')!r}")
    if body.get("error"):  # some say so with a status of success
        raise NotUnderstoodError(f"the service says {_shortened(body['error'])}")
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    usage = body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return Completion(
        choice=first if isinstance(first, dict) else None,
        model=body["model"] if isinstance(body.get("model"), str) else "",
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
    )


def _count(value: Any) -> int | None:
    """A number of tokens; None for what cannot be one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS else None


def verdict_of(completion: Completion, *, probabilities: bool, required: bool) -> Verdict:
    """The probability of yes; 1 or 0 by the text where the service gave no probabilities and none are `required`.

    Raises RefusedError and NotUnderstoodError.
    """
    choice = completion.choice
    if choice is None:
        raise NotUnderstoodError("the answer holds no choices")
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    if message.get("refusal"):
        raise RefusedError(f"refused by the judge: {_shortened(message['refusal'])}")
    if choice.get("finish_reason") == "content_filter":
        raise RefusedError("refused by the service's content filter")
    text = message.get("content")
    text = text if isinstance(text, str) else ""
    alternatives = _first_word(choice.get("logprobs")) if probabilities else None
    if alternatives is not None:
        return Verdict(probability=_share_of_yes(alternatives, text))
    if required:
        raise NotUnderstoodError("the answer holds no probabilities, which options.logprobs requires")
    return Verdict(probability=_by_text(text), notes=(NO_PROBABILITIES,))


def _first_word(logprobs: Any) -> dict[str, float] | None:
    """Token → logarithm of its probability, at the first place that holds a word; None where none are given."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(content, list):
        return None
    for place in content[:_BLANK_TOKENS]:
        if not isinstance(place, dict) or not isinstance(place.get("token"), str):
            return None
        if _word(place["token"]):
            top = place.get("top_logprobs")
            listed = [place, *(top if isinstance(top, list) else [])]
            return dict(_tokens(listed))
    return None


def _tokens(listed: list[Any]) -> Iterator[tuple[str, float]]:
    for entry in listed:
        token, value = (entry.get("token"), entry.get("logprob")) if isinstance(entry, dict) else (None, None)
        if not isinstance(token, str) or not isinstance(value, int | float) or not value <= _SLACK:
            raise NotUnderstoodError(f"the answer's probabilities hold {_shortened(entry)}")
        yield token, float(value)


def _share_of_yes(alternatives: Mapping[str, float], text: str) -> float:
    mass = {"yes": 0.0, "no": 0.0}
    for token, logprob in alternatives.items():
        word = _word(token)
        if word in mass:
            mass[word] += math.exp(min(logprob, 0.0))
    if mass["yes"] + mass["no"] < LEAST_MASS:
        raise NotUnderstoodError(f"the answer is neither yes nor no: {_shortened(text)}")
    return mass["yes"] / (mass["yes"] + mass["no"])


def _by_text(text: str) -> float:
    words = text.split()
    word = _word(words[0]) if words else ""
    if word not in {"yes", "no"}:
        raise NotUnderstoodError(f"the answer is neither yes nor no: {_shortened(text)}")
    return 1.0 if word == "yes" else 0.0


def _word(token: str) -> str:
    return token.strip(_AROUND_A_WORD).casefold()


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:119]}…"
