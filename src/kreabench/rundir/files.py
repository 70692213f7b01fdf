"""Writes that survive a crash: a temporary name, fsync, rename, fsync of the folder."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from kreabench.core.errors import StorageError

_REMEDIES = {
    errno.ENOSPC: "Free space on that disk, then repeat the command: what was done is kept.",
    errno.EDQUOT: "Free space within your disk quota, then repeat the command: what was done is kept.",
    errno.EFBIG: "Raise the limit on file sizes (ulimit -f), then repeat the command: what was done is kept.",
    errno.EROFS: "Mount the file system writable, or choose another folder.",
    errno.EACCES: "Give this user write permission, or choose another folder.",
    errno.EPERM: "Give this user write permission, or choose another folder.",
    errno.EEXIST: "A part of the path is a file: choose another folder.",
    errno.ENOTDIR: "A part of the path is a file: choose another folder.",
    errno.ENAMETOOLONG: "Choose a shorter path.",
}
_OTHER_REMEDY = "Check the disk (dmesg, free space, permissions), then repeat the command: what was done is kept."


def storage_remedy(error: OSError) -> str:
    """What to do about a write that the operating system refused."""
    return _REMEDIES.get(error.errno or 0, _OTHER_REMEDY)


def storage_error(path: Path, error: OSError) -> StorageError:
    """`error` of a write to `path`, as one of ours."""
    return StorageError(f"cannot write {path}: {error.strerror or error}", remedy=storage_remedy(error))


def sync_folder(path: Path) -> None:
    """Make the names in folder `path` durable: a rename is not, until its folder is synced. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems have no such call
            raise
    finally:
        os.close(descriptor)


def make_folders(path: Path) -> None:
    """Create `path` and its missing parents, durably. Raises OSError."""
    missing = []
    folder = path
    while not folder.is_dir():
        missing.append(folder)
        if folder == folder.parent:
            break
        folder = folder.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of `content`, however many calls that takes. Raises OSError."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def publish(temporary: Path, path: Path) -> None:
    """Rename `temporary`, already synced, to `path` in the same folder, durably. Raises OSError."""
    temporary.replace(path)
    sync_folder(path.parent)


def bring(source: Path, path: Path) -> None:
    """Have the content of `source` at `path` too: the same file where the file system can, else a copy. Raises OSError.

    Only for files that are never written again, as those of pictures. Durable once the folder of `path` is synced, by
    the caller, for many files at once.
    """
    temporary = path.with_name(f".{path.name}.part")
    temporary.unlink(missing_ok=True)
    if source.is_symlink():
        write_file(path, source.read_bytes())
        return
    try:
        os.link(source, temporary)
    except OSError:  # another file system, or one without links
        write_file(path, source.read_bytes())
    else:
        temporary.replace(path)
        temporary.unlink(missing_ok=True)  # a rename onto the same file does nothing, and leaves both names


def write_file(path: Path, content: bytes) -> None:
    """Write `path` whole or not at all, over whatever is there. Raises OSError.

    The temporary name is always the same, so a crash leaves at most one, which the next attempt overwrites;
    only one process at a time may write a given path.
    """
    temporary = path.with_name(f".{path.name}.part")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        try:
            write_all(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        publish(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):  # what went wrong first is what the caller must hear
            temporary.unlink(missing_ok=True)
        raise
