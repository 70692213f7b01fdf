"""Policy files of the gate: `conf/gate/NAME.yaml` or one of the user's own. Plain YAML, so that a gate starts fast."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError

from kreabench.config.compose import group_options
from kreabench.config.problems import problems_of, shown
from kreabench.config.strict import STRICT
from kreabench.core.errors import ConfigError, Problem
from kreabench.core.policies import COSTS, RATES, CheckSpec, MarginKind, MarginSpec, PolicySpec
from kreabench.core.registry import suggest
from kreabench.metrics.table import METRICS

GROUP = "gate"
_KINDS: tuple[MarginKind, ...] = get_args(MarginKind)
_FastLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Ten times as fast where PyYAML was built with libyaml."""
_OF_RATES: tuple[MarginKind, ...] = ("absolute",)
_PACKAGE = re.compile(r"^# @package metrics(?:\.(\S+))?\s*$", re.MULTILINE)
"""Where a file of conf/metrics puts what is in it: one metric under this name, or several under their own."""

Margin = Annotated[float, Field(ge=0.0)]


class _Model(BaseModel):
    model_config = STRICT


class MarginConfig(_Model):
    """One of the three; that it is one is checked in `_margin_problems`."""

    absolute: Margin | None = None
    relative: Margin | None = None
    noise_floor: Margin | None = None


class CheckConfig(_Model):
    """See `core.policies.CheckSpec`."""

    margin: MarginConfig
    sides: Literal["one", "two"] = "one"
    required: bool = True


class PolicyConfig(_Model):
    """See `core.policies.PolicySpec`."""

    description: str = ""
    level: Annotated[float, Field(ge=1e-6, lt=0.5)] = 0.05
    min_prompts: Annotated[int, Field(ge=2)] = 10
    max_unpaired_share: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.05
    every_metric: CheckConfig | None = None
    checks: dict[str, CheckConfig] = Field(default_factory=dict)


