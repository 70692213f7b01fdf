"""The requests of a load group: every setting with every prompt and seed, or the arrivals of one level of load."""

from __future__ import annotations

import hashlib
import itertools
import math
import random
from collections.abc import Iterable, Iterator, Sequence

from kreabench.backends.input_images import NORMALISATION
from kreabench.core.planned import Request, Setting
from kreabench.core.specs import ExperimentSpec, Prompt
from kreabench.core.traffic import TrafficSpec

IDENTITY_VERSION = 1
"""Part of every hash; raised when the meaning of a request changes, so that old and new are never taken as equal."""


def requests_of(
    experiment: ExperimentSpec,
    load_key: str,
    settings: Sequence[Setting],
    prompts: Sequence[Prompt],
    repeats: Iterable[int],
) -> Iterator[Request]:
    """Interleaved by prompt: every setting draws a prompt before the next prompt begins, in a seeded random order.

    The order is a sort by hash, so it is the same on every Python version, and adding a setting or prompt moves no
    other one past its neighbours.
    """
    for repeat in repeats:
        for prompt in sorted(prompts, key=lambda prompt: _order(experiment, load_key, repeat, prompt.id)):
            for seed in experiment.seeds:
                within = sorted(
                    settings, key=lambda setting: _order(experiment, load_key, repeat, prompt.id, seed, setting.id)
                )
                for setting in within:
                    yield _request(setting, prompt, seed, repeat, None)


def requests_of_level(
    experiment: ExperimentSpec, traffic: TrafficSpec, setting: Setting, prompts: Sequence[Prompt]
) -> Iterator[Request]:
    """The arrivals of one level of load. The n-th of every level has the same prompt, seed and repeat, so that pictures
    of two levels can be compared pair by pair; every prompt comes once with each seed before any comes again."""
    arrivals = arrival_instants(traffic, setting.rate_per_s)
    for at_s, (repeat, seed, prompt) in zip(arrivals, _endless(experiment, prompts), strict=False):
        yield _request(setting, prompt, seed, repeat, at_s)


def arrival_instants(traffic: TrafficSpec, rate_per_s: float | None) -> Iterator[float | None]:
    """Seconds after the level's beginning, ascending, below its duration; at most `max_requests`.

    Poisson arrivals are sums of exponential gaps. None for each request of a closed loop, which starts when one before
    it has ended.
    """
    if rate_per_s is None:
        yield from itertools.repeat(None, traffic.max_requests)
        return
    digest = hashlib.sha256(f"arrivals\0{traffic.seed}\0{rate_per_s!r}".encode()).digest()
    uniform = random.Random(int.from_bytes(digest)).random  # noqa: S311 - no secret: the same on every machine
    at_s = 0.0
    for number in range(traffic.max_requests):
        # Of a sum, as rounding every gap would shift the rate. Microseconds are the same whatever the C library.
        at_s = number / rate_per_s if traffic.arrivals == "fixed" else at_s - math.log1p(-uniform()) / rate_per_s
        if at_s >= traffic.duration_s:
            return
        yield round(at_s, 6)


def _endless(experiment: ExperimentSpec, prompts: Sequence[Prompt]) -> Iterator[tuple[int, int, Prompt]]:
    for repeat in itertools.count():
        for seed in experiment.seeds:
            for prompt in sorted(prompts, key=lambda prompt: _order(experiment, "load", repeat, prompt.id)):
                yield repeat, seed, prompt


def _request(setting: Setting, prompt: Prompt, seed: int, repeat: int, at_s: float | None) -> Request:
    return Request(
        id=_request_id(setting.id, prompt, seed, repeat),
        setting_id=setting.id,
        prompt_id=prompt.id,
        prompt=prompt.text,
        seed=seed,
        repeat=repeat,
        images=prompt.images,
        at_s=at_s,
    )


def _order(experiment: ExperimentSpec, *parts: object) -> bytes:
    return hashlib.sha256("\0".join(map(str, (experiment.order_seed, *parts))).encode()).digest()


def _request_id(setting_id: str, prompt: Prompt, seed: int, repeat: int) -> str:
    parts = [str(IDENTITY_VERSION), setting_id, prompt.id, prompt.text, str(seed), str(repeat)]
    if prompt.images:
        parts += [NORMALISATION, *(image.sha256 for image in prompt.images)]
    text = "\0".join(parts)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
