"""A long night: many samples on the fake back end, while driver and workers are killed at random (SIGKILL).

    python benchmarks/soak.py [--samples N] [--seed S] [--between-kills LOW HIGH] [--folder DIR]
                              [--results FILE]

The shipped command line draws `--samples` pictures (2,000; the promise is 50,000). In its first half the driver or
its worker is killed every few seconds, in its second half the worker alone, so that one driver lives long enough for
its memory to be watched. Meanwhile copies of the run directory are taken and looked at. It exits 1 where a promise is
broken: no request is lost or drawn twice, no process outlives its driver, the memory of the driver is flat within 10 %
and its open files are flat, every copy is whole and reads, and so does its report.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from soak_checks import check_end, look_at_copy, orphans_of
from soak_driver import Driver, Watch, planned, start_run, write_prompts

COPIES = 8
REPORTS = 2
"""Copies of which the report is written too: the last of each half."""
MEMORY_TOLERANCE = 0.10
FILES_TOLERANCE = 1
"""Between the medians of the first and the last quarter: while a worker is replaced there are a few less, or more."""


@dataclass
class Tally:
    """What happened, for the table."""

    samples: int = 0
    driver_kills: int = 0
    worker_kills: int = 0
    copies: int = 0
    reports: int = 0
    orphans: int = 0
    seconds: float = 0.0
    rss_mib: tuple[float, float] = (0.0, 0.0)
    """Of the last driver: lowest and highest, once it had drawn a tenth of its share."""
    open_files: tuple[float, float] = (0.0, 0.0)
    """Of the last driver: medians of the first and of the last quarter of what it drew."""
    broken: list[str] = field(default_factory=list)
    """Promises, in words."""


def soak(folder: Path, samples: int, between_kills_s: tuple[float, float], chance: random.Random) -> Tally:
    """Run it all. The run directory lies in `folder`."""
    tally, began = Tally(samples=samples), time.monotonic()
    prompts = write_prompts(folder, samples)
    run_path = folder / "runs" / "soak"
    copies_at = [samples * (index + 1) // (COPIES + 1) for index in range(COPIES)]
    while True:
        done = planned(run_path)
        last = done >= samples // 2
        with Driver(start_run(folder, prompts, samples)) as driver:
            watch = _drive(driver, run_path, samples, chance, tally, copies_at, between_kills_s, kill_driver=not last)
        tally.orphans += len(left := orphans_of(driver.mark))
        if left:
            tally.broken.append(f"processes outlived their driver: {left}")
        if watch is not None:
            break
    _judge_memory(watch, tally)
    tally.broken += check_end(run_path, samples, tally.worker_kills)
    tally.seconds = time.monotonic() - began
    return tally


def _drive(
    driver: Driver,
    run_path: Path,
    samples: int,
    chance: random.Random,
    tally: Tally,
    copies_at: list[int],
    between_kills_s: tuple[float, float],
    *,
    kill_driver: bool,
) -> Watch | None:
    """One driver's life; what was seen of it where it ended by itself."""
    watch = Watch()
    begun, next_kill_s = planned(run_path), 0.0
    while driver.is_running():
        time.sleep(0.2)
        done = planned(run_path)
        watch.look(driver, done)
        if copies_at and done >= copies_at[0]:
            copies_at.pop(0)
            with_report = len(copies_at) in (0, COPIES // 2)
            tally.broken += look_at_copy(run_path, with_report=with_report)
            tally.copies += 1
            tally.reports += with_report
        if not next_kill_s and done > begun:  # it has started
            next_kill_s = time.monotonic() + chance.uniform(*between_kills_s)
        if not next_kill_s or time.monotonic() < next_kill_s or done >= samples - 100:
            continue
        next_kill_s = time.monotonic() + chance.uniform(*between_kills_s)
        if kill_driver and chance.random() < 0.5:
            driver.kill()
            tally.driver_kills += 1
            return None
        # A request that is in hand when two workers die is failed for good, rightly: others must have come between.
        if done >= driver.samples_at_kill + 3 and driver.kill_worker():
            driver.samples_at_kill = done
            tally.worker_kills += 1
    if driver.exit_code != 0:
        tally.broken.append(f"the driver ended with exit code {driver.exit_code}: {driver.last_words()}")
    return watch


def _judge_memory(watch: Watch, tally: Tally) -> None:
    rss, files = watch.steady()
    if not rss:
        tally.broken.append("the last driver was too short to judge its memory")
        return
    quarter = max(1, len(files) // 4)
    tally.rss_mib = (min(rss), max(rss))
    tally.open_files = (median(files[:quarter]), median(files[-quarter:]))
    middle = median(rss)
    if max(rss) > middle * (1 + MEMORY_TOLERANCE) or min(rss) < middle * (1 - MEMORY_TOLERANCE):
        tally.broken.append(f"memory of the driver from {min(rss):.0f} to {max(rss):.0f} MiB")
    first, last = tally.open_files
    if abs(last - first) > FILES_TOLERANCE:
        tally.broken.append(f"open files of the driver: {first:g} at first, {last:g} at last")


def table(tally: Tally) -> str:
    """The tally in lines."""
    low, high = tally.rss_mib
    rows = [
        ("samples", f"{tally.samples:,} in {tally.seconds:,.0f} s ({tally.samples / tally.seconds:.0f} a second)"),
        ("kills", f"{tally.driver_kills} of drivers, {tally.worker_kills} of workers"),
        ("copies", f"{tally.copies} looked at, {tally.reports} reported"),
        ("orphans", str(tally.orphans)),
        ("memory of the driver", f"{low:.0f} to {high:.0f} MiB"),
        ("open files of the driver", f"{tally.open_files[0]:g} at first, {tally.open_files[1]:g} at last"),
        ("promises broken", "; ".join(tally.broken) or "none"),
    ]
    return "\n".join(f"{name:<26}{value}" for name, value in rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--between-kills", type=float, nargs=2, default=(2.0, 8.0), help="seconds, at least and at most"
    )
    parser.add_argument("--folder", type=Path, help="where the run lies; a temporary folder otherwise")
    parser.add_argument("--results", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kreabench-soak-", dir=options.folder) as name:
        tally = soak(Path(name), options.samples, tuple(options.between_kills), random.Random(options.seed))
    print(table(tally))
    if options.results is not None:
        options.results.write_text(json.dumps(asdict(tally), indent=2) + "\n", encoding="utf-8")
    return 1 if tally.broken else 0


if __name__ == "__main__":
    sys.exit(main())
