"""Checks of the metrics that are computed elsewhere; see `metrics_accuracy.py`. The services run on this machine."""

from __future__ import annotations

import base64
import hashlib
import io
import math
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from accuracy_check import Check, item, opened, pictures, scores

SIZES = ((64, 64), (96, 64), (161, 203), (256, 208), (403, 271))
QUESTIONS = ("Is there a house?", "Is it day?")
YES, NO, OTHER = ("Yes", " yes", "YES"), ("No", " no"), ("Maybe", "I")
"""Tokens of an answer; a service's alternatives hold several spellings of one word."""


def _answers(count: int) -> tuple[list[dict[str, Any]], list[float]]:
    """Answers of a service, and the closed form of each: the share of yes among yes and no."""
    from tests.judge_service import choice, completion

    random = np.random.default_rng(5)
    bodies, closed = [], []
    for number in range(count):
        tokens = (*YES, *NO, *OTHER)
        shares = random.dirichlet([1.0] * len(YES + NO) + [0.3] * len(OTHER))
        top = [{"token": token, "logprob": math.log(p), "bytes": None} for token, p in zip(tokens, shares, strict=True)]
        top.sort(key=lambda entry: -float(entry["logprob"] or 0.0))
        place = {**top[0], "top_logprobs": top}
        blank = {"token": "\n", "logprob": -0.01, "bytes": None, "top_logprobs": top[::-1]}
        bodies.append(completion(choice(str(top[0]["token"]), [blank, place] if number % 2 else [place])))
        yes, no = shares[: len(YES)].sum(), shares[len(YES) : len(YES + NO)].sum()
        closed.append(float(yes / (yes + no)))
    return bodies, closed


def _shown(request: dict[str, Any]) -> Image.Image:
    """The picture that a service was sent."""
    url = request["messages"][-1]["content"][0]["image_url"]["url"]
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB")


def _difference(one: Image.Image, other: Image.Image) -> float:
    """The largest of a pixel, in levels; NaN where sizes differ."""
    if one.size != other.size:
        return math.nan
    return float(np.abs(np.asarray(one, dtype=np.float64) - np.asarray(other, dtype=np.float64)).max())


@cache
def _asked() -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Ours and the closed form of every picture; and by how much the picture that went out differs, and 0."""
    from tests.judge_service import judge_server

    items = [item(picture, questions=QUESTIONS) for picture in pictures(SIZES)]
    bodies, closed = _answers(len(items) * len(QUESTIONS))
    with judge_server() as service:
        service.script.extend(bodies)
        ours = scores(service.judge(timeout_s=60.0), items)
        shown = [_shown(request) for request in service.requests[:: len(QUESTIONS)]]
    theirs = np.reshape(closed, (len(items), len(QUESTIONS))).mean(axis=1).tolist()
    apart = [_difference(one.image, picture) for one, picture in zip(items, shown, strict=True)]
    return list(zip(ours, theirs, strict=True)), [(value, 0.0) for value in apart]


def judge() -> Check:
    """Against the closed form of the probabilities that a service on this machine tells."""
    values, _ = _asked()
    return Check(metric="judge", against="closed form of the service's logprobs", values=tuple(values))


def judge_pixels() -> Check:
    """What arrives at the service against the picture."""
    _, apart = _asked()
    return Check(metric="judge, pixels", against="the picture itself", values=tuple(apart), absolute=True)


def foreign() -> Check:
    """Against what the stand-in's value is by definition: the first byte of a hash of file and prompt."""
    from tests.small_weights.services import OPTIONS

    with tempfile.TemporaryDirectory() as folder:
        items, theirs = [], []
        for number, picture in enumerate(pictures(SIZES)):
            path, prompt = Path(folder, f"{number}.png"), f"Bild {number}: 自行车"
            picture.save(path)
            items.append(item(picture, prompt=prompt, path=path))
            theirs.append(hashlib.sha256(path.read_bytes() + prompt.encode()).digest()[0] / 255)
        metric = opened("foreign", **OPTIONS["foreign"](Path(folder)))
        try:
            ours = scores(metric, items)
        finally:
            metric.close()
    values = tuple(zip(ours, theirs, strict=True))
    return Check(metric="foreign", against="the stand-in's definition", values=values)
