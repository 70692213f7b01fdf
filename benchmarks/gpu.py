"""What one GPU does with FLUX.1 at full size and random weights: no network, no download, one command.

    python benchmarks/gpu.py [--geometry mini --device cpu] [--wheels FOLDER]

1. Overhead: kreabench's whole path a sample against a bare diffusers loop that also saves PNGs, fresh processes in
   A B B A order, acceleration `none`.
2. The experiment `gpu_random_weights` through `kreabench run`: latency, memory, energy and share of the floor of each
   acceleration, written to reports/<gpu>-random-weights/.
3. A table of both beside what is promised, in the same folder as gpu.json and gpu.md.

`--wheels` names a folder of wheels of the packages that a machine without a network lacks (elsewhere, for its Python:
`pip download --no-deps --dest FOLDER NAME...`); they are put into build/gpu-packages, not installed. Limits are judged
on a CUDA device with the full geometry alone; exits 1 when one is missed, 2 when the machine cannot run it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from gpu_overhead import Overhead, measure_overhead, overrides

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ROOT / "build" / "gpu-packages"
MAX_OVERHEAD = 0.01
MIN_SPEEDUP = {"high": 2.5, "compile_regional": 1.25}
MIN_SHARE_OF_FLOOR = {"regular": 0.60}
TIME_LIMIT_S = 25 * 60

_ASK_NAME = """
import sys
from kreabench.backends.devices import choose_device
from kreabench.core.errors import KreabenchError
try:
    print(choose_device(sys.argv[1]).model)
