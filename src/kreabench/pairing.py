"""Which delivered picture is compared with which, and why some are not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kreabench.core.errors import RunDirectoryError
from kreabench.core.planned import Plan, Request, Setting
from kreabench.core.records import DEGENERATE, ImageRecord, SampleRecord
from kreabench.core.specs import Prompt

RANDOM_WEIGHTS = "random weights: their pictures mean nothing"
FLAGGED = "the safety checker flagged the picture"

_MISSING = " is missing: "

_Slot = tuple[str, str, int, int]
"""Setting id, prompt id, seed, repeat."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A delivered picture, what it should show, and its reference."""

    request_id: str
    setting_id: str
    image: ImageRecord
    prompt_id: str
    prompt: str
    seed: int
    """That it was drawn with: the service's own where it says so."""
    look_for: str | None = None
    questions: tuple[str, ...] = ()
    reference: ImageRecord | None
    """The picture of the reference setting of the same prompt, seed, repeat and index, if it was delivered."""
    reference_obstacle: str
    """Why it cannot be compared with its reference; empty where it can."""
    random_weights: bool = False
    """Its target's weights are random: a score would say nothing."""

    @property
    def reference_may_come(self) -> bool:
        """Whether its reference has not been delivered, and may be while the run goes on."""
        return self.reference is None and _MISSING in self.reference_obstacle

    def obstacle(self, *, needs_reference: bool, needs_prompt: bool = False) -> str:
        """Why no metric of this kind applies to the picture; empty where it does."""
        if self.random_weights:
            return RANDOM_WEIGHTS
        if self.image.degenerate is not None:
            what = "the safety checker replaced the picture" if self.image.nsfw else "degenerate picture"
            return f"{what}: it is {_flat(self.image)}"
        if self.image.nsfw:
            return FLAGGED
        if needs_prompt and not self.prompt.strip():
            return "the prompt has no words"
        return self.reference_obstacle if needs_reference else ""


def pictures_of(samples: Mapping[str, SampleRecord], plan: Plan, prompts: Iterable[Prompt] = ()) -> list[Picture]:
    """Every delivered picture of `samples`, by size; those that share a reference are neighbours.

    `prompts` say what to look for and to ask.

    Raises RunDirectoryError where the samples are not of `plan`.
    """
    settings = {setting.id: setting for group in plan.groups for setting in group.settings}
    requests = {request.id: request for group in plan.groups for request in group.requests}
    foreign = samples.keys() - requests.keys()
    if foreign:
        raise RunDirectoryError(
            f"{len(foreign)} samples are of another plan, request {min(foreign)} among them",
            remedy="Score the run with the kreabench that wrote it.",
        )
    random = {setting.id for group in plan.groups for setting in group.settings if group.target.random_weights}
    told = {prompt.id: prompt for prompt in prompts}
    by_slot = {_slot(requests[request_id]): sample for request_id, sample in samples.items()}
    found: list[tuple[tuple[object, ...], Picture]] = []
    for request_id, sample in samples.items():
        request = requests[request_id]
        setting = settings[request.setting_id]
        size = (setting.width, setting.height)
        family = (*size, request.prompt_id, request.seed, request.repeat, setting.reference_id or "")
        for image in sample.images:
            reference, obstacle = _reference(request, setting, image.index, by_slot)
            prompt = told.get(request.prompt_id)
            picture = Picture(
                request_id=request.id,
                setting_id=setting.id,
                image=image,
                prompt_id=request.prompt_id,
                prompt=request.prompt,
                seed=request.seed + image.index if image.seed is None else image.seed,
                look_for=prompt.look_for if prompt else None,
                questions=prompt.questions if prompt else (),
                reference=reference,
                reference_obstacle=obstacle,
                random_weights=setting.id in random,
            )
            found.append(((*family, image.index, request_id), picture))
    return [picture for _, picture in sorted(found, key=lambda entry: entry[0])]


def _slot(request: Request, setting_id: str | None = None) -> _Slot:
    return setting_id or request.setting_id, request.prompt_id, request.seed, request.repeat


def _reference(
    request: Request, setting: Setting, index: int, by_slot: Mapping[_Slot, SampleRecord]
) -> tuple[ImageRecord | None, str]:
    """The reference picture and why it cannot be compared with, either of which may be nothing."""
    if setting.reference_id is None:
        return None, "no reference setting is planned"
    if setting.reference_id == setting.id:
        return None, "this is the reference"
    return other_picture(by_slot.get(_slot(request, setting.reference_id)), index, "the reference")


def other_picture(sample: SampleRecord | None, index: int, name: str) -> tuple[ImageRecord | None, str]:
    """A picture to compare with, called `name` for people, and why that cannot be done, either of which may be nothing.

    `sample` is of the picture's request, None where that has not run.
    """
    if sample is None:
        return None, f"{name}{_MISSING}its request has not run"
    if sample.status == "failed":
        return None, f"{name}{_MISSING}its request failed ({sample.error.type if sample.error else 'unknown'})"
    image = next((image for image in sample.images if image.index == index), None)
    if image is None:
        return None, f"{name}{_MISSING}its request delivered no picture {index}"
    if image.degenerate is not None:
        return image, f"{name} is degenerate: it is {_flat(image)}"
    return image, f"the safety checker flagged {name}" if image.nsfw else ""


def _flat(image: ImageRecord) -> str:
    return DEGENERATE.get(image.degenerate or "", str(image.degenerate))