class _Loader(yaml.SafeLoader):
    """YAML of which the last of two equal keys does not win unsaid."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and not key.tag.endswith(":merge")]
    twice = sorted({str(name) for name in names if names.count(name) > 1})
    if twice:
        raise yaml.constructor.ConstructorError(None, None, f"{', '.join(twice)} twice", node.start_mark)
    loader.flatten_mapping(node)
    return dict(loader.construct_pairs(node, deep=True))


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load_policy(choice: str, measured: Collection[str], config_dir: Path | None = None) -> PolicySpec:
    """The policy of this name, or in this file, where `choice` ends in .yaml or .yml.

    `measured` are the metrics of both sides: a policy may name these, and those that conf/metrics knows. Raises
    ConfigError with every problem found.
    """
    file = _file(choice, config_dir)
    values = _read(file)
    problems = [*_unknown_metrics(values, measured, config_dir, str(file)), *_disagreements(values, str(file))]
    try:
        config = PolicyConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError([*problems_of(error, str(file), root=PolicyConfig), *problems]) from error
    if problems:
        raise ConfigError(problems)
    return PolicySpec(
        name=file.stem,
        description=config.description,
        level=config.level,
        min_prompts=config.min_prompts,
        max_unpaired_share=config.max_unpaired_share,
        checks=tuple(_check(name, check) for name, check in config.checks.items()),
        every_metric=None if config.every_metric is None else _check("*", config.every_metric),
    )


def known_metrics(config_dir: Path | None = None) -> dict[str, bool]:
    """Metrics that conf/metrics knows → whether they have a score a picture."""
    known: dict[str, bool] = {}
    for file in group_options("metrics", config_dir).values():
        text = file.read_text(encoding="utf-8", errors="replace")
        package = _PACKAGE.search(text)
        values = yaml.load(text, _FastLoader)  # noqa: S506 — a SafeLoader
        if package is None or not isinstance(values, dict):
            continue
        for name, value in ({package[1]: values} if package[1] else values).items():
            row = METRICS.get(value.get("kind", "")) if isinstance(value, dict) else None
            known[str(name)] = row is None or row.per == "image"
    return known


def _file(choice: str, config_dir: Path | None) -> Path:
    if choice.endswith((".yaml", ".yml")):
        return Path(choice)
    known = group_options(GROUP, config_dir)
    if choice not in known:
        expected = f"a file that ends in .yaml, or {suggest(choice, known)}"
        raise ConfigError([Problem(key="--policy", found=repr(choice), expected=expected)])
    return known[choice]


def _read(file: Path) -> dict[str, Any]:
    try:
        values = yaml.load(file.read_text(encoding="utf-8"), _Loader)  # noqa: S506 — a SafeLoader
    except OSError as error:
        found = error.strerror or "a file that cannot be read"
        raise ConfigError([Problem(key=str(file), found=found, expected="a policy file")]) from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        text = getattr(error, "problem", None) or str(error)
        found = f"{text}, line {mark.line + 1}" if mark else " ".join(text.split())[:300]
        raise ConfigError([Problem(key=str(file), found=found, expected="YAML, each key once")]) from error
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ConfigError([Problem(key=str(file), found=shown(values), expected="a mapping, with checks in it")])
    return values


def _unknown_metrics(
    values: Mapping[str, Any], measured: Collection[str], config_dir: Path | None, file: str
) -> list[Problem]:
    checks = values.get("checks")
    if not isinstance(checks, dict):
        return []
    names = [str(name) for name in checks if name not in measured and name not in (*COSTS, *RATES)]
    known = known_metrics(config_dir) if names else {}
    problems = []
    for name in names:
        if name not in known:
            accepted = suggest(name, {*COSTS, *RATES, *measured, *(other for other, usable in known.items() if usable)})
            problems.append(Problem(key=f"{file}.checks.{name}", found="an unknown name", expected=accepted))
        elif not known[name]:
            found = "a metric with one score a setting"
            problems.append(Problem(key=f"{file}.checks.{name}", found=found, expected="one with a score a picture"))
    return problems


def _disagreements(values: Mapping[str, Any], file: str) -> list[Problem]:
    """What only several keys together show. Of the plain values, so that it is found beside what the schema finds."""
    problems = []
    checks = values.get("checks")
    if not checks and values.get("every_metric") is None:
        expected = "at least one, here or by every_metric"
        problems.append(Problem(key=f"{file}.checks", found="no check", expected=expected))
    for name, check in (checks if isinstance(checks, dict) else {}).items():
        kinds: Sequence[str] = ("relative",) if name in COSTS else _OF_RATES if name in RATES else _KINDS
        problems += _margin_problems(f"{file}.checks.{name}.margin", check, kinds)
    # One number in the units of all metrics would mean another thing for each.
    problems += _margin_problems(f"{file}.every_metric.margin", values.get("every_metric"), _KINDS[1:])
    return problems


def _margin_problems(key: str, check: Any, kinds: Sequence[str]) -> list[Problem]:
    margin = check.get("margin") if isinstance(check, dict) else None
    if not isinstance(margin, dict) or not margin.keys() <= set(_KINDS):
        return []  # the schema says so
    said = [kind for kind in _KINDS if margin.get(kind) is not None]
    accepted = " or ".join(f"{kind}: NUMBER" for kind in kinds)
    if len(said) != 1:
        return [Problem(key=key, found=" and ".join(said) or "nothing", expected=f"one of {accepted}")]
    if said[0] not in kinds:
        return [Problem(key=key, found=said[0], expected=accepted)]
    value = margin[said[0]]
    if kinds == _OF_RATES and isinstance(value, int | float) and value >= 1:
        # Every rate lies inside it: such a check could not fail.
        return [Problem(key=f"{key}.absolute", found=shown(value), expected="a share below 1: 0.05 is 5 %")]
    return []


def _check(name: str, check: CheckConfig) -> CheckSpec:
    kind, value = next((kind, value) for kind in _KINDS if (value := getattr(check.margin, kind)) is not None)
    return CheckSpec(name=name, margin=MarginSpec(kind=kind, value=value), sides=check.sides, required=check.required)
