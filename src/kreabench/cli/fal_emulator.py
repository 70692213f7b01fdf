"""`kreabench fal-emulator`: a loopback fal for tests and trials."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from kreabench.backends.options import FalEmulatorOptions

_DEFAULTS = FalEmulatorOptions()


def _json_object(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[str, Any] | None:
    if value is None:
        return None
    try:
        parsed = json.loads(value)
    except ValueError as error:
        raise click.BadParameter(f"expected a JSON object, found {value!r} ({error})") from error
    if not isinstance(parsed, dict):
        raise click.BadParameter(f"expected a JSON object, found {value!r}")
    return parsed


def _loopback(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if value not in {"127.0.0.1", "localhost"}:
        raise click.BadParameter(f"found {value!r}; the emulator listens on 127.0.0.1 only, as any key opens it")
    return value


@click.command(name="fal-emulator")
@click.option("--host", default="127.0.0.1", show_default=True, callback=_loopback, help="Loopback only.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0: one that is free.")
@click.option(
    "--images",
    type=click.Choice(["pipeline", "patterns"]),
    default=_DEFAULTS.images,
    show_default=True,
    help="Draw with the local back end, or patterns at no cost.",
)
@click.option("--model", default=_DEFAULTS.model, show_default=True, help="What the pipeline loads.")
@click.option("--pipeline", callback=_json_object, default=None, help="Options of the local back end, as JSON.")
@click.option(
    "--accelerations", callback=_json_object, default=None, help="Level → features of the local back end, as JSON."
)
@click.option("--queue-s", type=click.FloatRange(min=0), default=_DEFAULTS.queue_s, help="Least seconds in the queue.")
@click.option(
    "--inference-s", type=click.FloatRange(min=0), default=_DEFAULTS.inference_s, help="Least seconds of work."
)
@click.option(
    "--megapixel-pixels",
    type=click.IntRange(min=1),
    default=_DEFAULTS.megapixel_pixels,
    show_default=True,
    help="Pixels in a billed megapixel.",
)
@click.option("--seed", type=int, default=None, help="Makes the seeds of requests that bring none repeatable.")
@click.option("--truth-log", type=click.Path(dir_okay=False), default=None, help="JSON lines of what really happened.")
@click.option("--die-with-parent", type=int, default=None, metavar="PID", help="End when that parent process does.")
def fal_emulator(host: str, port: int, die_with_parent: int | None, **values: Any) -> None:
    """Serve the fal API of FLUX.1 Krea [dev] on this machine.

    Prints one JSON line when ready (run_host, queue_host, ca_file, pid), then serves until Ctrl-C. Any key is
    accepted and nothing costs anything; its times say nothing about the real service.
    """
    from kreabench.emulator.serve import serve

    given = {name: value for name, value in values.items() if value is not None}
    serve(FalEmulatorOptions(**given), port=port, parent_pid=die_with_parent, out=sys.stdout, err=sys.stderr)
