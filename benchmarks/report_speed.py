"""How long a report takes, how large it is, and how fast its page answers: 100,000 samples × 6 scores, and the demo.

    python benchmarks/report_speed.py [--small] [--runs N] [--keep FOLDER] [--demo RUN]

Writes a run of 100 settings × 250 prompts × 4 seeds × 6 metrics into a temporary folder (`--small`: 20 × 25 × 2),
without pictures, and measures `kreabench report` as a user gives it, each a process of its own from start to end, with
linked thumbnails; then the demo's report (`--demo`, where that run exists). The page is opened in Chromium, where there
is one: first paint is what the browser says of itself, a filter is the time from a click on the first box of the
filters to the second frame drawn after it; medians of `--runs`. The targets are for two idle cores; the load of the
machine is printed, as other programs make all of it slower. Prints a table, writes results/report_speed.json and exits
1 when a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from decisions_speed import Target, kreabench, spent, step

LARGE = (100, 250, 4)
"""Settings, prompts, seeds: 100,000 samples."""
SMALL = (20, 25, 2)
MIB = 2**20
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
FILTERS = '[data-part="filters"] input[type="checkbox"]'
"""The boxes that a reader filters with."""
ONE_FILTER = """
box => new Promise(done => {
    const began = performance.now();
    box.click();
    requestAnimationFrame(() => requestAnimationFrame(() => done((performance.now() - began) / 1000)));
})
"""
FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint').map(entry => entry.startTime / 1000)"


def write(path: Path, settings: str, prompts: str, seeds: str) -> None:
    """The run."""
    from decisions_runs import write_run

    write_run(path, settings=int(settings), prompts=int(prompts), seeds=int(seeds))


def of_report(
    name: str, run: Path, folder: Path, limits: tuple[float | None, float | None, float | None]
) -> list[Target]:
    """Seconds, peak memory and size of the report of `run`."""
    out = folder / f"report-{name}"
    took = spent(kreabench("report", run, "--out", out, "--images", "link"))
    size = (out / "index.html").stat().st_size / MIB
    return [
        Target(name=f"{name}: report", value=took.seconds, limit=limits[0], unit="s"),
        Target(name=f"{name}: processor", value=took.cpu_seconds, limit=None, unit="s"),
        Target(name=f"{name}: peak memory", value=took.gib, limit=limits[1], unit="GiB"),
        Target(name=f"{name}: index.html", value=size, limit=limits[2], unit="MiB"),
    ]


def of_page(name: str, index: Path, runs: int, limits: tuple[float | None, float | None]) -> list[Target]:
    """First paint and one filter; nothing where there is no browser."""
    import shutil

    path = next((found for found in map(shutil.which, CHROMIUM) if found), None)
    if path is None:
        print("no Chromium: the page is not measured")
        return []
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        opened = [_open(browser, index) for _ in range(runs)]
        browser.close()
    paints = [paint for paint, _ in opened if paint is not None]
    filters = [seconds for _, each in opened for seconds in each]
    found = []
    if paints:
        found.append(Target(name=f"{name}: first paint", value=statistics.median(paints), limit=limits[0], unit="s"))
    if filters:
        found.append(Target(name=f"{name}: a filter", value=statistics.median(filters), limit=limits[1], unit="s"))
    else:
        print(f"{name}: the page has no boxes to filter with")
    return found


def _open(browser: Any, index: Path) -> tuple[float | None, list[float]]:
    """Seconds to the first paint, and of two clicks on the first box: out, and in again."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    try:
        page = context.new_page()
        page.goto(index.as_uri(), wait_until="load", timeout=60_000)
        page.wait_for_function(f"({FIRST_PAINT}).length > 0", timeout=30_000)
        paint = page.evaluate(FIRST_PAINT)
        return (paint[0] if paint else None), list(_filtered(page))
    finally:
        context.close()


def _filtered(page: Any) -> Iterator[float]:
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    box = page.query_selector(FILTERS)
    if box is not None:
        for _ in range(2):
            yield page.evaluate(ONE_FILTER, box)


def measure(folder: Path, shape: tuple[int, int, int], demo: Path, runs: int) -> list[Target]:
    """Every line."""
    run = folder / f"run-{'-'.join(map(str, shape))}"
    if not run.exists():
        spent([*step_of(run), *map(str, shape)])
    large = shape == LARGE
    found = of_report("large", run, folder, (30.0, 2.0, 15.0) if large else (None, None, None))
    found += of_page("large", folder / "report-large" / "index.html", runs, (2.0, 0.2) if large else (None, None))
    if demo.is_dir():
        found += of_report("demo", demo, folder, (3.0, None, None))
        found += of_page("demo", folder / "report-demo" / "index.html", runs, (2.0, 0.2))
    return found


def step_of(run: Path) -> list[str]:
    """The command that writes the run."""
    command = step("write", run)
    return [command[0], __file__, *command[2:]]


def report(targets: list[Target], load: tuple[float, float, float]) -> int:
    """Print the table, keep it, and say whether a target was missed."""
    print(f"load average {load[0]:.1f}, {os.cpu_count()} cores")
    for one in targets:
        limit = "" if one.limit is None else f"≤ {one.limit:g}"
        verdict = "" if one.limit is None else "missed" if one.missed else "met"
        print(f"{one.name:<24} {one.value:>8.2f} {limit:>8} {one.unit:<4} {verdict}".rstrip())
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    content = {"load": load[0], "cores": os.cpu_count(), "lines": [asdict(one) for one in targets]}
    (results / "report_speed.json").write_text(json.dumps(content, indent=2) + "\n")
    return int(any(one.missed for one in targets))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="1,000 samples, without targets for them")
    parser.add_argument("--runs", type=int, default=3, help="times that each page is opened")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the run there (400 MB) and use it again")
    parser.add_argument("--demo", type=Path, default=Path("runs/demo"), metavar="RUN", help="the demo's run directory")
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        write(Path(arguments.step[1]), *arguments.step[2:])
        return 0
    load = os.getloadavg()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        targets = measure(
            folder.resolve(), SMALL if arguments.small else LARGE, arguments.demo.resolve(), arguments.runs
        )
    return report(targets, load)


if __name__ == "__main__":
    sys.exit(main())
