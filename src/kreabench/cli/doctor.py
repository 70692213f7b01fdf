"""`kreabench doctor`: what will work on this machine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import click

from kreabench.core.errors import ExitCode

_WIDTH = 26
"""Characters of the first column."""


@click.command()
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@click.option(
    "--config-dir", type=click.Path(path_type=Path), help="A folder of your own groups, beside the shipped ones."
)
@click.option(
    "--live-fal",
    is_flag=True,
    help="Send one cheapest request to fal, after asking, and compare its answers with the emulator's.",
)
@click.option("--yes", is_flag=True, help="With --live-fal: do not ask.")
def doctor(targets: tuple[str, ...], config_dir: Path | None, live_fal: bool, yes: bool) -> int:
    """Device, versions, weights and keys: what will work here, and what is missing.

    Loads no model and sends nothing. With TARGETs named, the exit code is 2 when one of them lacks something.

    With --live-fal it does that comparison alone, which costs about $0.025: exit code 0 when fal answers as the
    emulator does, 1 when something differs, 2 without a key or consent.
    """
    if live_fal:
        from kreabench.cli.live_fal import compare_live

        return compare_live(yes=yes)
    from kreabench.config.compose import group_options
    from kreabench.rundir.provenance import package_versions

    for name, version in package_versions().items():
        click.echo(f"{name:<{_WIDTH}} {version}")
    for name, text in _device():
        click.echo(f"{name:<{_WIDTH}} {text}")
    click.echo("")
    chosen = targets or tuple(group_options("target", config_dir))
    lacking = [_report_target(name, config_dir) for name in chosen]
    return ExitCode.USAGE if targets and any(lacking) else ExitCode.DONE


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
    click.echo(f"{name:<{_WIDTH}} {'ready' if not problems else 'not ready'}{_key_state(target.key_env)}")
    for problem in problems:
        click.echo(f"{'':<{_WIDTH}} {problem}")
    return bool(problems)


def _key_state(variable: str | None) -> str:
    if variable is None:
        return ""
    return f" ({variable} is {'set' if os.environ.get(variable) else 'not set'})"
