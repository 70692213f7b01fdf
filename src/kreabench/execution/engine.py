"""The seam to every engine, local or distributed: load groups go in, records come out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from kreabench.core.planned import LoadGroup, Request
from kreabench.core.records import Record

Admit = Callable[[LoadGroup, Request | None], None]
"""Asked before each request (None: a warm-up) is sent; raises BudgetReached when its price could pass the budget."""

MAX_WORKER_DEATHS = 2
"""A request that was in hand when this many workers died is recorded as failed and not tried again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupWork:
    """What is left to do of one load group."""

    group: LoadGroup
    pending: tuple[Request, ...]
    """In the order of the plan, less what the journal already holds."""
    deaths: Mapping[str, int] = field(default_factory=dict)
    """Request id → workers that died with it in hand before a resume; see MAX_WORKER_DEATHS."""
    tries: Mapping[str, int] = field(default_factory=dict)
    """Request id → how often it was tried before a resume, whatever came of it: its next attempt is one more."""
    submitted: Mapping[str, str | None] = field(default_factory=dict)
    """Request id → the service's id of what an earlier session submitted and never settled: to be fetched, not sent
    again. None: it may have been sent, and nobody knows its id."""
    loads: frozenset[str] = frozenset()
    """When each load of its model that is journalled was begun, as its record has it: a worker may have kept one."""
    device: str | None = None
    """Kind of device on which the target drew before a resume, as `core.device_names.device_in_words` has it: the rest
    is drawn on the same kind, as one median is of one kind of device. None: it drew nothing yet."""


class Engine(Protocol):
    """Executes load groups. The caller journals each batch, with one fsync, before it asks for the next one."""

    def run(self, work: Sequence[GroupWork], run_path: Path, admit: Admit) -> Generator[tuple[Record, ...], None, None]:
        """Yield every record as it happens, those that came together as one batch. Closing the iterator, or any
        exception, stops all workers first."""
