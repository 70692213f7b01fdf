"""The table of targets: what decisions do where the truth is known, in simulated experiments.

    python benchmarks/validity.py [--experiments 500] [--seed 0] [NAME …]

Runs every row, or those whose name holds one of the NAMEs. Prints the measured rate with its exact 95 % interval,
writes `benchmarks/results/validity.json`, and exits 1 where a rate lies outside what it must be. What is called is the
code that users run. Every row draws its own numbers from the seed, so that one row alone gives what it gives among all.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from validity_rows import Measured, ValidityRow

MODULES = (
    "validity_intervals",
    "validity_gate",
    "validity_racing",
    "validity_recommend",
    "validity_history",
)
"""Beside this file, each with its `ROWS`."""
LEAST_EXPERIMENTS = 500
"""Fewer are a try, not a finding."""
RESULTS = Path(__file__).parent / "results" / "validity.json"

_LINE = "{:<96} {:>7} {:>17} {:>12} {:>7} {:>6}  {}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="rows whose name holds this; all without one")
    parser.add_argument("--experiments", type=int, default=LEAST_EXPERIMENTS, help="at least, a row")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="the JSON file [default: of a whole table results/validity.json]")
    options = parser.parse_args(arguments)
    rows = [row for row in rows_of(MODULES) if not options.names or any(name in row.name for name in options.names)]
    if not rows:
        parser.error("no row has such a name; without one all are run")
    if options.experiments < 1:
        parser.error("--experiments: at least 1")
    whole = not options.names and options.experiments >= LEAST_EXPERIMENTS
    out = options.out or (RESULTS if whole else RESULTS.with_name("validity_try.json"))
    print(_LINE.format("what", "rate", "95 % interval", "must be", "n", "s", ""))
    found = [_run(row, options.experiments, options.seed) for row in rows]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(
        json.dumps({"experiments": options.experiments, "seed": options.seed, "rows": found}, indent=2) + "\n"
    )
    missed = sum(not row["met"] for row in found)
    print(f"{len(found) - missed} of {len(found)} rows met; {out}")
    return 1 if missed else 0


def rows_of(modules: Sequence[str]) -> list[ValidityRow]:
    """All rows."""
    return [row for module in modules for row in importlib.import_module(module).ROWS]


def _run(row: ValidityRow, experiments: int, seed: int) -> dict[str, Any]:
    """Simulate one row and print its line."""
    start = time.perf_counter()
    measured = row.simulate(np.random.default_rng([seed, zlib.crc32(row.name.encode())]), experiments)
    seconds = time.perf_counter() - start
    low, high = measured.interval
    met = is_met(row, measured)
    print(
        _LINE.format(
            row.name,
            f"{measured.rate:.1%}",
            f"{low:.1%} – {high:.1%}",
            _must(row),
            measured.experiments,
            f"{seconds:.1f}",
            "met" if met else "NOT MET",
        ),
        flush=True,
    )
    return {
        "name": row.name,
        "rate": measured.rate,
        "low": low,
        "high": high,
        "at_least": row.at_least,
        "at_most": row.at_most,
        "hits": measured.hits,
        "experiments": measured.experiments,
        "seconds": round(seconds, 2),
        "met": met,
    }


def is_met(row: ValidityRow, measured: Measured) -> bool:
    """Whether the measured rate itself lies where it must."""
    return row.at_least <= measured.rate <= row.at_most


def _must(row: ValidityRow) -> str:
    if row.at_least <= 0:
        return f"≤ {row.at_most:.0%}"
    return f"≥ {row.at_least:.0%}" if row.at_most >= 1 else f"{row.at_least:.0%} – {row.at_most:.0%}"


if __name__ == "__main__":
    raise SystemExit(main())
