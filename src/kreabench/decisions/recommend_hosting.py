"""Local or hosted: what is assumed of an own GPU and of the service, and from how many images a day it pays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kreabench.analysis.break_even import BreakEven, OwnGpu, break_even
from kreabench.analysis.estimates import Estimate
from kreabench.core.records import LoadRecord
from kreabench.core.specs import TargetSpec
from kreabench.decisions.recommend import Recommendation, Verdict
from kreabench.decisions.recommend_evidence import Entrant


@dataclass(frozen=True, kw_only=True, slots=True)
class HostingOptions:
    """What was said on the command line; None: not said."""

    usd_per_hour: float | None = None
    utilisation: float | None = None
    usd_per_kwh: float | None = None
    watts: float | None = None
    loads_per_day: float | None = None
    load_s: float | None = None
    api_usd_per_image: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Assumption:
    """One number that the curve rests on."""

    name: str
    value: float
    unit: str
    source: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Hosting:
    """Own GPU against the service."""

    own: Entrant
    api: Entrant | None
    """None where its price was given."""
    gpu: OwnGpu
    api_usd_per_image: float
    assumptions: tuple[Assumption, ...]
    results: tuple[BreakEven, ...]
    warnings: tuple[str, ...]


def compare_hosting(
    recommendation: Recommendation,
    targets: Mapping[str, TargetSpec],
    loads: Sequence[LoadRecord],
    options: HostingOptions,
) -> Hosting | str:
    """The comparison, or why there is none."""
    own = _best(recommendation, hosted=False)
    if own is None:
        return "no local setting of the run has a latency"
    api = _best(recommendation, hosted=True, like=own)
    seconds = _seconds(own)
    usd_per_hour = _hour(own, targets, options)
    api_usd = _api(api, options)
    if isinstance(usd_per_hour, str) or isinstance(api_usd, str) or seconds is None:
        return "; ".join(part for part in (usd_per_hour, api_usd) if isinstance(part, str))
    energy = _energy(own, seconds, options)
    if isinstance(energy, str):
        return energy
    kwh = Assumption(
        name="price of electricity",
        value=options.usd_per_kwh or 0.0,
        unit="USD/kWh",
        source="--usd-per-kwh" if options.usd_per_kwh is not None else "assumed: the hour's price holds it",
    )
    load, count, use = _load(own, loads, options), _loads_per_day(options), _utilisation(options)
    gpu = OwnGpu(
        usd_per_hour=usd_per_hour.value,
        seconds_per_image=seconds.value,
        utilisation=use.value,
        load_s=load.value,
        loads_per_day=count.value,
        joule_per_image=energy.value,
        usd_per_kwh=kwh.value,
    )
    latency = Assumption(
        name="time an image of the device",
        value=seconds.value,
        unit="s",
        source=f"measured: median latency of {seconds.n} requests over the images of a request; {_interval(seconds)}",
    )
    return Hosting(
        own=own.entrant,
        api=None if api is None or options.api_usd_per_image is not None else api.entrant,
        gpu=gpu,
        api_usd_per_image=api_usd.value,
        assumptions=(usd_per_hour, latency, use, load, count, energy, kwh, api_usd),
        results=(
            break_even(gpu, api_usd.value, "rented_while_used", seconds),
            break_even(gpu, api_usd.value, "all_day", seconds),
        ),
        warnings=_warnings(own, api, targets, options),
    )


def _best(recommendation: Recommendation, *, hosted: bool, like: Verdict | None = None) -> Verdict | None:
    """The best setting of that kind: what qualifies goes first, and the size of `like`."""
    members = [v for v in recommendation.verdicts if v.entrant.hosted == hosted and v.objective is not None]
    members = [v for v in members if hosted or v.entrant.costs["latency"].median is not None]
    members = [v for v in members if not hosted or v.entrant.costs["usd_per_image"].median is not None]
    ranks = {"qualifies": 0, "not decided": 1, "does not": 2}

    def key(verdict: Verdict) -> tuple[bool, bool, int, float]:
        cost = verdict.entrant.costs["usd_per_image" if hosted else "latency"].median
        return (
            verdict is not recommendation.answer,
            like is not None and _size(verdict) != _size(like),
            0 if verdict.entrant.is_reference and verdict.standing != "does not" else ranks[verdict.standing],
            0.0 if cost is None else cost.value,
        )

    return min(members, key=key, default=None)


def _size(verdict: Verdict) -> tuple[int, int]:
    return verdict.entrant.setting.width, verdict.entrant.setting.height


def _seconds(own: Verdict) -> Estimate | None:
    latency = own.entrant.costs["latency"].median
    return None if latency is None else seconds_per_image(latency, own.entrant.setting.num_images)


def seconds_per_image(latency: Estimate, images: int) -> Estimate:
    """Of a device that draws one request after the other, each of so many `images`."""
    low, high = latency.interval or (None, None)
    return Estimate(
        value=latency.value / images,
        low=None if low is None else low / images,
        high=None if high is None else high / images,
        n=latency.n,
    )


def _interval(seconds: Estimate) -> str:
    if seconds.interval is None:
        return "too few for an interval"
    return f"95 % interval {seconds.interval[0]:.3g} – {seconds.interval[1]:.3g}"


def _hour(own: Verdict, targets: Mapping[str, TargetSpec], options: HostingOptions) -> Assumption | str:
    name, unit = "price of the own GPU", "USD/h"
    if options.usd_per_hour is not None:
        return Assumption(name=name, value=options.usd_per_hour, unit=unit, source="--usd-per-hour")
    target = targets[own.entrant.setting.target]
    if target.usd_per_hour is None:
        return "nobody said what an hour of the own GPU costs: --usd-per-hour"
    return Assumption(name=name, value=target.usd_per_hour, unit=unit, source="pricing.device_usd_per_hour of the run")


def _api(api: Verdict | None, options: HostingOptions) -> Assumption | str:
    name, unit = "price of the service", "USD/image"
    if options.api_usd_per_image is not None:
        return Assumption(name=name, value=options.api_usd_per_image, unit=unit, source="--api-usd-per-image")
    estimate = None if api is None else api.entrant.costs["usd_per_image"].median
    if api is None or estimate is None:
        return "the run has no hosted setting with a price: --api-usd-per-image"
    return Assumption(
        name=name,
        value=estimate.value,
        unit=unit,
        source=f"the run: median of {estimate.n} requests of {api.entrant.setting.label}",
    )


def _energy(own: Verdict, seconds: Estimate, options: HostingOptions) -> Assumption | str:
    name, unit = "electricity of an image", "J"
    measured = own.entrant.costs["energy"].median
    if options.watts is not None:
        return Assumption(
            name=name, value=options.watts * seconds.value, unit=unit, source="--watts × the time an image"
        )
    if measured is not None:
        images = own.entrant.setting.num_images
        source = f"measured: median of {measured.n} requests, of the GPU alone"
        return Assumption(name=name, value=measured.value / images, unit=unit, source=source)
    if options.usd_per_kwh:
        return "the run measured no energy: --usd-per-kwh needs --watts"
    return Assumption(name=name, value=0.0, unit=unit, source="not measured; it is not priced")


def _load(own: Verdict, loads: Sequence[LoadRecord], options: HostingOptions) -> Assumption:
    name = "loading the model once"
    if options.load_s is not None:
        return Assumption(name=name, value=options.load_s, unit="s", source="--load-s")
    found = load_seconds(loads, own.entrant.setting.load_key)
    if not found:
        return Assumption(name=name, value=0.0, unit="s", source="not measured")
    source = f"measured: median of {len(found)} load{'s' if len(found) > 1 else ''}, without compiling"
    return Assumption(name=name, value=float(np.median(found)), unit="s", source=source)


def load_seconds(loads: Sequence[LoadRecord], load_key: str) -> list[float]:
    """Of every loading of a setting's model, in all passes."""
    return [load.load_s for load in loads if load.group_id == load_key or load.group_id.startswith(f"{load_key}-")]


