"""Whether a record can be of a plan at all: a part may come from anywhere, and is not believed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from kreabench.core.errors import RunDirectoryError
from kreabench.core.planned import Plan
from kreabench.core.records import DropRecord, LookRecord, Record, SampleRecord, SkipRecord
from kreabench.rundir.directory import IMAGES_FOLDER


@dataclass(frozen=True, kw_only=True, slots=True)
class _Planned:
    """Where the plan has a request."""

    setting_id: str
    group_id: str
    prompt_id: str
    seed: int
    repeat: int


_FIELDS = ("setting_id", "group_id", "prompt_id", "seed", "repeat")


class RecordCheck:
    """Called with each record that is new to a run."""

    def __init__(self, plan: Plan) -> None:
        self._groups = {group.id for group in plan.groups}
        self._requests = {
            request.id: _Planned(
                setting_id=request.setting_id,
                group_id=group.id,
                prompt_id=request.prompt_id,
                seed=request.seed,
                repeat=request.repeat,
            )
            for group in plan.groups
            for request in group.requests
        }
        self._owners: dict[str, str] = {}
        """Path of a picture → the request that drew it."""

    def owns(self, sample: SampleRecord) -> None:
        """The pictures of `sample` lie in the run under their names."""
        self._owners.update((image.path, sample.request_id) for image in sample.images)

    def __call__(self, record: Record, where: str) -> None:
        """Raises RunDirectoryError, which begins with `where`, for what cannot be of this plan."""
        if isinstance(record, SkipRecord):
            return
        if isinstance(record, DropRecord | LookRecord):
            found = "a race's decision; a race's parts cannot be merged, as each has decided for itself"
        else:
            found = self._strange(record.group_id, getattr(record, "request_id", None))
        if not found and isinstance(record, SampleRecord):
            found = self._strange_sample(record)
        if found:
            raise RunDirectoryError(f"{where} holds {found}", remedy="Nothing of this part was merged.")

    def _strange(self, group_id: str, request_id: str | None) -> str:
        if group_id not in self._groups:
            return f"load group {group_id!r}, which the plan does not have"
        if request_id is not None and request_id not in self._requests:
            return f"request {request_id!r}, which the plan does not have"
        return ""

    def _strange_sample(self, record: SampleRecord) -> str:
        planned = self._requests[record.request_id]
        for field in _FIELDS:
            found, wanted = getattr(record, field), getattr(planned, field)
            if found != wanted:
                return f"request {record.request_id} with {field} {found!r}; the plan has {wanted!r}"
        for image in record.images:
            path = PurePosixPath(image.path)
            # One file must have one name here, or another request's picture could be written over under a second one.
            if ".." in path.parts or path.parts[:1] != (IMAGES_FOLDER,) or str(path) != image.path:
                return f"picture {image.path!r}; pictures lie below {IMAGES_FOLDER}/"
            if self._owners.get(image.path, record.request_id) != record.request_id:
                return f"picture {image.path!r}, which is that of another request"
        return ""
