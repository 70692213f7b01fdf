"""Which setting is compared with which, and which picture with which; and what became of partners that are missing."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kreabench.core.errors import ConfigError, Problem
from kreabench.core.planned import Setting
from kreabench.decisions.columns import Bools, Columns, KeySpace, Pictures
from kreabench.decisions.comparison import UnpairedRow
from kreabench.decisions.sides import Side

AXES = (
    "target", "task", "acceleration", "steps", "guidance", "width", "height", "num_images", "output_format",
    "strength", "batch_size", "replicas", "concurrency", "rate_per_s",
)  # fmt: skip

Partners = list[tuple[Setting, Setting]]

_SHOWN = 4


def partners(base: Side, candidate: Side) -> Partners:
    """Settings that are equal on every axis on which a side has more than one value.

    An axis with one value on each side tells none of them apart: it is what is compared, or equal. Raises ConfigError
    where no setting has a partner.
    """
    several = [axis for axis in AXES if _values(base, axis) > 1 or _values(candidate, axis) > 1]
    by_axes = {_axes(setting, several): setting for setting in base.settings}
    pairs = [(by_axes.get(_axes(setting, several)), setting) for setting in candidate.settings]
    found = [(partner, setting) for partner, setting in pairs if partner is not None]
    if not found:
        there = "; ".join(setting.label for setting in base.settings[:_SHOWN])
        here = "; ".join(setting.label for setting in candidate.settings[:_SHOWN])
        expected = f"a setting equal to one of {base.name} in {', '.join(several)}: {there}"
        remedy = "Name one setting of each: RUN:acceleration=high,steps=8."
        raise ConfigError([Problem(key=candidate.name, found=here, expected=expected, remedy=remedy)])
    return found


def partners_in_run(side: Side, chosen: Sequence[Setting]) -> Partners:
    """Those of `chosen` that have another setting as their reference, with it. Raises ConfigError for none."""
    known = {setting.id: setting for setting in side.settings}
    found = [
        (known[str(setting.reference_id)], setting)
        for setting in chosen
        if setting.reference_id != setting.id and setting.reference_id in known
    ]
    if not found:
        problem = Problem(
            key=side.name,
            found="no setting with another one as its reference: " + "; ".join(s.label for s in chosen[:_SHOWN]),
            expected="at least one",
            remedy="Name two runs, or two selections: RUN:acceleration=none RUN:acceleration=high.",
        )
        raise ConfigError([problem])
    return found


def _values(side: Side, axis: str) -> int:
    return len({getattr(setting, axis) for setting in side.settings})


def _axes(setting: Setting, names: Sequence[str]) -> tuple[Hashable, ...]:
    return tuple(getattr(setting, name) for name in names)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Matched:
    """The pictures of two settings, side by side."""

    base: Pictures
    candidate: Pictures
    base_rows: NDArray[np.intp]
    """(pairs,) rows of `base`, in the order of their keys."""
    candidate_rows: NDArray[np.intp]
    same_size: Bools
    """(pairs,) whether both have the same width and height: only then scores are compared."""
    base_alone: NDArray[np.intp]
    """Rows of `base` without a partner."""
    candidate_alone: NDArray[np.intp]

    @property
    def pairs(self) -> int:
        """Pictures that both have."""
        return int(self.base_rows.size)

    @property
    def identical(self) -> int:
        """Pairs of equal files."""
        return int((self.base.hashes[self.base_rows] == self.candidate.hashes[self.candidate_rows]).sum())


def match(base: Pictures, candidate: Pictures) -> Matched:
    """By prompt, seed, repeat and index of the picture."""
    _, here, there = np.intersect1d(base.keys, candidate.keys, assume_unique=True, return_indices=True)
    return Matched(
        base=base,
        candidate=candidate,
        base_rows=here,
        candidate_rows=there,
        same_size=base.sizes[here] == candidate.sizes[there],
        base_alone=np.setdiff1d(np.arange(base.keys.size), here, assume_unique=True),
        candidate_alone=np.setdiff1d(np.arange(candidate.keys.size), there, assume_unique=True),
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Partner:
    """The side and setting where a partner is looked for."""

    side: Side
    columns: Columns
    setting: Setting


def unpaired(matched: Matched, base: Partner, candidate: Partner) -> tuple[UnpairedRow, ...]:
    """Pictures without a partner, the base's first, with what happened to it."""
    return (
        *_unpaired("base", matched.base, matched.base_alone, candidate),
        *_unpaired("candidate", matched.candidate, matched.candidate_alone, base),
    )


def _unpaired(
    name: Literal["base", "candidate"], pictures: Pictures, rows: NDArray[np.intp], partner: Partner
) -> Iterator[UnpairedRow]:
    if not rows.size:
        return
    fate = _Fate(partner)
    space = partner.columns.space
    for key in pictures.keys[rows].tolist():
        prompt, seed, repeat, index = space.parts(key)
        reason = fate.of(key, prompt, space)
        yield UnpairedRow(side=name, prompt_id=prompt, seed=seed, repeat=repeat, image_index=index, reason=reason)


class _Fate:
    """What became of the requests of one setting."""

    def __init__(self, partner: Partner) -> None:
        requests = partner.columns.requests(partner.setting.id)
        self._ok = set(requests.keys[requests.ok].tolist())
        failed = ~requests.ok
        types = requests.error_type[failed].tolist()
        self._failed = dict(zip(requests.keys[failed].tolist(), types, strict=True))
        self._prompts = partner.side.prompts
        self._complete = requests.keys.size >= partner.side.requested.get(partner.setting.id, 0)
        self._asked_elsewhere = set(partner.columns.all_requests().tolist())

    def of(self, key: int, prompt: str, space: KeySpace) -> str:
        """In words."""
        request = key // len(space.indices)
        if request in self._failed:
            return f"failed: {self._failed[request] or 'no reason given'}"
        if request in self._ok:
            return "delivered without this picture: fewer pictures a request"
        if prompt not in self._prompts:
            return "not asked: no such prompt"
        if self._complete:
            return "not asked: no such seed or repeat"
        return "not drawn yet" if request in self._asked_elsewhere else "not drawn yet, or not asked"


def delivered_alone(base: Partner, candidate: Partner) -> tuple[int, int]:
    """Requests that one side delivered where the other failed, or delivered no request of the prompt; and of how many.

    Further seeds or repeats on one side are none: nobody lost these.
    """
    here, there = (one.columns.requests(one.setting.id) for one in (base, candidate))
    alone = 0
    for own, other in ((here, there), (there, here)):
        failed = np.isin(own.keys, other.keys[~other.ok])
        alone += int((own.ok & (failed | ~np.isin(own.prompts, other.prompts[other.ok]))).sum())
    return alone, int(np.union1d(here.keys[here.ok], there.keys[there.ok]).size)


def both_failed(base: Partner, candidate: Partner) -> int:
    """Requests that failed on both sides."""
    here, there = (one.columns.requests(one.setting.id) for one in (base, candidate))
    return int(np.intersect1d(here.keys[~here.ok], there.keys[~there.ok]).size)
