"""Fuzzing of everything that reads what others wrote: journals, configurations, prompts, policies, answers, pictures.

    python benchmarks/fuzz.py [--targets journal,fal,…] [--seconds S] [--seed N]
    python benchmarks/fuzz.py --atheris TARGET [--seconds S]

Each target of `tests/fuzz_targets.py` is fed for `--seconds` (60): every input must be read, or refused by one of our
own errors, without a hang, a file outside its folder or a secret in a message. Exits 1 with the smallest input that
breaks this. With `--atheris` (its package is needed: `pip install atheris`), libFuzzer chooses the inputs of one target
by the code that they reach.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

TARGETS_MODULE = "tests.fuzz_targets"
"""Imported when it is known whether for atheris, which must see the package being imported."""
BATCH = 25
"""Inputs between two looks at the clock."""


def feeder(targets: Any, name: str, count: list[int], *, examples: int) -> Callable[[], None]:
    """A hypothesis test of one target, which counts its inputs."""

    @settings(max_examples=examples, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def feed(data: st.DataObject) -> None:
        value: Any = data.draw(targets.TARGETS[name].inputs)
        count[0] += 1
        targets.run_target(name, value)

    return feed


def fuzz(targets: Any, name: str, seconds: float, first_seed: int) -> tuple[int, str | None]:
    """How many inputs it took, and what broke."""
    count, ends_s, number = [0], time.monotonic() + seconds, first_seed
    while time.monotonic() < ends_s:
        try:
            seed(number)(feeder(targets, name, count, examples=BATCH))()
        except Exception:  # whatever it is, it is what is looked for
            return count[0], traceback.format_exc()
        number += 1
    return count[0], None


def with_atheris(name: str, seconds: float) -> int:
    """Ends the process."""
    atheris: Any = importlib.import_module("atheris")  # has no types

    with atheris.instrument_imports(include=["kreabench"]):
        targets = importlib.import_module(TARGETS_MODULE)
    feed: Any = feeder(targets, name, [0], examples=1)
    flags = [f"-max_total_time={int(seconds)}", "-rss_limit_mb=8192", "-len_control=0", "-max_len=4096"]
    atheris.Setup([sys.argv[0], *flags], feed.hypothesis.fuzz_one_input)
    atheris.Fuzz()
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", help="all unless given")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--atheris", metavar="TARGET")
    options = parser.parse_args()
    if options.atheris:
        return with_atheris(options.atheris, options.seconds)
    targets, broken = importlib.import_module(TARGETS_MODULE), 0
    for name in options.targets.split(",") if options.targets else targets.TARGETS:
        if name not in targets.TARGETS:
            parser.error(f"--targets: found {name!r}; expected some of {', '.join(targets.TARGETS)}")
        count, error = fuzz(targets, name, options.seconds, options.seed)
        print(f"{name:<12}{count:>8} inputs  {'broken' if error else 'held'}", flush=True)
        if error:
            broken += 1
            print(error, flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
