"""Endpoints as data: every hosted target of `conf/target/`, and further files of the same form."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from kreabench.config.compose import conf_dir
from kreabench.core.errors import EnvironmentProblem, Problem
from kreabench.core.specs import InputField
from kreabench.emulator.billing import Price, read_prices

NAMESPACES = ("workflows", "comfy")
"""An endpoint id that starts with one of these has its owner and alias after it."""

_KEYS = {field.name for field in dataclasses.fields(InputField)}
_FIELD = TypeAdapter(InputField)


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """One endpoint: what it takes and what it costs."""

    id: str
    inputs: Mapping[str, InputField]
    price: Price | None
    """None where no price list names it; its jobs then cost nothing."""

    @property
    def app(self) -> str:
        """Owner and alias (after a namespace, where there is one): status, result and cancel drop the rest."""
        parts = self.id.split("/")
        return "/".join(parts[: 3 if parts[0] in NAMESPACES else 2])


def read_endpoints(further: Sequence[Path] = ()) -> dict[str, Endpoint]:
    """Endpoint id → endpoint: the shipped targets of the fal back end, then `further` files, which win.

    Raises EnvironmentProblem naming every file that cannot be used.
    """
    prices = read_prices(conf_dir() / "pricing" / "default.yaml")
    shipped = [(file, _read(file)) for file in sorted((conf_dir() / "target").glob("*.yaml"))]
    shipped = [(file, target) for file, target in shipped if target.get("backend") == "fal" and target.get("inputs")]
    # The target that stands for the real endpoint comes last and wins; those with a service of their own borrow its id.
    shipped.sort(key=lambda item: not (item[1].get("service") or item[1].get("emulated")))
    own = [(file, _read(file)) for file in further]
    problems: list[Problem] = []
    found = {}
    for file, target in [*shipped, *own]:
        inputs = _inputs(file, target, problems)
        endpoint_id = target.get("model")
        if not isinstance(endpoint_id, str) or endpoint_id.count("/") < 1:
            problems.append(_problem(file, f"model {endpoint_id!r}", "an endpoint id such as fal-ai/flux/krea"))
        elif not inputs:
            problems.append(_problem(file, "no inputs", "`inputs:` as in conf/target/krea_fal.yaml"))
        else:
            found[endpoint_id] = Endpoint(id=endpoint_id, inputs=inputs, price=prices.get(endpoint_id))
    if problems:
        raise EnvironmentProblem(problems)
    return dict(sorted(found.items()))


def _read(file: Path) -> dict[str, Any]:
    try:
        target = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise EnvironmentProblem([_problem(file, " ".join(str(error).split()), "a target file in YAML")]) from error
    if not isinstance(target, dict):
        raise EnvironmentProblem([_problem(file, "no mapping", "a target file such as conf/target/krea_fal.yaml")])
    return target


def _inputs(file: Path, target: Mapping[str, Any], problems: list[Problem]) -> dict[str, InputField]:
    raw = target.get("inputs") or {}
    fields = {}
    for name, values in raw.items() if isinstance(raw, dict) else ():
        unknown: Iterable[str] = sorted(set(values) - _KEYS) if isinstance(values, dict) else ()
        problems += [_problem(file, f"inputs.{name}.{key}", f"one of {', '.join(sorted(_KEYS))}") for key in unknown]
        try:
            fields[str(name)] = _FIELD.validate_python(values)
        except ValidationError as error:
            problems += [
                _problem(file, f"inputs.{'.'.join(map(str, [name, *part['loc']]))}", part["msg"])
                for part in error.errors()
            ]
    return fields


def _problem(file: Path, found: str, expected: str) -> Problem:
    return Problem(key=str(file), found=found, expected=expected)
