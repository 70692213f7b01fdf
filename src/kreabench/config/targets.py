"""One target of the configuration → its frozen spec."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from pydantic import ValidationError

from kreabench.backends.mini import is_untrained
from kreabench.backends.options import FalEmulatorOptions
from kreabench.backends.table import BACKENDS
from kreabench.config import endpoints
from kreabench.config.model import PricingConfig, ServiceConfig, TargetConfig, options_model
from kreabench.config.problems import problems_of, shown
from kreabench.config.trained import trained_of
from kreabench.core.errors import Problem
from kreabench.core.registry import suggest
from kreabench.core.sizes import parse_size
from kreabench.core.specs import (
    ExpectedTime,
    PriceSpec,
    ServiceSpec,
    TargetSpec,
)
from kreabench.pricing import price_key


class Collector:
    """Runs each part of the resolution and keeps its problems, so that one mistake does not hide another."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def add(self, key: str, found: object, expected: str, remedy: str = "") -> None:
        self.problems.append(Problem(key=key, found=str(found), expected=expected, remedy=remedy))

    def options(self, key: str, type_: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
        """`values` completed and validated as the options dataclass `type_`."""
        model = options_model(type_)
        try:
            # As JSON, so that a strict schema takes a list where the options hold a tuple.
            typed = model.model_validate_json(json.dumps(dict(values)))
            type_(**{field.name: getattr(typed, field.name) for field in fields(type_)})
        except ValidationError as error:
            self.problems.extend(problems_of(error, key, sorted(field.name for field in fields(type_)), root=model))
            return {}
        except ValueError as error:  # values that do not go together; the class's own words, which name the option
            self.problems.append(_combination_problem(key, values, str(error)))
            return {}
        return typed.model_dump(mode="json")

    def size(self, key: str, text: str) -> tuple[int, int] | None:
        try:
            return parse_size(text)
        except ValueError as error:
            self.add(key, repr(text), str(error))
            return None


def _combination_problem(key: str, values: Mapping[str, Any], message: str) -> Problem:
    """Of a message that begins with the option at fault. A value named `…_env` may be a secret put there by mistake."""
    option = message.partition(" ")[0].rstrip(":")
    if option not in values or option.endswith("_env"):
        return Problem(key=key, found="options that cannot be used so", expected=message)
    return Problem(key=f"{key}.{option}", found=shown(values[option]), expected=message)


def make_target(collect: Collector, name: str, config: TargetConfig, pricing: PricingConfig) -> TargetSpec:
    """The target `name`; what is wrong with it goes to `collect`, and the spec is then good for nothing else."""
    key = f"target.{name}"
    row = BACKENDS.get(config.backend)
    if row is None:
        collect.add(f"{key}.backend", repr(config.backend), suggest(config.backend, BACKENDS))
    options = collect.options(f"{key}.options", row.options, config.options) if row else {}
    hosted = row.hosted if row else False
    if row is not None and row.needs_inputs and not config.inputs:
        collect.add(f"{key}.inputs", "nothing", "every input of the endpoint, as in conf/target/krea_fal.yaml")
    elif row is not None and not hosted and (config.inputs or config.parameters):
        wrong = "inputs" if config.inputs else "parameters"
        collect.add(f"{key}.{wrong}", "some", f"nothing: {config.backend} is no hosted service")
    inputs = endpoints.inputs_of(key, config, collect.problems.append)
    endpoints.check_parameters(key, inputs, config.parameters, collect.problems.append)
    defaults = endpoints.defaults_of(key, config, inputs, collect.problems.append)
    limits = endpoints.limits_of(key, config, inputs, collect.problems.append)
    if defaults is not None:
        collect.size(f"{key}.default.size", defaults.size)
    service = _service(collect, key, config.service) if config.service else None
    random = any(map(is_untrained, _models(config, options, service)))
    return TargetSpec(
        name=name,
        backend=config.backend,
        task=config.task,
        model=config.model,
        revision=config.revision,
        hosted=hosted,
        untrained=config.untrained or random,
        emulated=config.emulated,
        defaults=defaults or endpoints.empty_defaults(),
        limits=limits or endpoints.empty_limits(),
        accelerations=endpoints.accelerations_of(key, config, inputs, collect.problems.append),
        price=_price(pricing, price_key(config.model, options)) if hosted else None,
        usd_per_hour=None if hosted else pricing.device_usd_per_hour,
        expected=ExpectedTime(**config.expected.model_dump()) if config.expected else None,
        service=service,
        key_env=config.key_env,
        options=options,
        inputs=inputs,
        parameters=dict(config.parameters),
        random_weights=options.get("weights") == "random",
        model_note="" if random else config.model_note,
        trained=trained_of(f"{key}.trained", config.trained, collect.problems.append),
    )


def _models(config: TargetConfig, options: Mapping[str, Any], service: ServiceSpec | None) -> list[str]:
    """All whose weights its pictures come from."""
    drawn = [service.options.get("model")] if service and service.options.get("images") == "pipeline" else []
    return [str(model) for model in (config.model, options.get("redux_model"), *drawn)]


def _price(pricing: PricingConfig, key: str) -> PriceSpec | None:
    listed = pricing.endpoints.get(key)
    if listed is None:
        return None
    by_megapixel = listed.usd_per_megapixel
    return PriceSpec(
        usd_first_megapixel=listed.usd_first_megapixel if by_megapixel is None else by_megapixel,
        usd_further_megapixel=listed.usd_further_megapixel if by_megapixel is None else by_megapixel,
        usd_per_image=listed.usd_per_image,
        megapixel_pixels=listed.megapixel_pixels or pricing.megapixel_pixels,
        round_up=listed.round_up,
        source=listed.source,
        date=listed.date,
    )


def _service(collect: Collector, key: str, config: ServiceConfig) -> ServiceSpec:
    options = collect.options(f"{key}.service.options", FalEmulatorOptions, config.options)
    return ServiceSpec(kind=config.kind, options=options)
