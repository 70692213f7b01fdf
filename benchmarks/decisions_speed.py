"""How long decisions take: 2.4 million scores compared with the reference, and a gate on two runs of 400 images.

    python benchmarks/decisions_speed.py [--runs N] [--keep FOLDER]

Writes runs into a temporary folder, without pictures and without the fsync of each line, and measures whole processes
from start to end: the first compares 100 settings × 1,000 prompts × 4 seeds × 6 metrics with their reference, the
second gates a run of 400 images against another. Beside them, in the same run, what a person would write with pandas
and scipy: read the table, merge each setting with the reference, a t-test a metric (no costs, rates, Holm, checks). The
target is for two cores; the load of the machine is printed, as other programs make all of it slower: seconds of
processor, which the ratios are of, are disturbed little. Prints a table, writes results/decisions_speed.json and exits
1 when a target is missed.
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


def compare(path: Path) -> None:
    """Every setting with the reference, as `kreabench compare RUN` does before it prints."""
    from kreabench.decisions.compare import compare_with_reference
    from kreabench.decisions.sides import open_side

    comparison = compare_with_reference(open_side(str(path)))
    if len(comparison.settings) != LARGE[0] - 1:
        raise SystemExit(f"{len(comparison.settings)} settings were compared")


def join(path: Path) -> None:
    """The same where samples.parquet is stale: the journals are read."""
    (path / "samples.parquet").rename(path / "aside.parquet")
    try:
        compare(path)
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


def gate(base: Path, candidate: Path) -> list[str]:
    """The command, or what it does before it weighs where there is no such command yet."""
    from kreabench.cli.main import COMMANDS

    if "gate" in COMMANDS:
        return [sys.executable, "-m", "kreabench", "gate", str(base), str(candidate)]
    code = (
        "import sys; from kreabench.decisions.compare import compare_sides; "
        "from kreabench.decisions.sides import open_side; compare_sides(*map(open_side, sys.argv[1:]))"
    )
    return [sys.executable, "-c", code, str(base), str(candidate)]


def measure(folder: Path, runs: int) -> list[Target]:
    """Every line; the large run once, the small ones `runs` times after one that is thrown away."""
    spent(step("write", folder))
    large, base, candidate = (folder / name for name in ("large", "base", "candidate"))
    ours, theirs = spent(step("compare", large)), spent(step("plain", large))
    joined = spent(step("join", large))
    spent(gate(base, candidate), DECIDED)
    gates = [spent(gate(base, candidate), DECIDED) for _ in range(runs)]
    starts = [spent([sys.executable, "-c", "import pandas, scipy.stats, pyarrow.parquet"]) for _ in range(runs)]
    gate_s = statistics.median(one.seconds for one in gates)
    gate_cpu_s, start_cpu_s = (statistics.median(one.cpu_seconds for one in several) for several in (gates, starts))
    return [
        Target(name="compare 100 settings, 2.4 million scores", value=ours.seconds, limit=60.0, unit="s"),
        Target(name="  seconds of processor of that", value=ours.cpu_seconds, limit=None, unit="s"),
        Target(name="  its peak memory", value=ours.gib, limit=3.0, unit="GiB"),
        Target(
            name="  beside pandas and scipy by hand", value=ours.cpu_seconds / theirs.cpu_seconds, limit=None, unit="×"
        ),
        Target(name="the same with a stale samples.parquet", value=joined.seconds, limit=None, unit="s"),
        Target(name="  its peak memory", value=joined.gib, limit=None, unit="GiB"),
        Target(name="gate on two runs of 400 images", value=gate_s, limit=3.0, unit="s"),
        Target(name="  seconds of processor of that", value=gate_cpu_s, limit=None, unit="s"),
        Target(name="  beside importing pandas, scipy, pyarrow", value=gate_cpu_s / start_cpu_s, limit=None, unit="×"),
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


STEPS = {"write": write, "compare": compare, "join": join, "plain": plain}


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
