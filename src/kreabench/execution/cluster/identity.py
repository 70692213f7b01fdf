"""What a run is called on a cluster and on the store beside it, and by which numbers it knows the machines there."""

from __future__ import annotations

import secrets
import socket
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from kreabench.core.ids import stable_hash
from kreabench.rundir import codec
from kreabench.rundir.files import storage_error, write_file

FILE = ".cluster.json"
"""In the run directory, of the driver alone. Without it a run is a new one to the cluster, and nothing is lost."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Known:
    secret: str
    """Drawn at random when the run first came to a cluster."""
    nodes: dict[str, int] = field(default_factory=dict)
    """Hash of a machine's name → its number in records, which hold no names of machines."""


class Identity:
    """Of the run in one directory. Its copies elsewhere are other runs: they share neither actors nor pictures."""

    def __init__(self, run_path: Path) -> None:
        """Raises StorageError where the run directory cannot be read or written."""
        self._path = run_path / FILE
        known = self._read()
        self._known = known or _Known(secret=secrets.token_hex(16))
        self.key = stable_hash([self._known.secret, str(run_path), socket.gethostname()])
        """As a part of names that others can read."""
        if known is None:
            self._save()

    def number(self, machine: str) -> int:
        """By which records know this machine, also after a resume. Raises StorageError."""
        nodes = self._known.nodes
        hashed = stable_hash([self._known.secret, machine])
        if hashed not in nodes:
            nodes[hashed] = len(nodes) + 1
            self._save()
        return nodes[hashed]

    def _read(self) -> _Known | None:
        try:
            return codec.decode(self._path.read_bytes(), _Known)
        except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):  # damaged: numbers begin anew
            return None
        except OSError as error:
            raise storage_error(self._path, error) from error

    def _save(self) -> None:
        try:
            write_file(self._path, codec.encode(self._known))
        except OSError as error:
            raise storage_error(self._path, error) from error
