"""What can be voted on: pictures of one run that share prompt, seed and size, and differ in their setting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from kreabench.core.errors import ConfigError, Problem
from kreabench.core.planned import Plan, Request, Setting
from kreabench.core.records import ImageRecord, SampleRecord
from kreabench.core.specs import Prompt
from kreabench.core.vote_records import VotePicture
from kreabench.rundir.directory import RunDirectory

Cell = tuple[str, str, int, int, int, int, int]
"""Task, prompt, seed, repeat, index, width and height: what two pictures share. Sizes are never mixed, as a size would
give its setting away."""
PairKey = frozenset[tuple[str, int]]
"""Request id and index of both pictures."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A delivered picture."""

    setting_id: str
    request: Request
    image: ImageRecord

    @property
    def key(self) -> tuple[str, int]:
        return self.request.id, self.image.index

    @property
    def voted(self) -> VotePicture:
        """As votes name it."""
        return VotePicture(
            setting_id=self.setting_id,
            request_id=self.request.id,
            image_index=self.image.index,
            image_sha256=self.image.sha256,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two pictures that can be compared, in no order."""

    one: Picture
    other: Picture

    @property
    def key(self) -> PairKey:
        return frozenset((self.one.key, self.other.key))

    @property
    def prompt_id(self) -> str:
        return self.one.request.prompt_id


class Pool:
    """All pictures that can be compared; those whose file turns out to be broken are taken out."""

    def __init__(self, pictures: Mapping[str, Mapping[Cell, Picture]], prompts: Mapping[str, Prompt]) -> None:
        """`pictures`: setting id → its pictures."""
        self.settings = tuple(pictures)
        self.prompts = prompts
        self.broken = 0
        self._pictures = {id_: dict(held) for id_, held in pictures.items()}

    def pairs(self, setting_id: str, other_id: str) -> Iterator[Pair]:
        """Of two settings: both pictures delivered, and not one and the same file."""
        others = self._pictures[other_id]
        for cell, picture in self._pictures[setting_id].items():
            other = others.get(cell)
            if other is not None and other.image.sha256 != picture.image.sha256:
                yield Pair(one=picture, other=other)

    def count(self) -> int:
        """Pairs there are."""
        by_cell: dict[Cell, list[str]] = {}
        for held in self._pictures.values():
            for cell, picture in held.items():
                by_cell.setdefault(cell, []).append(picture.image.sha256)
        return sum(_different(files) for files in by_cell.values())

    def drop(self, picture: Picture) -> None:
        """Take out a picture that cannot be shown."""
        held = self._pictures[picture.setting_id]
        cells = [cell for cell, one in held.items() if one.key == picture.key]
        for cell in cells:
            del held[cell]
        self.broken += len(cells)


def _different(files: Sequence[str]) -> int:
    return sum(one != other for one, other in combinations(files, 2))


def pool_of(run: RunDirectory, plan: Plan, settings: Sequence[Setting], *, name: str) -> Pool:
    """Of `settings` of `run`. Pictures that are none, and those that the safety checker flagged, are left out.

    Raises ConfigError, naming `name`, where there is nothing to compare; RunDirectoryError for a damaged journal.
    """
    chosen = {setting.id: setting for setting in settings}
    samples = run.samples()
    requests = [one for group in plan.groups for one in group.requests if one.setting_id in chosen]
    pictures: dict[str, dict[Cell, Picture]] = {id_: {} for id_ in chosen}
    for request in requests:
        sample = samples.get(request.id)
        if sample is not None and sample.status == "ok":
            pictures[request.setting_id] |= dict(_pictures(chosen[request.setting_id], request, sample))
    pool = Pool(
        {id_: held for id_, held in pictures.items() if held},
        {prompt.id: prompt for prompt in run.info.experiment.prompts},
    )
    if not pool.count():
        raise ConfigError([Problem(key=name, found=_found(pictures.values()), expected=_EXPECTED)])
    if not any((run.path / one.image.path).is_file() for held in pictures.values() for one in held.values()):
        found = "none of its pictures on this disk"
        raise ConfigError([Problem(key=name, found=found, expected="the run's folder images beside its run.json")])
    return pool


_EXPECTED = "two settings with different pictures of the same prompt, seed and size"


def _pictures(setting: Setting, request: Request, sample: SampleRecord) -> Iterator[tuple[Cell, Picture]]:
    for image in sample.images:
        if image.degenerate is None and not image.nsfw:
            shared = (request.prompt_id, request.seed, request.repeat, image.index, image.width, image.height)
            yield (setting.task, *shared), Picture(setting_id=setting.id, request=request, image=image)


def _found(pictures: Iterable[Mapping[Cell, Picture]]) -> str:
    counts = [len(held) for held in pictures]
    return f"{sum(counts)} usable pictures of {sum(map(bool, counts))} of {len(counts)} settings"
