"""Input pictures, copied into the run directory when it is made, so that the run can be moved and gone on with.

`inputs/<sha256>.<format>`: named by content, so one file however many prompts use it, and kept byte for byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from kreabench.core.errors import RunDirectoryError
from kreabench.core.specs import ExperimentSpec, InputImage
from kreabench.rundir.files import make_folders, storage_error, write_file

INPUTS_FOLDER = "inputs"

Sources = Mapping[str, Path | bytes]
"""SHA-256 of an input picture → its file, or its content where that is in no file."""


def store_inputs(run_path: Path, experiment: ExperimentSpec, files: Sources) -> None:
    """Copy every input picture of `experiment`, durably, from `files`.

    Raises RunDirectoryError for one that is gone or was changed since it was read, StorageError when the disk refuses.
    """
    images = {image.sha256: image for prompt in experiment.prompts for image in prompt.images}
    if not images:
        return
    folder = run_path / INPUTS_FOLDER
    try:
        make_folders(folder)
    except OSError as error:
        raise storage_error(folder, error) from error
    for image in images.values():
        content = _read(image, files)
        path = folder / image.file_name
        try:
            write_file(path, content)
        except OSError as error:
            raise storage_error(path, error) from error


def _read(image: InputImage, files: Sources) -> bytes:
    file = files.get(image.sha256)
    if file is None:
        raise RunDirectoryError(f"nobody said where the input picture {image.name} is")
    if isinstance(file, bytes):
        return file
    try:
        content = file.read_bytes()
    except OSError as error:
        raise RunDirectoryError(
            f"cannot read the input picture {file}: {error.strerror or error}", remedy="Put it back, and start again."
        ) from error
    if hashlib.sha256(content).hexdigest() != image.sha256:
        raise RunDirectoryError(f"{file} was changed while the run was being started", remedy="Start again.")
    return content
