"""From a judge's options to a service that can be asked: what must be there, and the client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kreabench.core.errors import EnvironmentProblem, Problem
from kreabench.metrics.judge_service import CallSettings, JudgeService, Prices
from kreabench.metrics.needs import Need, Say
from kreabench.metrics.shared import Shared

if TYPE_CHECKING:
    from kreabench.metrics.judge import JudgeOptions

_NO_KEY = "none"
"""What the client sends where no key is wanted: it insists on one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VariableNeed:
    """A `Need` of an environment variable with a sound value; the value itself is never said."""

    name: str
    variable: str
    expected: str
    sound: Callable[[str], bool]

    @property
    def fetchable(self) -> bool:
        return False

    def problem(self, environ: Mapping[str, str]) -> Problem | None:
        """As in `Need`."""
        value = environ.get(self.variable, "")
        if not value:
            remedy = f"export {self.variable}=… in the shell that starts kreabench; it is written nowhere."
            return Problem(key=self.variable, found="nothing", expected=self.expected, remedy=remedy)
        if not self.sound(value):
            return Problem(key=self.variable, found="something else", expected=self.expected)
        return None

    def fetch(self, environ: Mapping[str, str], say: Say) -> None:
        """As in `Need`: there is nothing to fetch."""
        problem = self.problem(environ)
        if problem is not None:
            raise EnvironmentProblem([problem])


def needs_of(options: JudgeOptions) -> tuple[Need, ...]:
    """The variables that hold the address and the key."""
    address = "http:// or https://, a host and a path, without a name, password or question mark"
    needs: list[Need] = [
        VariableNeed(name="address of the judge", variable=options.base_url_env, expected=address, sound=_is_address)
    ]
    if options.key_env is not None:
        key = "the service's key: printable ASCII without blanks"
        needs.append(VariableNeed(name="key of the judge", variable=options.key_env, expected=key, sound=_is_key))
    return tuple(needs)


def _is_address(value: str) -> bool:
    try:
        parts = urlsplit(value)
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        return False
    whole = bool(parts.scheme in {"http", "https"} and parts.hostname and port_fits)
    return whole and _is_key(value) and not any((parts.username, parts.password, parts.query, parts.fragment))


def _is_key(value: str) -> bool:
    return value.isascii() and value.isprintable() and " " not in value


def price_problems(options: JudgeOptions) -> list[Problem]:
    """What is missing where dollars are to be counted."""
    names = ("usd_per_million_input_tokens", "usd_per_million_output_tokens")
    expected = "the service's price, because scoring has a budget; 0 for a server of your own"
    return [
        Problem(key=f"options.{name}", found="nothing", expected=expected)
        for name in names
        if getattr(options, name) is None
    ]


def connect(options: JudgeOptions, shared: Shared) -> JudgeService:
    """The service, ready to be asked; nothing is sent. The variables are known to be there and sound."""
    import openai

    key = _NO_KEY if options.key_env is None else shared.environ[options.key_env]
    client = openai.OpenAI(
        base_url=shared.environ[options.base_url_env],
        api_key=key,
        max_retries=0,
        timeout=options.timeout_s,
        # A redirect would carry the pictures to a host that nobody named.
        http_client=openai.DefaultHttpxClient(follow_redirects=False),
    )
    # The client reads these from OpenAI's own variables; they are no business of another service.
    client.organization = client.project = None
    parameters: dict[str, Any] = {options.answer_tokens_parameter: options.answer_tokens}
    if options.temperature is not None:
        parameters["temperature"] = options.temperature
    return JudgeService(
        client=client,
        settings=CallSettings(
            model=options.model,
            logprobs=options.logprobs,
            top_logprobs=options.top_logprobs,
            parameters=parameters,
            timeout_s=options.timeout_s,
            max_attempts=options.max_attempts,
        ),
        prices=Prices(
            usd_per_million_input_tokens=options.usd_per_million_input_tokens,
            usd_per_million_output_tokens=options.usd_per_million_output_tokens,
            expected_input_tokens=options.expected_input_tokens,
            expected_output_tokens=options.answer_tokens,
        ),
        purse=shared.purse,
        secrets=() if options.key_env is None else (key,),
    )
