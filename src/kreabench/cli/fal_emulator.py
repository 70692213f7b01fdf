"""`kreabench fal-emulator`: a loopback fal for tests and trials."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
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


def _service_time(ctx: click.Context, param: click.Parameter, value: str) -> str:
    from kreabench.emulator.distributions import parse_time

    _checked(lambda: parse_time(value))
    return value


def _faults(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> dict[str, float]:
    from kreabench.emulator.faults import parse_faults

    found: dict[str, float] = _checked(lambda: parse_faults(value))
    return found


def _checked(parse: Callable[[], Any]) -> Any:
    try:
        return parse()
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _list_faults(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from kreabench.emulator.faults import fault_table

        click.echo(fault_table())
        ctx.exit()


@click.command(name="fal-emulator")
@click.option("--host", default="127.0.0.1", show_default=True, callback=_loopback, help="Loopback only.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0: one that is free.")
@click.option(
    "--images",
    type=click.Choice(["pipeline", "patterns", "folder"]),
    default=_DEFAULTS.images,
    show_default=True,
    help="Draw with the local back end, or patterns at no cost, or serve the pictures of a folder.",
)
@click.option("--model", default=_DEFAULTS.model, show_default=True, help="What the pipeline loads.")
@click.option("--pipeline", callback=_json_object, default=None, help="Options of the local back end, as JSON.")
@click.option(
    "--accelerations", callback=_json_object, default=None, help="Level → features of the local back end, as JSON."
)
@click.option("--folder", type=click.Path(file_okay=False), default=None, help="Where the pictures of `folder` lie.")
@click.option(
    "--pattern-version",
    type=click.IntRange(min=0),
    default=None,
    help="Of the model that patterns stand for: another one draws others, and says nothing of it.",
)
@click.option(
    "--pattern-noise",
    type=click.FloatRange(min=0),
    default=None,
    help="Grey levels by which patterns differ each time, as of a service that does not repeat exactly.",
)
@click.option(
    "--endpoint",
    type=click.Path(dir_okay=False),
    multiple=True,
    help="Serve a further endpoint: a file like conf/target/krea_fal.yaml. Repeatable.",
)
@click.option(
    "--queue-s",
    callback=_service_time,
    default=str(_DEFAULTS.queue_s),
    metavar="TIME",
    help="Least seconds in the queue: 2, uniform:1,2 or lognormal:MEDIAN,SIGMA.",
)
@click.option(
    "--inference-s",
    callback=_service_time,
    default=str(_DEFAULTS.inference_s),
    metavar="TIME",
    help="Least seconds of work, as --queue-s.",
)
@click.option(
    "--runners", type=click.IntRange(min=1), default=_DEFAULTS.runners, show_default=True, help="Requests run at once."
)
@click.option(
    "--cold-start-s",
    type=click.FloatRange(min=0),
    default=_DEFAULTS.cold_start_s,
    help="How much longer the first request of each runner waits.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=None,
    help="The account's limit: above it the queue waits and direct calls get 429.",
)
@click.option(
    "--submit-limit",
    type=click.IntRange(min=1),
    default=None,
    help="Unfinished requests from which a submit gets 429 with Retry-After.",
)
@click.option(
    "--fault",
    callback=_faults,
    multiple=True,
    metavar="NAME=PROBABILITY",
    help="What goes wrong, e.g. reset=0.02; seeded by --seed, one a request at most. Repeatable.",
)
@click.option(
    "--list-faults", is_flag=True, is_eager=True, expose_value=False, callback=_list_faults, help="Print the faults."
)
@click.option(
    "--policy-marker",
    default=_DEFAULTS.policy_marker,
    show_default=True,
    help="A prompt with this text gets content_policy_violation.",
)
@click.option(
    "--nsfw-marker",
    default=_DEFAULTS.nsfw_marker,
    show_default=True,
    help="A prompt with this text gets black, flagged pictures.",
)
@click.option("--http", is_flag=True, help="Plain http instead of TLS.")
@click.option(
    "--megapixel-pixels",
    type=click.IntRange(min=1),
    default=_DEFAULTS.megapixel_pixels,
    show_default=True,
    help="Pixels in a billed megapixel.",
)
@click.option("--seed", type=int, default=None, help="Makes all that is drawn repeatable: seeds, times, faults.")
@click.option("--truth-log", type=click.Path(dir_okay=False), default=None, help="JSON lines of what really happened.")
@click.option("--die-with-parent", type=int, default=None, metavar="PID", help="End when that parent process does.")
def fal_emulator(host: str, port: int, die_with_parent: int | None, **values: Any) -> None:
    """Serve the fal API on this machine: every endpoint of kreabench's configuration.

    Prints one JSON line when ready (run_host, queue_host, rest_url, cdn_url, scheme, ca_file, pid), then serves until
    Ctrl-C. Any key is accepted and nothing costs anything; its times say nothing about the real service.
    """
    from kreabench.emulator.serve import serve

    given = {name: value for name, value in values.items() if value is not None}
    serve(FalEmulatorOptions(**given), port=port, parent_pid=die_with_parent, out=sys.stdout, err=sys.stderr)
