"""`kreabench doctor`: what will work on this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import click

from kreabench.cli.metric_needs import WIDTH, fetch_metrics, names_in, report_metrics, to_fetch
from kreabench.core.errors import ExitCode


@click.command()
@click.argument("words", nargs=-1, metavar="[TARGET|OVERRIDE]...")
@click.option(
    "--config-dir", type=click.Path(path_type=Path), help="A folder of your own groups, beside the shipped ones."
)
@click.option(
    "--live-fal",
    is_flag=True,
    help="Send one cheapest request to fal, after asking, and compare its answers with the emulator's.",
)
@click.option("--yes", is_flag=True, help="With --live-fal: do not ask.")
@click.option("--metrics", metavar="NAME,NAME", help="Files of conf/metrics [default: the configuration's].")
@click.option(
    "--fetch", metavar="metrics[=NAME,NAME]", help="Fetch what metrics lack, into the Hub's cache and $KREABENCH_CACHE."
)
def doctor(
    words: tuple[str, ...],
    config_dir: Path | None,
    live_fal: bool,
    yes: bool,
    metrics: str | None,
    fetch: str | None,
) -> int:
    """Device, versions, weights and keys: what will work here, and what is missing.

    Loads no model and sends nothing. With TARGETs or --metrics named, only they are looked at, and the exit code is 2
    when one of them lacks something. OVERRIDEs are those of `kreabench run`, and choose the metrics as they do there.

    With --fetch it fetches weights alone: exit code 0 when all is there, 2 otherwise.

    \b
      kreabench doctor --fetch metrics
      kreabench doctor --fetch metrics=clip_score,lpips
      kreabench doctor --fetch metrics experiment=demo

    With --live-fal it does that comparison alone, which costs about $0.025: exit code 0 when fal answers as the
    emulator does, 1 when something differs, 2 without a key or consent.
    """
    if live_fal:
        from kreabench.cli.live_fal import compare_live

        return compare_live(yes=yes)
    overrides = [word for word in words if "=" in word]
    targets = [word for word in words if "=" not in word]
    if fetch is not None:
        if targets:
            hint = f"metrics={','.join(targets)}"
            raise click.UsageError(f"--fetch fetches for metrics, not for {targets[0]!r}; did you mean --fetch {hint}?")
        return fetch_metrics(to_fetch(fetch, metrics), config_dir, overrides)
    return _report(targets, names_in(metrics), config_dir, overrides)


def _report(
    targets: Sequence[str], metrics: tuple[str, ...] | None, config_dir: Path | None, overrides: Sequence[str]
) -> int:
    from kreabench.config.compose import group_options
    from kreabench.rundir.provenance import package_versions

    for name, version in package_versions().items():
        click.echo(f"{name:<{WIDTH}} {version}")
    for name, text in _device():
        click.echo(f"{name:<{WIDTH}} {text}")
    named = bool(targets) or metrics is not None or bool(overrides)
    lacking = []
    if targets or not named:
        click.echo("")
        lacking += [_report_target(name, config_dir) for name in targets or group_options("target", config_dir)]
    if metrics is not None or overrides or not named:
        click.echo("")
        lacking.append(report_metrics(metrics, config_dir, overrides))
    return ExitCode.USAGE if named and any(lacking) else ExitCode.DONE


def _device() -> list[tuple[str, str]]:
    import psutil
    import torch

    rows = [
        ("CPU", f"{psutil.cpu_count()} cores, {psutil.virtual_memory().available / 2**30:.0f} GiB of memory free"),
        ("disk here", f"{shutil.disk_usage(Path.cwd()).free / 2**30:.0f} GiB free"),
    ]
    if not torch.cuda.is_available():
        return [*rows, ("GPU", "none that torch can use; local targets run on the CPU")]
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        name = torch.cuda.get_device_name(index)
        rows.append((f"GPU {index}", f"{name}, {free / 2**30:.0f} of {total / 2**30:.0f} GiB free"))
    return rows


def _report_target(name: str, config_dir: Path | None) -> bool:
    """Print whether a target would work; True when something is lacking."""
    from kreabench.backends.table import backend_class
    from kreabench.config.resolve import load

    # Prompts that suit every task: text-to-image looks at their words alone.
    composed = load([f"target=[{name}]", "acceleration=[none]", "metrics=[]", "prompts=drawn"], config_dir)
    target = composed.experiment.targets[0]
    problems = backend_class(target.backend).check(target, composed.experiment.accelerations)
    click.echo(f"{name:<{WIDTH}} {'ready' if not problems else 'not ready'}{_key_state(target.key_env)}")
    for problem in problems:
        click.echo(f"{'':<{WIDTH}} {problem}")
    return bool(problems)


def _key_state(variable: str | None) -> str:
    if variable is None:
        return ""
    return f" ({variable} is {'set' if os.environ.get(variable) else 'not set'})"
