"""The noise floor of fidelity: pictures of a reference setting beside other pictures of the same setting.

How far two equally good pictures are apart, which is what a distance to the reference must be seen beside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kreabench.backends.accelerations.features import is_compiled, is_exact
from kreabench.core.planned import Plan, Request, Setting
from kreabench.core.records import SampleRecord
from kreabench.core.score_records import DrawnFloor
from kreabench.core.specs import AccelerationSpec
from kreabench.pairing import Picture, other_picture

_NAMES: Mapping[DrawnFloor, str] = {
    "itself": "the first drawing",
    "another_seed": "the picture of the next seed",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class FloorPair:
    """Two pictures of one reference setting."""

    floor: DrawnFloor
    picture: Picture
    """With the other picture as its reference."""
    partner_request_id: str
    """Of the other picture."""


def floor_pairs(pictures: Sequence[Picture], samples: Mapping[str, SampleRecord], plan: Plan) -> list[FloorPair]:
    """At most one pair for each of `pictures` (see `pairing.pictures_of`) of a reference setting, in their order.

    A picture that was drawn again (a repeat, a later pass) is paired with the first drawing of the same prompt, seed
    and index; a first drawing with that of the next seed in ascending order, the last with the first: every seed
    counts alike. Of two seeds the pair is there once.
    """
    references = {setting.id for setting in plan.settings if setting.reference_id == setting.id}
    requests = {r.id: r for group in plan.groups for r in group.requests if r.setting_id in references}
    slots = {_slot(request, request.seed, request.repeat): request for request in requests.values()}
    partners = _next_seeds(sorted({request.seed for request in requests.values()}))
    found = []
    for picture in pictures:
        request = requests.get(picture.request_id)
        if request is None:
            continue
        floor: DrawnFloor = "itself" if request.repeat else "another_seed"
        seed = request.seed if request.repeat else partners.get(request.seed)
        partner = None if seed is None else slots.get(_slot(request, seed, 0))
        if partner is not None:
            found.append(_pair(floor, picture, partner, samples.get(partner.id)))
    return found


def compiled_settings(plan: Plan) -> frozenset[str]:
    """Ids of settings that are compiled and otherwise do what their reference, which is not compiled, does: all that
    sets their pictures apart from its own is rounding."""
    specs = {
        (group.target.name, acceleration.name): acceleration
        for group in plan.groups
        if not group.target.hosted  # a service does not say what it does
        for acceleration in group.accelerations
    }
    settings = {setting.id: setting for setting in plan.settings}
    return frozenset(
        setting.id
        for setting in plan.settings
        if setting.reference_id in settings and _only_compiled(setting, settings[setting.reference_id], specs)
    )


def _only_compiled(setting: Setting, reference: Setting, specs: Mapping[tuple[str, str], AccelerationSpec]) -> bool:
    one = specs.get((setting.target, setting.acceleration))
    other = specs.get((reference.target, reference.acceleration))
    if one is None or other is None or setting.steps != reference.steps or is_compiled(other.features):
        return False
    # What the reference has as well is the same on both sides, whatever it approximates.
    added = {name: values for name, values in one.features.items() if other.features.get(name) != values}
    return is_compiled(added) and is_exact(added) and other.features.keys() <= one.features.keys()


def _next_seeds(seeds: Sequence[int]) -> dict[int, int]:
    if len(seeds) < 2:
        return {}
    following = zip(seeds, (*seeds[1:], seeds[0]), strict=True)
    return dict(list(following)[: 1 if len(seeds) == 2 else None])


def _slot(request: Request, seed: int, repeat: int) -> tuple[str, str, int, int]:
    return request.setting_id, request.prompt_id, seed, repeat


def _pair(floor: DrawnFloor, picture: Picture, partner: Request, sample: SampleRecord | None) -> FloorPair:
    image, obstacle = other_picture(sample, picture.image.index, _NAMES[floor])
    seeds = (picture.image.seed, image.seed if image else None)
    if floor == "another_seed" and not obstacle and None not in seeds and seeds[0] == seeds[1]:
        obstacle = f"the service drew both pictures with seed {seeds[0]}"
    return FloorPair(
        floor=floor,
        picture=replace(picture, reference=image, reference_obstacle=obstacle),
        partner_request_id=partner.id,
    )
