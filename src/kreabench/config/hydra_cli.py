"""Hydra's own command-line flags (`--cfg job`, `--info`, `--hydra-help`, …), handed over unchanged."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from kreabench.config.compose import CONFIG_NAME, conf_dir
from kreabench.core.errors import ConfigError, ExitCode, Problem

MULTIRUN_FLAGS = {"-m", "--multirun"}


def run_hydra_flags(arguments: Sequence[str]) -> None:
    """Let Hydra answer. Prints; raises ConfigError for multirun, and SystemExit as Hydra does."""
    if MULTIRUN_FLAGS & set(arguments):
        raise ConfigError(
            [
                Problem(
                    key="--multirun",
                    found="asked for",
                    expected="lists in axes, e.g. axes.steps=[8,16,28]",
                    remedy="A multirun would load the model once a job and keep no common journal",
                )
            ]
        )
    import hydra
    from omegaconf import DictConfig

    def nothing_to_run(_: DictConfig) -> None:
        raise ConfigError(
            [
                Problem(
                    key="command line",
                    found=" ".join(arguments),
                    expected="overrides, or one of Hydra's flags that print: --cfg job, --info, --hydra-help",
                )
            ]
        )

    before = sys.argv
    sys.argv = ["kreabench run", *arguments]
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=CONFIG_NAME)(nothing_to_run)()
    except SystemExit as exit_:
        # Hydra leaves with 1 for bad input; here 1 means a regression.
        raise SystemExit(ExitCode.USAGE if exit_.code else ExitCode.DONE) from exit_
    finally:
        sys.argv = before
