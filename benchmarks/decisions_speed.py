"""How long decisions take: 2.4 million scores compared with the reference, and a gate on two runs of 400 images.

    python benchmarks/decisions_speed.py [--runs N] [--keep FOLDER]

Writes runs into a temporary folder, without pictures and without the fsync of each line, and measures the commands as
a user gives them, each a process of its own from start to end: `kreabench compare` of 100 settings × 1,000 prompts × 4
seeds × 6 metrics with their reference, also with a page and JSON, and also where samples.parquet is stale and the
journals are read; `kreabench recommend` of the same run; `kreabench gate` of a run of 400 images against another.
Beside them, what a person would write with pandas and scipy: read the table, merge each setting with the reference, a
t-test a metric (no costs, rates, Holm, checks); and the bare start of the libraries, in turns with the gate. The target
is for two cores; the load of the machine is printed, as other programs make all of it slower: seconds of processor,
which the ratios are of, are disturbed less. Prints a table, writes results/decisions_speed.json and exits 1 when a
target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

LARGE = (100, 1000, 4)
"""Settings, prompts, seeds."""
SMALL = (1, 100, 4)
DECIDED = (0, 1, 3)
"""Exit codes of a gate that came to an outcome."""
RECOMMENDED = (0, 3)
"""Likewise of a recommendation."""


@dataclass(frozen=True, kw_only=True)
class Spent:
    """One whole process."""

    seconds: float
    gib: float
    """Peak of its resident memory."""
    cpu_seconds: float


@dataclass(frozen=True, kw_only=True)
class Target:
    """One line of the table."""

    name: str
    value: float
    limit: float | None
    unit: str

    @property
    def missed(self) -> bool:
        return self.limit is not None and self.value > self.limit


def spent(command: list[str], codes: tuple[int, ...] = (0,)) -> Spent:
    """What a process took. This one stays small: a child's peak is never below its parent's at the fork."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in codes:
            said.seek(0)
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{said.read().decode()[-4000:]}")
    return Spent(seconds=seconds, gib=usage.ru_maxrss / 2**20, cpu_seconds=usage.ru_utime + usage.ru_stime)


def step(name: str, *paths: Path) -> list[str]:
    """The command that does one step of this file."""
    return [sys.executable, __file__, "--step", name, *map(str, paths)]


def write(folder: Path) -> None:
    """All runs."""
    from decisions_runs import write_run

    for name, (settings, prompts, seeds), version in (("large", LARGE, 0), ("base", SMALL, 0), ("candidate", SMALL, 1)):
        if not (folder / name).exists():
            write_run(folder / name, settings=settings, prompts=prompts, seeds=seeds, version=version)


def joined(path: Path) -> Spent:
    """`kreabench compare` where samples.parquet is stale: the journals are read."""
    (path / "samples.parquet").rename(path / "aside.parquet")
    try:
        return spent(kreabench("compare", path))
    finally:
        (path / "aside.parquet").rename(path / "samples.parquet")


def plain(path: Path) -> None:
    """A short script without kreabench."""
    import pandas as pd
    from scipy import stats

    table = pd.read_parquet(path / "samples.parquet")
    metrics = [name for name in table.columns if name.startswith("score_") and f"{name}_status" in table.columns]
    keys = ["prompt_id", "seed", "repeat", "image_index"]
    columns = [*keys, *metrics]
    reference = table[table["setting_id"] == table["reference_id"]][columns]
    for _, rows in table.groupby("setting_id"):
        both = rows[columns].merge(reference, on=keys, suffixes=("", "_reference"))
        for metric in metrics:
            difference = (both[metric] - both[f"{metric}_reference"]).groupby(both["prompt_id"]).mean().dropna()
            if len(difference) > 1:
                stats.ttest_1samp(difference, 0.0).confidence_interval(0.95)


def kreabench(*words: str | Path) -> list[str]:
    """The command line."""
    return [sys.executable, "-m", "kreabench", *map(str, words)]


