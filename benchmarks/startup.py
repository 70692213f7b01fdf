"""How long the command line takes to answer, beside a bare interpreter in the same run.

python benchmarks/startup.py [--runs N]
Prints medians over N runs after one that is thrown away; exits with 1 when a limit is missed.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

LIMITS_S: dict[str, float] = {
    "--help": 0.3,
    "run --help": 0.3,
    "list backends": 0.5,
    "list metrics": 0.5,
    "list accelerations": 0.5,
    "list experiments": 0.5,
    "run --cfg job": 1.2,
    "run --cfg job experiment=demo": 1.2,
}
BARE = [sys.executable, "-c", "pass"]


def seconds(command: list[str]) -> float:
    """Wall time of one call. Raises CalledProcessError when it fails."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    missed = False
    print(f"{'command':<42} {'median s':>9} {'limit s':>8} {'× bare python':>14}")
    for words, limit_s in LIMITS_S.items():
        command = [sys.executable, "-m", "kreabench", *words.split()]
        seconds(command)
        pairs = [(seconds(command), seconds(BARE)) for _ in range(runs)]
        median_s = statistics.median(pair[0] for pair in pairs)
        ratio = statistics.median(ours / bare for ours, bare in pairs)
        verdict = "" if median_s <= limit_s else "  MISSED"
        missed = missed or bool(verdict)
        print(f"kreabench {words:<32} {median_s:>9.3f} {limit_s:>8.1f} {ratio:>14.1f}{verdict}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
