"""`kreabench doctor --live-fal`: one request to the real fal, compared with the emulator's answers to the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from kreabench.core.errors import ExitCode, KreabenchError

KEY = "FAL_KEY"

# Long enough for each status to be seen.
_EMULATOR = {"images": "patterns", "queue_s": 0.2, "inference_s": 0.3}
_TIMEOUT_S = 300.0


def compare_live(*, yes: bool, emulator_options: Mapping[str, Any] | None = None) -> int:
    """Ask, send, compare, print. 0: no difference; 1: some; 2: no key, no consent, or the request failed."""
    from kreabench.core.specs import ServiceSpec
    from kreabench.emulator.drift import differences
    from kreabench.execution.services import start_service

    if not os.environ.get(KEY):
        click.echo(f"{KEY} is not set: the comparison needs a key of fal.ai", err=True)
        return ExitCode.USAGE
    if not _consent(yes):
        click.echo("nothing was sent", err=True)
        return ExitCode.USAGE
    live = _record(os.environ, "the live service")
    with tempfile.TemporaryDirectory(prefix="kreabench-drift-") as folder:
        service = ServiceSpec(kind="fal-emulator", options={**_EMULATOR, **(emulator_options or {})})
        with start_service(service, Path(folder) / "service.log") as environment:
            emulated = _record({**os.environ, **environment}, "the emulator")
    found = differences(live, emulated)
    for line in found:
        click.echo(line)
    click.echo(f"{len(found)} differences" if found else "the emulator answers as the live service does")
    return ExitCode.REGRESSION if found else ExitCode.DONE


def _consent(yes: bool) -> bool:
    from kreabench.emulator.drift_record import ENDPOINT, SIZE

    host = os.environ.get("FAL_QUEUE_RUN_HOST") or os.environ.get("FAL_RUN_HOST") or "queue.fal.run"
    click.echo(
        f"One request will be sent to {host}: {ENDPOINT}, {SIZE[0]}x{SIZE[1]}, 1 step. It costs about {_cost()} of the "
        f"account of {KEY}."
    )
    if yes:
        return True
    return sys.stdin.isatty() and click.confirm("Send it?", default=False)


def _cost() -> str:
    from kreabench.config.compose import conf_dir
    from kreabench.emulator.billing import bill, read_prices
    from kreabench.emulator.drift_record import ENDPOINT, SIZE

    price = read_prices(conf_dir() / "pricing" / "default.yaml").get(ENDPOINT)
    return f"${float(bill(price, SIZE, 1, 1_000_000).usd):g}"


def _record(environ: Mapping[str, str], whom: str) -> dict[str, Any]:
    """In a process of its own, as the fal client reads its hosts when it is imported. Raises KreabenchError."""
    command = [sys.executable, "-P", "-m", "kreabench.emulator.drift_record"]
    try:
        done = subprocess.run(
            command, env=dict(environ), capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise KreabenchError(
            f"{whom} did not finish one request in {_TIMEOUT_S:g} s; it may have been billed"
        ) from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no reason was given"])[-1]
        raise KreabenchError(
            f"{whom}: {last.replace(environ[KEY], '***')}",
            remedy="What was sent may have been billed. Look at fal's dashboard before trying again.",
        )
    found: dict[str, Any] = json.loads(done.stdout)
    return found
