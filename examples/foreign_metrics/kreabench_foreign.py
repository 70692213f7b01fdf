"""For authors of foreign metrics: copy this file beside your script. Standard library only, Python 3.8 and later.

    import kreabench_foreign as foreign

    def load():
        import torch, old_library                  # imports and loads may print what they like
        model = old_library.load(...)
        hello = {"name": "old-metric", "version": "1", "weights_sha256": foreign.sha256_of(path)}

        def score(items):                          # yields a number, or a foreign.Answer, for each item in order
            for item in items:
                yield model.score(item.prompt, item.image)

        return hello, score

    if __name__ == "__main__":
        foreign.serve(load)

The protocol is described in `src/kreabench/metrics/FOREIGN.md`. Licence: Apache-2.0, as kreabench.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PROTOCOL = 1


class Item:
    """A picture to score."""

    def __init__(self, id: int, image: str, prompt: str, reference: str | None) -> None:
        self.id = id
        self.image = image
        """Path of a PNG, JPEG or WebP file; it may have transparency."""
        self.prompt = prompt
        """Untrusted text; may be empty."""
        self.reference = reference
        """Path of the reference picture, where the configuration says `needs_reference: true`."""


class Answer:
    """What became of an item, where a plain number does not say it all."""

    def __init__(
        self,
        value: float | None = None,
        error: str | None = None,
        truncated: bool = False,
        notes: tuple[str, ...] = (),
        details: dict[str, float] | None = None,
    ) -> None:
        self.value = value
        self.error = error
        """Why there is no value."""
        self.truncated = truncated
        """Whether the prompt was too long for the model."""
        self.notes = notes
        """What a reader of the value must know."""
        self.details = details or {}
        """Named parts of the value."""


def serve(load: Callable[[], tuple[dict[str, Any], Callable[[list[Item]], Iterable[float | Answer]]]]) -> None:
    """Say hello with what `load` gives, and score until told to close or the other side is gone."""
    requests, out = _claim_pipes()
    hello, score = load()
    _write(out, {**hello, "type": "hello", "protocol": PROTOCOL})
    for line in requests:
        message = json.loads(line)
        if message["type"] == "close":
            return
        if message["type"] == "score":
            items = [Item(i["id"], i["image"], i["prompt"], i["reference"]) for i in message["items"]]
            for answer in _answers(score, items):
                _write(out, answer)
            _write(out, {"type": "done"})


def sha256_of(path: str) -> str:
    """Of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:  # noqa: PTH123 - Python 3.8 in somebody else's environment
        for chunk in iter(lambda: file.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()


def _claim_pipes() -> tuple[TextIO, TextIO]:
    """The two pipes of the protocol, under new numbers: what libraries print goes to standard error from now on."""
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdout.flush()
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return requests, out


def _write(out: TextIO, message: dict[str, Any]) -> None:
    out.write(json.dumps(message) + "\n")
    out.flush()


def _answers(score: Callable[[list[Item]], Iterable[float | Answer]], items: list[Item]) -> Iterator[dict[str, Any]]:
    """One answer an item. Where a batch fails, what it lacks is scored one at a time."""
    done = 0
    reason = "no score was given"
    try:
        for item, result in zip(items, score(items)):  # noqa: B905 - Python 3.8 has no `strict`
            answer = _answer(item, result)
            done += 1
            yield answer
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    rest = items[done:]
    if len(items) == 1 and rest:
        yield {"type": "score", "id": rest[0].id, "error": reason}
    elif rest:
        for item in rest:
            yield from _answers(score, [item])


def _answer(item: Item, result: float | Answer) -> dict[str, Any]:
    answer = result if isinstance(result, Answer) else Answer(value=result)
    if answer.error is not None:
        return {"type": "score", "id": item.id, "error": answer.error}
    return {
        "type": "score",
        "id": item.id,
        "value": float(answer.value),  # type: ignore[arg-type]  # tensors and numpy's numbers too; None is an error
        "truncated": bool(answer.truncated),
        "notes": list(answer.notes),
        "details": {name: float(part) for name, part in answer.details.items()},
    }
