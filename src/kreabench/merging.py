"""Parts that other processes drew become one run: which parts, whether they belong to it, and what differs in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kreabench.core.errors import RunDirectoryError
from kreabench.core.planned import Plan
from kreabench.core.records import LoadRecord
from kreabench.pipeline import branded
from kreabench.plan_difference import describe_difference
from kreabench.plan_of_run import plan_of
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.merge import Merger, PartMerge
from kreabench.rundir.parts import PARTS_FOLDER, batch_folders, parts_of, refuse_part
from kreabench.rundir.provenance import PACKAGES
from kreabench.rundir.table import rebuild_table
from kreabench.rundir.writers import RunWriter

_VERSIONS = frozenset({"kreabench", "python", *PACKAGES})
"""What can change a picture or a timing; nodes of one cluster may well differ in their kernels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Merged:
    """What came of a merge."""

    parts: tuple[PartMerge, ...]
    notes: tuple[str, ...]
    """What differs between the parts and the run in words: versions, devices."""
    requests: int
    """Planned."""
    delivered: int
    """In the run now."""
    failed: int

    @property
    def left(self) -> int:
        """Requests without a final state."""
        return self.requests - self.delivered - self.failed


def merge(run_path: Path, part_paths: Sequence[Path] = (), *, give_up_missing: bool = False) -> Merged:
    """Bring `part_paths`, or else all parts below the run, into the run at `run_path`. The parts stay as they are.

    Merging again adds nothing; a part that is still being written gives what it has so far.

    Raises RunDirectoryError where there is no part, where the run is itself one, for a part of another plan or damaged,
    for pictures that are missing (unless `give_up_missing`: those requests are drawn again), and while another process
    writes the run; StorageError when the disk refuses.
    """
    refuse_part(run_path)
    run = RunDirectory.open(run_path)
    plan = plan_of(run)
    paths = list(part_paths) or parts_of(run_path)
    if not paths and not batch_folders(run_path):
        raise RunDirectoryError(
            f"{run_path} has no parts in {PARTS_FOLDER}/",
            remedy="Where the jobs have not begun, wait for them; where the parts lie elsewhere, name their folders.",
        )
    parts = [_checked(run, path) for path in _different(paths)]
    run = _with_brands(run, parts)
    with run.writer() as writer:
        run.save_info()
        merged = merge_parts(run, plan, writer, parts, give_up_missing=give_up_missing)
    rebuild_table(run, plan)
    return merged


def merge_parts(
    run: RunDirectory, plan: Plan, writer: RunWriter, parts: Sequence[RunDirectory], *, give_up_missing: bool = False
) -> Merged:
    """As `merge`, for the holder of the journal and parts that are known to be of this plan."""
    merger = Merger(run, plan, writer)
    done = tuple(merger.merge(part, give_up_missing=give_up_missing) for part in parts)
    samples = run.samples().values()
    return Merged(
        parts=done,
        notes=(*_other_versions(run, parts), *_several_devices(run)),
        requests=plan.request_count,
        delivered=sum(sample.status == "ok" for sample in samples),
        failed=sum(sample.status == "failed" for sample in samples),
    )


def _different(paths: Sequence[Path]) -> list[Path]:
    return list({path.resolve(): path for path in paths}.values())


def _checked(run: RunDirectory, path: Path) -> RunDirectory:
    """The part at `path`. Raises RunDirectoryError where it is none of this run."""
    if path.resolve() == run.path.resolve():
        raise RunDirectoryError(f"{path} is the run itself", remedy="Name the folders of its parts, or none for all.")
    part = RunDirectory.open(path)
    if part.info.plan_hash != run.info.plan_hash:
        differences = describe_difference(run.info.experiment, part.info.experiment)
        raise RunDirectoryError(
            f"{path} is a part of another plan than {run.path}:\n  " + "\n  ".join(differences),
            remedy="Leave it out, or merge it into the run that it belongs to. Nothing was merged.",
        )
    return part


def _with_brands(run: RunDirectory, parts: Sequence[RunDirectory]) -> RunDirectory:
    """What a part says of its targets (untrained, emulated, a note) holds for the run that takes its pictures."""
    targets = run.info.experiment.targets
    for part in parts:
        targets = branded(targets, part.info.experiment.targets)
    info = replace(run.info, experiment=replace(run.info.experiment, targets=targets))
    return RunDirectory(run.path, info)


def _other_versions(run: RunDirectory, parts: Sequence[RunDirectory]) -> list[str]:
    """One note for all parts that differ in the same way."""
    differing: dict[str, list[str]] = {}
    for part in parts:
        names = sorted(_VERSIONS & (run.info.versions.keys() | part.info.versions.keys()))
        pairs = [(name, run.info.versions.get(name, "none"), part.info.versions.get(name, "none")) for name in names]
        found = ", ".join(f"{name} {there} (run: {here})" for name, here, there in pairs if here != there)
        if found:
            differing.setdefault(found, []).append(part.path.name)
    return [
        f"drawn with other versions than the run names: {found}: {_few(names)}" for found, names in differing.items()
    ]


def _several_devices(run: RunDirectory) -> list[str]:
    """Targets that were drawn on devices of several kinds: their times are not those of one setting."""
    devices: dict[str, set[str]] = {}
    for load in run.records():
        if isinstance(load, LoadRecord) and load.identity.get("device_model"):
            devices.setdefault(load.target, set()).add(str(load.identity["device_model"]))
    return [
        f"{target} was drawn on {' and on '.join(sorted(names))}: do not trust medians over both"
        for target, names in sorted(devices.items())
        if len(names) > 1
    ]


def _few(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
