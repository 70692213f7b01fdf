"""A foreign metric for tests: its value is made of the picture's bytes and the prompt, which also says what goes wrong.

Run as `python foreign_stand_in.py [MODE]`; it uses the helper that authors copy. A mode spoils the hello.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples" / "foreign_metrics"))

import kreabench_foreign as foreign  # type: ignore[import-not-found]

MODE = sys.argv[1] if len(sys.argv) > 1 else ""
CHANNEL = os.dup(1) if __name__ == "__main__" else -1
"""The protocol's pipe, for those who break it."""


def crash(words: str) -> None:
    """What a prompt of these words does to the process."""
    if words == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if words == "exit":
        print("out of ideas", os.environ.get("A_TOKEN", ""), file=sys.stderr)
        os._exit(3)
    if words == "hang":
        time.sleep(60)
    if words == "spawn and hang":
        child = subprocess.Popen(["sleep", "60"])
        print("child", child.pid, file=sys.stderr, flush=True)
        time.sleep(60)
    raw = {
        "garbage": b"Loading model...\n",
        "endless": b"x" * 3_000_000,
        "not asked": b'{"type": "score", "id": 999999, "value": 1}\n',
    }
    if words in raw:
        os.write(CHANNEL, raw[words])
        time.sleep(60)


ODD: dict[str, Any] = {
    "nan": float("nan"),
    "infinite": float("inf"),
    "outside": 7.0,
    "error": foreign.Answer(error="no face\nfound"),
    "notes": foreign.Answer(value=0.25, truncated=True, notes=("halved",), details={"part": 0.75}),
    "bad details": foreign.Answer(value=0.25, details={"part": float("nan")}),
}


def value_of(item: Any) -> float:
    """Between 0 and 1."""
    content = Path(item.image).read_bytes() + (Path(item.reference).read_bytes() if item.reference else b"")
    return int(hashlib.sha256(content + item.prompt.encode("utf-8", "replace")).digest()[0]) / 255


def score(items: list[Any]) -> Iterator[Any]:
    """As a real one does it: one after the other."""
    print("a library that prints")
    os.system("echo a program that prints")
    for item in items:
        crash(item.prompt)
        if item.prompt == "raise":
            raise RuntimeError("this picture is too much")
        if item.prompt == "silent":
            return
        if item.prompt == "litter":
            Path(item.image).with_name("cache").mkdir()
            Path(item.image).unlink()
            Path(item.image).with_name("link").symlink_to("/")
            yield 0.5
            continue
        if item.prompt == "noisy":
            sys.stderr.write("noise\n" * 200_000)
        yield ODD.get(item.prompt, value_of(item))


def load() -> tuple[dict[str, Any], Any]:
    """Hello, and how to score."""
    print("a library that prints when it is imported")
    hello: dict[str, Any] = {"name": "stand-in", "version": "1", "weights_sha256": "0" * 64, "untrained": False}
    if MODE == "slow":
        time.sleep(60)
    if MODE == "fails":
        raise ImportError("No module named 'old_library'")
    if MODE == "restless":
        hello["started"] = os.getpid()
    if MODE == "environment":
        hello["environment"] = sorted(os.environ)
    if MODE == "infinite":
        hello["mean"] = float("inf")
    if MODE.startswith("without "):
        del hello[MODE.partition(" ")[2]]
    if MODE == "bad hash":
        hello["weights_sha256"] = "abc"
    return hello, score


if __name__ == "__main__":
    if MODE == "other protocol":
        foreign.PROTOCOL = 2
    foreign.serve(load)