def _loads_per_day(options: HostingOptions) -> Assumption:
    said = options.loads_per_day is not None
    return Assumption(
        name="loads a day",
        value=1.0 if options.loads_per_day is None else options.loads_per_day,
        unit="",
        source="--loads-per-day" if said else "assumed",
    )


def _utilisation(options: HostingOptions) -> Assumption:
    said = options.utilisation is not None
    return Assumption(
        name="utilisation while it draws",
        value=1.0 if options.utilisation is None else options.utilisation,
        unit="",
        source="--utilisation" if said else "assumed: there is always a next request",
    )


def _warnings(
    own: Verdict, api: Verdict | None, targets: Mapping[str, TargetSpec], options: HostingOptions
) -> tuple[str, ...]:
    said = []
    if api is not None and options.api_usd_per_image is None:
        if _size(api) != _size(own):
            said.append("The two draw different sizes, which cost differently.")
        if targets[api.entrant.setting.target].emulated:
            said.append("The service is emulated: its dollars are what the price list says, nothing was billed.")
    for target in (targets[verdict.entrant.setting.target] for verdict in (own, api) if verdict is not None):
        if target.untrained:
            said.append(f"{target.name} has untrained weights: its times are no real model's.")
        if target.model_note:
            said.append(f"{target.name}: {target.model_note}.")
    return tuple(dict.fromkeys(said))
