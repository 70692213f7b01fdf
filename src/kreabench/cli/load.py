"""`kreabench load`."""

from __future__ import annotations

from pathlib import Path

import click

from kreabench.cli.run import CONFIG_DIR, OVERRIDES, PASS_ON, start_and_execute

_NAMED = ("name=", "experiment=")


@click.command(context_settings=PASS_ON)
@OVERRIDES
@CONFIG_DIR
def load(overrides: tuple[str, ...], config_dir: Path | None) -> int:
    """Put targets under load: how much they carry, how long it takes, where the knee is.

    OVERRIDES are those of `kreabench run`; the levels stand under `load` in conf/config.yaml:

    \b
      kreabench load target=[mini_fal] load.rate=[0.5,1,2,4] load.duration_s=60
      kreabench load target=[openai_images] load.arrivals=closed load.in_flight=[1,2,4,8]
      kreabench load target=[krea_fal] load.rate=[0.2,0.4] load.objective_s=8 budget.usd=5
      kreabench load target=[krea_local] engine.devices=[0,1] load.batch_size=[1,2,4]

    Requests are timed from the instant they were meant to start; pictures are kept and scored. Local targets have one
    queue before all workers, each of which takes up to load.batch_size of those that wait. Every level stops by
    itself. The run directory is runs/load unless name=… says otherwise, and one that is there goes on with the levels
    that have not begun. `kreabench plan run.load=on …` says what it would send and cost.
    """
    named = any(word.startswith(_NAMED) for word in overrides)
    return start_and_execute(("run.load=true", *(() if named else ("name=load",)), *overrides), config_dir)