def measure(folder: Path, runs: int) -> list[Target]:
    """Every line."""
    spent(step("write", folder))
    return [*of_small_runs(folder, runs), *of_large_run(folder / "large")]


def of_small_runs(folder: Path, runs: int) -> list[Target]:
    """Medians of `runs` gates and as many bare starts, in turns, after one gate that is thrown away."""
    gate = kreabench("gate", folder / "base", folder / "candidate")
    spent(gate, DECIDED)
    pairs = [
        (spent(gate, DECIDED), spent([sys.executable, "-c", "import pandas, scipy.stats, pyarrow.parquet"]))
        for _ in range(runs)
    ]
    seconds, processor, ratio = (
        statistics.median(values)
        for values in (
            [one.seconds for one, _ in pairs],
            [one.cpu_seconds for one, _ in pairs],
            [one.cpu_seconds / bare.cpu_seconds for one, bare in pairs],
        )
    )
    return [
        Target(name="gate on two runs of 400 images", value=seconds, limit=3.0, unit="s"),
        Target(name="  seconds of processor of that", value=processor, limit=None, unit="s"),
        Target(name="  beside importing pandas, scipy, pyarrow", value=ratio, limit=None, unit="×"),
    ]


def of_large_run(large: Path) -> list[Target]:
    """Each command once."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "comparison.json"
        printed, theirs = spent(kreabench("compare", large)), spent(step("plain", large))
        written = spent(kreabench("compare", large, "--json", file, "--out", Path(folder) / "page"))
        compared = len(json.loads(file.read_text())["settings"])
    if compared != LARGE[0] - 1:
        raise SystemExit(f"{compared} settings were compared")
    stale = joined(large)
    recommended = spent(kreabench("recommend", large, "--max-quality-loss", "clip_score=0.5"), RECOMMENDED)
    beside = printed.cpu_seconds / theirs.cpu_seconds
    return [
        *_spent_on("compare 100 settings, 2.4 million scores", printed, 60.0, 3.0),
        Target(name="  beside pandas and scipy by hand", value=beside, limit=None, unit="×"),
        *_spent_on("the same with --json and --out", written, 60.0, 3.0),
        *_spent_on("the same with a stale samples.parquet", stale, None, 3.0),
        *_spent_on("recommend one of the 100", recommended, None, 3.0),
    ]


def _spent_on(name: str, one: Spent, seconds: float | None, gib: float) -> list[Target]:
    return [
        Target(name=name, value=one.seconds, limit=seconds, unit="s"),
        Target(name="  seconds of processor of that", value=one.cpu_seconds, limit=None, unit="s"),
        Target(name="  its peak memory", value=one.gib, limit=gib, unit="GiB"),
    ]


def report(targets: list[Target], load: tuple[float, float, float]) -> int:
    """Print and store; the exit code."""
    print(f"load of the machine before: {load[0]:.1f}, of {os.cpu_count()} cores")
    print(f"{'what':<44} {'value':>8} {'target':>8}")
    for one in targets:
        limit = "" if one.limit is None else f"≤ {one.limit:g}"
        verdict = "" if one.limit is None else "MISSED" if one.missed else "met"
        print(f"{one.name:<44} {one.value:>8.2f} {limit:>8} {one.unit:<4} {verdict}".rstrip())
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    content = {"load": load[0], "cores": os.cpu_count(), "lines": [asdict(one) for one in targets]}
    (results / "decisions_speed.json").write_text(json.dumps(content, indent=2) + "\n")
    return int(any(one.missed for one in targets))


STEPS = {"write": write, "plain": plain}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="gates to take the median of")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the runs there (1.5 GB) and use them again")
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        STEPS[arguments.step[0]](*map(Path, arguments.step[1:]))
        return 0
    load = os.getloadavg()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        targets = measure(folder, arguments.runs)
    return report(targets, load)


if __name__ == "__main__":
    sys.exit(main())
