"""What a push has to send: the difference between a run on this machine and what its URL holds already."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

from kreabench import __version__
from kreabench.core.errors import RunDirectoryError
from kreabench.remote.commits import Commit
from kreabench.remote.journals import has_more, parts_behind
from kreabench.remote.manifest import MAX_OBJECT_BYTES, Journal, Manifest, StoredFile, StoredObject
from kreabench.remote.packing import Pack, packs_of
from kreabench.remote.snapshot import Named, Snapshot, Whole, read_named, read_span
from kreabench.remote.stores import Store


class Unsendable(Exception):
    """Pictures that are gone from the run, or were changed since they were recorded."""

    def __init__(self, pictures: Collection[Named]) -> None:
        super().__init__(f"{len(pictures)} pictures")
        self.pictures = tuple(pictures)


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """An object to be sent."""

    name: str
    size_bytes: int
    read: Callable[[], bytes]
    """Raises Unsendable, RunDirectoryError."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PushPlan:
    """A push that was not begun."""

    manifest: Manifest
    uploads: tuple[Upload, ...]
    """What `manifest` names and the last one did not."""
    changed: bool
    """Whether `manifest` says anything that the last one did not."""


def plan_push(
    snapshot: Snapshot, store: Store, head: Commit | None, left_out: Collection[str], at_utc: str
) -> PushPlan:
    """What brings `store`, whose last commit is `head`, to `snapshot`; without the pictures of these paths.

    Raises RunDirectoryError where the store holds another run, one that went on differently, or more than is here.
    """
    before = head.manifest if head else None
    _check_same_run(snapshot, store, before)
    journals, parts = _journals(snapshot, store, before)
    pictures = [picture for picture in snapshot.pictures if picture.path not in left_out]
    objects: list[StoredObject] = []
    files, packs = _pictures(pictures, before, objects)
    uploads = [*parts, *(_upload_pack(snapshot, pack) for pack in packs)]
    known = {stored.name for stored in before.objects} if before else set()
    for whole in snapshot.files:
        _check_size(snapshot, whole)
        stored = StoredObject(name=f"blobs/{whole.sha256}", size_bytes=len(whole.content))
        files.append(
            StoredFile(path=whole.path, sha256=whole.sha256, size_bytes=stored.size_bytes, object=len(objects))
        )
        objects.append(stored)
        if stored.name not in known:
            uploads.append(Upload(name=stored.name, size_bytes=stored.size_bytes, read=_given(whole.content)))
    info = snapshot.run.info
    manifest = Manifest(
        run=info.experiment.name,
        plan_hash=info.plan_hash,
        created_utc=info.created_utc,
        pushed_utc=at_utc,
        versions={"kreabench": __version__},
        journals=journals,
        objects=tuple(objects),
        files=tuple(files),
    )
    changed = before is None or (manifest.journals, _content(manifest)) != (before.journals, _content(before))
    return PushPlan(manifest=manifest, uploads=tuple(uploads), changed=changed)


def _content(manifest: Manifest) -> set[tuple[str, str]]:
    return {(file.path, file.sha256) for file in manifest.files}


def _check_size(snapshot: Snapshot, whole: Whole) -> None:
    if len(whole.content) > MAX_OBJECT_BYTES:
        raise RunDirectoryError(
            f"{snapshot.run.path / whole.path} has {len(whole.content):,} bytes; at most {MAX_OBJECT_BYTES:,} are sent",
            remedy="Move the file out of the run. A log is not needed, and the table is made again from the journals.",
        )


def _check_same_run(snapshot: Snapshot, store: Store, before: Manifest | None) -> None:
    info = snapshot.run.info
    if before is not None and (before.plan_hash, before.created_utc) != (info.plan_hash, info.created_utc):
        raise RunDirectoryError(
            f"{store.location} holds another run: {before.run}, begun {before.created_utc}; this is "
            f"{info.experiment.name}, begun {info.created_utc}",
            remedy="Push to a URL of its own.",
        )


def _journals(snapshot: Snapshot, store: Store, before: Manifest | None) -> tuple[tuple[Journal, ...], list[Upload]]:
    there = {journal.name: journal for journal in before.journals} if before else {}
    journals, uploads = [], []
    for extent in snapshot.journals:
        journal = there.get(extent.name, Journal(name=extent.name, parts=()))
        if has_more(store, journal, extent):
            raise RunDirectoryError(
                f"{store.location} has lines of {extent.name} that {snapshot.run.path} lacks",
                remedy=f"Bring them first: kreabench pull {store.location} {snapshot.run.path}",
            )
        fresh = list(parts_behind(extent, journal.size_bytes))
        whole = Journal(name=extent.name, parts=(*journal.parts, *(part for _, part in fresh)))
        for index, (start, part) in enumerate(fresh, len(journal.parts)):
            read = partial(read_span, extent, start, start + part.size_bytes)
            uploads.append(Upload(name=whole.object_name(index), size_bytes=part.size_bytes, read=read))
        if whole.parts:
            journals.append(whole)
    return tuple(journals), uploads


def _pictures(
    pictures: list[Named], before: Manifest | None, objects: list[StoredObject]
) -> tuple[list[StoredFile], list[Pack]]:
    """Where each picture lies, and the packs that are new; adds to `objects` what holds them."""
    places: dict[str, tuple[int, int, int]] = {}
    """SHA-256 → object, offset and size: of an input that is there, the file here may be gone or changed."""
    numbers: dict[int, int] = {}
    wanted = {picture.sha256 for picture in pictures}
    for file in before.files if before else ():
        if file.sha256 in wanted and before is not None:
            if file.object not in numbers:
                numbers[file.object] = len(objects)
                objects.append(before.objects[file.object])
            places[file.sha256] = (numbers[file.object], file.offset, file.size_bytes)
    packs = packs_of(picture for picture in pictures if picture.sha256 not in places)
    for pack in packs:
        offset = 0
        for member in pack.members:
            places[member.sha256] = (len(objects), offset, member.size_bytes)
            offset += member.size_bytes
        objects.append(pack.stored)
    files = []
    for picture in pictures:
        number, offset, size_bytes = places[picture.sha256]
        files.append(
            StoredFile(path=picture.path, sha256=picture.sha256, size_bytes=size_bytes, object=number, offset=offset)
        )
    return files, packs


def _upload_pack(snapshot: Snapshot, pack: Pack) -> Upload:
    def read() -> bytes:
        contents = [(member, read_named(snapshot.run.path, member)) for member in pack.members]
        bad = [member for member, content in contents if content is None]
        if bad:
            raise Unsendable(bad)
        return b"".join(content for _, content in contents if content is not None)

    stored = pack.stored
    return Upload(name=stored.name, size_bytes=stored.size_bytes, read=read)


def _given(content: bytes) -> Callable[[], bytes]:
    return lambda: content