except KreabenchError as error:
    sys.exit(str(error))
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One acceleration."""

    acceleration: str
    median_s: float | None
    """None where it has no valid timing."""
    n: int
    speedup: float | None
    """Over `none`."""
    share_of_floor: float | None
    peak_allocated_gib: float | None
    energy_j: float | None
    note: str = ""
    """Why it has no timing."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--geometry", choices=("flux", "mini"), default="flux")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    parser.add_argument("--accelerations", help="comma-separated [default: those of the experiment]")
    parser.add_argument("--steps", type=int, default=28)
    parser.add_argument("--size", default="1024x1024")
    parser.add_argument("--samples", type=int, default=8, help="timed samples an acceleration")
    parser.add_argument("--block", type=int, default=4, help="samples a process in the overhead's A B B A")
    parser.add_argument("--order", default="ABBA", help="of harness (A) and bare loop (B), as many of each")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the run directory goes")
    parser.add_argument("--reports", type=Path, default=Path("reports"), help="where the report goes")
    parser.add_argument("--wheels", type=Path, help="folder of wheels that this machine lacks")
    arguments = parser.parse_args()
    if sorted(arguments.order) != sorted("AB" * (len(arguments.order) // 2)) or not arguments.order:
        parser.error(f"--order: found {arguments.order}; expected as many A as B, such as ABBA")
    if arguments.wheels is not None:
        unpack_wheels(arguments.wheels)
    use_packages()
    missing = missing_packages()
    if missing:
        print(f"missing here: {', '.join(missing)}. Put their wheels into a folder and name it with --wheels.")
        return 2
    return benchmark(arguments)


def unpack_wheels(folder: Path) -> None:
    """Wheels are archives: unpacked beside each other they can be imported, here and in child processes."""
    for wheel in sorted(folder.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(PACKAGES)


def use_packages() -> None:
    """For this process and those it starts: this checkout, then the carried packages, offline."""
    paths = [str(ROOT / "src"), str(PACKAGES)]
    sys.path[:0] = [path for path in paths if path not in sys.path]
    inherited = os.environ.get("PYTHONPATH", "")
    os.environ |= {"PYTHONPATH": os.pathsep.join(filter(None, [*paths, inherited])), "HF_HUB_OFFLINE": "1"}


def missing_packages() -> list[str]:
    """Of kreabench's dependencies, those without a distribution here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0] for requirement in project["dependencies"]]
    return [name for name in names if not _is_there(name)]


def _is_there(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def benchmark(arguments: argparse.Namespace) -> int:
    """All of it. Raises subprocess.CalledProcessError when a part cannot run."""
    began = time.perf_counter()
    from kreabench.core.errors import KreabenchError

    try:
        device_model = device_name(arguments.device)
        name = f"{re.sub(r'[^a-z0-9]+', '-', device_model.lower()).strip('-')}-random-weights"
        if (arguments.runs / name / "run.json").exists():
            print(f"going on with {arguments.runs / name}: what it holds is not measured again; delete it for that")
        overhead = measure_overhead(arguments)
        print(f"overhead: {overhead.share:+.2%} of {overhead.bare_s:.3f} s (n = {overhead.n} each)", flush=True)
        run_experiment(arguments, name)
        lines = read_lines(arguments.runs / name)
    except (KreabenchError, RuntimeError) as error:
        print(error)
        return 2
    seconds = time.perf_counter() - began
    judged = arguments.device.startswith("cuda") and arguments.geometry == "flux"
    missed = missed_limits(overhead, lines) if judged else []
    text = table(device_model, arguments, overhead, lines, missed if judged else None, seconds)
    folder = arguments.reports / name
    content = {
        "device": device_model,
        "geometry": arguments.geometry,
        "steps": arguments.steps,
        "size": arguments.size,
        "overhead": {**asdict(overhead), "share": overhead.share},
        "accelerations": [asdict(line) for line in lines],
        "judged": judged,
        "missed": missed,
        "seconds": round(seconds, 1),
    }
    (folder / "gpu.json").write_text(json.dumps(content, indent=1) + "\n")
    (folder / "gpu.md").write_text(text)
    print(text)
    return 1 if missed else 0


def device_name(device: str) -> str:
    """Of the GPU or the processor, asked in a process of its own: here it would stay on the GPU as a foreign one.

    Raises RuntimeError where the device is not there.
    """
    command = [sys.executable, "-c", _ASK_NAME, device]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return done.stdout.strip()


def run_experiment(arguments: argparse.Namespace, name: str) -> None:
    """`kreabench run`, as a person would. Raises RuntimeError when it does not come to its end."""
    chosen = [f"acceleration=[{arguments.accelerations}]"] if arguments.accelerations else []
    command = [sys.executable, "-m", "kreabench", "run", *overrides(arguments, name, arguments.samples), *chosen]
    done = subprocess.run(command, check=False)
    if done.returncode not in (0, 4):  # 4: finished, with failed samples that the table tells of
        raise RuntimeError(f"kreabench run ended with exit code {done.returncode}")


def read_lines(run_path: Path) -> list[Line]:
    """One line an acceleration, from the run directory alone."""
    from kreabench.plan_of_run import plan_of
    from kreabench.rundir.directory import RunDirectory
    from kreabench.rundir.table import read_table

    run = RunDirectory.open(run_path)
    frame, plan = read_table(run), plan_of(run)
    skipped = {skip.acceleration: skip.reason for skip in plan.skipped}
    lines: list[Line] = []
    for acceleration in (spec.name for spec in run.info.experiment.accelerations):
        rows = frame[frame["acceleration"] == acceleration]
        failures = [str(text) for text in rows["error_message"].dropna()]
        timed = rows[rows["timing_valid"].isin([True])]
        median = _median(timed, "end_to_end_s")
        peak = _median(timed, "peak_allocated_bytes")
        lines.append(
            Line(
                acceleration=acceleration,
                median_s=median,
                n=len(timed),
                speedup=None,
                share_of_floor=_median(timed, "share_of_floor"),
                peak_allocated_gib=None if peak is None else peak / 2**30,
                energy_j=_median(timed, "energy_j"),
                note=skipped.get(acceleration) or (failures[0] if failures else ""),
            )
        )
    return with_speedups(lines)


def with_speedups(lines: Sequence[Line]) -> list[Line]:
    """Over `none`, wherever it stands; without it there are none."""
    base = next((line.median_s for line in lines if line.acceleration == "none"), None)
    return [replace(line, speedup=base / line.median_s if base and line.median_s else None) for line in lines]


def _median(rows: Any, column: str) -> float | None:
    values = [float(value) for value in rows[column].dropna()] if column in rows.columns else []
    return statistics.median(values) if values else None


def missed_limits(overhead: Overhead, lines: Sequence[Line]) -> list[str]:
    """What is promised of a GPU at full size and was not reached, or could not be judged."""
    by_name = {line.acceleration: line for line in lines}
    found = []
    if overhead.share > MAX_OVERHEAD:
        found.append(f"overhead {overhead.share:.2%}, promised at most {MAX_OVERHEAD:.0%}")
    for name, least in MIN_SPEEDUP.items():
        speedup = by_name[name].speedup if name in by_name else None
        if speedup is None or speedup < least:
            found.append(f"{name} {_text(speedup, '×')} as fast as none, promised {least:g}×")
    for name, least in MIN_SHARE_OF_FLOOR.items():
        share = by_name[name].share_of_floor if name in by_name else None
        if share is None or share < least:
            found.append(f"{name} at {_text(share and 100 * share, ' %')} of the floor, promised {100 * least:g} %")
    return found


def table(
    device: str,
    arguments: argparse.Namespace,
    overhead: Overhead,
    lines: Sequence[Line],
    missed: Sequence[str] | None,
    seconds: float,
) -> str:
    """Markdown."""
    rows = [
        f"# {device}, random weights",
        "",
        f"{arguments.geometry} geometry, {arguments.size}, {arguments.steps} steps, {arguments.device}. "
        "Times, memory and energy are the model's; how often a cache skips work is not: the weights' values decide it.",
        "",
        "| acceleration | median s | n | speed-up | of the floor | peak GiB | J an image | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        share = None if line.share_of_floor is None else 100 * line.share_of_floor
        cells = [
            line.acceleration,
            _text(line.median_s),
            str(line.n),
            _text(line.speedup, "×"),
            _text(share, " %"),
            _text(line.peak_allocated_gib),
            _text(line.energy_j),
            line.note.replace("|", "/").partition("\n")[0][:160],
        ]
        rows.append(f"| {' | '.join(cells)} |")
    rows += [
        "",
        f"Harness against a bare diffusers loop: {overhead.share:+.2%} ({overhead.harness_s:.4g} s, "
        f"{overhead.bare_s:.4g} s; n = {overhead.n} each, order {' '.join(arguments.order)}).",
        f"Took {seconds / 60:.1f} min of the {TIME_LIMIT_S / 60:g} allowed.",
    ]
    if missed is None:
        rows.append("Nothing is promised of this device and geometry; the figures show that the script works.")
    else:
        rows += [f"Missed: {text}." for text in missed] or ["Everything promised was reached."]
    return "\n".join(rows) + "\n"


def _text(value: float | None, unit: str = "") -> str:
    return "–" if value is None else f"{value:.3g}{unit}"


if __name__ == "__main__":
    sys.exit(main())
