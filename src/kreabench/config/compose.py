"""Composing conf/ with the command line's overrides, by Hydra's Compose API."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kreabench.core.errors import ConfigError, Problem
from kreabench.core.registry import suggest

CONFIG_NAME = "config"
_GROUP_HEAD = re.compile(r"^[~+]?([A-Za-z_][\w/]*)(@[\w.]*)?=")
_ENGINE_KIND = re.compile(r"^\+{0,2}engine\.kind=(.*)$")
_ENV_RESOLVER = re.compile(r"\$\{\s*oc\.env\s*:")


def conf_dir() -> Path:
    """The folder of the shipped configuration: beside the package when installed, at the top of a checkout."""
    package = Path(__file__).resolve().parents[1]
    for candidate in (package / "conf", package.parents[1] / "conf"):
        if (candidate / f"{CONFIG_NAME}.yaml").is_file():
            return candidate
    raise ConfigError(
        [
            Problem(
                key="conf/", found="no config.yaml", expected="the configuration shipped with kreabench; reinstall it"
            )
        ]
    )


def search_path(config_dir: Path | None) -> list[Path]:
    """Where groups are looked for: the shipped configuration, then the user's own folder."""
    if config_dir is None:
        return [conf_dir()]
    if not config_dir.is_dir():
        raise ConfigError(
            [Problem(key="--config-dir", found=str(config_dir), expected="a folder of configuration groups")]
        )
    return [conf_dir(), config_dir.resolve()]


def group_options(group: str, config_dir: Path | None = None) -> dict[str, Path]:
    """Options of a group → their files, e.g. `target` → krea_local, krea_fal, …

    Raises ConfigError when a file of the user's has the name of a shipped one: which of the two was meant would show
    in no record.
    """
    found: dict[str, Path] = {}
    for root in search_path(config_dir):
        for file in sorted((root / group).glob("*.yaml")):
            if file.stem in found:
                raise ConfigError(
                    [
                        Problem(
                            key="--config-dir", found=str(file), expected=f"another name: {group}={file.stem} is ours"
                        )
                    ]
                )
            found[file.stem] = file
    return dict(sorted(found.items()))


def groups(config_dir: Path | None = None) -> tuple[str, ...]:
    """Names of all configuration groups."""
    names = {entry.name for root in search_path(config_dir) for entry in root.iterdir() if entry.is_dir()}
    return tuple(sorted(name for name in names if any(group_options(name, config_dir))))


def compose(overrides: Sequence[str], config_dir: Path | None = None) -> dict[str, Any]:
    """The composed configuration as plain values, interpolations resolved. Raises ConfigError."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    known_groups = groups(config_dir)
    prepared = [_prepared(override, known_groups) for override in overrides]
    _check_group_options(overrides, known_groups, config_dir)
    shipped, *own = search_path(config_dir)
    prepared.append(f"hydra.searchpath=[{','.join(quoted(f'file://{folder}') for folder in own)}]")
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(shipped)):
            config = hydra_compose(config_name=CONFIG_NAME, overrides=prepared)
        _refuse_environment(OmegaConf.to_container(config, resolve=False))
        values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:
        raise ConfigError([_problem(error)]) from error
    return {str(key): value for key, value in values.items()} if isinstance(values, dict) else {}


def quoted(text: str) -> str:
    """`text` as Hydra's grammar takes it, whatever it holds."""
    return "'" + re.sub(r"(\\*)'", r"\1\1\\'", text) + "'"


def to_yaml(values: dict[str, Any]) -> str:
    """Composed values as YAML, for the run directory."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(values))


def _prepared(override: str, known_groups: Sequence[str]) -> str:
    """A value override gets `++`, so that an unknown key reaches validation, which names it with all others."""
    if override.startswith(("+", "~")) or "=" not in override:
        return override
    key = override.split("=", 1)[0]
    return override if key in known_groups or key.startswith("hydra") else f"++{override}"


def _check_group_options(overrides: Sequence[str], known_groups: Sequence[str], config_dir: Path | None) -> None:
    problems = []
    for override in overrides:
        match = _GROUP_HEAD.match(override)
        if match is None or match[1] not in known_groups:
            continue
        valid = group_options(match[1], config_dir)
        chosen = override[match.end() :].strip().strip("[]")
        for name in (part.strip().strip("'\"") for part in chosen.split(",")):
            if name and name != "null" and name not in valid:
                problems.append(Problem(key=match[1], found=name, expected=suggest(name, valid)))
    problems += [_kind_problem(match[1], config_dir) for match in map(_ENGINE_KIND.match, overrides) if match]
    if problems:
        raise ConfigError(problems)


def _kind_problem(kind: str, config_dir: Path | None) -> Problem:
    """Each kind of engine has keys of its own, which come with its file."""
    valid = group_options("engine", config_dir)
    kind = kind.strip("'\"")
    remedy = f"Say engine={kind}." if kind in valid else ""
    expected = f"engine=KIND, {suggest(kind, valid)}: each kind has keys of its own"
    return Problem(key="engine.kind", found=kind, expected=expected, remedy=remedy)


def _refuse_environment(raw: Any) -> None:
    if _ENV_RESOLVER.search(str(raw)):
        raise ConfigError(
            [
                Problem(
                    key="configuration",
                    found="an interpolation of an environment variable (oc.env)",
                    expected="plain values: a secret must never enter a configuration",
                    remedy="Name the variable instead, e.g. target.<name>.key_env=FAL_KEY",
                )
            ]
        )


def _problem(error: Exception) -> Problem:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = "; ".join(lines) or type(error).__name__
    return Problem(
        key="configuration",
        found=text if len(text) <= 300 else f"{text[:297]}...",
        expected="an override such as axes.steps=[8,28] or target=[krea_local,krea_fal]",
        remedy="Quote overrides in the shell; see `kreabench list experiments` and `kreabench run --cfg job`",
    )
